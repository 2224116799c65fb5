"""Leaving out people of a notification who need not be told any more, as far as they have not been."""

from collections.abc import Collection
from typing import Any

from django.db import transaction

from sms_services.choices import MessageStatus, SkipReason
from sms_services.models import SmsMessage

from .directory import asked_users
from .rows import database, notifications


def omit(notification_id: int, user_ids: Collection[Any]) -> bool:
    """Leave out users that a notification was asked to go to by themselves; what has left already, has left.

    Returns:
        whether this is final: their messages have gone out, or never will. Otherwise some are just leaving, and may
        come back to be tried again, or recipients are just being resolved: call it again after some seconds.
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
        ids = messages.with_retries(theirs.values_list("pk", flat=True))
        messages.filter(pk__in=ids).skip(SkipReason.CANCELLED)
        under_way = messages.by_id(ids, MessageStatus.QUEUED, MessageStatus.SENDING)
        return row.filter(expanded_at__isnull=False).exists() and not under_way.exists()
