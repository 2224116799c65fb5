"""A queue that is longer than the rate limit allows at once is sent to its end, in its time. The clock is moved."""

import heapq
import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from notifications.api import cancel, notify, pause, resume
from sms_services.api import queue_message
from sms_services.choices import MessageStatus
from sms_services.delivery.pacing import Pace
from sms_services.delivery.sweeping import sweep
from sms_services.models import SandboxSms, ServicePace, SmsMessage, SmsService
from tests.people import people
from tests.services_under_test import broker, create_template

__all__ = ["broker"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
SWEEP_EVERY = 10.0


@pytest.fixture
def greeting():
    return create_template(text="Hello")


def numbers(count):
    return [f"+86138{number:08}" for number in range(1000, 1000 + count)]  # none that the sandbox treats specially


class Workers:
    """One worker and the beat, by a clock that stands still between tasks."""

    def __init__(self, broker, clock):
        self.broker, self.clock, self.waiting, self.tasks = broker, clock, [], 0
        self.next_sweep = self.now + SWEEP_EVERY

    @property
    def now(self):
        return datetime.now(UTC).timestamp()

    def run(self, seconds, until=lambda: False):
        end = self.now + seconds
        while self.now < end and not until():
            self._collect()
            if self.waiting and self.waiting[0][0] <= self.next_sweep:
                at, _, task = heapq.heappop(self.waiting)
                self._move_to(at)
                self.broker.app.tasks[task.name](*task.args, **task.kwargs)
            else:
                self._move_to(self.next_sweep)
                self.next_sweep += SWEEP_EVERY
                sweep()

    def _collect(self):
        for task in self.broker.take():
            self.tasks += 1
            eta = re.search(r'"eta": "([^"]+)"', task.raw)
            at = datetime.fromisoformat(eta[1]).timestamp() if eta else self.now
            heapq.heappush(self.waiting, (at + 0.002, self.tasks, task))

    def _move_to(self, moment):
        if moment > self.now:
            self.clock.move_to(datetime.fromtimestamp(moment, UTC), tick=False)


def sent():
    return SmsMessage.objects.filter(status=MessageStatus.SENT).count()


@pytest.fixture
def workers(broker):
    with time_machine.travel(BEGIN, tick=False) as clock:
        yield Workers(broker, clock)


@pytest.mark.parametrize("count", [300, pytest.param(1000, marks=pytest.mark.soak)])
def test_many_messages_leave_in_their_time(workers, greeting, count):
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox", max_per_second=50)
    queue_message(service, numbers(count), greeting)
    workers.run(seconds=count * 0.08, until=lambda: sent() == count)
    assert sent() == count
    assert workers.now - BEGIN.timestamp() >= count * 0.019
    assert workers.tasks < count * 1.5


def test_a_raised_limit_counts_for_those_who_wait_already(workers, greeting):
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox", max_per_second=1)
    queue_message(service, numbers(200), greeting)
    workers.run(seconds=20)
    assert sent() < 25
    service = SmsService.objects.get(pk=service.pk)
    service.max_per_second = 100
    service.save()
    workers.run(seconds=45, until=lambda: sent() == 200)
    assert sent() == 200


def test_a_clock_that_was_wrong_once_does_not_stop_a_service(workers, greeting):
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox", max_per_second=10)
    with time_machine.travel(datetime(2030, 1, 1, 1, tzinfo=UTC), tick=False):
        assert Pace.of(service).take(1) == 0
    queue_message(service, numbers(2), greeting)
    workers.run(seconds=60, until=lambda: sent() == 2)
    assert sent() == 2


@pytest.mark.parametrize("stop", [pause, cancel])
def test_nobody_waits_for_the_places_of_what_does_not_leave(workers, greeting, stop):
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox", max_per_second=1)
    notification = notify(users=people(300, 1000), service=service, template=greeting)
    workers.run(seconds=5)
    before, after = numbers(2)
    queue_message(service, [before], greeting)
    stop(notification)
    queue_message(service, [after], greeting)
    others = SmsMessage.objects.filter(batch=None, status=MessageStatus.SENT)
    workers.run(seconds=30, until=lambda: others.count() == 2)
    assert set(others.values_list("phone_number", flat=True)) == {before, after}


@pytest.mark.parametrize("stop", [pause, cancel])
def test_who_has_no_place_in_the_line_changes_nothing_of_it(workers, greeting, stop):
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox", max_per_second=10)
    queue_message(service, numbers(300), greeting)
    later = timezone.now() + timedelta(days=1)
    for when in (later, None):
        notification = notify(users=people(1, 1000 if when else 2000), service=service, template=greeting, send_at=when)
        line, places = ServicePace.objects.get().line_at, list(SmsMessage.objects.order_by("pk").values("sweep_at"))
        stop(notification)
        assert ServicePace.objects.get().line_at == line
        assert list(SmsMessage.objects.order_by("pk").values("sweep_at")) == places


def test_those_behind_move_up_in_their_order(workers, greeting, monkeypatch):
    monkeypatch.setattr("sms_services.delivery.moving_up.STEP", 7)
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox", max_per_second=10)
    ahead, *behind = [numbers(60)[start : start + 20] for start in (0, 20, 40)]
    queue_message(service, numbers(400)[100:], greeting)
    queue_message(service, ahead, greeting)
    workers.run(seconds=1)
    notification = notify(users=people(200, 3000), service=service, template=greeting)
    workers.run(seconds=1)
    for part in behind:
        queue_message(service, part, greeting)
    was = places_of(ahead, *behind)
    pause(notification)
    workers.run(seconds=0.1)
    now = places_of(ahead, *behind)
    assert now[0] == was[0]
    assert now[0] < now[1] < now[2]
    assert [round(before - after) for before, after in zip(was[1:], now[1:], strict=True)] == [25, 25]  # 200 at 8/s
    assert ServicePace.objects.get().line_at == pytest.approx(now[2] + 2.5, abs=0.5)


def test_whoever_joins_a_line_that_got_shorter_does_not_move_up_again(workers, greeting):
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox", max_per_second=10)
    queue_message(service, numbers(300), greeting)
    notification = notify(users=people(200, 3000), service=service, template=greeting)
    workers.run(seconds=1)
    pause(notification)
    workers.clock.shift(0.01)  # the task that moves others up has not run yet
    late = numbers(400)[399:]
    queue_message(service, late, greeting)
    was = places_of(late)
    workers.run(seconds=0.1)
    assert places_of(late) == was
    cancel(notification)  # it has no places any more
    workers.run(seconds=0.1)
    assert places_of(late) == was


def test_those_behind_move_up_too_where_the_batch_is_at_the_broker_already(workers, greeting):
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox", max_per_second=10)
    notification = notify(users=people(100, 3000), service=service, template=greeting)
    workers.run(seconds=1)
    queue_message(service, numbers(200), greeting)
    pause(notification)
    others = SmsMessage.objects.filter(batch=None, status=MessageStatus.SENT)
    workers.run(seconds=40, until=lambda: others.count() == 200)
    assert others.count() == 200


def places_of(*parts):
    """When the sweep rings for the first message of each part, in seconds."""
    found = [SmsMessage.objects.filter(phone_number__in=part).earliest("sweep_at").sweep_at for part in parts]
    return [moment.timestamp() for moment in found]


def test_what_goes_on_leaves_at_once_and_to_its_end(workers, greeting):
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox", max_per_second=5)
    notification = notify(users=people(300, 1000), service=service, template=greeting)
    workers.run(seconds=5)
    pause(notification)
    workers.run(seconds=5)
    so_far = sent()
    resume(notification)
    workers.run(seconds=3)
    assert sent() > so_far
    workers.run(seconds=120, until=lambda: sent() == 300)
    assert sent() == 300
