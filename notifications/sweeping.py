"""The sweep: begins what is due, goes on with what a dead worker left, and ends what is done.

It only looks and rings: what takes time is a worker's. Any number of sweeps may run at once.
"""

import random
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.utils import timezone

from .bell import ring_for
from .choices import NotificationStatus
from .conf import get_settings
from .expansion.ending import done, finish_if_done, freeze_counts
from .expansion.expanding import POLL
from .models import Notification
from .rows import notifications

#: Notifications of one step.
STEP = 500
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
    return list(rows.filter(sweep_at=mark).only("status", "expanded_at", "finished_at", "expires_at"))


def _look_after(taken: Sequence[Notification]) -> int:
    now = timezone.now()
    ended = [n.pk for n in taken if n.finished_at]
    if ended:
        freeze_counts(ended)
    resolved = {n.pk: n for n in taken if n.expanded_at and not n.finished_at}
    for pk in list(done(notifications().filter(pk__in=resolved)).values_list("pk", flat=True)):
        finish_if_done(pk)
        del resolved[pk]
    stopped = [pk for pk, n in resolved.items() if n.status == NotificationStatus.CANCELLED or n.has_expired(now)]
    unresolved = [n.pk for n in taken if not n.expanded_at]
    # The task may wait in a long queue: no need to ring at every sweep.
    later = now + timedelta(seconds=get_settings().LOST_AFTER)
    waiting = notifications().filter(pk__in=unresolved, expanded_at=None).exclude(status=NotificationStatus.PAUSED)
    waiting.update(sweep_at=later)
    ring_for([*unresolved, *stopped])
    return len(taken)
