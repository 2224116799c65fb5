"""Rolling windows in rows: exact under any number of threads, processes and hosts, across restarts, without Redis.

A bucket counts the events of one subject of one limit (the codes sent to a number, say), and all windows of that limit
look at the same count. ``take`` decides about several buckets at once, all or none: in a short transaction of its own
it first changes each row, always in the same order of kinds. That locks them on PostgreSQL and MariaDB, and the whole
database on SQLite, which knows no other lock; then it reads, decides and writes. A compare-and-set on a revision, which
was the other way, loses under load: of a hundred people who ask at once, the bucket of a day's cap lets one pass per
round, and the rest would be refused after some rounds of retrying. Waiting in line, nobody is refused for being many.

Small counts are kept to the millisecond. Where a limit is above ``EXACT``, events are counted in slots of a sixtieth of
the shortest window; an event counts until its whole slot has left the window, so a limit is never exceeded.

If a count cannot be made, nothing is let through (``unavailable``).
"""

import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from django.db import DatabaseError, transaction
from django.db.models import F

from sms_services.logs import log

from .exceptions import ErrorCode, Refusal
from .keys import subject_key
from .models import Bucket
from .rows import database

#: Up to this limit, every event has an entry of its own millisecond.
EXACT = 200
#: How often a transaction is tried that lost against another one.
TRIES = 4
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Window:
    """At most ``limit`` events in any ``seconds``."""

    seconds: int
    limit: int


