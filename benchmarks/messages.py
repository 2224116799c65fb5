"""The two comparisons that send messages: one at a time, and queued."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

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
    """All designs for one provider and latency.

    ``connections``: those that each design's process has opened to this simulator in the whole run, shared by the
    results of one simulator.
    """

    target: Target
    variables: str
    database: str
    connections: Counter[str]
    runs: dict[str, list[Figures]] = field(default_factory=dict)

    @property
    def different(self) -> bool:
        return self.variables == "different"

    @property
    def is_batched(self) -> bool:
        return self.target.provider == "alibaba_cloud"


def measure_single(env: Environment, wanted: int, seconds: float) -> list[Single]:
    """Provider by provider and database by database, the bare SDK right before or after ours."""
    targets = env.targets_at(LATENCIES[0])
    results = {
        (target.provider, database): Single(target.name, database) for target in targets for database in env.ours
    }
    for number in repetitions(wanted, seconds):
        for target in targets:
            target.clear()
            for database in env.ours:
                result = results[target.provider, database]
                measures = _loops(env, target, database)
                for design in in_turn(list(measures), number):
                    getattr(result, design).append(measures[design]())
    return list(results.values())


def _loops(env: Environment, target: Target, database: str) -> dict[str, Callable[[], Figures]]:
    """One repetition of each, by the name of its field in ``Single``."""
    provider, credentials, url = target.provider, dict(target.credentials), target.url
    return {
        "bare": lambda: env.bare.call(bare_loop, provider, credentials, url, SINGLE),
        "ours": lambda: env.ours[database].call(send_loop, provider, url, SINGLE),
    }


def measure_queued(env: Environment, wanted: int, seconds: float) -> list[Queued]:
    """On PostgreSQL where it answers, else on SQLite."""
    database = "PostgreSQL" if "PostgreSQL" in env.ours else "SQLite"
    connections: dict[str, Counter[str]] = defaultdict(Counter)
    results = [
        Queued(target, variables, database, connections[target.url])
        for target in env.targets
        for variables in (("equal", "different") if target.provider == "alibaba_cloud" else ("equal",))
    ]
    for number in repetitions(wanted, seconds):
        for result in results:
            for design, measure in in_turn(list(_designs(env, result).items()), number):
                result.target.clear()
                before = result.target.connections
                result.runs.setdefault(design, []).append(measure())
                result.connections[BARE if design == BATCHES else design] += result.target.connections - before
    return results


def _designs(env: Environment, result: Queued) -> dict[str, Callable[[], Figures]]:
    target, different = result.target, result.different
    provider, credentials, url = target.provider, dict(target.credentials), target.url
    few = NAIVE_COUNTS[target.latency]
    designs = {
        BARE: lambda: env.bare.call(bare_threads, provider, credentials, url, QUEUED, different),
        NAIVE: lambda: env.naive[result.database].call(naive, provider, credentials, url, few, different),
        OURS: lambda: env.ours[result.database].call(queued, provider, url, QUEUED, different),
    }
    if result.is_batched:
        designs[BATCHES] = lambda: env.bare.call(bare_batches, credentials, url, QUEUED, different)
    return designs


def in_turn(steps: list[Step], number: int) -> list[Step]:
    """Every second repetition goes the other way round, so that none is always the first."""
    return steps[::-1] if number % 2 else steps
