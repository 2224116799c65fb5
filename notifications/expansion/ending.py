"""What comes after the last message: skipping what may not leave any more, and the end of a notification."""

import logging
import time
from datetime import timedelta

from django.db import OperationalError, connections
from django.db.models import Case, Exists, F, OuterRef, Subquery, Value, When
from django.db.models.lookups import IsNull
from django.utils import timezone

from sms_services.choices import MessageStatus, SkipReason
from sms_services.logs import log
from sms_services.models import SmsMessage
from sms_services.models.messages import stands_at

from ..choices import NotificationStatus
from ..freezing import freeze_figures
from ..models import Notification
from ..models.notifications import NotificationQuerySet
from ..rows import database, notifications
from ..signals import notification_finished

#: Messages of one UPDATE. On a busy machine PostgreSQL writes so many in some 0.2 s: a claim of them waits no longer.
CHUNK = 2_000
#: Receipts and look-ups come within days; then the figures are final. Where messages are purged earlier, before that.
FIGURES_FINAL_AFTER = timedelta(days=3)


def end(pk: int, seconds: float) -> None:
    """End a notification, if nothing is left to do for it; long after its end, keep its figures.

    What is queued and may not leave any more is skipped first, for at most about so many seconds.
    """
    notification = notifications().get(pk=pk)
    if notification.finished_at:
        if notification.finished_at + FIGURES_FINAL_AFTER <= timezone.now():
            freeze_figures(notifications().filter(pk=pk))
        return
    skip_too_late(notification, seconds)
    if notification.expanded_at:
        _finish_if_done(pk)


def skip_too_late(notification: Notification, seconds: float) -> None:
    """Skip what is queued and may not leave any more, for at most about so many seconds."""
    until = time.monotonic() + seconds
    reason = _reason_to_skip(notification)
    while reason and _skip_some(notification, reason) == CHUNK and time.monotonic() < until:
        pass


def _reason_to_skip(notification: Notification) -> SkipReason | None:
    if notification.status == NotificationStatus.CANCELLED:
        return SkipReason.CANCELLED
    expired = notification.status == NotificationStatus.RUNNING and notification.has_expired(timezone.now())
    return SkipReason.EXPIRED if expired else None


def _skip_some(notification: Notification, reason: SkipReason) -> int:
    """Skip a chunk; returns how many there were. After a deadlock with a claim, none: the sweep comes again."""
    messages = SmsMessage.objects.using(database())
    queued = messages.filter(batch=notification.batch_id, status=MessageStatus.QUEUED)
    ids = list(queued.order_by("pk").values_list("pk", flat=True)[:CHUNK])
    count = len(ids)
    if count < CHUNK:  # the last ones, and their retries from the log
        retries = messages.filter(batch=None, retry_of__batch=notification.batch_id)
        ids += messages.with_retries(retries.values_list("pk", flat=True))
    try:
        messages.filter(pk__in=ids).skip(reason)
    except OperationalError:
        if connections[database()].in_atomic_block:
            raise
        return 0
    return count


def with_messages(*statuses: MessageStatus) -> Exists:
    """Whether a notification has messages of these statuses: a condition."""
    messages = SmsMessage.objects.using(database()).filter(batch=OuterRef("batch"), status__in=statuses)
    return Exists(messages)


def all_left(rows: NotificationQuerySet) -> NotificationQuerySet:
    """Those of these whose people are all resolved, and whose messages have all left or never will."""
    return rows.filter(IsNull(_first_to_leave(), True), expanded_at__isnull=False)


def _first_to_leave() -> Subquery:
    """A message of a notification that is queued or being sent, if there is one.

    Asked for in the order of the batch's index, which so serves it better than any other, also where PostgreSQL's
    statistics do not know the batch yet. The range finds the place in it: what has left is not read.
    """
    waiting = (MessageStatus.QUEUED, MessageStatus.SENDING)
    messages = SmsMessage.objects.using(database()).filter(stands_at(*waiting), batch=OuterRef("batch"))
    in_order = messages.filter(status__range=(min(waiting), max(waiting))).order_by("batch", "status", "pk")
    return Subquery(in_order.values("pk")[:1])


def done(rows: NotificationQuerySet) -> NotificationQuerySet:
    """Those of these that have nothing left to do, and may end."""
    return all_left(rows).filter(
        status__in=(NotificationStatus.RUNNING, NotificationStatus.CANCELLED), finished_at=None
    )


def _finish_if_done(pk: int) -> None:
    now = timezone.now()
    finished = When(status=NotificationStatus.RUNNING, then=Value(NotificationStatus.FINISHED))
    ended = done(notifications().filter(pk=pk)).update(
        status=Case(finished, default=F("status")),
        finished_at=now,
        leased_until=None,
        sensitive_variables="",
        problem="",
        sweep_at=now + FIGURES_FINAL_AFTER,
    )
    if ended:
        notification = notifications().get(pk=pk)
        log(logging.INFO, f"notification.{notification.status}", notification=pk)
        notification_finished.send_robust(Notification, notification=notification)
