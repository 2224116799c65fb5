"""Approvals where the host project's users have UUIDs as keys, e-mail addresses as names, and no names besides."""

from __future__ import annotations

import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from approvals.api import approve, counts, resubmit, send_back, submit, transfer
from approvals.choices import NobodyPolicy, NodeKind, NodeMode, RuleSource
from approvals.models import Request, Task
from approvals.starting import start
from approvals.sweeping import sweep
from notifications.models import Department
from sms_services.models import SandboxSms, SmsMessage
from tests.approval_processes import a_process, an_approval_template, step, task_of
from tests.workers import Project

PHONE = "+86 138 0000 000%d"
NAMES = ("ini", "ann", "ben", "cat", "dan")


def approve_something() -> dict[str, Any]:
    """A request that is transferred, returned, escalated, left by somebody, and approved at last."""
    create = get_user_model().objects.create
    ini, ann, ben, cat, dan = (
        create(
            pk=uuid.UUID(int=(number + 10) << 96), email=f"{name}@example.org", nick=name.title(), phone=PHONE % number
        )
        for number, name in enumerate(NAMES)
    )
    root = create(email="root@example.org", nick="Root", is_superuser=True)
    role = Group.objects.create(name="Board")
    role.user_set.add(ben, cat)
    office = Department.objects.add_root({"name": "Office"})
    office.members.add(ini)
    Department.objects.filter(pk=office.pk).update(head=ann)
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox")
    texting = {"sms_service": service, "sms_template": an_approval_template(service)}
    head = {"source": RuleSource.RESOLVER, "resolver": "initiator-department-head"}
    late = {"escalate_after": timedelta(hours=1), "escalate_to": dan}
    process = a_process(
        step(head, **texting),
        step(role, mode=NodeMode.ALL, **late, **texting),
        step({"source": RuleSource.SUBJECT_FIELD, "subject_field": "head"}, nobody_found=NobodyPolicy.ADMINS),
        step(dan, kind=NodeKind.CC, **texting),
    )
    request = submit(process, ini, subject=Department.objects.get(pk=office.pk))
    transfer(task_of(request, ann), ann, cat)
    send_back(task_of(request, cat), cat)
    resubmit(request, ini)
    approve(task_of(request, ann), ann)
    approve(task_of(request, ben), ben)
    Task.objects.filter(user=cat).update(escalate_at=timezone.now())
    sweep()
    approve(task_of(request, dan), dan)
    ann.delete()
    sweep()  # nobody is left there, so an administrator is asked
    shown = visit(root, request, find="dan")
    found = f'value="{dan.pk}"' in shown.text
    moved = visit(root, request, "transfer", task=task_of(request, root), to=str(ben.pk))
    elsewhere = start(process, ini, title="Another", reason="", key=uuid.uuid4())
    hidden = visit(cat, elsewhere)
    todo = counts(ben).todo
    approve(task_of(request, ben), ben)
    request.refresh_from_db()
    return {
        "pages": (shown.status_code, found, moved.status_code, hidden.status_code),
        "todo": todo,
        "status": request.status,
        "tasks": [(row.user_name.split("@")[0], row.status) for row in request.tasks.order_by("pk")],
        "texts": SmsMessage.objects.filter(status="sent").count(),
    }


def visit(user: Any, request: Request, action: str = "", task: Any = None, **data: str) -> Any:
    """The request's page, or what becomes of a button on it."""
    client = Client(headers={"host": "localhost"})
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    if action:
        return client.post(f"/approvals/tasks/{task.pk}/{action}/", data)
    return client.get(f"/approvals/requests/{request.pk}/", data)


def test_a_request_goes_its_way(postgresql_url: str, tmp_path: Path) -> None:
    settings = {"DJANGO_SETTINGS_MODULE": "tests.uuid_users.settings"}
    with Project(tmp_path, database=postgresql_url, broker="filesystem://localhost", **settings) as project:
        told = project.console().call(approve_something)
    assert told == {
        "pages": (200, True, 302, 404),
        "todo": 1,
        "status": "approved",
        "tasks": [
            ("ann", "transferred"),
            ("cat", "returned"),
            ("ann", "approved"),
            ("ben", "approved"),
            ("cat", "transferred"),
            ("dan", "approved"),
            ("ann", "cancelled"),
            ("root", "transferred"),
            ("ben", "approved"),
            ("dan", "copied"),
        ],
        "texts": 7,
    }
