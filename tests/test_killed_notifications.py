"""`kill -9` for workers while a notification is resolved and sent: nobody is left out, and nobody is texted twice."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.contrib.auth import get_user_model
from django.db.models import F

from login_mobile.models import MobileNumber
from notifications.api import notify
from notifications.models import Department, Notification, Recipient
from sms_services.choices import MessageStatus
from sms_services.delivery.reconciling import NO_RECORD
from sms_services.providers.base import CLAIM_SIZE
from tests.simulators import TwilioSimulator
from tests.workers import Console, Project, add_service, add_template, endpoints, eventually, nothing_under_way

LATENCY = 0.02
DURATIONS = {
    "SMS_SWEEP_SECONDS": 0.5,
    "SMS_SENDING_TIMEOUT": 4,
    "SMS_REQUEUE_AFTER": 3,
    "SMS_RECONCILE_DELAYS": "1,4",
    "NOTIFICATIONS_LOST_AFTER": 2,
}
SENT = {MessageStatus.SENT, MessageStatus.DELIVERED}


class Told(NamedTuple):
    """What the record says of one person."""

    name: str
    number: str
    status: str
    code: str
    text: str


def make_people(count: int) -> None:
    """People in two departments that overlap, one below the other. All numbers are fictional."""
    users = get_user_model().objects.bulk_create(
        [get_user_model()(username=f"p{n:05}", first_name=f"N{n:05}") for n in range(count)], batch_size=1000
    )
    numbers = [MobileNumber(user=user, number=f"+86138000{n:05}") for n, user in enumerate(users)]
    MobileNumber.objects.bulk_create(numbers, batch_size=1000)
    root = Department.objects.add_root({"name": "Root"})
    below = Department.objects.add_child(root, {"name": "Below"})
    link: Any = Department.members.through
    user_column = Department._meta.get_field("members").m2m_reverse_field_name()
    for department, members in ((root, users[: 2 * count // 3]), (below, users[count // 3 :])):
        rows = [link(department=department, **{user_column: user}) for user in members]
        link.objects.bulk_create(rows, batch_size=1000)


def tell_everybody() -> int:
    variables = {"name": F("first_name")}
    root = Department.objects.get(name="Root")
    return notify(service="twilio", template="greeting", departments=root, variables=variables).pk


def progress() -> tuple[int, bool]:
    """How many people are resolved, and whether all are."""
    return Recipient.objects.count(), Notification.objects.get().expanded_at is not None


def counts() -> dict[str, int]:
    return Notification.objects.get().counts()


def has_ended() -> bool:
    return Notification.objects.get().finished_at is not None and nothing_under_way()


def told() -> list[Told]:
    rows = Recipient.objects.select_related("user", "message").order_by("user")
    return [
        Told(
            row.user.get_username(),
            row.message.phone_number,
            row.message.status,
            row.message.provider_code,
            row.message.readable_text(),
        )
        for row in rows
    ]


@pytest.mark.parametrize(
    ("broker", "people", "kills"),
    [
        pytest.param("redis_url", 600, 3, id="redis"),
        pytest.param("redis_url", 20_000, 10, id="redis-20000", marks=pytest.mark.soak),
        pytest.param("rabbitmq_url", 20_000, 10, id="rabbitmq-20000", marks=pytest.mark.soak),
    ],
)
def test_killed_workers_leave_nobody_out_and_text_nobody_twice(
    broker: str, people: int, kills: int, postgresql_url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with (
        TwilioSimulator(latency=LATENCY, keep_requests=False) as simulator,
        Project(
            tmp_path,
            database=postgresql_url,
            broker=request.getfixturevalue(broker),
            imports=["tests.small_pages"],
            **endpoints(twilio=simulator),
            **DURATIONS,
        ) as project,
    ):
        console = project.console()
        console.call(add_service, "twilio", simulator.credentials)
        console.call(add_template, "greeting", text="Hello ${name}")
        console.call(make_people, people)
        project.beat()
        kill_at_random(project, console, simulator, people, kills)
        eventually(lambda: console.call(has_ended), within=60 + people / 40, every=0.5)
        print(f"took {len(simulator.journal)}; {console.call(counts)}")
        record = console.call(told)
    check(record, simulator, people, kills)


def kill_at_random(project: Project, console: Console, simulator: TwilioSimulator, people: int, kills: int) -> None:
    """Two workers, of which one is killed at some moment, and replaced, half the times while people are resolved."""
    workers = [project.worker().wait_until_ready(), project.worker().wait_until_ready()]
    console.call(tell_everybody)
    early = kills // 2
    for number in range(1, kills + 1):
        if number <= early:
            goal = number * people // (early + 1) * random.uniform(0.6, 1.0)
            eventually(lambda goal=goal: console.call(progress)[0] >= goal, within=120, every=0.01)
        else:
            share = random.uniform(0.5, 0.9) * (number - early) / (kills - early)
            goal = share * people
            eventually(lambda goal=goal: len(simulator.journal) >= goal, within=300, every=0.01)
        time.sleep(random.uniform(0, 0.1))
        victim = random.choice(eventually(lambda: [worker for worker in workers if worker.ready], within=60))
        victim.kill()
        print(f"kill {number}, {victim.name}: {console.call(progress)}, {len(simulator.journal)} taken")
        workers[workers.index(victim)] = project.worker()


def check(record: list[Told], simulator: TwilioSimulator, people: int, kills: int) -> None:
    entries = Counter(entry.phone_number for entry in simulator.journal)
    assert [number for number, times in entries.items() if times > 1] == []
    assert [row.name for row in record] == [f"p{n:05}" for n in range(people)]
    assert [row.number for row in record] == [f"+86138000{n:05}" for n in range(people)]
    assert {row.text for row in record} == {f"Hello N{n:05}" for n in range(people)}

    # A killed worker leaves at most one claim in doubt. Most is found at the provider when it is looked up; what the
    # provider has no record of, and therefore never took, ends as failed, which is safe to send once more.
    not_sent = [row for row in record if row.status not in SENT]
    assert {row.status for row in not_sent} <= {MessageStatus.FAILED, MessageStatus.UNKNOWN}
    assert len(not_sent) <= CLAIM_SIZE * kills
    assert [row for row in record if row.status in SENT and row.number not in entries] == []
    failed = [row for row in not_sent if row.status == MessageStatus.FAILED]
    assert {row.code for row in failed} <= {NO_RECORD}
    assert [row for row in failed if row.number in entries] == []
