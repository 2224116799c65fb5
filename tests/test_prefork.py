"""A worker's children send on connections of their own, also when their parent had sent before it forked.

Children that shared their parent's connections would get each other's answers, and so each other's message ids. Workers
import this module: their main process sends a few texts before it forks, and the task below sends in the children.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from celery import shared_task
from celery.signals import worker_init
from django.conf import settings

from sms_services.api import send_message
from sms_services.choices import MessageStatus
from sms_services.models import SmsService
from tests.workers import (
    SIMULATORS,
    Project,
    add_service,
    add_template,
    chinese_numbers,
    endpoints,
    eventually,
    rows,
)

PARENTS_NUMBERS = chinese_numbers(5, start=9000)
#: What every child sends at once in the end, by its threads or in one request.
AT_ONCE = 64
#: Seconds before each answer, so that the children wait for answers at the same time.
LATENCY = 0.005


@worker_init.connect
def send_in_parent(**kwargs: Any) -> None:
    """One alone, then some side by side: the connections of all threads are open when the children are forked."""
    for service in SmsService.objects.all():
        send_message(service, PARENTS_NUMBERS[0], "greeting", {"name": "Ada"})
        send_message(service, PARENTS_NUMBERS[1:], "greeting", {"name": "Ada"})


@shared_task
def send_in_child(service: str, start: int, count: int) -> None:
    """Send one text after the other, once the other child is there too; then some at once."""
    children = Path(settings.DATA_DIR, "children")
    children.mkdir(exist_ok=True)
    (children / str(os.getpid())).touch()
    eventually(lambda: len(list(children.iterdir())) == 2, within=60)
    for number in chinese_numbers(count, start):
        send_message(service, number, "greeting", {"name": "Ada"})
    send_message(service, chinese_numbers(AT_ONCE, start + count), "greeting", {"name": "Ada"})


def start_children(service: str, count: int) -> None:
    for child in range(2):
        send_in_child.delay(service, child * (count + AT_ONCE), count)


@pytest.mark.parametrize("count", [50, pytest.param(500, marks=pytest.mark.soak)])
@pytest.mark.parametrize(
    "provider",
    ["alibaba_cloud", *(pytest.param(name, marks=pytest.mark.soak) for name in SIMULATORS if name != "alibaba_cloud")],
)
def test_children_of_a_worker_that_had_sent_get_their_own_message_ids(
    provider: str, count: int, postgresql_url: str, redis_url: str, tmp_path: Path
) -> None:
    with (
        SIMULATORS[provider](latency=LATENCY, keep_requests=False) as simulator,
        Project(
            tmp_path,
            database=postgresql_url,
            broker=redis_url,
            imports=["tests.test_prefork"],
            **endpoints(**{provider: simulator}),
        ) as project,
    ):
        console = project.console()
        console.call(add_service, provider, simulator.credentials)
        console.call(add_template, "greeting", text="Hello ${name}")
        worker = project.worker(concurrency=2).wait_until_ready()
        assert [entry.phone_number for entry in simulator.journal[:1]] == PARENTS_NUMBERS[:1]
        assert len(simulator.journal) == len(PARENTS_NUMBERS)

        console.call(start_children, provider, count)
        eventually(lambda: worker.tasks_done("tests.test_prefork.send_in_child") == 2, within=120, every=0.1)
        messages = console.call(rows, provider)
        children = {int(child.name) for child in (tmp_path / "children").iterdir()}

    assert len(children) == 2
    assert worker.pid not in children
    assert len(messages) == len(PARENTS_NUMBERS) + 2 * (count + AT_ONCE)
    assert Counter(message.status for message in messages) == {MessageStatus.SENT: len(messages)}
    ids = {entry.phone_number: entry.message_id for entry in simulator.journal}
    mixed_up = [m for m in messages if m.provider_message_id != ids[m.phone_number]]
    assert not mixed_up, f"{len(mixed_up)} of {len(messages)} messages have another message's id"
    alone = {number for child in range(2) for number in chinese_numbers(count, child * (count + AT_ONCE))}
    assert len({message.provider_message_id for message in messages if message.phone_number in alone}) == 2 * count
