"""One-time codes overtake a notification to many: they have a queue, and a worker, of their own."""

from __future__ import annotations

import random
import time
from pathlib import Path
from statistics import median

import pytest
from django.contrib.auth import get_user_model

from notifications.api import notify
from notifications.models import Notification
from sms_services.api import queue_message
from sms_services.choices import Purpose
from tests.services_under_test import AMERICAN_NUMBERS
from tests.simulators import TwilioSimulator
from tests.test_killed_notifications import make_people
from tests.workers import Console, Project, add_service, add_template, endpoints, eventually

LATENCY = 0.05
CODES = 10
#: Sent before anything else, for comparison.
IDLE_CODES = 3


def tell_everybody() -> None:
    people = get_user_model().objects.all()
    notify(service="twilio", template="news", variables={"name": "Ada"}, users=people)


def send_code(number: str) -> float:
    """Queue a one-time code; returns when."""
    before = time.time()
    queue_message("twilio", [number], "login", {"code": "904417"})
    return before


def counts() -> dict[str, int]:
    return Notification.objects.get().counts()


def seconds_to_provider(console: Console, simulator: TwilioSimulator, number: str, within: float) -> float:
    """How long a code takes from the call until the provider has it."""
    queued_at = console.call(send_code, number)
    arrived = eventually(lambda: [one for one in simulator.journal if one.phone_number == number], within=within)
    return arrived[0].received_at - queued_at


@pytest.mark.parametrize(
    ("broker", "people", "longest"),
    [
        pytest.param("redis_url", 1_000, 5.0, id="redis"),
        pytest.param("rabbitmq_url", 1_000, 5.0, id="rabbitmq", marks=pytest.mark.soak),
        pytest.param("redis_url", 100_000, 2.0, id="redis-100000", marks=pytest.mark.soak),
        pytest.param("rabbitmq_url", 100_000, 2.0, id="rabbitmq-100000", marks=pytest.mark.soak),
    ],
)
def test_codes_do_not_wait_for_a_notification_to_many(
    broker: str, people: int, longest: float, postgresql_url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with (
        TwilioSimulator(latency=LATENCY, keep_requests=False) as simulator,
        Project(
            tmp_path,
            database=postgresql_url,
            broker=request.getfixturevalue(broker),
            **endpoints(twilio=simulator),
        ) as project,
    ):
        console = project.console()
        console.call(add_service, "twilio", simulator.credentials)
        console.call(add_template, "news", text="Hello ${name}")
        console.call(add_template, "login", text="Your code is ${code}.", purpose=Purpose.OTP)
        console.call(make_people, people)
        for worker in (project.worker(codes=False), project.worker(others=False)):
            worker.wait_until_ready()
        warm_up, *numbers = AMERICAN_NUMBERS[: 1 + IDLE_CODES + CODES]
        seconds_to_provider(console, simulator, warm_up, within=30)
        idle = [seconds_to_provider(console, simulator, number, within=30) for number in numbers[:IDLE_CODES]]

        console.call(tell_everybody)
        begin, taken = time.monotonic(), list[float]()
        # The first ones while people are still resolved, the last ones with a part of the notification still to come.
        shares = sorted(random.uniform(0.0, 0.6) for _ in range(CODES - 1))
        for share, number in zip([0.0, *shares], numbers[IDLE_CODES:], strict=True):
            eventually(lambda share=share: len(simulator.journal) >= share * people, within=1200, every=0.05)
            taken.append(seconds_to_provider(console, simulator, number, within=max(30.0, longest)))
        left = console.call(counts)
        print(
            f"idle: {median(idle):.3f} s; meanwhile: {median(taken):.3f} s, at most {max(taken):.3f} s; "
            f"after {time.monotonic() - begin:.0f} s: {left}"
        )
        assert max(taken) < longest
        assert left["queued"] + left["sending"] > 0

        eventually(lambda: len(simulator.journal) >= people + 1 + len(numbers), within=1200, every=0.2)
        print(f"all after {time.monotonic() - begin:.0f} s")
        reached = [entry.phone_number for entry in simulator.journal]
    assert len(reached) == len(set(reached)) == people + 1 + len(numbers)
