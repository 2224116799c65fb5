"""What an approval process does, node by node."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from inspect import isfunction, signature
from pathlib import Path

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.contrib.auth.models import UserManager
from django.db import connection, transaction
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timezone import localtime

from approvals import api
from approvals.api import approve, options_for, reject, remind, resubmit, resume, send_back, submit, transfer, withdraw
from approvals.choices import (
    CommentPolicy,
    InitiatorPolicy,
    NobodyPolicy,
    NodeKind,
    NodeMode,
    RepeatPolicy,
    RequestStatus,
    RuleSource,
    WithdrawPolicy,
)
from approvals.exceptions import Conflict, NotAllowed, Throttled, UnknownProcess
from approvals.models import Event, Node, ProcessVersion, Request, Task
from approvals.sweeping import sweep
from tests.approval_processes import a_process, add_node, history, persons, statuses, step, task_of, to_do
from tests.people import a_department, a_role
from tests.services_under_test import broker

__all__ = ["broker"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases, pytest.mark.usefixtures("broker")]


@pytest.fixture
def people():
    return dict(zip(names := ["ini", "ann", "ben", "cat", "dan"], persons(*names), strict=True))


@pytest.fixture
def ini(people):
    return people["ini"]


@pytest.fixture
def ann(people):
    return people["ann"]


@pytest.fixture
def ben(people):
    return people["ben"]


@pytest.fixture
def cat(people):
    return people["cat"]


@pytest.fixture
def dan(people):
    return people["dan"]


@pytest.fixture
def admin():
    return get_user_model().objects.create_superuser("root")


def test_a_request_goes_from_node_to_node_to_its_end(ini, ann, ben, cat):
    process = a_process(step(ann), step(cat, kind=NodeKind.CC), step(ben))
    request = submit(process, ini, title="Lisbon", data={"days": 3})
    assert (request.status, request.title, request.data) == (RequestStatus.RUNNING, "Lisbon", {"days": 3})
    assert to_do(request) == ["ann"]
    task = approve(task_of(request, ann), ann, "Have fun")
    assert task.status == "approved"
    assert to_do(request) == ["ben"]
    task = approve(task_of(request, ben).pk, ben)
    assert task.request.status == RequestStatus.APPROVED
    assert task.request.finished_at
    assert statuses(request) == [("ann", "approved"), ("cat", "copied"), ("ben", "approved")]
    assert history(request) == [
        "submitted by ini",
        "reached",
        "approved by ann",
        "copied",
        "reached",
        "approved by ben",
        "finished",
    ]
    assert request.events.get(kind="approved", actor=ann).comment == "Have fun"


def test_any_one_approval_suffices_and_cancels_the_others(ini, ann, ben, cat):
    request = submit(a_process(step(a_role("board", [ann, ben, cat]))), ini)
    assert to_do(request) == ["ann", "ben", "cat"]
    approve(task_of(request, ben), ben)
    assert statuses(request) == [("ann", "cancelled"), ("ben", "approved"), ("cat", "cancelled")]
    assert Request.objects.get().status == RequestStatus.APPROVED
    with pytest.raises(Conflict, match=r"Already approved by Ben Lee\.") as conflict:
        approve(Task.objects.get(user=ann), ann)
    assert conflict.value.event == Event.objects.get(kind="approved")


def test_all_must_approve(ini, ann, ben, cat):
    request = submit(a_process(step(ann, ben, cat, mode=NodeMode.ALL)), ini)
    for user, waiting in [(ben, ["ann", "cat"]), (ann, ["cat"]), (cat, [])]:
        assert Request.objects.get().status == RequestStatus.RUNNING
        approve(task_of(request, user), user)
        assert to_do(request) == waiting
    assert Request.objects.get().status == RequestStatus.APPROVED


def test_one_after_the_other_in_the_order_of_the_rules(ini, ann, ben, cat):
    request = submit(a_process(step(cat, ann, ben, mode=NodeMode.SEQUENTIAL)), ini)
    assert to_do(request) == ["cat"]
    with pytest.raises(NotAllowed, match="not your turn"):
        approve(Task.objects.get(user=ann), ann)
    approve(task_of(request, cat), cat)
    assert to_do(request) == ["ann"]
    approve(task_of(request, ann), ann)
    assert to_do(request) == ["ben"]
    approve(task_of(request, ben), ben)
    assert Request.objects.get().status == RequestStatus.APPROVED


@pytest.mark.parametrize("mode", NodeMode.values)
def test_one_rejection_ends_the_request_in_every_mode(ini, ann, ben, mode):
    request = submit(a_process(step(ann, ben, mode=mode), step(ann)), ini)
    reject(task_of(request, ann), ann, "Too dear")
    request.refresh_from_db()
    assert (request.status, to_do(request)) == (RequestStatus.REJECTED, [])
    assert statuses(request) == [("ann", "rejected"), ("ben", "cancelled")]
    with pytest.raises(Conflict, match="Already rejected by Ann Lee"):
        withdraw(request, ini)


def test_only_whom_it_concerns_can_act(ini, ann, ben, cat):
    request = submit(a_process(step(ann), step(cat, kind=NodeKind.CC), step(ben)), ini)
    with pytest.raises(NotAllowed, match="somebody else's"):
        approve(task_of(request, ann), ben)
    approve(task_of(request, ann), ann)
    with pytest.raises(NotAllowed, match="only informed"):
        approve(Task.objects.get(user=cat), cat)
    with pytest.raises(NotAllowed, match="Only the initiator"):
        withdraw(request, ben)
    with pytest.raises(NotAllowed, match="Only the initiator"):
        remind(request, ben)
    ben.is_active = False
    with pytest.raises(NotAllowed, match="deactivated"):
        approve(task_of(request, ben), ben)
    with pytest.raises(Task.DoesNotExist):
        approve(0, ann)
    with pytest.raises(Request.DoesNotExist):
        withdraw(0, ini)


def test_processes_that_take_no_requests(ini, ann):
    with pytest.raises(UnknownProcess):
        submit("nothing", ini)
    with pytest.raises(NotAllowed, match="no steps"):
        submit(a_process(key="empty"), ini)
    with pytest.raises(NotAllowed, match="no new requests"):
        submit(a_process(step(ann), is_active=False), ini)
    assert not Request.objects.exists()


# Returns and rounds


def test_returned_to_an_earlier_node_everybody_from_there_on_is_asked_again(ini, ann, ben, cat):
    request = submit(
        a_process(step(ann), step(ann, ben, mode=NodeMode.ALL), step(ini, kind=NodeKind.CC), step(cat)), ini
    )
    approve(task_of(request, ann), ann)
    approve(task_of(request, ben), ben)
    approve(task_of(request, ann), ann)
    assert [node.key for node in options_for(request, cat).return_targets] == ["step-1", "step-2"]
    send_back(task_of(request, cat), cat, to="step-2", comment="Once more")
    request.refresh_from_db()
    assert (request.round, request.status, to_do(request)) == (2, RequestStatus.RUNNING, ["ann", "ben"])
    for user in (ann, ben, cat):
        approve(task_of(request, user), user)
    assert Request.objects.get().status == RequestStatus.APPROVED
    assert [status for name, status in statuses(request) if name == "ini"] == ["copied", "copied"]


def test_a_return_names_an_earlier_node_that_has_approved(ini, ann, ben):
    process = a_process(step(ann), step(ben), step(ann))
    request = submit(process, ini)
    for to in ("step-1", "step-2", "nowhere", process.nodes.get(key="step-3")):
        with pytest.raises(NotAllowed, match="earlier step"):
            send_back(task_of(request, ann), ann, to=to)
    approve(task_of(request, ann), ann)
    send_back(task_of(request, ben), ben, to=process.nodes.get(key="step-1"))
    assert to_do(request) == ["ann"]


def test_returned_to_the_initiator_and_submitted_again(ini, ann, ben, admin):
    request = submit(a_process(step(ann, ben, mode=NodeMode.ALL), step(ann)), ini, data={"days": 9})
    approve(task_of(request, ben), ben)
    task = send_back(task_of(request, ann), ann, comment="Fewer days")
    assert (task.status, task.request.status) == ("returned", RequestStatus.RETURNED)
    for other in (ann, admin):  # what is asked for is the initiator's own, whoever may withdraw it
        with pytest.raises(NotAllowed, match="Only the initiator"):
            resubmit(request, other)
    request = resubmit(request, ini, title="", data={"days": 3}, comment="Three will do")
    assert request.title == "Travel", "the process's, where none is given"
    assert (request.round, request.data, request.status) == (2, {"days": 3}, RequestStatus.RUNNING)
    assert to_do(request) == ["ann", "ben"]
    with pytest.raises(Conflict, match="Already submitted again by Ini Lee"):
        resubmit(request, ini)


def test_what_has_been_approved_earlier_in_the_round_may_count(ini, ann, ben, cat):
    process = a_process(
        step(ann), step(ann, ben, mode=NodeMode.ALL, repeat_policy=RepeatPolicy.PASS), step(cat), key="all"
    )
    request = submit(process, ini)
    approve(task_of(request, ann), ann)
    assert to_do(request) == ["ben"]
    approve(task_of(request, ben), ben)
    send_back(task_of(request, cat), cat, to="step-2")
    assert to_do(request) == ["ann", "ben"], "what was approved before the return counts no more"
    one = a_process(step(ann), step(ben, ann, repeat_policy=RepeatPolicy.PASS), step(cat), key="any")
    request = submit(one, ini)
    approve(task_of(request, ann), ann)
    assert to_do(request) == ["cat"]
    assert "approved_before" in history(request)


@pytest.mark.parametrize("mode", [NodeMode.ALL, NodeMode.SEQUENTIAL])
def test_where_all_have_approved_before_the_node_is_done(ini, ann, ben, mode):
    process = a_process(step(ann), step(ben), step(ann, ben, mode=mode, repeat_policy=RepeatPolicy.PASS))
    request = submit(process, ini)
    approve(task_of(request, ann), ann)
    approve(task_of(request, ben), ben)
    assert Request.objects.get().status == RequestStatus.APPROVED


# Transfers


def test_a_transferred_task_is_somebody_elses(ini, ann, ben, cat):
    request = submit(a_process(step(ann, ben, mode=NodeMode.SEQUENTIAL)), ini)
    transfer(task_of(request, ann), ann, cat, "Away")
    assert to_do(request) == ["cat"]
    with pytest.raises(Conflict, match="Already transferred to Cat Lee by Ann Lee"):
        approve(Task.objects.get(user=ann), ann)
    transfer(task_of(request, cat), cat, ann, "Back again")
    approve(task_of(request, ann), ann)
    assert to_do(request) == ["ben"]


def test_who_cannot_be_given_a_task(ini, ann, ben, cat):
    process = a_process(step(ann, ben, mode=NodeMode.ALL, initiator_policy=InitiatorPolicy.LEAVE_OUT))
    request = submit(process, ini)
    task = task_of(request, ann)
    for to, why in ((ann, "already"), (ben, "already"), (ini, "initiator")):
        with pytest.raises(NotAllowed, match=why):
            transfer(task, ann, to)
    cat.is_active = False
    with pytest.raises(NotAllowed, match="deactivated"):
        transfer(task, ann, cat)
    assert to_do(request) == ["ann", "ben"]


def test_what_a_node_does_not_allow(ini, ann, ben, admin):
    request = submit(a_process(step(ann, may_return=False, may_transfer=False)), ini)
    task = task_of(request, ann)
    with pytest.raises(NotAllowed, match="returned"):
        send_back(task, ann)
    with pytest.raises(NotAllowed, match="transferred"):
        transfer(task, ann, ben)
    options = options_for(request, ann)
    assert (options.task, options.can_return, options.transferable) == (task, False, ())
    assert options_for(request, admin).transferable == (task,)
    transfer(task, admin, ben)  # administrators can, or the task would be stuck
    assert to_do(request) == ["ben"]
    assert Task.objects.get(pk=task.pk).handled_by == admin


@pytest.mark.parametrize(
    ("field", "act"),
    [
        ("approve_comment", approve),
        ("reject_comment", reject),
        ("return_comment", lambda task, actor, comment: send_back(task, actor, comment=comment)),
        ("transfer_comment", lambda task, actor, comment: transfer(task, actor, task.request.initiator, comment)),
    ],
)
def test_comments_per_action(ini, ann, field, act):
    for policy, refused, taken in (
        (CommentPolicy.REQUIRED, ["", "  "], "Because"),
        (CommentPolicy.NONE, ["Because"], ""),
        (CommentPolicy.OPTIONAL, [], ""),
    ):
        request = submit(a_process(step(ann, **{field: policy}), key=policy), ini)
        task = task_of(request, ann)
        for comment in refused:
            with pytest.raises(NotAllowed, match="omment"):
                act(task, ann, comment)
        act(task, ann, taken)
        assert Task.objects.get(pk=task.pk).closed_by.comment == taken


# Withdrawal and reminders


@pytest.mark.parametrize(
    ("policy", "before", "after"),
    [
        (WithdrawPolicy.WHILE_RUNNING, True, True),
        (WithdrawPolicy.UNTIL_FIRST_APPROVAL, True, False),
        (WithdrawPolicy.NEVER, False, False),
    ],
)
def test_until_when_a_request_can_be_withdrawn(ini, ann, ben, policy, before, after):
    process = a_process(step(ann), step(ben), withdraw_policy=policy)
    for approved, may in ((False, before), (True, after)):
        request = submit(process, ini)
        if approved:
            approve(task_of(request, ann), ann)
        assert options_for(request, ini).can_withdraw is may
        if may:
            request = withdraw(request, ini, "Not needed")
            assert (request.status, to_do(request)) == (RequestStatus.WITHDRAWN, [])
            with pytest.raises(Conflict, match="Already withdrawn by Ini Lee"):
                approve(Task.objects.filter(request=request).last(), [ann, ben][approved])
        else:
            with pytest.raises((Conflict, NotAllowed), match="cannot be withdrawn"):
                withdraw(request, ini)


def test_an_approval_that_a_return_leaves_standing_still_keeps_the_initiator_from_withdrawing(ini, ann, ben, cat):
    process = a_process(step(ann), step(ben), step(cat), withdraw_policy=WithdrawPolicy.UNTIL_FIRST_APPROVAL)
    request = submit(process, ini)
    approve(task_of(request, ann), ann)
    approve(task_of(request, ben), ben)
    send_back(task_of(request, cat), cat, to="step-2")
    request.refresh_from_db()
    assert not options_for(request, ini).can_withdraw
    with pytest.raises(Conflict, match="Already approved by Ann Lee"):
        withdraw(request, ini)
    approve(task_of(request, ben), ben)
    send_back(task_of(request, cat), cat, to="step-1")
    request.refresh_from_db()
    assert options_for(request, ini).can_withdraw, "whoever has approved is asked again"


def test_until_the_first_approval_begins_anew_where_all_are_asked_again(ini, ann, ben):
    process = a_process(step(ann), step(ben), withdraw_policy=WithdrawPolicy.UNTIL_FIRST_APPROVAL)
    request = submit(process, ini)
    approve(task_of(request, ann), ann)
    send_back(task_of(request, ben), ben)
    resubmit(request, ini)
    request.refresh_from_db()
    assert options_for(request, ini).can_withdraw
    approve(task_of(request, ann), ann)
    assert not options_for(request, ini).can_withdraw
    with pytest.raises(Conflict, match="Already approved by Ann Lee"):
        withdraw(request, ini)
    send_back(task_of(request, ben), ben, to="step-1")
    assert withdraw(request, ini).status == RequestStatus.WITHDRAWN


def test_the_documented_functions_have_all_their_arguments():
    page = (Path(__file__).parent.parent / "docs" / "approvals.md").read_text()
    documented = dict(re.findall(r"^\| `(\w+)\((.*)\)` \|", page, re.MULTILINE))
    for name in api.__all__:
        if isfunction(function := getattr(api, name)):
            arguments = re.findall(r"(\w+)(?:=[^,]+)?(?:, |$)", documented[name])
            assert arguments == list(signature(function).parameters), name


def test_the_readmes_example_runs(ini, ann):
    a_process(step(ann))
    chapter = (Path(__file__).parent.parent / "README.md").read_text().partition("\n## Approvals\n")[2]
    names = {"user": ini, "manager": ann, "trip": ini}
    exec(re.search(r"```python\n(.*?)```", chapter, re.DOTALL)[1], names)
    names["travel"].refresh_from_db()
    assert names["travel"].status == RequestStatus.APPROVED


def test_administrators_can_withdraw_what_the_initiator_cannot(ini, ann, admin):
    request = submit(a_process(step(ann), withdraw_policy=WithdrawPolicy.NEVER), ini)
    assert options_for(request, admin).can_withdraw
    assert withdraw(request, admin).status == RequestStatus.WITHDRAWN


def test_the_initiators_reminder_is_throttled_and_says_until_when(ini, ann):
    process = a_process(step(ann), remind_interval=timedelta(hours=2))
    request = submit(process, ini)
    assert options_for(request, ini).can_remind
    with time_machine.travel(timezone.now(), tick=False) as clock:
        first = timezone.now()
        remind(request, ini)
        clock.shift(timedelta(hours=1, minutes=59))
        with pytest.raises(Throttled, match="possible from") as throttled:
            remind(request, ini)
        assert throttled.value.until == first + timedelta(hours=2)
        clock.move_to(throttled.value.until, tick=False)
        remind(request, ini)
    assert history(request).count("reminded by ini") == 2
    approve(task_of(request, ann), ann)
    with pytest.raises(Conflict, match="Already approved by Ann Lee"):
        remind(request, ini)


def test_the_time_that_is_named_for_the_next_reminder_is_not_too_early(ini, ann):
    request = submit(a_process(step(ann), remind_interval=timedelta(hours=2)), ini)
    with time_machine.travel(datetime(2026, 3, 1, 10, 0, 30, tzinfo=UTC), tick=False) as clock:
        request = remind(request, ini)
        options = options_for(request, ini)
        assert (options.can_remind, options.remind_from) == (False, datetime(2026, 3, 1, 12, 1, tzinfo=UTC))
        with pytest.raises(Throttled) as throttled:
            remind(request, ini)
        named = throttled.value.args[0]
        assert date_format(localtime(datetime(2026, 3, 1, 12, 1, tzinfo=UTC)), "DATETIME_FORMAT") in named
        clock.move_to(options_for(request, ini).remind_from, tick=False)
        remind(request, ini)


# Who


def test_where_people_come_from(ini, ann, ben, cat, dan, settings):
    company = a_department("Company", [ann])
    office = a_department("Office", [ben, ini], below=company)
    company.head, office.head = cat, dan
    company.save()
    office.save()
    ini.save()  # PostgreSQL finds it last from now on, where nobody asks for an order
    cases = {
        "user": ({"source": RuleSource.USER, "user": cat}, ["cat"]),
        "department": ({"source": RuleSource.DEPARTMENT, "department": company}, ["ini", "ann", "ben"]),
        "alone": (
            {"source": RuleSource.DEPARTMENT, "department": company, "include_subdepartments": False},
            ["ann"],
        ),
        "head": ({"source": RuleSource.DEPARTMENT_HEAD, "department": company}, ["cat"]),
        "role": ({"source": RuleSource.ROLE, "group": a_role("board", [dan, cat])}, ["cat", "dan"]),
        "initiator": ({"source": RuleSource.INITIATOR}, ["ini"]),
        "field": ({"source": RuleSource.SUBJECT_FIELD, "subject_field": "head"}, ["dan"]),
        "path": ({"source": RuleSource.SUBJECT_FIELD, "subject_field": "members"}, ["ini", "ben"]),
        "resolver": ({"source": RuleSource.RESOLVER, "resolver": "initiator-department-head"}, ["dan"]),
    }
    for name, (rule, expected) in cases.items():
        request = submit(a_process(step(rule, mode=NodeMode.ALL), key=name), ini, subject=office)
        assert to_do(request) == expected, name
        assert request.subject == office
    assert Request.objects.about(office).count() == len(cases)


@pytest.mark.parametrize(
    "query",
    [
        lambda users: users,
        lambda users: users[:9],  # of fewer than there are, it could be any
        lambda users: users.filter(username="ann").union(users.filter(username="ben")),
        pytest.param(
            lambda users: users.distinct("username"),
            marks=pytest.mark.skipif(connection.vendor != "postgresql", reason="Only PostgreSQL has DISTINCT ON."),
        ),
    ],
    ids=["all", "sliced", "union", "distinct"],
)
def test_people_of_a_query_without_an_order_are_asked_in_one(ini, ann, ben, functions, query):
    ann.save()
    functions.resolver("both")(lambda request, approver=None: query(type(ann).objects.exclude(pk=ini.pk)))
    process = a_process(step({"source": RuleSource.RESOLVER, "resolver": "both"}, mode=NodeMode.SEQUENTIAL))
    assert to_do(submit(process, ini)) == ["ann"]


@pytest.mark.parametrize("found", ["one", "several", "field"])
def test_what_is_no_user_pauses_the_request(ini, ann, functions, found, caplog):
    """Its primary key may be somebody's."""
    office = a_department("Office", [ann])
    functions.resolver("departments")(lambda request, approver=None: office if found == "one" else [office])
    rule = {"source": RuleSource.RESOLVER, "resolver": "departments"}
    if found == "field":
        rule = {"source": RuleSource.SUBJECT_FIELD, "subject_field": "departments"}
    request = submit(a_process(step(rule)), ini, subject=ann)
    assert to_do(request) == []
    assert list(Request.objects.paused()) == [request]
    assert "are users, not" in caplog.text


