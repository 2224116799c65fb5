"""The pages of notifications where the host project's users have UUIDs as keys, e-mail addresses as names, no roles of
staff, and numbers as people write them."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.workers import Console, Project

PEOPLE = 230
NOTIFICATION = "/admin/notifications/notification/"


def prepare() -> dict[str, Any]:
    from django.contrib.auth import get_user_model
    from django.test.utils import setup_test_environment

    from notifications.models import Department
    from sms_services.models import SandboxSms, SmsTemplate

    setup_test_environment()  # by which responses have their context
    customer: Any = get_user_model()
    customer.is_staff = True  # it has no such field, and admin asks for one
    admin = customer.objects.create(email="admin@example.org", nick="Admin", is_superuser=True)
    people = customer.objects.bulk_create(
        customer(email=f"p{n:03}@example.org", nick=f"N{n}", phone=f"+86 138 0000 {n:04}") for n in range(PEOPLE)
    )
    department = Department.objects.add_root({"name": "Everybody"})
    department.members.add(*people)
    return {
        "admin": admin.pk,
        "department": department.pk,
        "first": str(people[0].pk),
        "service": SandboxSms.objects.create(key="sandbox", name="Sandbox").pk,
        "template": SmsTemplate.objects.create(key="hello", name="Hello", text="Hello ${nick}").pk,
    }


def page(method: str, url: str, fields: dict[str, Any] | None = None) -> tuple[int, str, str]:
    from django.contrib.auth import get_user_model
    from django.test import Client

    client = Client(headers={"host": "localhost"})
    client.force_login(get_user_model().objects.get(is_superuser=True))
    response = getattr(client, method)(url, fields or {})
    return response.status_code, response.headers.get("Location", ""), response.content.decode()


def everybody_on_pages(url: str, attribute: str) -> list[str]:
    """What a list shows from its first page to its last one."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    client = Client(headers={"host": "localhost"})
    client.force_login(get_user_model().objects.get(is_superuser=True))
    seen: list[str] = []
    following = url
    while following:
        shown = client.get(following).context["page"]
        seen += [getattr(row, attribute) for row in shown.rows]
        following = f"{url}{shown.next}" if shown.next else ""
    return seen


@pytest.fixture
def console(tmp_path: Path, database_url: str) -> Any:
    settings = {"DJANGO_SETTINGS_MODULE": "tests.uuid_users.settings"}
    with Project(tmp_path, database=database_url, broker="memory://", **settings) as project:
        yield project.console()


def test_an_admin_chooses_sends_and_sees_everybody_once(console: Console) -> None:
    made = console.call(prepare)
    status, _, found = console.call(page, "get", f"{NOTIFICATION}find/", {"field_name": "users", "term": "p007"})
    assert (status, "p007@example.org" in found) == (200, True)

    fields = {
        "key": str(uuid.uuid4()),
        "departments": made["department"],
        "users": made["first"],
        "service": made["service"],
        "template": made["template"],
        "variables-nick-source": "field:nick",
        "confirmed": str(PEOPLE),
        "_send": "1",
    }
    status, location, content = console.call(page, "post", f"{NOTIFICATION}compose/", fields)
    assert status == 302, content
    assert console.call(page, "get", location)[0] == 200

    labels = console.call(everybody_on_pages, location.replace("change", "recipients"), "label")
    assert sorted(labels) == [f"p{n:03}@example.org" for n in range(PEOPLE)]
    members = f"/admin/notifications/department/{made['department']}/members/"
    assert len(set(console.call(everybody_on_pages, members, "label"))) == PEOPLE
    assert f">{PEOPLE} members<" in console.call(page, "get", "/admin/notifications/department/")[2]
    assert console.call(page, "post", members, {"member": made["first"], "remove": "1"})[0] == 302
    assert len(console.call(everybody_on_pages, members, "pk")) == PEOPLE - 1
    assert console.call(page, "get", f"{members}?after=no-key")[0] == 200
