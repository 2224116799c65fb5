"""How many requests were refused in the last day, and why: for those who look after a login.

They are counted in a bucket per login and reason, so nothing is kept of whoever asked. Under attack, all refusals are
of one login and reason, and to write each would be the dearest part of it. So a process gathers them, and writes at
most once a second, when a response has left: no refusal waits for the database. That makes the figures approximate.
What was gathered since the last write comes with a later request, and is lost if the process ends before.
"""

import threading
import time
from collections.abc import Mapping
from typing import Any

from django.core.signals import request_finished
from django.db import connections
from django.dispatch import receiver

from . import buckets
from .choices import RefusalReason
from .models import MobileLogin
from .rows import database

#: More than anybody can ask for in a day: a figure, and no limit.
_BOUNDLESS = 10**9
_DAY = 86_400


class Gathered:
    """What this process has counted, and not written yet."""

    #: Seconds between two writes.
    PAUSE = 1.0

    def __init__(self) -> None:
        self._counts: dict[buckets.Counter, int] = {}
        self._changing = threading.Lock()
        self._writing = threading.Lock()
        self._not_before = 0.0

    def of(self, counter: buckets.Counter) -> int:
        return self._counts.get(counter, 0)

    def add(self, counts: Mapping[buckets.Counter, int]) -> None:
        with self._changing:
            for counter, count in counts.items():
                self._counts[counter] = self._counts.get(counter, 0) + count

    def take(self) -> Mapping[buckets.Counter, int]:
        with self._changing:
            counts, self._counts = self._counts, {}
        return counts

    def write(self) -> None:
        """Write it, unless that was done just now, or another thread does: at most one of them waits for a lock."""
        if not self._counts or time.monotonic() < self._not_before or not self._writing.acquire(blocking=False):
            return
        counts = self.take()
        try:
            buckets.add(counts)
        except Exception:  # noqa: BLE001 - whatever is wrong with the database, this request was none of it
            self.add(counts)
        finally:
            self._not_before = time.monotonic() + self.PAUSE
            self._writing.release()
            connections[database()].close_if_unusable_or_obsolete()  # Django has looked after it before


gathered = Gathered()


def count(login: MobileLogin, reason: RefusalReason) -> None:
    """Count one."""
    gathered.add({_counter(login, reason): 1})


def counted(login: MobileLogin) -> Mapping[RefusalReason, int]:
    """The refusals of the last day by reason, the most frequent first, without those that there were none of."""
    counters = {reason: _counter(login, reason) for reason in RefusalReason}
    written = buckets.counts(list(counters.values()))
    counts = {reason: written.get(counter.key, 0) + gathered.of(counter) for reason, counter in counters.items()}
    return dict(sorted(((reason, count) for reason, count in counts.items() if count), key=lambda pair: -pair[1]))


@receiver(request_finished, dispatch_uid="login_mobile.refusals")
def _write(**kwargs: Any) -> None:
    gathered.write()


def _counter(login: MobileLogin, reason: RefusalReason) -> buckets.Counter:
    return buckets.Counter("refused", f"{login.pk}:{reason.value}", (buckets.Window(_DAY, _BOUNDLESS),))