def test_everybody_once_and_only_who_is_active(ini, ann, ben, cat):
    role = a_role("board", [ann, ben, cat])
    cat.is_active = False
    cat.save()
    request = submit(a_process(step(ben, role, a_department("Office", [ann, ben]), mode=NodeMode.ALL)), ini)
    assert to_do(request) == ["ben", "ann"]


def test_approvers_whom_a_default_manager_hides_are_asked(ini, ann, ben, monkeypatch):
    """Else a node that all have to approve would be approved without them."""

    class InTheOffice(UserManager):
        def get_queryset(self):
            return super().get_queryset().exclude(username="ben")

    manager = InTheOffice()
    manager.model = get_user_model()
    monkeypatch.setattr(get_user_model()._meta, "default_manager", manager)
    assert not get_user_model()._default_manager.filter(pk=ben.pk).exists()
    request = submit(a_process(step(ann, ben, mode=NodeMode.ALL)), ini)
    assert to_do(request) == ["ann", "ben"]
    approve(task_of(request, ann), ann)
    assert Request.objects.get().status == RequestStatus.RUNNING
    approve(task_of(request, ben), ben)
    assert Request.objects.get().status == RequestStatus.APPROVED


def test_approvers_are_found_when_the_node_is_reached(ini, ann, ben, cat):
    role = a_role("board", [ben])
    request = submit(a_process(step(ann), step(role)), ini)
    cat.groups.add(role)
    ben.groups.clear()
    approve(task_of(request, ann), ann)
    assert to_do(request) == ["cat"]


