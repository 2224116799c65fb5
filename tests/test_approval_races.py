"""Who is faster: people, clicks and sweeps at the same moment. Threads, and processes, with real databases."""

from __future__ import annotations

import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Barrier
from threading import Event as Moment
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.utils import timezone

from approvals.api import approve, reject, remind, resume, send_back, submit, transfer, withdraw
from approvals.choices import OPEN_VISITS, EventKind, NodeMode, RequestStatus, TaskStatus, TextState, WithdrawPolicy
from approvals.engine import acting
from approvals.exceptions import Conflict, Throttled
from approvals.models import Event, NodeText, NodeVisit, Process, Request, Task, TextRecipient
from approvals.starting import start
from approvals.sweeping import sweep
from approvals.texting import send_again
from notifications.models import Notification
from sms_services.choices import MessageStatus
from sms_services.models import SandboxSms, SmsMessage
from tests.approval_processes import a_process, an_approval_template, kinds, persons, step, task_of, to_do
from tests.people import a_person, a_role
from tests.services_under_test import broker, sandbox
from tests.workers import Project

__all__ = ["broker", "sandbox"]

THREADS = 4
REPETITIONS = [4, pytest.param(100, marks=pytest.mark.soak)]


@dataclass
class Race:
    """A request, and who acts on it at the same moment. `wins` is how many may succeed."""

    request: Request
    contenders: list[Callable[[], Any]]
    wins: int
    loser_is_told: str = ""
    outcomes: list[Any] = field(default_factory=list)


def dawdle(execute: Callable[..., Any], *statement: Any) -> Any:
    """Linger before a statement, as over a network: otherwise one is often done before the other has begun."""
    time.sleep(random.uniform(0, 0.004))
    return execute(*statement)


