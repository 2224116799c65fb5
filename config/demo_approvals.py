"""Approvals to try the project with: two processes and a request that waits for an approval."""

from typing import Any

from django.contrib.auth.models import Group, User
from django.db import transaction

from approvals.api import submit
from approvals.choices import CommentPolicy, NobodyPolicy, NodeKind, NodeMode, RuleSource
from approvals.models import Node, Process, Rule
from notifications.models import Department
from sms_services.models import SmsService, SmsTemplate

ROLE = "Management"


@transaction.atomic
def make_approvals(service: SmsService, initiator: User, managers: list[User], informed: User) -> None:
    """Business travel (whoever leads the department, then all of the management, a copy to somebody), and leave.

    If there are any processes, they stay as they are.
    """
    if Process.objects.exists():
        return
    for name, manager in zip(("Operations", "Sales"), managers, strict=False):
        Department.objects.filter(name=name, head=None).update(head=manager)
    role, _ = Group.objects.get_or_create(name=ROLE)
    role.user_set.add(*managers)
    head = {"source": RuleSource.RESOLVER, "resolver": "initiator-department-head"}
    board = {"source": RuleSource.ROLE, "group": role}
    process = _process(
        service,
        "travel",
        "Business travel",
        (
            ("head", "Head of the department", [head, {"user": managers[-1]}], {"nobody_found": NobodyPolicy.ADMINS}),
            ("management", "Management", [board], {"mode": NodeMode.ALL, "reject_comment": CommentPolicy.REQUIRED}),
            ("office", "Travel office", [{"user": informed}], {"kind": NodeKind.CC}),
        ),
    )
    _process(service, "leave", "Leave", (("head", "Head of the department", [head], {}),))
    submit(process, initiator, title="Trade fair in Lisbon", data={"reason": "We have a stand there."})


def _process(service: SmsService, key: str, title: str, nodes: Any) -> Process:
    """A process whose nodes text."""
    process = Process.objects.create(key=key, title=title)
    templates = {template.key: template for template in SmsTemplate.objects.all()}
    for position, (node_key, node_title, rules, fields) in enumerate(nodes, start=1):
        copies = fields.get("kind") == NodeKind.CC
        node = Node.objects.create(
            process=process,
            key=node_key,
            title=node_title,
            position=position,
            sms_service=service,
            sms_template=templates["approval-copy" if copies else "approval"],
            **fields,
        )
        for place, rule in enumerate(rules):
            Rule.objects.create(node=node, position=place, **rule)
    return process