@pytest.mark.parametrize(
    ("policy", "asked"),
    [
        (InitiatorPolicy.ASK, ["ini", "ann"]),
        (InitiatorPolicy.LEAVE_OUT, ["ann"]),
        (InitiatorPolicy.HEAD, ["dan", "ann"]),
    ],
)
def test_the_initiator_among_the_approvers(ini, ann, dan, policy, asked):
    above = a_department("Company")
    above.head = dan
    above.save()
    office = a_department("Office", [ini], below=above)
    office.head = ini  # who heads their own department is led to the head of what is above
    office.save()
    request = submit(a_process(step(ini, ann, mode=NodeMode.ALL, initiator_policy=policy)), ini)
    assert to_do(request) == asked


def test_with_nobody_found_a_request_pauses_until_an_administrator_resumes_it(ini, ann, ben, admin):
    role = a_role("board")
    request = submit(a_process(step(ann), step(role), step(ben)), ini)
    approve(task_of(request, ann), ann)
    assert list(Request.objects.paused()) == [request]
    assert (Request.objects.get().status, to_do(request)) == (RequestStatus.RUNNING, [])
    assert options_for(request, admin).can_resume
    assert not options_for(request, ini).can_resume
    with pytest.raises(NotAllowed, match="Only administrators"):
        resume(request, ini)
    with pytest.raises(NotAllowed, match="nobody to remind"):
        remind(request, ini)
    resume(request, admin)
    assert list(Request.objects.paused()) == [request], "there is still nobody"
    ann.groups.add(role)
    resume(request, admin)
    assert to_do(request) == ["ann"]
    assert not Request.objects.paused()
    with pytest.raises(Conflict, match="Already resumed by root"):
        resume(request, admin)


