"""``max_per_second`` over all processes and hosts, without anybody sleeping.

A service's row of ``ServicePace`` holds two moments. ``next_at`` is the pace itself (a generic cell rate algorithm): a
batch may leave if ``next_at`` has come, and moves it on by its share of a second; one conditional UPDATE decides, so
two workers never take the same place. One-time codes may leave a little before ``next_at``: that head start is their
reserved share, because nothing else can use it. ``line_at`` is only a hint that spreads those who must wait, so
that they do not all come back at once.

The clocks of the hosts need to agree (NTP): a host that is behind gets less than its share, never more.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import transaction
from django.db.models import ExpressionWrapper, F, FloatField, Value
from django.db.models.functions import Greatest

from ..conf import get_settings
from ..models import ServicePace, SmsService

#: We stay this much under the limit, so that the network's jitter does not push the provider's count over it.
HEADROOM = 0.95
#: A batch takes at most this part of a second's messages, so that they leave evenly.
BATCH_SHARE = 0.05

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

    def take(self, messages: int, *, first_in_line: bool = False) -> float:
        """Take the places of a batch that leaves now: 0.0, or the seconds after which to ask again.

        Args:
            messages: how many there are, at most ``batch_limit``.
            first_in_line: one-time codes.
        """
        if self.max_per_second is None:
            return 0.0
        now = time.time()
        head_start = get_settings().OTP_SHARE if first_in_line else 0.0
        free = self._row().filter(next_at__lte=now + head_start)
        if free.update(next_at=self._moved("next_at", now, messages)):
            return 0.0
        next_at = self._row().values_list("next_at", flat=True).first()
        if next_at is None:
            ServicePace.objects.get_or_create(service_id=self.service_id)
            return self.take(messages, first_in_line=first_in_line)
        return max(next_at - head_start - now, 0.001)

    def join_line(self, messages: int) -> float:
        """Take a place at the end of the line: the seconds until this many messages may expect to leave."""
        if self.max_per_second is None:
            return 0.0
        now = time.time()
        ServicePace.objects.get_or_create(service_id=self.service_id)
        with transaction.atomic():
            self._row().update(line_at=self._moved("line_at", now, messages))
            end = self._row().values_list("line_at", flat=True).get()
        return max(end - messages * self._interval - now, 0.0)

    def _row(self):  # type: ignore[no-untyped-def]
        return ServicePace.objects.filter(service_id=self.service_id)

    @property
    def _interval(self) -> float:
        return 1.0 / ((self.max_per_second or 1) * HEADROOM)

    def _moved(self, field: str, now: float, messages: int) -> ExpressionWrapper:
        start = Greatest(F(field), Value(now), output_field=FloatField())
        return ExpressionWrapper(start + messages * self._interval, output_field=FloatField())


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
    """Forget the line, after the limit has changed: those who wait in it join anew when the sweep rings for them."""
    ServicePace.objects.filter(service_id=service_id).update(line_at=0.0)
