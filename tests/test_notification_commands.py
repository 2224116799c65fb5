"""`manage.py notify` and `manage.py purge_notifications`."""

from __future__ import annotations

import io
import time
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from notifications.api import cancel, pause
from notifications.models import Department, Notification, NotificationPreset
from sms_services.models import SmsMessage, SmsTemplate
from tests.people import a_department, a_person, a_role, number_of, people, states
from tests.services_under_test import create_template

pytest_plugins = ["tests.services_under_test"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world(eager, sandbox):
    ada, bob = people(2)
    a_department("Sales", [ada, bob])
    below = a_department("Export", [a_person("eve", number_of(9))], below=a_department("Trade"))
    a_role("On call", [a_person("cleo", number_of(8))])
    create_template(key="hello", text="Hello ${name}")
    return below


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("notify", *arguments, stdout=out)
    return out.getvalue()


def hello(*arguments: str) -> str:
    return run("--service", "sandbox", "--template", "hello", "--field", "name=first_name", *arguments)


def reached() -> set[str]:
    return set(states(Notification.objects.latest("pk")))


def test_it_sends_and_shows_how_far_it_is(world):
    told = hello("--user", "eve", "--department", "Sales", "--role", "On call")
    assert reached() == {"eve", "p00000", "p00001", "cleo"}
    assert "] 4 of 4" in told
    assert "4 sent" in told
    assert {m.readable_text() for m in SmsMessage.objects.all()} >= {"Hello Eve", "Hello N0001"}


def test_ids_are_as_good_as_names(world):
    hello("--department", str(world.pk), "--user", str(User.objects.get(username="cleo").pk))
    assert reached() == {"eve", "cleo"}


def test_departments_include_what_is_below_them_unless_told_otherwise(world):
    hello("--department", "Trade")
    assert reached() == {"eve"}
    with pytest.raises(CommandError, match="nobody"):
        hello("--department", "Trade", "--no-subdepartments")


def test_sub_departments_are_included_over_a_preset(world, sandbox):
    preset = NotificationPreset.objects.create(
        key="trade",
        name="Trade",
        service=sandbox,
        template=SmsTemplate.objects.get(key="hello"),
        include_subdepartments=False,
        recipient_fields={"name": "first_name"},
    )
    preset.departments.add(Department.objects.get(name="Trade"))
    with pytest.raises(CommandError, match="nobody"):
        run("trade")
    run("trade", "--include-subdepartments")
    assert reached() == {"eve"}
    with pytest.raises(CommandError, match="not allowed with"):
        run("trade", "--include-subdepartments", "--no-subdepartments")


def test_what_is_paused_meanwhile_says_so_and_ends_when_it_is_cancelled(broker, sandbox, monkeypatch):
    """Somebody pauses it in admin, and then cancels it, while it is watched."""
    steps = iter([pause, cancel])
    monkeypatch.setattr(time, "sleep", lambda seconds: next(steps)(Notification.objects.get()))
    create_template(key="hello", text="Hello")
    a_person("eve", number_of(9))
    out = io.StringIO()
    arguments = ["--service", "sandbox", "--template", "hello", "--user", "eve"]
    with pytest.raises(CommandError, match="was cancelled"):
        call_command("notify", *arguments, stdout=out)
    lines = out.getvalue().splitlines()
    assert "(paused)" in lines[1]
    assert "(cancelled)" in lines[2]
    assert next(steps, None) is None


def test_a_dry_run_counts_and_stores_nothing(world):
    a_person("without")
    told = hello("--department", "Sales", "--user", "without", "--user", "p00000", "--dry-run")
    assert "people: 3\nreachable: 2\n" in told
    assert "without number: 1" in told
    assert not Notification.objects.exists()


def test_a_dry_run_finds_what_is_wrong(world):
    with pytest.raises(CommandError, match="name"):
        run("--service", "sandbox", "--template", "hello", "--user", "eve", "--dry-run")


def test_what_failed_is_an_error(world):
    a_person("refused", "+12065550151")
    with pytest.raises(CommandError, match="1 of 1"):
        hello("--user", "refused")


def test_it_can_be_scheduled(world):
    later = (timezone.now() + timedelta(hours=1)).isoformat()
    assert "is scheduled" in hello("--user", "eve", "--send-at", later)
    assert "is on its way" in hello("--user", "eve", "--no-wait", "--expires-at", later)


def test_a_key_sends_once(world):
    for _ in range(2):
        hello("--user", "eve", "--idempotency-key", "k")
    assert SmsMessage.objects.count() == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--user", "nobody"], "--user nobody: There is none"),
        (["--department", "Nowhere"], "--department Nowhere: There is none"),
        (["--user", "eve", "--var", "name"], "NAME=VALUE"),
        (["--user", "eve", "--send-at", "tomorrow"], "--send-at"),
        (["--user", "eve", "--send-at", "2030-13-45T00:00"], "--send-at"),
        (["--user", "eve", "--service", "carrier"], "carrier"),
        (["fire"], "no preset"),
        ([], "No recipients"),
    ],
)
def test_wrong_use_is_named(arguments, words, world):
    with pytest.raises(CommandError, match=words):
        hello(*arguments)
    assert not Notification.objects.exists()


def test_a_name_that_several_have(world):
    a_department("Sales")
    with pytest.raises(CommandError, match="several of this name"):
        hello("--department", "Sales")


def test_the_purge(world):
    hello("--user", "eve")
    call_command("purge_notifications")
    assert Notification.objects.exists()
    long_ago = timezone.now() - timedelta(days=200)
    Notification.objects.update(created_at=long_ago, finished_at=long_ago)
    out = io.StringIO()
    call_command("purge_notifications", "--dry-run", stdout=out)
    assert "1 notifications would be deleted" in out.getvalue()
    call_command("purge_notifications", stdout=out)
    assert not Notification.objects.exists()
