"""`kill -9` for workers in the middle of their work: no text goes out twice, and none is forgotten."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from sms_services.api import queue_message
from sms_services.choices import MessageStatus
from sms_services.models import SmsMessage, SmsService, SmsTemplate
from sms_services.providers.base import CLAIM_SIZE
from tests.simulators import AlibabaCloudSimulator, Simulator
from tests.workers import (
    SIMULATORS,
    Console,
    Project,
    Row,
    Worker,
    add_service,
    add_template,
    chinese_numbers,
    endpoints,
    eventually,
    nothing_under_way,
    rows,
    statuses,
)

#: Seconds before each answer: the time in which a kill hits a request that the provider has taken.
LATENCY = 0.05
SENT = {MessageStatus.SENT, MessageStatus.DELIVERED}
DURATIONS = {"SMS_SWEEP_SECONDS": 0.5, "SMS_SENDING_TIMEOUT": 4, "SMS_REQUEUE_AFTER": 2, "SMS_RECONCILE_DELAYS": "1,4"}


@dataclass(frozen=True)
class Load:
    messages: int
    kills: int


SHORT, LONG = Load(300, 3), Load(2000, 10)


def queue_equal(service: str, numbers: Sequence[str]) -> None:
    """One text for all, in portions, as several callers would."""
    for start in range(0, len(numbers), 50):
        queue_message(service, numbers[start : start + 50], "greeting", {"name": "Ada"})


def queue_different(service: str, numbers: Sequence[str]) -> None:
    """A text for each, stored together, as an app that expands a notification would; the sweep finds them."""
    template, row = SmsTemplate.objects.get(key="greeting"), SmsService.objects.get(key=service)
    messages = []
    for number in numbers:
        message = SmsMessage(service=row, template=template, phone_number=number)
        message.text, message.purpose, message.template_code = template.text, template.purpose, template.code_for(row)
        message.set_params({"name": f"reader {number[-4:]}"})
        messages.append(message)
    SmsMessage.objects.bulk_create(messages, batch_size=1000)


@pytest.mark.parametrize("load", [SHORT, pytest.param(LONG, marks=pytest.mark.soak)], ids=str)
@pytest.mark.parametrize(
    ("provider", "queue"),
    [
        pytest.param("alibaba_cloud", queue_equal, id="alibaba_cloud-equal_variables"),
        pytest.param("alibaba_cloud", queue_different, id="alibaba_cloud-different_variables"),
        pytest.param("aws_sns", queue_equal, id="aws_sns"),
        pytest.param("twilio", queue_equal, id="twilio"),
    ],
)
def test_killed_workers_send_nothing_twice_and_forget_nothing(
    provider: str,
    queue: Callable[[str, Sequence[str]], None],
    load: Load,
    postgresql_url: str,
    redis_url: str,
    tmp_path: Path,
) -> None:
    numbers = chinese_numbers(load.messages)
    with (
        SIMULATORS[provider](latency=LATENCY, keep_requests=False) as simulator,
        Project(
            tmp_path, database=postgresql_url, broker=redis_url, **endpoints(**{provider: simulator}), **DURATIONS
        ) as project,
    ):
        console = project.console()
        console.call(add_service, provider, simulator.credentials)
        console.call(add_template, "greeting", text="Hello ${name}")
        workers = [project.worker(), project.worker()]
        project.beat()
        console.call(queue, provider, numbers)

        kill_at_random(project, workers, simulator, console, load)
        eventually(lambda: console.call(nothing_under_way), within=120, every=0.2)
        messages = console.call(rows)

    taken = Counter(entry.phone_number for entry in simulator.journal)
    assert set(taken.values()) == {1}, f"sent twice: {taken.most_common(3)}"
    in_doubt = [message for message in messages if message.status == MessageStatus.UNKNOWN]
    allowed = CLAIM_SIZE * load.kills if provider == "aws_sns" else 0
    print(f"in doubt for good: {len(in_doubt)} of {len(messages)}; {Counter(m.status for m in messages)}")
    assert len(in_doubt) <= allowed
    assert all(len(claim) <= CLAIM_SIZE for claim in by_claim(in_doubt).values())
    assert disagreements(messages, simulator) == []
    assert sorted(message.phone_number for message in messages) == sorted(numbers)


def kill_at_random(
    project: Project, workers: list[Worker], simulator: Simulator, console: Console, load: Load
) -> None:
    """Kill workers, each at a random moment of the delivery, and start another in the place of each."""
    step = load.messages // load.kills // 3
    for number in range(load.kills):
        goal = len(simulator.journal) + random.randint(1, step)
        eventually(lambda goal=goal: len(simulator.journal) >= goal, within=60, every=0.002)
        time.sleep(random.uniform(0, 2 * LATENCY))  # not to wait for something, but for any moment
        victim = random.choice([worker for worker in workers if worker.ready])
        victim.kill()
        standing = console.call(statuses)
        assert standing[MessageStatus.QUEUED] + standing[MessageStatus.SENDING], "killed after all was delivered"
        print(f"kill {number + 1} of {victim.name}: {dict(standing)}")
        workers[workers.index(victim)] = project.worker()


def by_claim(messages: Sequence[Row]) -> dict[str, list[Row]]:
    claims: dict[str, list[Row]] = {}
    for message in messages:
        claims.setdefault(message.claim, []).append(message)
    return claims


def disagreements(messages: Sequence[Row], simulator: Simulator) -> list[str]:
    """Messages of which we say something else than the provider knows. Those in doubt say nothing."""
    journal = {entry.phone_number: entry.message_id for entry in simulator.journal}
    wrong = []
    for message in messages:
        taken_as = journal.get(message.phone_number)
        if message.status in SENT:
            expected = taken_as
            if message.failed_tries and isinstance(simulator, AlibabaCloudSimulator):
                expected = ""  # its QuerySendDetails tells no BizId
            agrees = taken_as is not None and message.provider_message_id == expected
        else:
            agrees = message.status == MessageStatus.UNKNOWN or taken_as is None
        if not agrees:
            wrong.append(f"{message}; the provider: {taken_as}")
    return wrong