def test_an_administrator_can_say_who_is_asked(ini, ann, admin):
    request = submit(a_process(step(a_role("board"))), ini)
    resume(request, admin, users=[ann])
    assert to_do(request) == ["ann"]
    approve(task_of(request, ann), ann)
    assert Request.objects.get().status == RequestStatus.APPROVED


@pytest.mark.parametrize("policy", [InitiatorPolicy.LEAVE_OUT, InitiatorPolicy.HEAD])
def test_where_the_initiator_is_left_out_no_administrator_can_ask_them(ini, ann, admin, policy):
    request = submit(a_process(step(a_role("board"), initiator_policy=policy)), ini)
    with pytest.raises(NotAllowed, match="initiator cannot decide"):
        resume(request, admin, users=[ann, ini])
    assert list(Request.objects.paused()) == [request]
    resume(request, admin, users=[ann, ann])
    assert to_do(request) == ["ann"], "each person once"


def test_an_initiator_may_get_a_copy_of_their_own_request(ini, ann, admin, functions):
    process = a_process(
        step(ann, kind=NodeKind.CC, condition="unheard-of", initiator_policy=InitiatorPolicy.LEAVE_OUT), step(ann)
    )
    request = submit(process, ini)
    resume(request, admin, users=[ini])
    assert statuses(request) == [("ini", "copied"), ("ann", "pending")]


