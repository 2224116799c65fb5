"""The sweep reminds and escalates when it is time, once each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from approvals.api import approve, submit, transfer
from approvals.choices import InitiatorPolicy, NodeMode, Reason, RequestStatus, TextState
from approvals.exceptions import Conflict
from approvals.models import Event, NodeText, Task
from approvals.sweeping import sweep
from approvals.tasks import sweep as sweep_task
from tests.approval_processes import (
    a_process,
    an_approval_template,
    history,
    kinds,
    number_of,
    persons,
    statuses,
    step,
    task_of,
    texted,
    to_do,
)
from tests.people import a_department
from tests.services_under_test import broker, sandbox

__all__ = ["broker", "sandbox"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

HOUR = timedelta(hours=1)


@pytest.fixture
def people():
    return persons("ini", "ann", "ben", "cat")


@pytest.fixture
def texting(sandbox):
    return {"sms_service": sandbox, "sms_template": an_approval_template(sandbox)}


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


@pytest.fixture
def after(clock, broker) -> Callable[[timedelta], None]:
    """`after(HOUR)`: the time passes, and the sweep comes, more than once."""

    def after(duration: timedelta) -> None:
        clock.shift(duration)
        for _ in range(3):
            sweep()
        while broker.work():
            pass

    return after


def test_whoever_has_not_acted_is_reminded_once(after, people, texting):
    ini, ann, ben, cat = people
    request = submit(a_process(step(ann, ben, cat, mode=NodeMode.ALL, remind_after=HOUR, **texting)), ini)
    after(HOUR * 0.9)
    approve(task_of(request, cat), cat)
    assert kinds(request)["reminded"] == 0
    after(HOUR * 0.2)
    assert texted() == {number_of(ann): 2, number_of(ben): 2, number_of(cat): 1}
    after(HOUR * 50)
    assert texted() == {number_of(ann): 2, number_of(ben): 2, number_of(cat): 1}
    (event,) = request.events.filter(kind="reminded")
    assert (event.actor, [other["name"] for other in event.others]) == (None, ["Ann Lee", "Ben Lee"])
    assert NodeText.objects.filter(reason=Reason.REMINDER).count() == 1


def test_in_a_sequence_the_time_begins_with_the_turn(after, people, texting):
    ini, ann, ben, _cat = people
    process = a_process(step(ann, ben, mode=NodeMode.SEQUENTIAL, remind_after=HOUR, escalate_after=HOUR * 9))
    process.nodes.update(escalate_to=ini)
    request = submit(process, ini)
    assert (Task.objects.get(user=ben).remind_at, Task.objects.get(user=ben).escalate_at) == (None, None)
    after(HOUR * 2)
    approve(task_of(request, ann), ann)
    after(HOUR * 0.9)
    assert kinds(request)["reminded"] == 1
    after(HOUR * 0.2)
    assert kinds(request)["reminded"] == 2
    after(HOUR * 7)
    assert to_do(request) == ["ben"]
    after(HOUR)
    assert to_do(request) == ["ini"]


def test_what_nobody_has_acted_on_is_escalated_once(after, people, texting):
    ini, ann, _ben, cat = people
    process = a_process(step(ann, escalate_after=HOUR, escalate_to=cat, remind_after=HOUR, **texting))
    request = submit(process, ini)
    after(HOUR)
    assert statuses(request) == [("ann", "transferred"), ("cat", "pending")]
    assert kinds(request)["escalated"] == 1
    assert kinds(request)["reminded"] == 0, "nobody is reminded of what was taken from them in the same moment"
    assert texted()[number_of(cat)] == 1
    assert NodeText.objects.latest("pk").reason == Reason.ESCALATED
    after(HOUR)
    assert to_do(request) == ["cat"]
    assert kinds(request)["reminded"] == 1, "the new one is reminded in their turn"
    assert kinds(request)["not_escalated"] == 1, "there is nobody above them"
    after(HOUR * 50)
    assert kinds(request)["not_escalated"] == 1
    approve(task_of(request, cat), cat)
    request.refresh_from_db()
    assert request.status == RequestStatus.APPROVED


def test_to_the_head_of_the_approvers_department(after, people):
    ini, ann, _ben, cat = people
    department = a_department("Office", [ann])
    department.head = cat
    department.save()
    process = a_process(step(ann, escalate_after=HOUR, escalate_resolver="approver-department-head"))
    request = submit(process, ini)
    after(HOUR)
    assert to_do(request) == ["cat"]


@pytest.mark.parametrize("why", ["inactive", "initiator", "asked already", "function fails"])
def test_with_nobody_to_escalate_to_the_task_stays_and_the_history_says_so(after, people, why):
    ini, ann, ben, cat = people
    to = {"inactive": cat, "initiator": ini, "asked already": ben, "function fails": None}[why]
    named = {"escalate_to": to} if to else {"escalate_resolver": "unheard-of"}
    process = a_process(
        step(ann, escalate_after=HOUR, initiator_policy=InitiatorPolicy.LEAVE_OUT, mode=NodeMode.ALL, **named)
    )
    if why == "asked already":
        process.nodes.get().rules.create(source="user", user=ben, position=5)
    if why == "inactive":
        cat.is_active = False
        cat.save()
    request = submit(process, ini)
    before = to_do(request)
    after(HOUR)
    after(HOUR)
    assert to_do(request) == before
    assert kinds(request)["not_escalated"] == len(before)


@pytest.mark.parametrize("decides", ["before the others are late", "when all are late"])
def test_whoever_stands_in_for_one_stands_in_for_all_who_are_late(after, people, texting, decides):
    """Nobody decides twice at a node."""
    ini, ann, ben, cat = people
    named = {"escalate_after": HOUR, "escalate_to": cat}
    request = submit(a_process(step(ann, ben, mode=NodeMode.ALL, **named, **texting), step(ini)), ini)
    if decides == "before the others are late":
        Task.objects.filter(user=ben).update(escalate_at=timezone.now() + HOUR * 2)
        after(HOUR)
        assert to_do(request) == ["cat", "ben"]
        approve(task_of(request, cat), cat)
        assert to_do(request) == ["ben"]
        after(HOUR)
    else:
        after(HOUR)
        assert to_do(request) == ["cat"]
        approve(task_of(request, cat), cat)
    assert statuses(request) == [
        ("ann", "transferred"),
        ("ben", "transferred"),
        ("cat", "approved"),
        ("ini", "pending"),
    ]
    assert (kinds(request)["escalated"], kinds(request)["not_escalated"]) == (2, 0)
    assert texted()[number_of(cat)] == 1
    with pytest.raises(Conflict, match="Passed on to Cat Lee"):
        approve(Task.objects.get(user=ben), ben)


def test_an_approver_does_not_stand_in_for_another_one(after, people):
    """Whoever has approved for themselves is not asked again, nor counts for two."""
    ini, ann, ben, _cat = people
    request = submit(a_process(step(ann, ben, mode=NodeMode.ALL, escalate_after=HOUR, escalate_to=ben)), ini)
    approve(task_of(request, ben), ben)
    after(HOUR)
    assert (to_do(request), kinds(request)["not_escalated"]) == (["ann"], 1)


def test_what_was_done_is_neither_reminded_nor_escalated(after, people):
    ini, ann, ben, cat = people
    process = a_process(step(ann, ben, remind_after=HOUR, escalate_after=HOUR, escalate_to=cat), step(cat))
    request = submit(process, ini)
    transfer(task_of(request, ann), ann, ini)
    approve(task_of(request, ben), ben)
    after(HOUR * 3)
    assert history(request)[-1] == "reached"
    assert not Task.objects.exclude(remind_at=None, escalate_at=None).exists()


def test_a_request_that_fails_does_not_keep_the_others_waiting(after, people, monkeypatch, caplog):
    ini, ann, _ben, _cat = people
    process = a_process(step(ann, remind_after=HOUR))
    broken, fine = submit(process, ini), submit(process, ini)
    from approvals.engine import Run

    remind = Run.remind

    def fail_for_one(run, due):
        if run.request.pk == broken.pk:
            raise RuntimeError
        remind(run, due)

    monkeypatch.setattr(Run, "remind", fail_for_one)
    after(HOUR)
    assert (kinds(broken)["reminded"], kinds(fine)["reminded"]) == (0, 1)
    assert f"approvals.sweep_failed request={broken.pk}" in caplog.text
    monkeypatch.undo()
    sweep_task()
    assert kinds(broken)["reminded"] == 1


def test_any_number_of_requests_that_fail_do_not_keep_the_others_waiting(after, people, monkeypatch):
    ini, ann, _ben, _cat = people
    monkeypatch.setattr("approvals.sweeping.STEP", 2)
    process = a_process(step(ann, remind_after=HOUR))
    broken, fine = [submit(process, ini) for _ in range(5)], submit(process, ini)
    version = broken[0].process_version
    version.pk, version.digest, version.definition = None, "broken", {"nothing": "of what is needed"}
    version.save()
    type(fine).objects.filter(pk__in=[request.pk for request in broken]).update(process_version=version)
    after(HOUR)
    assert kinds(fine)["reminded"] == 1


def test_no_backlog_of_one_kind_keeps_the_sweep_from_another(after, people, texting, monkeypatch):
    """After an outage, with more of each than a round has time for."""
    ini, ann, ben, cat = people
    nodes = [
        step(ann, escalate_after=HOUR, escalate_to=cat),
        step(ann, remind_after=HOUR),
        step(ben),
        step(ann, **texting),
    ]
    for number, node in enumerate(nodes):
        process = a_process(node, key=f"process-{number}")
        for _ in range(8):
            submit(process, ini)
    after(HOUR * 0.9)
    type(ben).objects.filter(pk=ben.pk).update(is_active=False)
    NodeText.objects.update(state=TextState.WAITING, notification=None, sweep_at=timezone.now())
    seconds = count(step=0.5)  # each thing that is done takes as long
    for module in ("sweeping", "texting"):
        monkeypatch.setattr(f"approvals.{module}.time", SimpleNamespace(monotonic=lambda: next(seconds)))
    with time_machine.travel(timezone.now() + HOUR, tick=False):
        sweep()
    done = Counter(Event.objects.values_list("kind", flat=True))
    assert done["escalated"]
    assert done["reminded"]
    assert done["left"]
    assert NodeText.objects.filter(state=TextState.ORDERED).exists()
    assert NodeText.objects.filter(state=TextState.WAITING).exists(), "or this tests nothing"


def test_what_the_others_leave_of_a_round_is_for_the_texts(people, texting, monkeypatch):
    ini, ann, _ben, _cat = people
    process = a_process(step(ann, **texting))
    for _ in range(8):
        submit(process, ini)
    NodeText.objects.update(state=TextState.WAITING, notification=None, sweep_at=timezone.now())
    seconds = count(step=0.5)  # each text takes as long
    for module in ("sweeping", "texting"):
        monkeypatch.setattr(f"approvals.{module}.time", SimpleNamespace(monotonic=lambda: next(seconds)))
    sweep()
    assert not NodeText.objects.filter(state=TextState.WAITING).exists()
