"""The benchmarks still run, and their report says what was measured. No test asserts how fast anything is."""

from __future__ import annotations

import pytest

from benchmarks import fan_out, messages, startup
from benchmarks.__main__ import _run
from benchmarks.environment import Target
from benchmarks.fan_out import FanOuts, Notifications
from benchmarks.figures import Figures
from benchmarks.messages import BARE, NAIVE, OURS, Queued, Single
from benchmarks.report import render
from benchmarks.startup import Start


def figures(per_second: float, messages: int = 1_000, *, queries: float = 0.0, mib: float = 100.0) -> list[Figures]:
    """One repetition; ``queries`` are those of one message."""
    return [Figures(messages, messages / per_second, messages * 0.0015, int(queries * messages), mib=mib)]


def a_report(*, ours: float = 190.0) -> str:
    """Of a run in which the bare SDK sends 200 a second, and the naive design 10."""
    bare, naive = figures(200), figures(10, queries=2)
    queued = Queued(
        Target("twilio", 0.05, "", {}),
        "equal",
        "PostgreSQL",
        {BARE: bare, NAIVE: naive, OURS: figures(ours, queries=0.039)},
        {BARE: 32, NAIVE: 1, OURS: 31},
    )
    ours_by_size = {1_000: figures(220, queries=0.03), 10_000: figures(250, 10_000, queries=0.03, mib=110)}
    expansions = {1_000: figures(900), 100_000: figures(4000, 100_000, mib=130)}
    fan_outs = [FanOuts(0.05, bare, naive, ours_by_size)]
    notified = Notifications("PostgreSQL", fan_outs, expansions, figures(5000, 100_000))
    starts = {
        startup.WITHOUT: [Start(1.0, 0.5, 60.0, [])],
        startup.OURS: [Start(1.1, 0.55, 64.0, [])],
        startup.EAGER: [Start(2.0, 1.0, 90.0, ["boto3", "twilio"])],
    }
    return render([Single("Twilio", "SQLite", bare, figures(150))], [queued], notified, starts, "2 cores, PostgreSQL")


@pytest.mark.parametrize(
    "line",
    [
        "2 cores, PostgreSQL. Medians of 1, 1 and 1 repetitions for",
        "| Twilio | SQLite | 200 | 150 | 0.75 | 1.50 | 1.50 | 0.00 | ≤ 2 |",
        "| Twilio | 50 ms | bare SDK, 32 threads | 200 | 1 | ",
        "| Twilio | 50 ms | **queued**, PostgreSQL | 190 | 0.95 | 0.95 | 19 | 1.50 | 39 | 31 |",
        "| 50 ms | **notify** | 10,000 | 250 | 1.25 | 25 | 1.50 | 30 | 110 |",
        "| INSERT … SELECT | 100,000 | 20 | 5,000 | 150 | 0 | 100 |",
        "| with our apps and all SDKs imported | 2.00 | 2.00× | 1.00 | 2.00× |  | 90 | boto3, twilio |",
        "| queued, Twilio, 50 ms: against the bare SDK in 32 threads | 0.95 | ≥ 0.9 | reached |",
        "| start with our apps: time | 1.10× | ≤ 1.15× | reached |",
    ],
)
def test_the_report_has_what_was_measured(line: str) -> None:
    assert f"\n{line}" in f"\n{a_report()}"


def test_the_report_ends_with_what_is_short_of_its_goal() -> None:
    short = a_report(ours=100.0).split("### Short of its goal\n\n")[1].split("\n\n")[0]
    assert short.splitlines() == [
        "- queued, Twilio, 50 ms: against the bare SDK in 32 threads: 0.50 (≥ 0.9)",
        "- queued, Twilio, 50 ms: against the naive design, process against process: 10× (≥ 20×)",
        "- expansion: peak memory, 1,000 against 100,000: 1.30× (≤ 1.2×)",
    ]


@pytest.mark.soak
def test_all_of_them_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """With as few messages as they can do with: what is sent is checked by the benchmarks themselves."""
    monkeypatch.setattr(messages, "SINGLE", 3)
    for module in (messages, fan_out):
        monkeypatch.setattr(module, "QUEUED", 20)
    monkeypatch.setattr(fan_out, "QUICK_SIZES", (fan_out.SMALL,))
    monkeypatch.setattr(fan_out, "QUICK_EXPANDED", 2 * fan_out.SMALL)
    report = _run(quick=True)
    print(report)
    assert "| Alibaba Cloud, different | 50 ms | **queued**, " in report
    assert "| **notify**, expansion | 2,000 |" in report