def test_a_paused_request_can_be_withdrawn(ini):
    request = submit(a_process(step(a_role("board"))), ini)
    assert withdraw(request, ini).status == RequestStatus.WITHDRAWN
    assert not Request.objects.paused()


def test_with_nobody_found_a_request_may_pass(ini, ann):
    request = submit(a_process(step(a_role("board"), nobody_found=NobodyPolicy.PASS), step(ann)), ini)
    assert to_do(request) == ["ann"]
    assert "passed" in history(request)


def test_with_nobody_found_the_administrators_may_be_asked(ini, admin):
    other = get_user_model().objects.create_superuser("root2")
    process = a_process(step(a_role("board"), nobody_found=NobodyPolicy.ADMINS, mode=NodeMode.ALL))
    request = submit(process, ini)
    assert to_do(request) == ["root", "root2"]
    approve(task_of(request, other), other)
    assert Request.objects.get().status == RequestStatus.APPROVED, "one of them is enough"


@pytest.mark.parametrize("policy", [InitiatorPolicy.LEAVE_OUT, InitiatorPolicy.HEAD])
def test_an_administrator_who_is_the_initiator_does_not_stand_in_for_others(admin, policy):
    node = step(a_role("board"), nobody_found=NobodyPolicy.ADMINS, initiator_policy=policy)
    request = submit(a_process(node), admin)
    assert (to_do(request), list(Request.objects.paused())) == ([], [request])
    get_user_model().objects.create_superuser("root2")
    resume(request, admin)
    assert to_do(request) == ["root2"]


