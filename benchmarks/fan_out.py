"""Notifications to many people: fan-out as it grows, beside the naive design, and expansion alone."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.services import reachable
from tests.workers import Console, Project, add_service, add_template

from .designs import TEMPLATE, TEXT, bare_threads, naive
from .environment import LATENCIES, Target, postgresql_database, simulator
from .fan_out_designs import PROVIDER, expansion, fan_out, insert_select, populate
from .figures import Figures, repetitions
from .messages import NAIVE_COUNTS, QUEUED, in_turn

SIZES = (1_000, 10_000, 100_000)
QUICK_SIZES = (1_000, 10_000)
SMALL = SIZES[0]
EXPANDED, QUICK_EXPANDED = 1_000_000, 100_000
#: The large ones are measured once.
ONCE_ABOVE = 10_000
#: Seconds for the largest.
ANSWERS_WITHIN = 1800.0


@dataclass
class FanOuts:
    """All designs at one latency; ours by the number of people."""

    latency: float
    bare: list[Figures] = field(default_factory=list)
    naive: list[Figures] = field(default_factory=list)
    ours: dict[int, list[Figures]] = field(default_factory=dict)


@dataclass
class Notifications:
    """What was measured, on which database."""

    database: str
    fan_outs: list[FanOuts]
    expansions: dict[int, list[Figures]] = field(default_factory=dict)
    inserts: list[Figures] = field(default_factory=list)


@dataclass(frozen=True)
class _Processes:
    bare: Console
    naive: Console
    ours: dict[float, Console]
    expansion: Console
    inserts: Console


def measure(wanted: int, seconds: float, *, quick: bool) -> Notifications:
    """On PostgreSQL where it answers, else on SQLite; in a database of its own, with all the people in it."""
    sizes, expanded = (QUICK_SIZES, QUICK_EXPANDED) if quick else (SIZES, EXPANDED)
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="sms-bench-")))
        has_postgresql = reachable("postgresql")
        url = ends.enter_context(postgresql_database()) if has_postgresql else f"sqlite:///{folder / 'bench.sqlite3'}"
        targets = [ends.enter_context(simulator(PROVIDER, latency)) for latency in LATENCIES]
        project = ends.enter_context(Project(folder, database=url, broker="filesystem://localhost"))
        processes = _processes(project)
        processes.inserts.call(add_service, PROVIDER, targets[0].credentials)
        processes.inserts.call(add_template, TEMPLATE, text=TEXT)
        _call(processes.inserts, populate, sorted({*sizes, expanded}))
        result = Notifications("PostgreSQL" if has_postgresql else "SQLite", [])
        _measure_expansion(processes, result, expanded)
        result.fan_outs += [FanOuts(target.latency) for target in targets]
        for number in repetitions(wanted, seconds):
            for target, found in zip(targets, result.fan_outs, strict=True):
                _measure_fan_outs(processes, target, found, sizes, number)
        return result


def _processes(project: Project) -> _Processes:
    ours = {latency: project.console() for latency in LATENCIES}
    return _Processes(project.console(), project.console(), ours, project.console(), project.console())


def _measure_fan_outs(
    processes: _Processes, target: Target, found: FanOuts, sizes: tuple[int, ...], number: int
) -> None:
    """One repetition: the others, and ours from the smallest on, since the peak of memory only grows."""
    sender = (target.provider, target.credentials, target.url)
    others: list[tuple[list[Figures], Callable[[], Figures]]] = [
        (found.bare, lambda: _call(processes.bare, bare_threads, *sender, QUEUED, False)),
        (found.naive, lambda: _call(processes.naive, naive, *sender, NAIVE_COUNTS[target.latency], False)),
    ]
    for figures, run in in_turn(others, number):
        target.clear()
        figures.append(run())
    for size in sizes:
        if size <= ONCE_ABOVE or not number:
            target.clear()
            ours = _call(processes.ours[target.latency], fan_out, target.url, size)
            found.ours.setdefault(size, []).append(ours)


def _measure_expansion(processes: _Processes, result: Notifications, expanded: int) -> None:
    """The small one first, since the peak of memory only grows."""
    result.expansions[SMALL] = [_call(processes.expansion, expansion, SMALL)]
    for _ in range(2):
        result.expansions.setdefault(expanded, []).append(_call(processes.expansion, expansion, expanded))
        result.inserts.append(_call(processes.inserts, insert_select, expanded))


def _call(console: Console, function: Callable[..., Figures | None], *arguments: object) -> Figures:
    console.begin(function, *arguments)
    figures: Figures = console.result(ANSWERS_WITHIN)
    return figures
