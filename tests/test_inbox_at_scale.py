"""The inbox's lists and counts, the sweep and an action, with many requests: the same few queries, by indexes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from approvals.api import approve, counts, options_for, submit
from approvals.choices import RequestStatus, TaskStatus
from approvals.models import NodeVisit, ProcessVersion, Request, Task
from approvals.sweeping import STEP, of_absent, sweep
from tests.approval_processes import a_process, persons, step, task_of
from tests.services_under_test import broker

__all__ = ["broker"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases, pytest.mark.usefixtures("broker")]

PAGE = 25
#: People of a company, among whom the requests are spread.
STAFF = 200
TABLES = ("approvals_task", "approvals_request", "approvals_nodevisit")


@pytest.fixture
def ini_ann():
    return persons("ini", "ann")


def fill(process: Any, ini: Any, ann: Any, count: int) -> None:
    """Many requests: of each, one task is done, one is pending and one was copied."""
    User = get_user_model()  # noqa: N806
    staff = User.objects.bulk_create([User(username=f"staff{n}") for n in range(STAFF)])
    staff = [ann, *User.objects.filter(pk__in=[user.pk for user in staff])]
    last = submit(process, ini)
    version = ProcessVersion.objects.get()
    now = timezone.now()
    requests = [
        Request(process=process, process_version=version, title=f"Request {n}", initiator=[ini, *staff][n % STAFF])
        for n in range(count)
    ]
    Request.objects.bulk_create(requests, batch_size=2000)
    new = Request.objects.filter(pk__gt=last.pk)
    ids = list(new.order_by("pk").values_list("pk", flat=True))
    NodeVisit.objects.bulk_create(
        [
            NodeVisit(request_id=pk, number=1, round=1, position=0, node_key="a", node_title="A", mode="any")
            for pk in ids
        ],
        batch_size=2000,
    )
    visits = NodeVisit.objects.filter(request__in=new).order_by("request")
    pairs = list(visits.values_list("request", "pk"))
    tasks = []
    for n, (request, visit) in enumerate(pairs):
        user = staff[n % STAFF]
        done = {"status": TaskStatus.APPROVED, "handled_by": user, "closed_at": now}
        for turn, fields in enumerate((done, {"status": TaskStatus.PENDING}, {"status": TaskStatus.COPIED})):
            tasks.append(Task(request_id=request, visit_id=visit, user=staff[(n + turn) % STAFF], **fields))
    Task.objects.bulk_create(tasks, batch_size=2000)
    Task.objects.filter(status=TaskStatus.PENDING, user=ann).update(remind_at=now + timedelta(days=1))
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE")
        elif connection.vendor == "mysql":
            cursor.execute(f"ANALYZE TABLE {', '.join(TABLES)}")


def lists(user: Any) -> dict[str, Any]:
    """A page of each list, and what the sweep asks."""
    now = timezone.now()
    return {
        "todo": Task.objects.todo(user).for_list()[:PAGE],
        "done": Task.objects.done(user).for_list()[:PAGE],
        "copied": Task.objects.copied_to(user).for_list()[:PAGE],
        "started": Request.objects.started_by(user).for_list()[:PAGE],
        "found": Task.objects.todo(user).matching("Request 1").for_list()[:PAGE],
        "to remind": Task.objects.to_remind(now)[:PAGE],
        "to escalate": Task.objects.to_escalate(now)[:PAGE],
        "returned": Request.objects.returned_to(user).for_list()[:PAGE],
        "counted": Task.objects.todo(user),
    }


def queries(do: Callable[[], Any]) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        do()
    return len(captured)


def read_all(user: Any) -> None:
    for name, rows in lists(user).items():
        for row in rows if name != "counted" else ():
            request = row if isinstance(row, Request) else row.request
            assert request.title
            assert request.process.title
            assert str(request.initiator)
    counts(user)


def whole_tables(rows: Any, tables: Sequence[str]) -> list[str]:
    """Where a query reads one of these tables from the first row to the last, as the database plans it."""
    lines = rows.explain().splitlines()
    if connection.vendor == "postgresql":
        return [line for line in lines for table in tables if f"Seq Scan on {table} " in line]
    if connection.vendor == "mysql":
        return [line for line in lines for table in tables if f" {table} ALL " in line]
    return [line for line in lines if "SCAN approvals" in line and "INDEX" not in line]


@pytest.mark.parametrize("size", [400, pytest.param(100_000, marks=pytest.mark.soak)])
def test_the_inbox(size: int, ini_ann: Any) -> None:
    ini, ann = ini_ann
    process = a_process(step(ann), step(ini))
    request = submit(process, ini)
    assert not ann.has_perm("approvals.manage_request")  # Django keeps a user's permissions from now on
    few = queries(lambda: read_all(ann)), queries(lambda: options_for(request, ann)), queries(sweep)
    few_to_act = queries(lambda: approve(task_of(request, ann), ann))
    fill(process, ini, ann, size)
    request = submit(process, ini)
    assert (queries(lambda: read_all(ann)), queries(lambda: options_for(request, ann)), queries(sweep)) == few
    assert queries(lambda: approve(task_of(request, ann), ann)) == few_to_act
    assert len(lists(ann)["todo"]) == min(PAGE, size // STAFF + 1)
    found = counts(ann)
    assert found.todo == Task.objects.filter(user=ann, status=TaskStatus.PENDING).count() > 0
    assert found.done > 0 < found.copied
    if size > 50_000 or connection.vendor == "sqlite":
        for name, rows in lists(ann).items():
            # A search looks at all tasks of one person; PostgreSQL may find it cheaper to read all requests for that.
            assert whole_tables(rows, TABLES[:1] if name == "found" else TABLES) == [], name
    assert Request.objects.filter(status=RequestStatus.RUNNING).count() == size + 3
    assert not any(tasks.exists() for tasks in of_absent())
    get_user_model().objects.filter(username__in=["staff1", "staff2"]).update(is_active=False)
    absent = list(of_absent())
    assert [tasks.exists() for tasks in absent] == [False, True, True]
    if size > 50_000 or connection.vendor == "sqlite":
        assert all("approval_task_open" in tasks[:STEP].explain() for tasks in absent)
