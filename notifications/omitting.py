"""Leaving out people of a notification who need not be told any more, as far as they have not been."""

from collections.abc import Collection
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Exists, OuterRef

from sms_services.choices import MessageStatus, SkipReason
from sms_services.models import SmsMessage

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
        just leaving, and may come back to be tried again, or recipients are just being resolved: call it again after
        some seconds.
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
        others = _numbers_of_others(notification_id, user_ids)
        alone = [pk for pk, number in theirs.values_list("pk", "phone_number") if number not in others]
        ids = messages.with_retries(alone)
        messages.filter(pk__in=ids).skip(SkipReason.CANCELLED)
        under_way = messages.by_id(ids, MessageStatus.QUEUED, MessageStatus.SENDING)
        return row.filter(expanded_at__isnull=False).exists() and not under_way.exists()


def _numbers_of_others(notification_id: int, user_ids: Collection[Any]) -> set[str]:
    """The numbers of people who have no message of their own, and need the one of somebody with the same number.

    Those who are still to be resolved are among them: a number that has had a message of the batch gets no other. Who
    is deactivated needs none.
    """
    recipients = Recipient.objects.using(database()).filter(notification=notification_id)
    sharing = recipients.filter(skip_reason=SkipReason.DUPLICATE).exclude(user__in=user_ids)
    asked = asked_users()
    resolved = recipients.filter(user=OuterRef(asked.user))
    to_come = asked.to([notification_id]).filter(~Exists(resolved))
    pks = [
        *sharing.filter(**_is_active("user")).values_list("user", flat=True),
        *to_come.filter(**_is_active(asked.user)).values_list(asked.user, flat=True),
    ]
    if not pks:
        return set()
    rows = with_number(users().filter(pk__in=listed(pks, get_user_model()._meta.pk, database()))).order_by()
    return {number for stored in rows.values_list(NUMBER, flat=True) if (number := readable_number(stored))}


def _is_active(user: str) -> dict[str, bool]:
    """The condition that a user of a row is not deactivated; not every user model knows that."""
    return {f"{user}__is_active": True} if has_is_active() else {}
