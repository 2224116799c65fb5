"""The two comparisons that send messages: one at a time, and queued."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tests.workers import Console

from .designs import bare_batches, bare_loop, bare_threads, naive, queued, send_loop
from .environment import LATENCIES, Environment, Target
from .figures import Figures, repetitions

BARE, BATCHES, NAIVE, OURS = "bare SDK, 32 threads", "bare SDK, same batches", "naive: insert, send, update", "queued"
#: Messages of one repetition. The naive design gets fewer: at 50 ms it would take a minute.
SINGLE, QUEUED = 100, 1000
NAIVE_COUNTS = {0.0: 50, 0.05: 20}

Step = TypeVar("Step")


@dataclass
class Single:
    """``send_message`` beside the plain loop, for one provider and database."""

    provider: str
    database: str
    bare: list[Figures] = field(default_factory=list)
    ours: list[Figures] = field(default_factory=list)


@dataclass
class Queued:
    """All designs for one provider, latency and kind of variables."""

    target: Target
    variables: str
    database: str
    runs: dict[str, list[Figures]] = field(default_factory=dict)
    connections: dict[str, int] = field(default_factory=dict)

    @property
    def different(self) -> bool:
        return self.variables == "different"

    @property
    def is_batched(self) -> bool:
        return self.target.provider == "alibaba_cloud"


def measure_single(env: Environment, wanted: int, seconds: float) -> list[Single]:
    """Provider by provider and database by database, the bare SDK right before or after ours."""
    targets = env.targets_at(LATENCIES[0])
    results = {(target, database): Single(target.name, database) for target in targets for database in env.databases}
    for number in repetitions(wanted, seconds):
        for (target, database), result in results.items():
            measures = _loops(env, target, database)
            for design in in_turn(list(measures), number):
                getattr(result, design).append(measures[design]())
    return list(results.values())


def _loops(env: Environment, target: Target, database: str) -> dict[str, Callable[[], Figures]]:
    """One repetition of each, by the name of its field in ``Single``."""
    provider, credentials, url = target.provider, target.credentials, target.url
    ours = env.ours[database, target.latency]
    return {
        "bare": lambda: env.measure(target, env.bare, bare_loop, provider, credentials, url, SINGLE),
        "ours": lambda: env.measure(target, ours, send_loop, provider, url, SINGLE),
    }


def measure_queued(env: Environment, wanted: int, seconds: float) -> list[Queued]:
    """On PostgreSQL where it answers, else on SQLite."""
    database = "PostgreSQL" if "PostgreSQL" in env.databases else "SQLite"
    results = [
        Queued(target, variables, database)
        for target in env.targets
        for variables in (("equal", "different") if target.provider == "alibaba_cloud" else ("equal",))
    ]
    for number in repetitions(wanted, seconds):
        for result in results:
            for design, console, function, arguments in in_turn(_designs(env, result), number):
                run = env.measure(result.target, console, function, *arguments)
                result.runs.setdefault(design, []).append(run)
    for result in results:
        for design, console, _, _ in _designs(env, result):
            result.connections[design] = env.connections(result.target, console)
    return results


Design = tuple[str, Console, Callable[..., Figures], tuple[object, ...]]


def _designs(env: Environment, result: Queued) -> list[Design]:
    """What is compared: its name, the process in which it runs, and what that calls with which arguments."""
    target, different = result.target, result.different
    provider, credentials, url = target.provider, target.credentials, target.url
    few = NAIVE_COUNTS[target.latency]
    ours, simple = env.ours[result.database, target.latency], env.naive[result.database]
    designs: list[Design] = [
        (BARE, env.bare, bare_threads, (provider, credentials, url, QUEUED, different)),
        (NAIVE, simple, naive, (provider, credentials, url, few, different)),
        (OURS, ours, queued, (provider, url, QUEUED, different)),
    ]
    if result.is_batched:
        designs.append((BATCHES, env.bare, bare_batches, (credentials, url, QUEUED, different)))
    return designs


def in_turn(steps: list[Step], number: int) -> list[Step]:
    """Every second repetition goes the other way round, so that none is always the first."""
    return steps[::-1] if number % 2 else steps
