"""The tables, in Markdown, and what is short of its goal."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from . import startup
from .fan_out import SMALL, FanOuts, Notifications
from .figures import Figures, middle, ratio
from .messages import BARE, BATCHES, NAIVE, OURS, Queued, Single
from .startup import Starts


@dataclass(frozen=True)
class Goal:
    """One figure beside its goal: at least, or at most."""

    what: str
    figure: float
    goal: float
    at_most: bool = False
    unit: str = ""

    @property
    def reached(self) -> bool:
        return self.figure <= self.goal if self.at_most else self.figure >= self.goal

    @property
    def cells(self) -> list[str]:
        sign = "≤" if self.at_most else "≥"
        verdict = "reached" if self.reached else "**short**"
        return [self.what, f"{_number(self.figure)}{self.unit}", f"{sign} {self.goal:g}{self.unit}", verdict]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def render(
    single: Sequence[Single], queued: Sequence[Queued], notified: Notifications, starts: Starts, machine: str
) -> str:
    goals = [
        *_single_goals(single),
        *_queued_goals(queued),
        *_fan_out_goals(notified),
        *_expansion_goals(notified),
        *_startup_goals(starts),
    ]
    short = ["- {}: {} ({})".format(*goal.cells) for goal in goals if not goal.reached]
    counts = f"{len(single[0].ours)}, {len(queued[0].runs[OURS])} and {len(starts[startup.OURS])}"
    return "\n\n".join(
        [
            f"{machine}. Medians of {counts} repetitions for single and queued messages and for starting Django. Only "
            "the ratios carry over to other machines and moments.",
            "### `send_message` to one number in a loop, no latency",
            _single_table(single),
            "### 1,000 messages queued and delivered, one process",
            _queued_table(queued),
            "### A notification to many people, Twilio, one process",
            _fan_out_table(notified),
            "### Expansion alone",
            _expansion_table(notified),
            "### Starting Django",
            _startup_table(starts),
            "### Goals",
            table(["what", "measured", "goal", ""], [goal.cells for goal in goals]),
            "### Short of its goal",
            "\n".join(short) or "Nothing that was measured.",
            "The goals that this does not measure: docs/benchmarks.md.",
        ]
    )


# One at a time


def _cpu_above(result: Single) -> float:
    pairs = zip(result.ours, result.bare, strict=True)
    return median(mine.cpu_ms - other.cpu_ms for mine, other in pairs)


def _single_table(results: Sequence[Single]) -> str:
    head = ["provider", "database", "bare SDK msg/s", "`send_message` msg/s", "ratio", "bare CPU ms", "our CPU ms"]
    rows = [
        [
            result.provider,
            result.database,
            _number(middle(result.bare, _speed)),
            _number(middle(result.ours, _speed)),
            _number(ratio(result.ours, result.bare)),
            f"{middle(result.bare, _cpu):.2f}",
            f"{middle(result.ours, _cpu):.2f}",
            f"{_cpu_above(result):.2f}",
            "≤ 2",
        ]
        for result in results
    ]
    return table([*head, "above, ms", "goal"], rows)


def _single_goals(results: Sequence[Single]) -> list[Goal]:
    return [
        Goal(f"`send_message`, {result.provider}, {result.database}: CPU above the bare SDK", _cpu_above(result), 2.0,
             at_most=True, unit=" ms")
        for result in results
    ]  # fmt: skip


# Queued


def _queued_table(results: Sequence[Queued]) -> str:
    head = ["provider", "latency", "design", "msg/s", "× bare", "delivery alone, × bare", "× naive", "CPU ms"]
    rows = []
    for result in results:
        for design in (BARE, BATCHES, NAIVE, OURS):
            if runs := result.runs.get(design):
                rows.append(_queued_row(result, design, runs))
    return table([*head, "queries per 1,000", "connections"], rows)


def _queued_row(result: Queued, design: str, runs: Sequence[Figures]) -> list[str]:
    name = f"{result.target.name}, {result.variables}" if result.is_batched else result.target.name
    shown = f"**{design}**, {result.database}" if design == OURS else design
    if design == NAIVE:
        shown = f"{design}, {result.database}"
    return [
        name,
        f"{result.target.latency * 1000:.0f} ms",
        shown,
        _number(middle(runs, _speed)),
        "1" if design == BARE else _number(ratio(runs, result.runs[BARE])),
        _number(ratio(runs, result.runs[BARE], lambda run: run.delivered_per_second)) if design == OURS else "",
        "1" if design == NAIVE else _number(ratio(runs, result.runs[NAIVE])),
        f"{middle(runs, _cpu):.2f}",
        _number(_queries(runs)),
        str(result.connections[design]),
    ]


def _queued_goals(results: Sequence[Queued]) -> list[Goal]:
    return [goal for result in results for goal in _goals_of(result)]


def _goals_of(result: Queued) -> list[Goal]:
    ours, bare, naive = (result.runs[design] for design in (OURS, BARE, NAIVE))
    name = f"{result.target.name}, {result.variables} variables" if result.is_batched else result.target.name
    name = f"queued, {name}, {result.target.latency * 1000:.0f} ms"
    goals = []
    if result.target.latency:
        goals.append(Goal(f"{name}: against the bare SDK in 32 threads", ratio(ours, bare), 0.9))
        least = 20 if not result.is_batched else 150 if result.different else 200
        goals.append(Goal(f"{name}: against the naive design, process against process", ratio(ours, naive), least,
                          unit="×"))  # fmt: skip
    elif result.target.provider == "twilio":
        goals.append(Goal(f"{name}: against the bare SDK in 32 threads", ratio(ours, bare), 0.8))
    goals.append(Goal(f"{name}: database queries per 1,000", _queries(ours), 40, at_most=True))
    return goals


def _queries(runs: Sequence[Figures]) -> float:
    return middle(runs, lambda run: run.queries / run.messages * 1000)


# Notifications


def _fan_out_table(notified: Notifications) -> str:
    head = ["latency", "design", "messages", "msg/s", "× bare", "× naive", "CPU ms", "queries per 1,000"]
    rows = []
    for found in notified.fan_outs:
        rows += [_fan_out_row(found, BARE, found.bare), _fan_out_row(found, NAIVE, found.naive)]
        rows += [_fan_out_row(found, "**notify**", runs) for runs in found.ours.values()]
    return table([*head, "peak MiB"], rows)


def _fan_out_row(found: FanOuts, design: str, runs: Sequence[Figures]) -> list[str]:
    return [
        f"{found.latency * 1000:.0f} ms",
        design,
        _number(runs[0].messages),
        _number(middle(runs, _speed)),
        _number(_times(runs, found.bare)),
        _number(_times(runs, found.naive)),
        f"{middle(runs, _cpu):.2f}",
        _number(_queries(runs)),
        f"{max(run.mib for run in runs):.0f}" if runs[0].mib else "",
    ]


def _times(runs: Sequence[Figures], others: Sequence[Figures]) -> float:
    """As ``ratio``; what was not repeated stands beside the first repetition of the others."""
    return ratio(runs, others[: len(runs)])


def _fan_out_goals(notified: Notifications) -> list[Goal]:
    goals = []
    for found in notified.fan_outs:
        name = f"notify, {found.latency * 1000:.0f} ms"
        few, many = min(found.ours), max(found.ours)
        bare = 0.9 if found.latency else 0.8
        for size, runs in found.ours.items():
            goals.append(Goal(f"{name}, {size:,}: against the bare SDK in 32 threads", _times(runs, found.bare), bare))
            if found.latency:
                goals.append(Goal(f"{name}, {size:,}: against the naive design, process against process",
                                  _times(runs, found.naive), 20, unit="×"))  # fmt: skip
            goals.append(Goal(f"{name}, {size:,}: database queries per 1,000", _queries(runs), 40, at_most=True))
        growth = middle(found.ours[many], _speed) / middle(found.ours[few], _speed)
        goals.append(Goal(f"{name}: messages a second of {many:,} against {few:,}", growth, 0.9))
        goals.append(_memory_goal(f"{name}: peak memory", found.ours))
    return goals


def _expansion_table(notified: Notifications) -> str:
    rows = [_expansion_row("**notify**, expansion", size, runs) for size, runs in notified.expansions.items()]
    rows.append(_expansion_row("INSERT … SELECT", notified.inserts[0].messages, notified.inserts))
    return table(["design", "people", "seconds", "people/s", "CPU s", "queries", "peak MiB"], rows)


def _expansion_row(design: str, size: int, runs: Sequence[Figures]) -> list[str]:
    return [
        design,
        _number(size),
        _number(middle(runs, lambda run: run.seconds)),
        _number(middle(runs, _speed)),
        _number(middle(runs, lambda run: run.cpu)),
        _number(middle(runs, lambda run: run.queries)),
        f"{max(run.mib for run in runs):.0f}",
    ]


def _expansion_goals(notified: Notifications) -> list[Goal]:
    many = max(notified.expansions)
    speed = ratio(notified.expansions[many], notified.inserts)
    return [
        Goal(f"expansion of {many:,}: against INSERT … SELECT of the same rows", speed, 0.5),
        _memory_goal("expansion: peak memory", notified.expansions),
    ]


def _memory_goal(name: str, runs: Mapping[int, Sequence[Figures]]) -> Goal:
    few, many = SMALL, max(runs)
    growth = max(run.mib for run in runs[many]) / runs[few][0].mib
    return Goal(f"{name}, {few:,} against {many:,}", growth, 1.2, at_most=True, unit="×")


# Start-up


def _startup_table(starts: Starts) -> str:
    rows = []
    for variant, runs in starts.items():
        ours = variant == startup.OURS
        rows.append(
            [
                variant,
                f"{median(run.seconds for run in runs):.2f}",
                f"{startup.times(starts, variant, 'seconds'):.2f}×",
                f"{median(run.cpu for run in runs):.2f}",
                f"{startup.times(starts, variant, 'cpu'):.2f}×",
                "≤ 1.15×" if ours else "",
                f"{median(run.mib for run in runs):.0f}",
                ", ".join(runs[0].sdks) or "none",
            ]
        )
    return table(["process", "seconds", "", "CPU s", "", "goal", "peak MiB", "SDKs imported"], rows)


def _startup_goals(starts: Starts) -> list[Goal]:
    return [
        Goal("start with our apps: time", startup.times(starts, startup.OURS, "seconds"), 1.15, True, "×"),
        Goal("start with our apps: CPU", startup.times(starts, startup.OURS, "cpu"), 1.15, True, "×"),
        Goal("start with our apps: SDKs imported", len(starts[startup.OURS][0].sdks), 0, True),
    ]


def _speed(run: Figures) -> float:
    return run.per_second


def _cpu(run: Figures) -> float:
    return run.cpu_ms


def _number(value: float) -> str:
    """Two digits after the point for small numbers, none for large ones."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
