"""Notifications between real processes: one key twice, brokers in trouble, stopping while workers are at work."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model

from notifications.api import cancel, notify, pause, resume
from notifications.exceptions import IdempotencyConflict
from notifications.models import Notification
from sms_services.choices import MessageStatus, SkipReason
from sms_services.models import SandboxSms, SmsMessage
from tests.people import people
from tests.simulators import TwilioSimulator
from tests.test_broker_trouble import PATIENCE, Relay
from tests.workers import Console, Project, add_service, add_template, endpoints, eventually

DURATIONS = {"SMS_SWEEP_SECONDS": 0.5, "SMS_REQUEUE_AFTER": 2, "NOTIFICATIONS_LOST_AFTER": 2}


# What the processes are asked for


def make(count: int, start: int = 0) -> None:
    people(count, start)


def tell(start: int, count: int) -> tuple[int, float]:
    """Notify some people; returns the notification's id and how many seconds it took."""
    names = [f"p{n:05}" for n in range(start, start + count)]
    before = time.monotonic()
    users = get_user_model().objects.filter(username__in=names)
    sent = notify(service="twilio", template="greeting", variables={"name": "Ada"}, users=users)
    return sent.pk, time.monotonic() - before


def tell_once(key: str, rounds: int, moment: float, name: str) -> list[int]:
    """Notify with a key per round, each at a moment agreed upon; returns the ids, and 0 for a conflict."""
    user = get_user_model().objects.get(username="p00000")
    ids = []
    for number in range(rounds):
        time.sleep(max(0.0, moment + number * 0.1 - time.time()))
        try:
            sent = notify(
                service="sandbox",
                template="greeting",
                variables={"name": name},
                users=user,
                idempotency_key=f"{key}-{number}",
            )
        except IdempotencyConflict:
            ids.append(0)
        else:
            ids.append(sent.pk)
    return ids


def notification_ids() -> list[int]:
    return list(Notification.objects.order_by("pk").values_list("pk", flat=True))


def counts(pk: int) -> dict[str, int]:
    return Notification.objects.get(pk=pk).counts()


def how_rows_stand(pk: int) -> Counter[tuple[str, str]]:
    """How many messages of a notification have which status and reason in the log, whatever its counts make of them."""
    rows = SmsMessage.objects.filter(batch__notification=pk)
    return Counter(rows.values_list("status", "skip_reason"))


def steer(function: str, pk: int) -> float:
    """Pause, resume or cancel; returns how many seconds that took."""
    before = time.monotonic()
    {"pause": pause, "resume": resume, "cancel": cancel}[function](pk)
    return time.monotonic() - before


def add_sandbox() -> None:
    SandboxSms.objects.create(key="sandbox", name="Sandbox")


class TestOneKeyTwoProcesses:
    @pytest.fixture
    def project(self, database_url: str, tmp_path: Path) -> Iterator[Project]:
        broker = "filesystem://localhost"
        with Project(tmp_path, database=database_url, broker=broker) as project:
            yield project

    @pytest.fixture
    def consoles(self, project: Project) -> tuple[Console, Console]:
        first, second = project.console(), project.console()
        first.call(make, 1)
        first.call(add_sandbox)
        first.call(add_template, "greeting", text="Hello ${name}")
        second.call(notification_ids)
        return first, second

    def test_there_is_one_notification(self, consoles: tuple[Console, Console]) -> None:
        same = self.race(consoles, "same", ("Ada", "Ada"))
        assert same[0] == same[1] == consoles[0].call(notification_ids)

        first, second = self.race(consoles, "different", ("Ada", "Bob"))
        made = [sum(ids) for ids in zip(first, second, strict=True)]
        assert same[0] + made == consoles[0].call(notification_ids)
        assert all(0 in ids for ids in zip(first, second, strict=True))

    def race(self, consoles: tuple[Console, Console], key: str, names: tuple[str, str]) -> tuple[list[int], list[int]]:
        """What two processes get who notify with the same keys at the same moments."""
        moment, rounds = time.time() + 0.5, 20
        for console, name in zip(consoles, names, strict=True):
            console.begin(tell_once, key, rounds, moment, name)
        first, second = (console.result() for console in consoles)
        assert len(first) == len(second) == rounds
        return first, second


