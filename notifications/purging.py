"""Deleting old notifications, a few rows at a time, beside everything else that goes on.

Messages have a retention of their own (``SMS_SERVICES["RETENTION_DAYS"]``), and who was sent what goes with them. What
is deleted here is the notification and those who got no message; messages that are kept longer stay, and their batch
with them, which still says that they may not be retried.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef
from django.utils import timezone

from sms_services.models import SmsBatch

from .conf import get_settings
from .models import Notification, Recipient
from .rows import database, notifications

#: Rows of one transaction.
BATCH = 1_000


def purge(*, batch_size: int = BATCH, dry_run: bool = False) -> Iterator[int]:
    """Delete notifications that ended before ``RETENTION_DAYS``; goes on only while it is iterated over.

    Args:
        batch_size: rows of one transaction.
        dry_run: only count.

    Yields:
        1 for each notification.

    Raises:
        ImproperlyConfigured: the setting is wrong; nothing was deleted.
    """
    days = get_settings().RETENTION_DAYS
    if days is None:
        return
    before = timezone.now() - timedelta(days=days)
    # What was created later has not ended before; only this has an index.
    old = notifications().filter(created_at__lt=before, finished_at__lt=before)
    # A retry reads from it whom it is for, until it has come to all of them.
    old = old.exclude(Exists(notifications().filter(retry_of=OuterRef("pk"), expanded_at=None)))
    last = 0
    # By primary key: what is deleted does not shift what follows.
    while notification := old.filter(pk__gt=last).order_by("pk").first():
        last = notification.pk
        if not dry_run:
            _delete(notification, batch_size)
        yield 1
    if not dry_run:
        _delete_empty_batches(before)


def _delete_empty_batches(before: datetime) -> None:
    """Batches whose notification and last message are gone. Between the reading and the deletion, none gets any."""
    empty = SmsBatch.objects.using(database()).filter(notification=None, messages=None, created_at__lt=before)
    while ids := list(empty.values_list("pk", flat=True)[:BATCH]):
        SmsBatch.objects.using(database()).filter(pk__in=ids).delete()


def _delete(notification: Notification, size: int) -> None:
    recipients = Recipient.objects.using(database()).filter(notification=notification.pk)
    while ids := list(recipients.values_list("pk", flat=True)[:size]):
        recipients.filter(pk__in=ids).delete()
    _delete_asked(notification, size)
    notifications().filter(pk=notification.pk).delete()


def _delete_asked(notification: Notification, size: int) -> None:
    """The users that it asked for: the one relation that can be long."""
    through: Any = Notification.users.through
    asked = through.objects.using(database()).filter(notification=notification.pk)
    while ids := list(asked.values_list("pk", flat=True)[:size]):
        asked.filter(pk__in=ids).delete()
