"""What one repetition measures, and how repetitions become a figure."""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import NamedTuple


class Figures(NamedTuple):
    """One repetition of one design.

    ``delivering``: the part of ``seconds`` that comes after queueing. ``mib``: the process's peak memory so far.
    """

    messages: int
    seconds: float
    cpu: float
    queries: int = 0
    delivering: float = 0.0
    mib: float = 0.0

    @property
    def per_second(self) -> float:
        return self.messages / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU of the whole process, all threads, per message in milliseconds."""
        return self.cpu / self.messages * 1000

    @property
    def delivered_per_second(self) -> float:
        """The same without the queueing."""
        return self.messages / (self.delivering or self.seconds)


def measured(messages: int, call: Callable[[], object]) -> Figures:
    """Call something that sends so many messages."""
    gc.collect()
    cpu, clock = time.process_time(), time.perf_counter()
    call()
    return Figures(messages, time.perf_counter() - clock, time.process_time() - cpu)


def repetitions(wanted: int, seconds: float) -> Iterator[int]:
    """Count repetitions, at least one, and stop early when another one would not fit into the seconds."""
    begin = before = time.monotonic()
    longest = 0.0
    for number in range(wanted):
        yield number
        now = time.monotonic()
        longest, before = max(longest, now - before), now
        if now - begin + longest > seconds:
            return


def middle(runs: Sequence[Figures], value: Callable[[Figures], float]) -> float:
    """The median of one value."""
    return median(value(run) for run in runs)


def ratio(
    ours: Sequence[Figures], theirs: Sequence[Figures], value: Callable[[Figures], float] = lambda run: run.per_second
) -> float:
    """How many times faster ours is: the median of the ratios within each repetition."""
    return median(value(mine) / other.per_second for mine, other in zip(ours, theirs, strict=True))
