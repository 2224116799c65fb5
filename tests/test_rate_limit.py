"""`max_per_second` holds over all processes, nobody sleeps for it, and one-time codes do not wait in its line."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest
from django.db import connections

from sms_services.choices import MessageStatus, Purpose
from sms_services.conf import get_settings
from sms_services.delivery.pacing import Pace
from sms_services.models import SmsService
from tests.simulators import TwilioSimulator
from tests.workers import (
    SIMULATORS,
    Console,
    Project,
    Worker,
    add_service,
    add_template,
    chinese_numbers,
    endpoints,
    eventually,
    queue,
    rows,
)

RATE = 20
#: By how many seconds who comes late may catch up.
LATENESS = 0.05
CODES = chinese_numbers(4, start=9000)


def most_in_a_second(times: Sequence[float]) -> int:
    """The most moments in any span of one second. Takes them sorted."""
    return max(number + 1 - bisect_left(times, at - 1.0) for number, at in enumerate(times))


def transactions(database: str) -> int:
    """How many transactions a database has seen: outside of `atomic`, as many as queries."""
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
        return int(row.fetchone()[0])  # type: ignore[index]


def queue_code(console: Console, number: str) -> float:
    """Queue a one-time code; returns when."""
    now = time.time()
    console.call(queue, "twilio", [number], "code", {"code": "904417"})
    return now


@pytest.mark.parametrize("count", [40, pytest.param(200, marks=pytest.mark.soak)])
@pytest.mark.parametrize(
    "shared",
    [
        pytest.param(False, id="codes_have_a_worker"),
        pytest.param(True, id="workers_are_shared", marks=pytest.mark.soak),
    ],
)
def test_two_workers_keep_the_rate_and_codes_leave_at_once(
    shared: bool, count: int, postgresql_url: str, redis_url: str, tmp_path: Path
) -> None:
    with (
        TwilioSimulator(latency=0.02, keep_requests=False) as simulator,
        Project(tmp_path, database=postgresql_url, broker=redis_url, **endpoints(twilio=simulator)) as project,
    ):
        console = project.console()
        console.call(add_service, "twilio", simulator.credentials, max_per_second=RATE)
        console.call(add_template, "greeting", text="Hello ${name}")
        console.call(add_template, "code", text="Your code is ${code}", purpose=Purpose.OTP)
        workers = [project.worker(codes=shared), project.worker(codes=shared)]
        if not shared:
            workers.append(project.worker(others=False))
        for worker in workers:
            worker.wait_until_ready()

        queue_code(console, CODES[0])  # imports the SDK in the worker that takes it
        eventually(lambda: len(simulator.journal) == 1, within=30)

        before, started_at = transactions(postgresql_url), time.time()
        for start in range(0, count, count // 2):
            console.call(queue, "twilio", chinese_numbers(count // 2, start), "greeting", {"name": "Ada"})
        queued_at = {}
        for portion, code in enumerate(CODES[1:], start=1):
            goal = count * portion // 5
            eventually(lambda goal=goal: len(simulator.journal) >= goal, within=30)
            queued_at[code] = queue_code(console, code)
        eventually(lambda: len(simulator.journal) == count + len(CODES), within=count / RATE + 30)
        eventually(lambda: all(row.status == MessageStatus.SENT for row in console.call(rows, "twilio")), within=10)
        after = transactions(postgresql_url)

    journal = {entry.phone_number: entry.received_at for entry in simulator.journal}
    assert len(journal) == count + len(CODES)
    times = sorted(at for number, at in journal.items() if number not in CODES)
    waited = {number[-4:]: round(journal[number] - at, 3) for number, at in queued_at.items()}
    report(workers, times, started_at, waited, after - before)

    assert times[-1] - times[0] >= (count - RATE / 2) / RATE
    assert times[-1] - started_at <= 1.5 * count / (RATE * (1 - get_settings().OTP_SHARE)) + 4
    assert most_in_a_second(sorted(journal.values())) <= RATE * 1.25
    assert max(waited.values()) <= 1.0


def report(
    workers: Sequence[Worker], times: Sequence[float], started_at: float, waited: dict[str, float], queries: int
) -> None:
    print(f"first after {times[0] - started_at:.2f} s, last after {times[-1] - started_at:.2f} s")
    print(f"texts in {times[-1] - times[0]:.2f} s, most in a second: {most_in_a_second(times)}; codes took {waited}")
    print(f"tasks: {[worker.tasks_done() for worker in workers]}, transactions: {queries}")


def test_requests_with_many_messages_keep_the_rate(postgresql_url: str, redis_url: str, tmp_path: Path) -> None:
    rate, count = 100, 300
    with (
        SIMULATORS["alibaba_cloud"](keep_requests=False) as simulator,
        Project(tmp_path, database=postgresql_url, broker=redis_url, **endpoints(alibaba_cloud=simulator)) as project,
    ):
        console = project.console()
        console.call(add_service, "alibaba_cloud", simulator.credentials, max_per_second=rate)
        console.call(add_template, "greeting", text="Hello ${name}")
        workers = [project.worker().wait_until_ready(), project.worker().wait_until_ready()]
        before, started_at = transactions(postgresql_url), time.time()
        console.call(queue, "alibaba_cloud", chinese_numbers(count), "greeting", {"name": "Ada"})
        eventually(lambda: len(simulator.journal) == count, within=count / rate + 30)
        after = transactions(postgresql_url)

    times = [entry.received_at for entry in simulator.journal]
    report(workers, times, started_at, {}, after - before)
    requests = Counter(entry.message_id for entry in simulator.journal)
    assert 1 < max(requests.values()) <= rate / 10
    assert len({entry.phone_number for entry in simulator.journal}) == count
    assert times[-1] - times[0] >= (count - rate / 2) / rate
    assert most_in_a_second(times) <= rate * 1.25


# Places, without workers


def take_places(service: str, seconds: float, threads: int, *, codes: bool) -> list[tuple[float, float]]:
    """Let threads take places one by one, as fast as they can: when each was asked for, and when it was granted."""
    pace = Pace.of(SmsService.objects.get(key=service))
    places: list[tuple[float, float]] = []
    ends_at = time.time() + seconds

    def take() -> None:
        try:
            while (asked_at := time.time()) < ends_at:
                wait = pace.take(1, codes=codes)
                if wait:
                    time.sleep(min(wait, 0.002))
                else:
                    places.append((asked_at, time.time()))
        finally:
            connections.close_all()

    running = [threading.Thread(target=take) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return places


@pytest.mark.parametrize(
    "codes", [pytest.param(False, id="others_only", marks=pytest.mark.soak), pytest.param(True, id="with_codes")]
)
@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
@pytest.mark.parametrize("seconds", [1.0, pytest.param(3.0, marks=pytest.mark.soak)])
def test_racing_processes_and_threads_never_get_more_places_than_the_rate_has(
    database: str, codes: bool, seconds: float, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    rate, processes, threads = 200, 3, 4
    url = request.getfixturevalue("postgresql_url") if database == "postgresql" else f"sqlite:///{tmp_path}/places.db"
    with Project(tmp_path, database=url, broker="memory://") as project:
        racers = [project.console() for _ in range(processes)]
        racers[0].call(add_service, "twilio", TwilioSimulator().credentials, max_per_second=rate)
        for number, racer in enumerate(racers):
            racer.begin(take_places, "twilio", seconds, threads, codes=codes and number == 0)
        places = sorted(place for racer in racers for place in racer.result())

    # A place's own moment lies between the two that were seen. A code's may be its head start after them, and that of
    # one who comes late to a place that nobody used a little before.
    interval, slack = 1 / rate, LATENESS + (get_settings().OTP_SHARE if codes else 0.0)
    print(f"{len(places)} places in {seconds:g} s, {most_in_a_second(sorted(granted for _, granted in places))} in one")
    assert len(places) >= 0.1 * seconds * rate
    for first, (asked_at, _) in enumerate(places):
        granted_at = 0.0
        for number, (_, granted) in enumerate(places[first:]):
            granted_at = max(granted_at, granted)
            assert granted_at - asked_at + slack >= number * interval
