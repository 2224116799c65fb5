"""Processes and people for tests of approvals."""

from __future__ import annotations

from collections import Counter
from typing import Any

from approvals.choices import EventKind, RuleSource, TaskStatus
from approvals.models import Node, Process, Request, Rule, Task
from notifications.models import Department, Notification
from sms_services.choices import Purpose
from sms_services.models import SmsMessage, SmsTemplate, TemplateCode
from tests.people import a_person

TEXT = "${userNick} asks for your approval: ${processTitle}"
CC_TEXT = "For your information, from ${userNick}: ${processTitle}"


def a_process(*nodes: dict[str, Any], key: str = "travel", title: str = "Travel", **fields: Any) -> Process:
    """A process with these nodes in their order; `people` of a node is what its rules name."""
    process = Process.objects.create(key=key, title=title, **fields)
    for position, node in enumerate(nodes, start=1):
        add_node(process, position=position, **node)
    return process


def add_node(process: Process, *people: Any, **fields: Any) -> Node:
    """A node with a rule for each of `people`: users, departments, roles, or a dict with a rule's fields."""
    people = (*people, *fields.pop("people", ()))
    position = fields.setdefault("position", process.nodes.count() + 1)
    fields.setdefault("key", f"step-{position}")
    fields.setdefault("title", f"Step {position}")
    node = Node.objects.create(process=process, **fields)
    for place, named in enumerate(people):
        Rule.objects.create(node=node, position=place, **_rule(named))
    return node


def step(*people: Any, **fields: Any) -> dict[str, Any]:
    """A node for `a_process`."""
    return {"people": people, **fields}


def _rule(named: Any) -> dict[str, Any]:
    if isinstance(named, dict):
        return named
    if isinstance(named, Department):
        return {"source": RuleSource.DEPARTMENT, "department": named}
    if hasattr(named, "permissions"):
        return {"source": RuleSource.ROLE, "group": named}
    return {"source": RuleSource.USER, "user": named}


def an_approval_template(*services: Any, key: str = "approval", purpose: str = Purpose.APPROVAL) -> SmsTemplate:
    text = CC_TEXT if purpose == Purpose.CC else TEXT
    template = SmsTemplate.objects.create(key=key, name=key.title(), text=text, purpose=purpose)
    for service in services:
        if service.sends_by_code:
            TemplateCode.objects.create(template=template, service=service, code=f"SMS_{300_000 + template.pk}")
    return template


def persons(*names: str) -> list[Any]:
    """Users with fictional numbers."""
    return [a_person(name, f"+120655501{number:02}", last_name="Lee") for number, name in enumerate(names, start=10)]


def task_of(request: Request, user: Any) -> Task:
    """The pending task of a user."""
    return Task.objects.get(request=request, user=user, status=TaskStatus.PENDING)


def to_do(request: Request) -> list[str]:
    """The names of those whom a request waits for, in the order of their tasks."""
    pending = Task.objects.filter(request=request, status=TaskStatus.PENDING).order_by("order", "pk")
    return list(pending.values_list("user__username", flat=True))


def statuses(request: Request) -> list[tuple[str, str]]:
    """Who has, or had, which task, in order."""
    rows = Task.objects.filter(request=request).order_by("pk")
    return list(rows.values_list("user__username", "status"))


def history(request: Request) -> list[str]:
    """What happened: `kind`, or `kind by name`."""
    rows = request.events.select_related("actor").order_by("pk")
    return [f"{row.kind} by {row.actor.username}" if row.actor else str(EventKind(row.kind).value) for row in rows]


def kinds(request: Request) -> Counter[str]:
    return Counter(request.events.values_list("kind", flat=True))


def texted() -> Counter[str]:
    """How many texts were written for each number."""
    return Counter(SmsMessage.objects.values_list("phone_number", flat=True))


def orders() -> list[str]:
    """The idempotency keys of all notifications."""
    return list(Notification.objects.order_by("pk").values_list("idempotency_key", flat=True))


def number_of(user: Any) -> str:
    return str(user.mobile_number.number)