class Track:
    """Threads with a database connection each, that start together."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS)

    def run(self, contenders: list[Callable[[], Any]]) -> list[Any]:
        """What each contender returned or raised."""
        start = Barrier(len(contenders))

        def begin(contender: Callable[[], Any]) -> Any:
            connection.ensure_connection()
            start.wait(10)
            try:
                with connection.execute_wrapper(dawdle):
                    return contender()
            except Exception as error:
                return error

        # Whoever comes last to the barrier goes on first: no contender shall always be the one.
        order = random.sample(range(len(contenders)), len(contenders))
        outcomes = dict(zip(order, self._pool.map(begin, [contenders[n] for n in order]), strict=True))
        return [outcomes[n] for n in range(len(contenders))]

    def close(self) -> None:
        together = Barrier(THREADS)

        def close() -> None:
            together.wait(10)
            connection.close()

        for future in [self._pool.submit(close) for _ in range(THREADS)]:
            future.result(20)
        self._pool.shutdown()


@pytest.fixture
def track() -> Iterator[Track]:
    track = Track()
    yield track
    track.close()


class Setting:
    """Processes with texts, and the people in them."""

    def __init__(self, service: Any) -> None:
        self.ini, self.ann, self.ben, self.cat, self.dan = persons("ini", "ann", "ben", "cat", "dan")
        texting = {"sms_service": service, "sms_template": an_approval_template(service)}
        last = step(self.dan, **texting)
        board = a_role("board", [self.ann, self.ben])
        hour = timedelta(hours=1)

        def add(key: str, *nodes: dict[str, Any], **fields: Any) -> Process:
            return a_process(*({**node, **texting} for node in nodes), last, key=key, **fields)

        self.any_one = add("any", step(board), withdraw_policy=WithdrawPolicy.UNTIL_FIRST_APPROVAL)
        self.all = add("all", step(self.ann, self.ben, self.cat, mode=NodeMode.ALL))
        self.sequence = add("sequence", step(self.ann, self.ben, mode=NodeMode.SEQUENTIAL))
        self.returnable = add("returnable", step(self.cat), step(self.ann, self.ben))
        self.escalating = add("escalating", step(self.ann, escalate_after=hour, escalate_to=self.cat))
        self.reminding = add("reminding", step(self.ann, self.ben, mode=NodeMode.ALL, remind_after=hour))
        self.paused = add("paused", step(a_role("nobody")))
        self.root = get_user_model().objects.create_superuser("root")

    # Each makes one race

    def two_approvers_of_an_any_one_node(self) -> Race:
        request, (ann, ben) = self._submitted(self.any_one, self.ann, self.ben)
        contenders = [lambda: approve(ann, self.ann), lambda: approve(ben, self.ben)]
        return Race(request, contenders, wins=1, loser_is_told="Already approved by")

    def the_last_two_of_an_all_node(self) -> Race:
        request, (ann, ben, cat) = self._submitted(self.all, self.ann, self.ben, self.cat)
        approve(cat, self.cat)
        return Race(request, [lambda: approve(ann, self.ann), lambda: approve(ben, self.ben)], wins=2)

    def one_task_clicked_four_times(self) -> Race:
        request, (ann,) = self._submitted(self.sequence, self.ann)
        return Race(request, [lambda: approve(ann, self.ann)] * 4, wins=1, loser_is_told="Already approved by Ann Lee")

    def approve_against_reject(self) -> Race:
        request, (ann, ben) = self._submitted(self.any_one, self.ann, self.ben)
        return Race(request, [lambda: approve(ann, self.ann), lambda: reject(ben, self.ben)], wins=1)

    def approve_against_withdraw(self) -> Race:
        request, (ann,) = self._submitted(self.any_one, self.ann)
        return Race(request, [lambda: approve(ann, self.ann), lambda: withdraw(request, self.ini)], wins=1)

    def approve_against_transfer(self) -> Race:
        request, (ann,) = self._submitted(self.sequence, self.ann)
        return Race(request, [lambda: approve(ann, self.ann), lambda: transfer(ann, self.ann, self.cat)], wins=1)

    def two_transfers(self) -> Race:
        request, (ann,) = self._submitted(self.sequence, self.ann)
        to_each = [lambda to=to: transfer(ann, self.ann, to) for to in (self.cat, self.dan)]
        return Race(request, to_each, wins=1, loser_is_told="Already transferred to")

    def approve_against_return_to_a_node(self) -> Race:
        request, (cat,) = self._submitted(self.returnable, self.cat)
        approve(cat, self.cat)
        ann, ben = task_of(request, self.ann), task_of(request, self.ben)
        back = [lambda: approve(ann, self.ann), lambda: send_back(ben, self.ben, to="step-1")]
        return Race(request, back, wins=1)

    def approve_against_return_to_the_initiator(self) -> Race:
        request, (ann,) = self._submitted(self.any_one, self.ann)
        return Race(request, [lambda: approve(ann, self.ann), lambda: send_back(ann, self.ann)], wins=1)

    def approve_against_two_sweeps_that_escalate(self) -> Race:
        request, (ann,) = self._submitted(self.escalating, self.ann)
        Task.objects.filter(pk=ann.pk).update(escalate_at=timezone.now())
        return Race(request, [lambda: approve(ann, self.ann), sweep, sweep], wins=1)

    def two_sweeps_that_escalate(self) -> Race:
        request, (ann,) = self._submitted(self.escalating, self.ann)
        Task.objects.filter(pk=ann.pk).update(escalate_at=timezone.now())
        return Race(request, [sweep, sweep, sweep], wins=0)

    def approve_against_two_sweeps_that_remind(self) -> Race:
        request, (ann, _ben) = self._submitted(self.reminding, self.ann, self.ben)
        Task.objects.filter(request=request).update(remind_at=timezone.now())
        return Race(request, [lambda: approve(ann, self.ann), sweep, sweep], wins=1)

    def the_initiator_reminds_twice(self) -> Race:
        request, _ = self._submitted(self.any_one)
        return Race(request, [lambda: remind(request, self.ini)] * 2, wins=1, loser_is_told="possible from")

    def two_resumptions(self) -> Race:
        request, _ = self._submitted(self.paused)
        users = [self.ann]
        both = [lambda: resume(request, self.root, users=users)] * 2
        return Race(request, both, wins=1, loser_is_told="Already resumed by root")

    def _submitted(self, process: Process, *users: Any) -> tuple[Request, list[Task]]:
        request = submit(process, self.ini)
        return request, [task_of(request, user) for user in users]


RACES = [name for name in vars(Setting) if not name.startswith("_")]


def check(race: Race) -> None:
    """One advancement; nobody stuck; the loser told."""
    request = Request.objects.get(pk=race.request.pk)
    wins = [outcome for outcome in race.outcomes if isinstance(outcome, Task | Request)]
    losses = [outcome for outcome in race.outcomes if isinstance(outcome, Exception)]
    assert all(isinstance(loss, Conflict | Throttled) for loss in losses), losses
    escalated = Event.objects.filter(request=request, kind=EventKind.ESCALATED).count()
    assert len(wins) + (escalated if race.wins else 0) == race.wins, race.outcomes
    for loss in losses:
        assert race.loser_is_told in str(loss)
        assert isinstance(loss, Throttled) or loss.event.actor_name or loss.event.kind == EventKind.ESCALATED
    visits = NodeVisit.objects.filter(request=request).order_by("number")
    assert [visit.number for visit in visits] == list(range(1, len(visits) + 1))
    assert max(Counter(visits.values_list("round", "position")).values()) == 1, "a node was entered twice"
    open_visits = [visit for visit in visits if visit.status in OPEN_VISITS]
    pending = Task.objects.filter(request=request, status=TaskStatus.PENDING)
    if request.status == RequestStatus.RUNNING:
        (visit,) = open_visits
        assert pending, "stuck: nobody has to act"
        assert {task.visit_id for task in pending} == {visit.pk}
    else:
        assert (open_visits, list(pending)) == ([], [])
    open_tasks = Task.objects.filter(request=request).open()
    assert all(task.visit_id == open_visits[0].pk for task in open_tasks)
    for kind in (EventKind.ESCALATED, EventKind.REMINDED):
        assert kinds(request)[kind] <= 1


def check_texts(broker: Any) -> None:
    """Everybody was told once of what they still have to do; nobody twice of the same."""
    reached = Event.objects.filter(
        kind__in=(EventKind.REACHED, EventKind.TRANSFERRED, EventKind.ESCALATED, EventKind.REMINDED)
    )
    assert set(NodeText.objects.values_list("event_id", flat=True)) == {event.event_id for event in reached}
    while broker.work():
        pass
    assert set(NodeText.objects.values_list("state", flat=True)) <= {TextState.ORDERED, TextState.SKIPPED}
    for text in NodeText.objects.all():
        told = list(text.recipients.values_list("user", flat=True))
        got = list(
            SmsMessage.objects.filter(recipient__notification=text.notification_id).values_list(
                "recipient__user", flat=True
            )
        )
        assert len(got) == len(set(got)), "texted twice"
        assert set(got) <= set(told)
        still = {row.user_id for row in text.recipients.filter(handled=False)}
        sent = SmsMessage.objects.filter(
            recipient__notification=text.notification_id, recipient__user__in=still, status=MessageStatus.SENT
        )
        assert sent.count() == len(still)
    pending = {task.key for task in Task.objects.filter(status=TaskStatus.PENDING)}
    unhandled = TextRecipient.objects.filter(handled=False).values_list("task_key", flat=True)
    assert pending == set(unhandled), "who is still asked is exactly who still is to be texted"
    assert Notification.objects.count() == NodeText.objects.filter(state=TextState.ORDERED).count()


@pytest.mark.django_db(transaction=True)
@pytest.mark.databases
@pytest.mark.parametrize("repetitions", REPETITIONS)
@pytest.mark.parametrize("name", RACES)
def test_race(name: str, repetitions: int, sandbox: Any, broker: Any, track: Track) -> None:
    setting = Setting(sandbox)
    faster = Counter()
    for _ in range(repetitions):
        race = getattr(setting, name)()
        race.outcomes = track.run(race.contenders)
        check(race)
        faster.update(number for number, outcome in enumerate(race.outcomes) if not isinstance(outcome, Exception))
    check_texts(broker)
    print(f"{name}: {dict(faster)} of {repetitions}")


@pytest.mark.django_db(transaction=True)
@pytest.mark.databases
@pytest.mark.parametrize("repetitions", REPETITIONS)
def test_a_batch_of_requests_in_two_orders_blocks_nobody_forever(
    repetitions: int, sandbox: Any, broker: Any, track: Track
) -> None:
    """Two people approve the same requests, one from the front and one from the back, each request by itself."""
    setting = Setting(sandbox)
    requests = [submit(setting.any_one, setting.ini) for _ in range(repetitions)]

    tasks = {user: [task_of(request, user) for request in requests] for user in (setting.ann, setting.ben)}

    def approve_each(user: Any, turn: int) -> int:
        wins = 0
        for task in tasks[user][::turn]:
            try:
                approve(task, user)
                wins += 1
            except Conflict:
                pass
        return wins

    wins = track.run([lambda: approve_each(setting.ann, 1), lambda: approve_each(setting.ben, -1)])
    assert sum(wins) == repetitions
    assert all(to_do(request) == ["dan"] for request in requests)


# Beginning


@pytest.mark.django_db(transaction=True)
@pytest.mark.databases
@pytest.mark.parametrize("repetitions", REPETITIONS)
def test_two_who_approve_each_other_begin_at_the_same_moment(repetitions: int, broker: Any, track: Track) -> None:
    for number in range(repetitions):
        ann, ben = a_person(f"ann-{number}"), a_person(f"ben-{number}")
        asks_ann, asks_ben = (a_process(step(user), key=user.username) for user in (ann, ben))
        for _ in range(2):  # their first of all, and later ones
            outcomes = track.run([partial(begin, asks_ben, ann), partial(begin, asks_ann, ben)] * 2)
            assert all(isinstance(outcome, Request) for outcome in outcomes), outcomes


@pytest.mark.django_db(transaction=True)
@pytest.mark.databases
@pytest.mark.parametrize("repetitions", REPETITIONS)
@pytest.mark.parametrize("by", ["a form", "code"])
def test_what_is_sent_several_times_at_the_same_moment_begins_one_request(
    by: str, repetitions: int, broker: Any, track: Track, settings: Any
) -> None:
    settings.APPROVALS = {"STARTS_PER_HOUR": None}
    ann, ben = a_person("ann"), a_person("ben")
    process = a_process(step(ben))
    for number in range(repetitions):
        key = uuid.uuid4()
        send = {
            "a form": partial(begin, process, ann, key),
            "code": partial(submit, process, ann, submission_key=key),
        }[by]
        outcomes = track.run([send] * THREADS)
        assert wins_and_refusals(outcomes) == {Request: 1, Conflict: THREADS - 1}, outcomes
        (request,) = [outcome for outcome in outcomes if isinstance(outcome, Request)]
        assert {told.event.request_id for told in outcomes if isinstance(told, Conflict)} == {request.pk}
        assert Request.objects.count() == number + 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.databases
@pytest.mark.parametrize("repetitions", REPETITIONS)
def test_forms_that_are_sent_at_the_same_moment_count_each_other(
    repetitions: int, broker: Any, track: Track, settings: Any
) -> None:
    settings.APPROVALS = {"STARTS_PER_HOUR": 2}
    process = a_process(step(a_person("ben")))
    for number in range(repetitions):
        ann, eve = a_person(f"ann-{number}"), a_person(f"eve-{number}")
        begin(process, eve)
        assert wins_and_refusals(track.run([partial(begin, process, ann)] * 4)) == {Request: 2, Throttled: 2}
        assert wins_and_refusals(track.run([partial(begin, process, eve)] * 4)) == {Request: 1, Throttled: 3}


def wins_and_refusals(outcomes: list[Any]) -> Counter[type]:
    return Counter(type(outcome) for outcome in outcomes)


def begin(process: Process, user: Any, key: uuid.UUID | None = None) -> Request:
    return start(process, user, title="Rome", reason="", key=key or uuid.uuid4())


# Processes


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'approvals.sqlite3'}"


def prepare_processes() -> None:
    Setting(SandboxSms.objects.create(key="sandbox", name="Sandbox"))


def prepare_race(process: str, users: list[str], approved: list[str]) -> list[int]:
    """A request; returns its id and those of the tasks of the users."""
    request = submit(process, get_user_model().objects.get(username="ini"))
    for name in approved:
        approve(task_of(request, user := get_user_model().objects.get(username=name)), user)
    return [request.pk, *(Task.objects.get(request=request, user__username=name).pk for name in users)]


def act_at(moment: float, action: str, pk: int, name: str) -> str:
    """Act at a moment; what came of it."""
    user = get_user_model().objects.get(username=name)
    time.sleep(max(0.0, moment - time.time()))
    try:
        {"approve": approve, "withdraw": withdraw}[action](pk, user)
    except Conflict as conflict:
        return str(conflict)
    return "done"


def state_of(pk: int) -> tuple[str, list[str], int, int]:
    request = Request.objects.get(pk=pk)
    visits = NodeVisit.objects.filter(request=request)
    return request.status, to_do(request), visits.count(), NodeText.objects.filter(request=request).count()


def texts_per_number_and_notification() -> int:
    """The most texts that anybody got of one event."""
    rows = Counter(SmsMessage.objects.values_list("batch", "phone_number"))
    return max(rows.values())


@pytest.mark.django_db(transaction=True)
@pytest.mark.databases
def test_a_text_that_is_handed_over_and_an_action_that_marks_it_do_not_wait_for_each_other(
    broker: Any, sandbox: Any, track: Track
) -> None:
    ini, ann = persons("ini", "ann")
    process = a_process(step(ann, sms_service=sandbox, sms_template=an_approval_template()))
    request = submit(process, ini)
    text = NodeText.objects.filter(request=request)
    text_is_held, request_is_held = Moment(), Moment()

    def hand_over() -> None:
        with transaction.atomic():
            text.update(sweep_at=timezone.now())
            text_is_held.set()
            request_is_held.wait(1)
            time.sleep(0.3)
            text.update(sweep_at=None)  # of a row that this transaction has written: its foreign keys are checked

    def act() -> None:
        text_is_held.wait(10)
        with acting(request.pk, None):
            request_is_held.set()
            text.update(sweep_at=timezone.now())

    assert track.run([hand_over, act]) == [None, None]


@pytest.mark.django_db(transaction=True)
@pytest.mark.databases
def test_of_a_text_that_is_sent_again_and_an_approval_neither_overlooks_the_other(
    broker: Any, sandbox: Any, track: Track
) -> None:
    ini, ann = persons("ini", "ann")
    type(sandbox).objects.update(is_active=False)
    request = submit(a_process(step(ann, sms_service=sandbox, sms_template=an_approval_template())), ini)
    type(sandbox).objects.update(is_active=True)
    text, task = NodeText.objects.get(request=request), request.tasks.get()
    assert text.state == TextState.FAILED
    is_handed_over = Moment()

    def send() -> None:
        with transaction.atomic():
            assert send_again(text.pk)
            is_handed_over.set()
            time.sleep(0.5)

    def act() -> None:
        is_handed_over.wait(10)
        approve(task, ann)

    assert track.run([send, act]) == [None, None]
    while broker.work():
        pass
    assert not SmsMessage.objects.filter(status=MessageStatus.SENT).exists()


@pytest.mark.parametrize("repetitions", [2, pytest.param(100, marks=pytest.mark.soak)])
@pytest.mark.parametrize("database", ["postgresql_url", pytest.param("sqlite_url", marks=pytest.mark.soak)])
def test_two_processes(database: str, repetitions: int, redis_url: str, tmp_path: Path, request: Any) -> None:
    url = request.getfixturevalue(database)
    with Project(tmp_path, database=url, broker=redis_url) as project:
        worker = project.worker()
        consoles = [project.console(), project.console()]
        consoles[0].call(prepare_processes)
        for _ in range(repetitions):
            pk, ann, ben = consoles[0].call(prepare_race, "any", ["ann", "ben"], [])
            assert sorted(_at_once(consoles, [("approve", ann, "ann"), ("approve", ben, "ben")]))[1] == "done"
            assert consoles[0].call(state_of, pk) == (RequestStatus.RUNNING, ["dan"], 2, 2)

            pk, ann, ben = consoles[0].call(prepare_race, "all", ["ann", "ben"], ["cat"])
            assert _at_once(consoles, [("approve", ann, "ann"), ("approve", ben, "ben")]) == ["done", "done"]
            assert consoles[0].call(state_of, pk) == (RequestStatus.RUNNING, ["dan"], 2, 2)

            pk, ann = consoles[0].call(prepare_race, "any", ["ann"], [])
            outcomes = _at_once(consoles, [("approve", ann, "ann"), ("withdraw", pk, "ini")])
            assert outcomes.count("done") == 1
            status = consoles[0].call(state_of, pk)[0]
            assert status == [RequestStatus.RUNNING, RequestStatus.WITHDRAWN][outcomes.index("done")]
        worker.wait_until_ready()
        assert consoles[0].call(texts_per_number_and_notification) == 1


def _at_once(consoles: list[Any], actions: list[tuple[str, int, str]]) -> list[str]:
    moment = time.time() + 0.1
    for console, action in zip(consoles, actions, strict=True):
        console.begin(act_at, moment, *action)
    outcomes = [console.result() for console in consoles]
    assert all(outcome == "done" or outcome.startswith("Already ") for outcome in outcomes), outcomes
    return outcomes
