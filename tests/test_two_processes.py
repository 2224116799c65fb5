"""What an admin saves in one process, every other process uses at its next send."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from sms_services.api import queue_message, send_message
from sms_services.choices import ErrorKind, MessageStatus
from sms_services.exceptions import InactiveService
from sms_services.models import SmsService
from tests.simulators import TwilioSimulator
from tests.workers import (
    SIMULATORS,
    Project,
    add_service,
    add_template,
    chinese_numbers,
    endpoints,
    eventually,
    nothing_under_way,
    queue,
    rows,
)

NUMBERS = chinese_numbers(10)


class Answer(NamedTuple):
    status: str
    error_kind: str


def send(service: str, number: str) -> Answer:
    message = send_message(service, number, "greeting", {"name": "Ada"})[0]
    return Answer(message.status, message.error_kind)


def refuses(service: str, number: str) -> bool:
    """Whether neither way to send takes the message, and both say why."""
    refusals = 0
    for function in (send_message, queue_message):
        try:
            function(service, number, "greeting", {"name": "Ada"})
        except InactiveService:
            refusals += 1
    return refusals == 2


def save_in_admin(key: str, **changes: str) -> None:
    """Fill in the change page as it is shown, with an empty field for the secret, and save it."""
    service: Any = SmsService.objects.get(key=key)
    names = [field.name for field in service._meta.fields if field.editable and not field.auto_created]
    shown = {name: getattr(service, name) for name in names if name != service.secret_field}
    shown = {name: value for name, value in shown.items() if value not in (None, False)} | changes
    client = Client(SERVER_NAME="localhost")
    client.force_login(get_user_model().objects.get_or_create(username="admin", is_staff=True, is_superuser=True)[0])
    page = reverse("admin:sms_services_smsservice_change", args=[service.pk])
    answer = client.post(page, {name: value for name, value in shown.items() if value != ""})
    assert answer.status_code == 302, answer.content.decode()


@pytest.mark.parametrize("provider", ["alibaba_cloud", "twilio", pytest.param("aws_sns", marks=pytest.mark.soak)])
def test_a_secret_that_an_admin_changes_is_used_by_the_next_send_of_another_process(
    provider: str, postgresql_url: str, redis_url: str, tmp_path: Path
) -> None:
    with (
        SIMULATORS[provider]() as simulator,
        Project(tmp_path, database=postgresql_url, broker=redis_url, **endpoints(**{provider: simulator})) as project,
    ):
        admin, sender = project.console(), project.console()
        admin.call(add_service, provider, simulator.credentials)
        admin.call(add_template, "greeting", text="Hello ${name}")
        secret = admin.call(secret_field, provider)

        assert sender.call(send, provider, NUMBERS[0]) == (MessageStatus.SENT, "")
        admin.call(save_in_admin, provider, **{secret: "this-is-not-the-secret-of-the-account"})
        assert sender.call(send, provider, NUMBERS[1]) == (MessageStatus.FAILED, ErrorKind.CREDENTIALS)
        admin.call(save_in_admin, provider, name="The secret stays as it is")
        assert sender.call(send, provider, NUMBERS[2]) == (MessageStatus.FAILED, ErrorKind.CREDENTIALS)
        admin.call(save_in_admin, provider, **{secret: simulator.credentials[secret]})
        assert sender.call(send, provider, NUMBERS[3]) == (MessageStatus.SENT, "")

    assert [request.signed_correctly for request in simulator.requests] == [True, False, False, True]
    assert [entry.phone_number for entry in simulator.journal] == [NUMBERS[0], NUMBERS[3]]


def secret_field(key: str) -> str:
    return SmsService.objects.get(key=key).secret_field


def test_a_service_that_an_admin_deactivates_refuses_at_once_in_every_process(
    postgresql_url: str, redis_url: str, tmp_path: Path
) -> None:
    with (
        TwilioSimulator() as simulator,
        Project(tmp_path, database=postgresql_url, broker=redis_url, **endpoints(twilio=simulator)) as project,
    ):
        admin, sender = project.console(), project.console()
        admin.call(add_service, "twilio", simulator.credentials)
        admin.call(add_template, "greeting", text="Hello ${name}")
        assert sender.call(send, "twilio", NUMBERS[0]) == (MessageStatus.SENT, "")
        sender.call(queue, "twilio", NUMBERS[1:4], "greeting", {"name": "Ada"})

        admin.call(save_in_admin, "twilio", is_active="")
        assert sender.call(refuses, "twilio", NUMBERS[4])
        project.worker()
        eventually(lambda: sender.call(nothing_under_way), within=30, every=0.1)
        assert [(row.status, row.error_kind, row.provider_code) for row in sender.call(rows, "twilio")[1:]] == [
            (MessageStatus.FAILED, ErrorKind.CREDENTIALS, "service_inactive")
        ] * 3

        admin.call(save_in_admin, "twilio", is_active="on")
        assert sender.call(send, "twilio", NUMBERS[5]) == (MessageStatus.SENT, "")
        sender.call(queue, "twilio", [NUMBERS[6]], "greeting", {"name": "Ada"})
        eventually(lambda: len(simulator.journal) == 3, within=30)

    assert [entry.phone_number for entry in simulator.journal] == [NUMBERS[0], NUMBERS[5], NUMBERS[6]]
