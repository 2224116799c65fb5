"""``max_per_second`` over all processes and hosts, without anybody sleeping.

A service's row of ``ServicePace`` holds two moments. ``next_at`` is the pace itself (a generic cell rate algorithm): a
batch may leave if ``next_at`` has come, and moves it on by its share of a second; one conditional UPDATE decides, so
two workers never take the same place. ``OTP_SHARE`` of the rate is kept for one-time codes: everything else leaves at
the rest of it, and a code may leave that part of a second before ``next_at``. Codes go first: while they alone use
up the rate, everything else waits. ``line_at`` is only a hint that spreads those who must wait, so that they do not
all come back at once.

The hosts' clocks need to agree (NTP): a host that is behind gets less than its share while the others send.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import ExpressionWrapper, F, FloatField, Q, QuerySet, Value
from django.db.models.functions import Greatest
from django.utils import timezone

from ..choices import MessageStatus
from ..conf import get_settings
from ..models import ServicePace, SmsService
from ..models.messages import SmsMessageQuerySet
from .rows import database, messages

#: A batch takes at most this part of a second's messages, so that they leave evenly.
BATCH_SHARE = 0.05
#: Seconds for which an unused place can still be taken.
LATENESS = 0.05
#: ``next_at`` is never this many seconds ahead, unless a host with a wrong clock has moved it.
IMPOSSIBLE = 10.0

_limited = True


@dataclass(frozen=True)
class Pace:
    """The rate limit of one service. A service without one has ``batch_limit`` None and never waits."""

    service_id: int
    max_per_second: int | None

    @classmethod
    def of(cls, service: SmsService) -> "Pace":
        return cls(service.pk, service.max_per_second if _limited else None)

    @property
    def batch_limit(self) -> int | None:
        """How many messages may leave together."""
        if self.max_per_second is None:
            return None
        return max(1, int(self.max_per_second * BATCH_SHARE))

    def seconds(self, count: int, *, codes: bool = False) -> float:
        """The time that so many messages take up; 0.0 without a limit."""
        if self.max_per_second is None:
            return 0.0
        share = 1.0 if codes else 1.0 - get_settings().OTP_SHARE
        return count / (self.max_per_second * share)

    def take(self, count: int, *, codes: bool = False) -> float:
        """Take the places of a batch that leaves now: 0.0, or the seconds after which to ask again.

        Args:
            count: how many messages there are, at most ``batch_limit``.
            codes: they are one-time codes.
        """
        if self.max_per_second is None:
            return 0.0
        now = time.time()
        head_start = get_settings().OTP_SHARE if codes else 0.0
        free = self._row().filter(next_at__lte=now + head_start)
        # A place that somebody comes late for is not lost: timers are late by some milliseconds, always.
        if free.update(next_at=_moved("next_at", now - LATENESS, self.seconds(count, codes=codes))):
            return 0.0
        next_at = self._row().values_list("next_at", flat=True).first()
        if next_at is None or next_at > now + IMPOSSIBLE:
            self._begin(now)
            return self.take(count, codes=codes)
        return max(next_at - head_start - now, 0.001)

    def join_line(self, count: int) -> float:
        """Take a place at the end of the line: the seconds until these messages may expect to begin to leave."""
        if self.max_per_second is None:
            return 0.0
        now, length = time.time(), self.seconds(count)
        with transaction.atomic(using=database()):
            if not self._row().update(line_at=_moved("line_at", now, length)):
                self._begin(now)
                self._row().update(line_at=_moved("line_at", now, length))
            end = self._row().values_list("line_at", flat=True).get()
        return max(end - length - now, 0.0)

    def end_of_line(self) -> float:
        """When the last of those who wait may expect to leave, in seconds since 1970; 0.0 where nobody ever waited."""
        return self._row().values_list("line_at", flat=True).first() or 0.0

    def shorten_line(self, count: int) -> None:
        """So many of those who have a place in the line do not need theirs any more."""
        end = Greatest(F("line_at") - self.seconds(count), Value(time.time()), output_field=FloatField())
        self._row().update(line_at=end)

    def _row(self) -> QuerySet[ServicePace]:
        return ServicePace.objects.using(database()).filter(service_id=self.service_id)

    def _begin(self, now: float) -> None:
        """A row whose ``next_at`` is possible."""
        ServicePace.objects.using(database()).get_or_create(service_id=self.service_id)
        self._row().filter(next_at__gt=now + IMPOSSIBLE).update(next_at=now)


@contextmanager
def no_limits() -> Iterator[None]:
    """For tests: no service has a rate limit."""
    global _limited
    was_limited, _limited = _limited, False
    try:
        yield
    finally:
        _limited = was_limited


def leave_line(service_id: int) -> None:
    """Forget the line, after the limit has changed: the sweep rings for all who wait in it, and they join anew."""
    ServicePace.objects.using(database()).filter(service_id=service_id).update(line_at=0.0, next_at=0.0)
    now = timezone.now()
    in_line(service_id, now).filter(sweep_at__gt=now).update(sweep_at=now)


def in_line(service_id: int, now: datetime) -> SmsMessageQuerySet:
    """Queued messages of a service, but for those that wait for a time of their own."""
    queued = messages().filter(service_id=service_id, status=MessageStatus.QUEUED)
    return queued.filter(Q(due_at=None) | Q(due_at__lte=now))


def _moved(field: str, now: float, seconds: float) -> ExpressionWrapper:
    """A moment that has passed counts from now on."""
    return ExpressionWrapper(
        Greatest(F(field), Value(now), output_field=FloatField()) + seconds, output_field=FloatField()
    )