class TestWithWorkers:
    @pytest.fixture
    def simulator(self) -> Iterator[TwilioSimulator]:
        with TwilioSimulator(keep_requests=False) as simulator:
            yield simulator

    @pytest.fixture(params=["redis_url", "rabbitmq_url"])
    def broker(self, request: pytest.FixtureRequest) -> str:
        url: str = request.getfixturevalue(request.param)
        return url

    @pytest.fixture
    def project(
        self, postgresql_url: str, broker: str, simulator: TwilioSimulator, tmp_path: Path
    ) -> Iterator[Project]:
        with Project(
            tmp_path, database=postgresql_url, broker=broker, **endpoints(twilio=simulator), **DURATIONS
        ) as project:
            yield project

    def prepared(self, console: Console, simulator: TwilioSimulator, count: int) -> Console:
        console.call(add_service, "twilio", simulator.credentials)
        console.call(add_template, "greeting", text="Hello ${name}")
        console.call(make, count)
        return console

    def test_a_broker_in_trouble_delays_nobody_and_nothing_is_forgotten(
        self, project: Project, broker: str, simulator: TwilioSimulator
    ) -> None:
        with Relay(broker) as relay:
            caller = self.prepared(project.console(broker=relay.url), simulator, 40)
            project.worker().wait_until_ready()
            assert caller.call(tell, 0, 10)[1] <= PATIENCE
            eventually(lambda: len(simulator.journal) == 10, within=20)
            relay.stop()
            assert caller.call(tell, 10, 10)[1] <= PATIENCE
            relay.start()
            assert caller.call(tell, 20, 10)[1] <= PATIENCE
            eventually(lambda: len(simulator.journal) == 20, within=20)
            relay.hang()
            assert caller.call(tell, 30, 10)[1] <= PATIENCE
            project.beat()
            eventually(lambda: len(simulator.journal) == 40, within=60)
        time.sleep(1)
        assert set(Counter(entry.phone_number for entry in simulator.journal).values()) == {1}

    @pytest.mark.parametrize("broker", ["redis_url"], indirect=True)
    def test_pause_resume_and_cancel_work_within_seconds(self, project: Project, simulator: TwilioSimulator) -> None:
        simulator.latency = 0.3
        console = self.prepared(project.console(), simulator, 3000)
        project.worker().wait_until_ready()
        project.beat()
        pk, seconds = console.call(tell, 0, 3000)
        print(f"notify() took {seconds:.3f} s")
        eventually(lambda: len(simulator.journal) >= 200, within=60)

        assert console.call(steer, "pause", pk) <= PATIENCE
        time.sleep(1.5)  # what was claimed has left
        taken = len(simulator.journal)
        time.sleep(1.5)
        assert len(simulator.journal) == taken < 3000
        assert console.call(counts, pk)["queued"] == 3000 - taken

        console.call(steer, "resume", pk)
        eventually(lambda: len(simulator.journal) >= taken + 200, within=20)

        console.call(steer, "cancel", pk)
        cancelled = time.monotonic()
        assert console.call(counts, pk)["queued"] == 0
        time.sleep(3)
        left = len(simulator.journal)
        settled = {(MessageStatus.SENT, ""), (MessageStatus.SKIPPED, SkipReason.CANCELLED)}
        eventually(lambda: console.call(how_rows_stand, pk).keys() == settled, within=20)
        print(f"every row was marked within {time.monotonic() - cancelled:.2f} s of the cancellation")
        stand = console.call(how_rows_stand, pk)
        assert stand[MessageStatus.SENT, ""] == left < 3000
        assert stand.total() == 3000
        told = console.call(counts, pk)
        assert (told["sent"], told["skipped"], told["total"]) == (left, 3000 - left, 3000)
        time.sleep(1)
        assert len(simulator.journal) == left
