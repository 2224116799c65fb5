"""What ``manage.py check`` says of approvals."""

from __future__ import annotations

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.urls import get_script_prefix, set_script_prefix

from approvals.conf import get_settings
from approvals.models import EngineSms, Process
from sms_services.models import SandboxSms, SmsTemplate
from tests.approval_processes import a_process, an_approval_template, step
from tests.people import a_role
from tests.services_under_test import broker

__all__ = ["broker"]
pytestmark = pytest.mark.django_db


def found(*databases):
    return {message.id: message for message in run_checks(tags=["approvals"], databases=databases or None)}


def test_the_reference_project_is_fine():
    assert found("default") == {}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ([], "must be a dict"),
        ({"USERNICK": "x"}, "unknown settings: USERNICK"),
        ({"USER_NICK": 7}, "USER_NICK"),
        ({"USER_NICK": "approvals.names.nobody"}, "nobody"),
        ({"ADMINISTRATORS": ""}, "ADMINISTRATORS"),
        ({"STARTS_PER_HOUR": 0}, "STARTS_PER_HOUR"),
        ({"STARTS_PER_HOUR": "20"}, "STARTS_PER_HOUR"),
        ({"STARTS_PER_HOUR": True}, "STARTS_PER_HOUR"),
        ({"ADMINISTRATORS": "no.such.module"}, "no"),
    ],
)
def test_wrong_settings(settings, setting, words):
    settings.APPROVALS = setting
    assert words in found()["approvals.E001"].msg


def test_a_setting_is_a_function_or_its_path(settings):
    settings.APPROVALS = {"USER_NICK": str.upper, "ADMINISTRATORS": "approvals.approvers.users_who_manage"}
    assert get_settings().function("USER_NICK")("a") == "A"
    settings.APPROVALS = {"USER_NICK": "approvals.nobody"}
    with pytest.raises(ImproperlyConfigured, match="USER_NICK"):
        get_settings().function("USER_NICK")
    settings.APPROVALS = {"STARTS_PER_HOUR": None}
    assert get_settings().STARTS_PER_HOUR is None


@pytest.mark.parametrize(
    ("login_url", "is_fine"),
    [
        ("/accounts/login/", False),
        ("nowhere:login", False),
        ("admin/login/", False),
        ("admin:login", True),
        ("/admin/login/", True),
        ("https://login.example.com/", True),
    ],
)
@pytest.mark.parametrize("prefix", ["/", "/app/"])
def test_who_is_not_logged_in_finds_a_page(settings, login_url, is_fine, prefix):
    settings.LOGIN_URL = login_url if prefix == "/" or not login_url.startswith("/") else f"/app{login_url}"
    before = get_script_prefix()
    set_script_prefix(prefix)
    try:
        assert ("approvals.W004" not in found()) == is_fine
    finally:
        set_script_prefix(before)


@pytest.mark.parametrize("schedule", [None, {}, {"other": {"task": "other", "schedule": 10.0}}])
def test_the_sweep_is_not_scheduled(broker, schedule):
    broker.app.conf.beat_schedule = schedule
    assert "approvals.sweep" in found()["approvals.W001"].hint


def test_functions_that_are_not_registered():
    process = a_process(
        step({"source": "resolver", "resolver": "initiator-department-head"}, condition="gone"),
        step({"source": "resolver", "resolver": "lost"}, escalate_resolver="missing"),
    )
    messages = run_checks(tags=["approvals"], databases=["default"])
    assert {message.id for message in messages} == {"approvals.E002"}
    assert sorted(name for message in messages for name in ("gone", "lost", "missing") if name in message.msg) == [
        "gone",
        "lost",
        "missing",
    ]
    process.is_active = False
    process.save()
    assert found("default") == {}


def test_a_role_that_users_cannot_have(monkeypatch):
    process = a_process(step(), start_role=a_role("Sales"))
    a_process(step(), key="everybody")
    assert "approvals.W003" not in found("default")
    process.full_clean()
    for module in ("checks", "models.processes"):
        monkeypatch.setattr(f"approvals.{module}.has_roles", lambda: False)
    assert "the process “travel”" in found("default")["approvals.W003"].msg
    with pytest.raises(ValidationError, match="only superusers could begin a request") as refused:
        process.full_clean()
    assert set(refused.value.message_dict) == {"start_role"}
    Process.objects.update(has_start_page=False)
    assert found("default") == {}


def test_texts_that_cannot_be_sent():
    sandbox = SandboxSms.objects.create(key="sandbox", name="Sandbox", is_active=True)
    template = an_approval_template(sandbox)
    a_process(step(sms_service=sandbox, sms_template=template))
    EngineSms.objects.create(engine="viewflow", process_key="order", sms_service=sandbox, sms_template=template)
    assert "approvals.W002" not in found("default")
    SmsTemplate.objects.update(text="${code}")
    warnings = [message.msg for message in run_checks(tags=["approvals"], databases=["default"])]
    assert len(warnings) == 2
    assert "travel › step-1" in warnings[0]
    assert "viewflow › order" in warnings[1]
