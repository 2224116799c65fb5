"""Signatures: what is not approved is marked, warned of, and refused before anything is sent, as templates are."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from sms_services.api import queue_message, retry_message, send_message
from sms_services.choices import TemplateStatus
from sms_services.exceptions import UnusableService
from sms_services.models import AlibabaCloudSms, SmsMessage
from tests.log_messages import a_message
from tests.services_under_test import create_service, create_template
from tests.simulators import AlibabaCloudSimulator, Sign
from tests.test_template_import import confirm, import_url, registered

pytest_plugins = ["tests.services_under_test"]
pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]

NUMBER = "+8613800000001"
APPROVED, PENDING, REJECTED, CANCELLED = (
    "AUDIT_STATE_PASS",
    "AUDIT_STATE_INIT",
    "AUDIT_STATE_NOT_PASS",
    "AUDIT_STATE_CANCEL",
)
refused = pytest.mark.parametrize(
    ("state", "words"),
    [
        (PENDING, "still reviewing the signature “示例公司” (status: under review)"),
        (REJECTED, "rejected the signature “示例公司” (status: rejected)"),
        (CANCELLED, "review of the signature “示例公司” was cancelled (status: review cancelled)"),
    ],
)


@pytest.fixture
def platform(alibaba_cloud) -> AlibabaCloudSimulator:
    return alibaba_cloud


@pytest.fixture
def service(platform, broker) -> AlibabaCloudSms:
    return create_service(platform)


@pytest.fixture
def template(service) -> Any:
    return create_template(service)


def verify(client: Any, service: AlibabaCloudSms) -> str:
    url = reverse("admin:sms_services_smsservice_verify", args=[service.pk])
    answer = client.post(url, follow=True).content.decode()
    service.refresh_from_db()
    return answer


def as_platform_says(platform: AlibabaCloudSimulator, service: AlibabaCloudSms, state: str, reason: str = "") -> None:
    platform.signs = [Sign(service.verify_sign, state, reject_reason=reason)]


@pytest.mark.parametrize("call", [send_message, queue_message])
@refused
def test_what_is_not_approved_is_refused_before_anything_is_stored(
    admin_client, platform, service, template, call, state, words
):
    as_platform_says(platform, service, state, reason="Use the company's full name")
    verify(admin_client, service)
    asked = len(platform.requests)
    with pytest.raises(UnusableService) as raised:
        call(service, NUMBER, template, {"name": "Ada"})
    assert words in str(raised.value)
    assert "Then verify the credentials again." in str(raised.value)
    assert ("Use the company's full name" in str(raised.value)) == (state != PENDING)
    with pytest.raises(UnusableService):
        call(service.key, NUMBER, "SMS_7", purpose="notification")
    assert not SmsMessage.objects.exists()
    assert len(platform.requests) == asked


def test_it_can_be_used_as_soon_as_its_approval_is_seen(admin_client, platform, service, template):
    as_platform_says(platform, service, PENDING)
    verify(admin_client, service)
    as_platform_says(platform, service, APPROVED)
    verify(admin_client, service)
    (message,) = send_message(service, NUMBER, template, {"name": "Ada"})
    assert (message.status, service.problem) == ("sent", None)


def test_an_import_from_the_command_line_asks_for_it_too(platform, service, capsys):
    as_platform_says(platform, service, REJECTED)
    call_command("import_sms_templates", service.key, "--apply")
    assert "rejected the signature" in capsys.readouterr().out
    service.refresh_from_db()
    assert service.problem


def test_a_retry_is_refused_too(admin_client, platform, service):
    old = a_message(service=service, phone_number=NUMBER, template_code="SMS_1")
    as_platform_says(platform, service, REJECTED)
    verify(admin_client, service)
    with pytest.raises(UnusableService):
        retry_message(old)
    assert SmsMessage.objects.count() == 1


@refused
def test_it_is_marked_in_lists_and_forms(admin_client, platform, service, template, state, words):
    changelist = reverse("admin:sms_services_smsservice_changelist")
    change = reverse("admin:sms_services_smsservice_change", args=[service.pk])
    assert "signature: " not in admin_client.get(changelist).content.decode()
    assert "sms-refused" not in admin_client.get(change).content.decode()
    as_platform_says(platform, service, state)
    verify(admin_client, service)
    assert f"(signature: {service.get_sign_status_display()})" in admin_client.get(changelist).content.decode()
    assert words in admin_client.get(change).content.decode()


def test_forms_are_told_what_is_wrong(admin_client, platform, service, template):
    assert template.problem_with(service) is None
    as_platform_says(platform, service, REJECTED)
    verify(admin_client, service)
    assert "rejected the signature" in template.problem_with(service)
    form = {"phone_number": NUMBER, "template": template.pk, "variable_name": "Ada"}
    answer = admin_client.post(reverse("admin:sms_services_smsservice_test", args=[service.pk]), form)
    assert "rejected the signature" in answer.content.decode()
    assert not SmsMessage.objects.exists()


@pytest.mark.parametrize("changes", [{"verify_sign": "另一家公司"}, {"access_key": "LTAI5tAnotherAccount"}])
def test_another_signature_or_account_has_nothing_of_the_old_ones_status(admin_client, platform, service, changes):
    as_platform_says(platform, service, REJECTED)
    verify(admin_client, service)
    AlibabaCloudSms.objects.filter(pk=service.pk).update(**changes)
    service.refresh_from_db()
    assert (service.problem, service.signature_status) == (None, "")


def test_one_that_is_not_listed_is_left_to_the_platform(admin_client, platform, service, template):
    platform.signs = [Sign("另一家公司")]
    assert "missing in this account" in verify(admin_client, service)
    assert service.problem is None
    (message,) = send_message(service, NUMBER, template, {"name": "Ada"})
    assert (message.status, message.provider_code) == ("failed", "isv.SMS_SIGNATURE_ILLEGAL")


def test_an_answer_that_says_nothing_changes_nothing(admin_client, platform, service):
    as_platform_says(platform, service, REJECTED)
    verify(admin_client, service)
    platform.refuse("Throttling.User", actions=["QuerySmsSignList"])
    verify(admin_client, service)
    assert service.signature_status == TemplateStatus.REJECTED


def test_an_import_asks_for_it_too_and_keeps_it_when_it_writes(admin_client, platform, service):
    platform.templates = registered(3)
    as_platform_says(platform, service, REJECTED, reason="Use the company's full name")
    page = admin_client.get(import_url(service))
    assert "Use the company&#x27;s full name" in page.content.decode()
    service.refresh_from_db()
    assert service.problem is None
    confirm(admin_client, service, page)
    service.refresh_from_db()
    assert "Use the company's full name" in service.problem


def test_the_command_that_verifies_keeps_it_too(platform, service):
    as_platform_says(platform, service, PENDING)
    with pytest.raises(CommandError):
        call_command("check_sms_services")
    service.refresh_from_db()
    assert "still reviewing" in service.problem