def test_a_copy_to_nobody_holds_nothing_up(ini, ann):
    request = submit(a_process(step(a_role("board"), kind=NodeKind.CC), step(ann)), ini)
    assert to_do(request) == ["ann"]


# Functions of the project


@pytest.fixture
def functions(monkeypatch):
    from approvals import registry

    monkeypatch.setattr(registry, "_predicates", dict(registry._predicates))
    monkeypatch.setattr(registry, "_resolvers", dict(registry._resolvers))
    return registry


def test_a_node_whose_condition_does_not_hold_is_skipped(ini, ann, ben, functions):
    @functions.predicate("large")
    def large(request):
        return request.data["amount"] > 100

    process = a_process(step(ann, condition="large"), step(ben))
    assert to_do(submit(process, ini, data={"amount": 100})) == ["ben"]
    assert to_do(submit(process, ini, data={"amount": 101})) == ["ann"]


@pytest.mark.parametrize("failure", ["raises", "breaks the transaction", "is not registered"])
@pytest.mark.parametrize("function", ["predicate", "resolver"])
def test_a_function_that_fails_pauses_the_request(ini, ann, ben, admin, functions, failure, function):
    broken = True

    def function_of_the_project(request, **kwargs):
        if broken and failure == "raises":
            raise KeyError("secret")
        if broken:
            Node.objects.create(process=process, key="step-1")  # there is one already
        return True if function == "predicate" else ben

    if failure != "is not registered":
        getattr(functions, function)("fragile")(function_of_the_project)
    rule = {"source": RuleSource.RESOLVER, "resolver": "fragile"}
    nodes = {"predicate": step(ben, condition="fragile"), "resolver": step(rule)}
    process = a_process(step(ann, key="first"), {**nodes[function], "key": "step-1"})
    request = submit(process, ini)
    approve(task_of(request, ann), ann)
    assert list(Request.objects.paused()) == [request]
    assert "secret" not in str(list(Event.objects.values()))
    if failure == "is not registered":
        getattr(functions, function)("fragile")(function_of_the_project)
    broken = False
    resume(request, admin)
    assert to_do(request) == ["ben"]


