"""Leaving out people of a notification who need not be told any more, as far as they have not been."""

import logging
from collections.abc import Collection
from typing import Any

from django.contrib.auth import get_user_model
from django.db import DatabaseError, transaction
from django.db.models import Exists, OuterRef, QuerySet

from sms_services.choices import MessageStatus, SkipReason
from sms_services.logs import log
from sms_services.models import SmsMessage

from .choices import NotificationProblem
from .directory import NUMBER, asked_users, has_is_active, with_number
from .expansion.pages import readable_number
from .models import Recipient
from .rows import database, notifications, users
from .sql import listed


def omit(notification_id: int, user_ids: Collection[Any]) -> bool:
    """Leave out users that a notification was asked to go to by themselves; what has left already, has left.

    A number that others have as well keeps its message, as long as not all of them are left out.

    Args:
        user_ids: all who are to be left out, those of earlier calls included.

    Returns:
        whether this is final: their messages have gone out, or never will, or are others' as well. Otherwise some are
        just leaving, and may come back to be tried again, or recipients are just being resolved, or numbers cannot be
        looked up at the moment: call it again after some seconds.
    """
    with transaction.atomic(using=database()):
        # A page of recipients that is being written now has the row locked, and is there afterwards. One that was only
        # read is not written without the lease.
        row = notifications().filter(pk=notification_id)
        if not row.update(leased_until=None):
            return True
        asked = asked_users()
        asked.to([notification_id]).filter(**{f"{asked.user}__in": user_ids}).delete()
        messages = SmsMessage.objects.using(database())
        theirs = messages.filter(recipient__notification=notification_id, recipient__user__in=user_ids)
        alone, is_certain = _alone(notification_id, user_ids, theirs)
        ids = messages.with_retries(alone)
        messages.filter(pk__in=ids).skip(SkipReason.CANCELLED)
        if not is_certain:  # what is kept may yet turn out to be nobody's
            ids = messages.with_retries(theirs.values_list("pk", flat=True))
        under_way = messages.by_id(ids, MessageStatus.QUEUED, MessageStatus.SENDING)
        return row.filter(expanded_at__isnull=False).exists() and not under_way.exists()


def _alone(notification_id: int, user_ids: Collection[Any], theirs: QuerySet[SmsMessage]) -> tuple[list[int], bool]:
    """Those of their messages of which nobody else has need, and whether that is certain.

    Others have need of a message who have the same number and none of their own. Those who are still to be resolved are
    among them: a number that has had a message of the batch gets no other. Who is deactivated needs none.

    Where the host's function for numbers fails, no message is left out that any of them may have need of.
    """
    recipients = Recipient.objects.using(database()).filter(notification=notification_id)
    sharing = recipients.filter(skip_reason=SkipReason.DUPLICATE, **_is_active("user")).exclude(user__in=user_ids)
    asked = asked_users()
    resolved = recipients.filter(user=OuterRef(asked.user))
    to_come = asked.to([notification_id]).filter(~Exists(resolved), **_is_active(asked.user))
    texts = list(theirs.values_list("pk", "phone_number", "recipient"))
    duplicates = dict(sharing.values_list("pk", "user")) if texts else {}
    later = list(to_come.values_list(asked.user, flat=True)) if texts else []
    try:
        needed = _numbers_of([*duplicates.values(), *later])
    except DatabaseError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the host's function raises
        problem, name = NotificationProblem.PHONE_NUMBER, type(error).__name__
        log(logging.ERROR, "notifications.unresolvable", notification=notification_id, problem=problem, error=name)
        # The first one of a number has its message: nobody shares one with a recipient who came before.
        return [] if later else [pk for pk, _number, recipient in texts if recipient > max(duplicates)], False
    return [pk for pk, number, _recipient in texts if number not in needed], True


def _numbers_of(user_ids: Collection[Any]) -> set[str]:
    """The numbers that users have now. Without users, the host's function is not called."""
    if not user_ids:
        return set()
    rows = with_number(users().filter(pk__in=listed(user_ids, get_user_model()._meta.pk, database()))).order_by()
    return {number for stored in rows.values_list(NUMBER, flat=True) if (number := readable_number(stored))}


def _is_active(user: str) -> dict[str, bool]:
    """The condition that a user of a row is not deactivated; not every user model knows that."""
    return {f"{user}__is_active": True} if has_is_active() else {}