@dataclass(frozen=True)
class Counter:
    """A subject of a limit. ``order`` is the place in the order in which rows are locked: the busiest come last."""

    kind: str
    subject: str = field(repr=False)
    windows: tuple[Window, ...]
    order: int = 0

    @property
    def key(self) -> str:
        return subject_key(self.kind, self.subject)

    @property
    def memory(self) -> int:
        """Seconds after which an event is forgotten."""
        return max(window.seconds for window in self.windows)

    def entry(self, now: float) -> str:
        """Under which moment (milliseconds since 1970) an event is counted: its own, or the end of its slot."""
        if max(window.limit for window in self.windows) <= EXACT:
            return str(math.ceil(now * 1000))
        slot = max(1, min(window.seconds for window in self.windows) // 60)
        return str((int(now) // slot + 1) * slot * 1000)

    def wait(self, entries: Mapping[str, int], now: float) -> float:
        """Seconds until one more event fits; 0.0: it fits now."""
        return max(_wait(window, entries, now) for window in self.windows)

    def kept(self, entries: Mapping[str, int], now: float) -> dict[str, int]:
        """Without what no window counts any more."""
        return {end: count for end, count in entries.items() if int(end) / 1000 + self.memory > now}


def _wait(window: Window, entries: Mapping[str, int], now: float) -> float:
    """Until so many of the oldest events have left the window that there is room for one more."""
    leaving = sorted((int(end) / 1000 + window.seconds, count) for end, count in entries.items())
    inside = [(at, count) for at, count in leaving if at > now]
    surplus = sum(count for _at, count in inside) - window.limit + 1
    for at, count in inside:
        if surplus <= 0:
            return 0.0
        surplus -= count
        if surplus <= 0:
            return at - now
    return 0.0 if surplus <= 0 else float(window.seconds)


class Full(Exception):
    """A limit is reached. ``counter`` and its ``window`` are those with the longest wait, ``full`` are all counters."""

    def __init__(self, counter: Counter, window: Window, wait: float, full: Iterable[Counter]) -> None:
        super().__init__(counter.kind)
        self.counter = counter
        self.window = window
        self.full = tuple(full)
        self.retry_after = max(math.ceil(wait), 1)


@dataclass(frozen=True)
class Taken:
    """What ``take`` has counted, to give it back."""

    counters: tuple[Counter, ...]
    at: float


def take(counters: Sequence[Counter]) -> Taken:
    """Count one event in each of these buckets, if it fits into all of them; else in none.

    Raises:
        Full: it does not fit.
        Refusal: ``unavailable``: it cannot be counted.
    """
    counters = _in_order(counters)

    def decide() -> Taken:
        rows = _locked(counters)
        now = time.time()  # after the wait in line
        waits = [
            (_wait(window, rows[counter.key].entries, now), counter, window)
            for counter in counters
            for window in counter.windows
        ]
        wait, counter, window = max(waits, key=lambda item: item[0])
        if wait > 0:
            raise Full(counter, window, wait, dict.fromkeys(counter for wait, counter, _window in waits if wait > 0))
        for counter in counters:
            _write(counter, rows[counter.key].entries, now, counter.entry(now), 1)
        return Taken(tuple(counters), now)

    return _decided(counters, decide)


def add(events: Mapping[Counter, int]) -> None:
    """Count so many events in each of these buckets, whatever fits.

    Raises:
        Refusal: ``unavailable``: they cannot be counted.
    """
    counters = _in_order(events)

    def decide() -> None:
        rows = _locked(counters)
        now = time.time()
        for counter in counters:
            _write(counter, rows[counter.key].entries, now, counter.entry(now), events[counter])

    _decided(counters, decide)


def give_back(taken: Taken) -> None:
    """Take back what was counted, because it was none."""

    def decide() -> None:
        rows = _locked(taken.counters)
        for counter in taken.counters:
            _write(counter, rows[counter.key].entries, time.time(), counter.entry(taken.at), -1)

    _decided(taken.counters, decide)


def wait_for(counters: Sequence[Counter]) -> int:
    """Whole seconds until an event fits into all of these; 0: it fits now. Counts nothing."""
    now = time.time()
    rows = Bucket.objects.using(database()).in_bulk([counter.key for counter in counters])
    waits = [counter.wait(rows[counter.key].entries, now) for counter in counters if counter.key in rows]
    return math.ceil(max(waits, default=0.0))


def counts(counters: Sequence[Counter]) -> dict[str, int]:
    """How many events these have counted within their longest window, by their keys."""
    now = time.time()
    rows = Bucket.objects.using(database()).in_bulk([counter.key for counter in counters])
    return {
        counter.key: sum(counter.kept(rows[counter.key].entries, now).values())
        for counter in counters
        if counter.key in rows
    }


def empty(keys: Sequence[str]) -> int:
    """Forget what was counted under these keys; returns how many buckets that were."""
    return Bucket.objects.using(database()).filter(key__in=keys).update(entries={}, revision=F("revision") + 1)


def purge(now: float, size: int) -> int:
    """Delete at most ``size`` buckets that count nothing any more; returns how many."""
    rows = Bucket.objects.using(database())
    keys = list(rows.filter(idle_at__lt=now).order_by("idle_at").values_list("pk", flat=True)[:size])
    # One of them may have begun to count again.
    return rows.filter(pk__in=keys, idle_at__lt=now).delete()[0] if keys else 0


def _in_order(counters: Iterable[Counter]) -> list[Counter]:
    """All lock rows in the same order, so that none waits for another that waits for it."""
    return sorted(counters, key=lambda counter: (counter.order, counter.kind, counter.key))


class _Missing(Exception):
    """Some rows are not there yet."""


def _decided(counters: Sequence[Counter], decide: Callable[[], _Result]) -> _Result:
    for left in reversed(range(TRIES)):
        try:
            with transaction.atomic(using=database()):
                return decide()
        except _Missing:
            _create(counters)
        except DatabaseError as error:
            if not left:
                log(logging.ERROR, "login.not_counted", error=type(error).__name__)
                raise Refusal(ErrorCode.UNAVAILABLE, retry_after=5) from None
            time.sleep(random.uniform(0.0, 0.05))
    raise Refusal(ErrorCode.UNAVAILABLE, retry_after=5)


def _locked(counters: Sequence[Counter]) -> dict[str, Bucket]:
    rows = Bucket.objects.using(database())
    for counter in counters:
        if not rows.filter(key=counter.key).update(revision=F("revision") + 1):
            raise _Missing
    return rows.in_bulk([counter.key for counter in counters])


def _create(counters: Sequence[Counter]) -> None:
    """Outside the transaction that missed them: on MariaDB, two that each wait for the other's gap would deadlock."""
    idle_at = time.time() + 86_400
    rows = [Bucket(key=counter.key, kind=counter.kind, idle_at=idle_at) for counter in counters]
    with suppress(DatabaseError):  # the next round sees what is there
        Bucket.objects.using(database()).bulk_create(rows, ignore_conflicts=True)


def _write(counter: Counter, entries: Mapping[str, int], now: float, entry: str, change: int) -> None:
    kept = counter.kept(entries, now)
    kept[entry] = max(kept.get(entry, 0) + change, 0)
    kept = {end: count for end, count in kept.items() if count}
    Bucket.objects.using(database()).filter(key=counter.key).update(
        entries=kept, idle_at=now + max(counter.memory, 86_400)
    )