def test_a_name_is_registered_once(functions):
    functions.predicate("mine")(lambda request: True)
    with pytest.raises(ValueError, match="registered already"):
        functions.predicate("mine")(len)
    assert ("mine", "mine") in functions.predicate_choices()


# Snapshots


def test_edits_of_a_process_do_not_disturb_running_requests(ini, ann, ben, cat):
    process = a_process(step(ann), step(ben), title="Travel")
    request = submit(process, ini)
    process.title = "Journeys"
    process.save()
    process.nodes.all().delete()
    add_node(process, cat, mode=NodeMode.ALL)
    process.is_active = False
    process.save()
    approve(task_of(request, ann), ann)
    assert to_do(request) == ["ben"]
    approve(task_of(request, ben), ben)
    request = Request.objects.get()
    assert (request.status, request.definition.title) == (RequestStatus.APPROVED, "Travel")


def test_requests_between_two_edits_share_a_version(ini, ann):
    process = a_process(step(ann))
    submit(process, ini)
    submit("travel", ini)
    assert ProcessVersion.objects.count() == 1
    process.nodes.update(title="Anew")
    submit(process, ini)
    assert ProcessVersion.objects.count() == 2


# People who leave


def leave(user, how):
    if how == "deleted":
        user.delete()
    else:
        user.is_active = False
        user.save()


@pytest.mark.parametrize("how", ["deleted", "deactivated"])
def test_an_approver_who_leaves_is_not_waited_for_where_another_one_suffices(ini, ann, ben, how):
    role = a_role("board", [ann, ben])
    request = submit(a_process(step(role)), ini)
    leave(ann, how)
    sweep()
    assert to_do(request) == ["ben"]
    assert not Request.objects.paused()
    approve(task_of(request, ben), ben)
    assert Request.objects.get().status == RequestStatus.APPROVED
    assert Task.objects.get(order=0).user_name == "Ann Lee"


