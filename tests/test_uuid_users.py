"""A user model of a host project, with UUIDs as keys: in each database's own order of them, nobody is left out."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db.models import F

from notifications.api import notify, recipients_summary
from notifications.exceptions import InvalidRecipients
from notifications.expansion import pages
from notifications.models import Department, Notification, Recipient
from sms_services.models import SandboxSms, SmsMessage, SmsTemplate
from tests.workers import Project

PEOPLE = 200


def number(position: int) -> str:
    return f"+86 138 0000 {1000 + position:04}"


def make_people() -> None:
    """Keys of all kinds: at random, by time, and with much in common."""
    keys = [uuid.uuid4() for _ in range(PEOPLE // 2)]
    keys += [uuid.uuid1(node=random.getrandbits(48)) for _ in range(PEOPLE // 4)]
    keys += [uuid.UUID(int=(position << 64) + position % 7) for position in range(1, PEOPLE // 4 + 1)]
    users = get_user_model().objects.bulk_create(
        get_user_model()(pk=key, email=f"p{position}@example.org", nick=f"N{position}", phone=number(position))
        for position, key in enumerate(keys)
    )
    for name, members in (("Sales", users[::2]), ("Support", users[::3])):
        Department.objects.add_root({"name": name}).members.add(*members)
    Group.objects.create(name="On call").user_set.add(*users[::5])
    SandboxSms.objects.create(key="sandbox", name="Sandbox")
    SmsTemplate.objects.create(key="hello", name="Hello", text="Hello ${nick}")


def tell_everybody() -> dict[str, Any]:
    pages.PAGE = 7
    users = list(get_user_model().objects.all())
    chosen = [users[1], users[7].pk, str(users[11].pk)]
    departments = Department.objects.all()
    sent = notify(
        service="sandbox",
        template="hello",
        variables={"nick": F("nick")},
        users=chosen,
        departments=departments,
        roles=Group.objects.all(),
    )
    asked = {*users[1:2], users[7], users[11]}
    asked |= set(get_user_model().objects.filter(departments__in=departments))
    asked |= set(get_user_model().objects.filter(groups__isnull=False))
    recipients = Recipient.objects.filter(notification=sent).select_related("message", "user")
    return {
        "asked": {user.email for user in asked},
        "reached": Counter(row.user.email for row in recipients if row.message),
        "texts_fit": all(row.message.params == {"nick": row.user.nick} for row in recipients),
        "numbers_fit": all(row.message.phone_number == row.user.phone.replace(" ", "") for row in recipients),
        "counts": Notification.objects.get(pk=sent.pk).counts(),
        "messages": SmsMessage.objects.count(),
        "summary": recipients_summary(users=chosen, departments=departments, roles=Group.objects.all()).people,
        "everybody": len(Recipient.objects.filter(notification=tell_all())),
    }


def tell_all() -> Notification:
    return notify(service="sandbox", template="hello", variables={"nick": "you"}, users=get_user_model().objects.all())


def wrong_keys() -> int:
    raised = 0
    for wrong in ([5], ["ada"], [uuid.uuid4()], "p1@example.org"):
        try:
            notify(service="sandbox", template="hello", variables={"nick": "x"}, users=wrong)
        except InvalidRecipients:
            raised += 1
    return raised


def test_everybody_is_reached_once(database_url: str, tmp_path: Path) -> None:
    settings = {"DJANGO_SETTINGS_MODULE": "tests.uuid_users.settings"}
    with Project(tmp_path, database=database_url, broker="filesystem://localhost", **settings) as project:
        console = project.console()
        console.call(make_people)
        told = console.call(tell_everybody)
        assert console.call(wrong_keys) == 4
    assert told["reached"] == Counter(told["asked"])
    assert told["texts_fit"]
    assert told["numbers_fit"]
    assert told["counts"]["sent"] == told["counts"]["total"] == told["summary"] == len(told["asked"])
    assert told["messages"] == len(told["asked"])
    assert told["everybody"] == PEOPLE
