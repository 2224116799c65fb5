"""The sweep: begins what is due, goes on with what a dead worker left, and ends what is done.

It only looks and rings: what takes time is a worker's. Any number of sweeps may run at once.
"""

import random
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Case, F, Value, When
from django.utils import timezone

from sms_services.choices import BatchState, MessageStatus
from sms_services.models import SmsBatch

from .bell import ring_for
from .choices import NotificationStatus
from .conf import get_settings
from .expansion.ending import all_left, done, with_messages
from .expansion.expanding import POLL
from .models import Notification
from .models.notifications import NotificationQuerySet
from .rows import database, notifications

#: Notifications of one step.
STEP = 500
#: Until a paused notification is looked at again.
PAUSED_POLL = timedelta(minutes=5)
#: A round ends after this many seconds, before the next one is due.
ROUND_SECONDS = 5.0


def sweep() -> None:
    """Everything whose time has come, step by step, for as long as a round may take."""
    until = time.monotonic() + ROUND_SECONDS
    while _look_after(_taken(timezone.now())) == STEP and time.monotonic() < until:
        pass


def _taken(now: datetime) -> list[Notification]:
    """Overdue notifications, taken by this sweep: another one finds them overdue only at their next turn.

    The new time, odd to the microsecond, is also the mark by which this sweep finds what it got.
    """
    ids = list(notifications().overdue(now).values_list("pk", flat=True)[:STEP])
    if not ids:
        return []
    mark = now + timedelta(seconds=POLL, microseconds=random.randrange(1_000_000))
    rows = notifications().filter(pk__in=ids)
    rows.filter(sweep_at__lte=now).update(sweep_at=mark)
    taken = rows.filter(sweep_at=mark)
    paused = taken.filter(status=NotificationStatus.PAUSED)
    _go_on(all_left(paused) | paused.filter(expires_at__lte=now))
    # What is leaving at this moment may be all that there was; what waits may yet be skipped for other reasons.
    later = now + PAUSED_POLL
    then = Case(When(expires_at__lt=later, then=F("expires_at")), default=Value(later))
    paused.exclude(with_messages(MessageStatus.SENDING)).update(sweep_at=then)
    return list(taken.only("status", "expanded_at", "finished_at", "expires_at"))


def _go_on(paused: NotificationQuerySet) -> None:
    """Nothing of these can leave any more: they run again, so that this is recorded and they end."""
    for pk in list(paused.values_list("pk", flat=True)):
        with transaction.atomic(using=database()):
            if (
                notifications()
                .filter(pk=pk, status=NotificationStatus.PAUSED)
                .update(status=NotificationStatus.RUNNING)
            ):
                SmsBatch.objects.using(database()).filter(notification=pk).update(state=BatchState.OPEN)


def _look_after(taken: Sequence[Notification]) -> int:
    now = timezone.now()
    ended = [n.pk for n in taken if n.finished_at]
    resolved = [n for n in taken if n.expanded_at and not n.finished_at]
    stopped = {n.pk for n in resolved if n.status == NotificationStatus.CANCELLED or n.has_expired(now)}
    over = set(done(notifications().filter(pk__in=[n.pk for n in resolved])).values_list("pk", flat=True))
    unresolved = [n.pk for n in taken if not n.expanded_at]
    # The task may wait in a long queue: no need to ring at every sweep.
    later = now + timedelta(seconds=get_settings().LOST_AFTER)
    waiting = notifications().filter(pk__in=[*unresolved, *over, *ended])
    waiting.exclude(status=NotificationStatus.PAUSED).filter(sweep_at__lt=later).update(sweep_at=later)
    ring_for([*unresolved, *sorted(stopped | over), *ended])
    return len(taken)