@pytest.mark.parametrize("how", ["deleted", "deactivated"])
@pytest.mark.parametrize("mode", NodeMode.values)
def test_an_approver_who_leaves_and_is_needed_pauses_the_request(ini, ann, ben, cat, admin, mode, how):
    role = a_role("board", [ann])
    process = a_process(step(role, mode=mode) if mode == NodeMode.ANY else step(ben, role, mode=mode), step(cat))
    request = submit(process, ini)
    if mode != NodeMode.ANY:
        approve(task_of(request, ben), ben)
    leave(ann, how)
    sweep()
    sweep()
    assert list(Request.objects.paused()) == [request]
    assert history(request).count("left") == 1
    resume(request, admin, users=[cat])
    approve(task_of(request, cat), cat)
    assert Request.objects.get().current_node.key == "step-2"


def test_whoever_left_can_be_passed_over_or_replaced_by_an_administrator(ini, ann, ben, admin):
    passing = a_process(step(ann, ben, mode=NodeMode.ALL, nobody_found=NobodyPolicy.PASS), key="pass")
    replacing = a_process(step(ann, ben, mode=NodeMode.ALL, nobody_found=NobodyPolicy.ADMINS), key="admins")
    requests = [submit(process, ini) for process in (passing, replacing)]
    leave(ann, "deactivated")
    sweep()
    assert [to_do(request) for request in requests] == [["ben"], ["root", "ben"]]
    approve(task_of(requests[0], ben), ben)
    leave(ben, "deactivated")
    sweep()
    assert Request.objects.get(pk=requests[0].pk).status == RequestStatus.APPROVED


def test_an_administrator_who_has_approved_is_not_asked_in_the_place_of_somebody_else(ini, ann, ben, admin):
    """Their approval would count twice."""
    process = a_process(step(ann, ben, mode=NodeMode.ALL, nobody_found=NobodyPolicy.ADMINS))
    request = submit(process, ini)
    leave(ann, "deactivated")
    sweep()
    approve(task_of(request, admin), admin)
    leave(ben, "deactivated")
    sweep()
    assert (to_do(request), list(Request.objects.paused())) == ([], [request])
    other = get_user_model().objects.create_superuser("root2")
    resume(request, admin, users=[other])
    approve(task_of(request, other), other)
    assert Request.objects.get().status == RequestStatus.APPROVED


def test_a_request_outlives_its_initiator(ini, ann):
    request = submit(a_process(step(ann)), ini)
    ini.delete()
    approve(task_of(request, ann), ann)
    request.refresh_from_db()
    assert (request.status, request.initiator, request.initiator_name) == (RequestStatus.APPROVED, None, "Ini Lee")


# The history and transactions


def test_the_history_cannot_be_changed(ini, ann):
    submit(a_process(step(ann)), ini)
    event = Event.objects.first()
    for change in (event.save, event.delete, Event.objects.all().delete, lambda: Event.objects.update(comment="x")):
        with pytest.raises(TypeError, match="append-only"):
            change()


def test_a_rollback_of_the_caller_leaves_nothing(ini, ann):
    process = a_process(step(ann))
    with transaction.atomic():
        submit(process, ini)
        transaction.set_rollback(True)
    assert not Request.objects.exists()
    request = submit(process, ini)
    with transaction.atomic():
        approve(task_of(request, ann), ann)
        transaction.set_rollback(True)
    assert to_do(request) == ["ann"]


def test_everything_works_within_a_transaction_of_the_caller(ini, ann, ben):
    with transaction.atomic():
        request = submit(a_process(step(ann), step(ben)), ini)
        approve(task_of(request, ann), ann)
        with pytest.raises(Conflict):
            approve(Task.objects.get(user=ann), ann)
        approve(task_of(request, ben), ben)
    assert Request.objects.get().status == RequestStatus.APPROVED


def test_who_sees_a_request(ini, ann, ben, cat, dan, admin):
    request = submit(a_process(step(ann), step(cat, kind=NodeKind.CC), step(ben)), ini)
    approve(task_of(request, ann), ann)
    seeing = [user for user in (ini, ann, ben, cat, dan, admin) if request in Request.objects.visible_to(user)]
    assert seeing == [ini, ann, ben, cat, admin]


def test_whoever_handled_a_task_of_somebody_else_keeps_seeing_its_request(ini, ann, ben, cat, admin):
    request = submit(a_process(step(ann)), ini)
    transfer(task_of(request, ann), admin, ben)
    for user in (admin, cat):  # no administrator any more
        get_user_model().objects.filter(pk=user.pk).update(is_superuser=False)
        user.refresh_from_db()
    assert [user for user in (admin, cat) if request in Request.objects.visible_to(user)] == [admin]
