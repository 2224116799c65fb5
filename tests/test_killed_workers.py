"""`kill -9` for workers in the middle of their work: no text goes out twice, and none is forgotten."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.db import transaction

from sms_services.api import queue_message
from sms_services.choices import MessageStatus
from sms_services.delivery.queueing import ring
from sms_services.models import SmsMessage, SmsService, SmsTemplate
from sms_services.providers.base import CLAIM_SIZE
from tests.simulators import Simulator
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

#: Seconds before each answer, in which a kill hits a request that the provider has taken.
LATENCY = 0.05
#: Messages of one call. So many leave in one request where the provider takes several.
PORTION = CLAIM_SIZE
DURATIONS = {"SMS_SWEEP_SECONDS": 0.5, "SMS_SENDING_TIMEOUT": 4, "SMS_REQUEUE_AFTER": 2, "SMS_RECONCILE_DELAYS": "1,4"}
SENT = {MessageStatus.SENT, MessageStatus.DELIVERED}

Queue = Callable[[str, Sequence[str]], None]


def queue_equal(service: str, numbers: Sequence[str]) -> None:
    """One text for all."""
    for start in range(0, len(numbers), PORTION):
        queue_message(service, numbers[start : start + PORTION], "greeting", {"name": "Ada"})


def queue_different(service: str, numbers: Sequence[str]) -> None:
    """A text for each, stored together, as by an app that writes to many by name."""
    template, row = SmsTemplate.objects.get(key="greeting"), SmsService.objects.get(key=service)
    for start in range(0, len(numbers), PORTION):
        messages = [
            SmsMessage(
                service=row,
                template=template,
                purpose=template.purpose,
                phone_number=number,
                text=template.text,
                template_code=template.code_for(row),
                params={"name": f"reader {number[-4:]}"},
            )
            for number in numbers[start : start + PORTION]
        ]
        with transaction.atomic():
            SmsMessage.objects.bulk_create(messages)
        ring(row, [message.pk for message in messages], template.purpose)


@pytest.mark.parametrize(
    ("queues", "count", "kills"),
    [
        pytest.param(
            {"alibaba_cloud": queue_different, "aws_sns": queue_equal, "twilio": queue_equal}, 300, 4, id="all_at_once"
        ),
        *(
            pytest.param({provider: queue}, 2000, 10, id=f"{provider}-{queue.__name__}", marks=pytest.mark.soak)
            for provider, queue in [
                ("alibaba_cloud", queue_equal),
                ("alibaba_cloud", queue_different),
                ("aws_sns", queue_equal),
                ("twilio", queue_equal),
            ]
        ),
    ],
)
def test_killed_workers_send_nothing_twice_and_forget_nothing(
    queues: Mapping[str, Queue], count: int, kills: int, postgresql_url: str, redis_url: str, tmp_path: Path
) -> None:
    numbers = chinese_numbers(count)
    with ExitStack() as running:
        simulators = {
            provider: running.enter_context(SIMULATORS[provider](latency=LATENCY, keep_requests=False))
            for provider in queues
        }
        project = running.enter_context(
            Project(tmp_path, database=postgresql_url, broker=redis_url, **endpoints(**simulators), **DURATIONS)
        )
        console = project.console()
        for provider, simulator in simulators.items():
            console.call(add_service, provider, simulator.credentials)
        console.call(add_template, "greeting", text="Hello ${name}")
        for provider, queue in queues.items():
            console.call(queue, provider, numbers)

        workers = [project.worker(), project.worker()]
        project.beat()
        kill_at_random(project, workers, console, simulators.values(), kills, step=len(queues) * count // kills // 3)
        eventually(lambda: console.call(nothing_under_way), within=120, every=0.2)
        messages = {provider: console.call(rows, provider) for provider in queues}

    for provider, simulator in simulators.items():
        check(messages[provider], simulator, in_doubt_allowed=CLAIM_SIZE * kills if provider == "aws_sns" else 0)
        assert sorted(message.phone_number for message in messages[provider]) == numbers


def kill_at_random(
    project: Project, workers: list[Worker], console: Console, simulators: Sequence[Simulator], kills: int, step: int
) -> None:
    """Kill a worker at a random moment, start another in its place, and so on while messages are delivered."""

    def taken() -> int:
        return sum(len(simulator.journal) for simulator in simulators)

    for number in range(1, kills + 1):
        goal = taken() + random.randint(1, step)
        eventually(lambda goal=goal: taken() >= goal, within=60, every=0.005)
        time.sleep(random.uniform(0, 2 * LATENCY))  # any moment, in a request or between two
        victim = random.choice(eventually(lambda: [worker for worker in workers if worker.ready], within=60))
        victim.kill()
        standing = console.call(statuses)
        print(f"kill {number}, {victim.name}: {dict(standing)}")
        assert standing[MessageStatus.QUEUED] or standing[MessageStatus.SENDING], "killed after the delivery"
        workers[workers.index(victim)] = project.worker()


def check(messages: Sequence[Row], simulator: Simulator, in_doubt_allowed: int) -> None:
    """The provider took nothing twice, and every message says what the provider knows."""
    entries = Counter(entry.phone_number for entry in simulator.journal)
    print(f"{type(simulator).__name__} took {len(entries)}; {dict(Counter(message.status for message in messages))}")
    assert [number for number, times in entries.items() if times > 1] == []

    in_doubt = [message for message in messages if message.status == MessageStatus.UNKNOWN]
    assert len(in_doubt) <= in_doubt_allowed
    assert max(Counter(message.claim for message in in_doubt).values(), default=0) <= CLAIM_SIZE

    ids = {entry.phone_number: entry.message_id for entry in simulator.journal}
    final = [message for message in messages if message.status != MessageStatus.UNKNOWN]
    assert {message.status for message in final} <= {*SENT, MessageStatus.FAILED}
    assert [m for m in final if (m.status in SENT) != (m.phone_number in ids)] == []
    assert [m for m in final if m.status in SENT and m.provider_message_id != known_id(m, simulator, ids)] == []


def known_id(message: Row, simulator: Simulator, ids: Mapping[str, str]) -> str:
    """Alibaba Cloud tells its BizId when it takes a message, not when one is looked up."""
    looked_up = message.failed_tries > 0
    return "" if looked_up and "SendSms" in simulator.sends else ids[message.phone_number]
