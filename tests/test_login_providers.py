"""The login through the vendors' own SDKs, against their simulators: what leaves, and what happens if nothing does."""

from __future__ import annotations

import re
import statistics
import time
from typing import Any

import pytest
from django.contrib.auth.models import User

from login_mobile.api import send_test_code
from login_mobile.models import MobileLogin
from sms_services.choices import MessageStatus
from sms_services.models import SmsMessage
from tests.login_under_test import GENEROUS, FrontEnd, a_login, newest, wrong
from tests.services_under_test import RECIPIENT_CODES, create_service, create_template, provider_name, register
from tests.simulators import AlibabaCloudSimulator, AwsSnsSimulator, Fault, TwilioSimulator

pytest_plugins = ["tests.login_under_test"]
pytestmark = pytest.mark.django_db(transaction=True)

MAINLAND, AMERICAN = "+8613800000123", "+12065550123"


@pytest.fixture
def phone(simulator) -> str:
    return MAINLAND if isinstance(simulator, AlibabaCloudSimulator) else AMERICAN


@pytest.fixture
def login(service, simulator, otp) -> MobileLogin:
    if not isinstance(simulator, AlibabaCloudSimulator):
        otp.text = "Your code is ${code}, for ${minutes} minutes."
        otp.save()
    return a_login(service, template=otp, regions=["CN", "US"])


def code_of(entry: Any) -> str:
    """The code that a phone received."""
    found = re.search(r"\d{6}", entry.text)
    assert found
    return found[0]


def test_a_person_registers_with_the_code_that_the_vendor_took(login, simulator, service, phone, broker):
    client = FrontEnd(broker.work)
    challenge = client.challenge(phone)

    (entry,) = simulator.journal
    assert entry.phone_number == phone
    code = code_of(entry)
    if isinstance(simulator, AlibabaCloudSimulator):
        assert entry.template_code == "SMS_100002"
        assert entry.signature == service.verify_sign
        assert entry.params == {"code": code}
    else:
        assert entry.text == f"Your code is {code}, for 5 minutes."
    assert all(request.signed_correctly for request in simulator.requests)

    assert client.verify(challenge, wrong(code)).status_code == 400
    assert client.verify(challenge, code).json() == {"user_id": User.objects.get().pk, "created": True}
    assert SmsMessage.objects.get().status == MessageStatus.SENT
    assert SmsMessage.objects.get().sensitive_params == ""


def test_a_template_without_text_sends_its_code_only(alibaba_cloud, broker):
    service = create_service(alibaba_cloud)
    template = create_template(service, key="bare", text="", purpose="otp", code="SMS_100009")
    template.variables = "code"
    template.save()
    a_login(service, template=template, regions=["CN"]).full_clean()
    client = FrontEnd(broker.work)
    challenge = client.challenge("138 0000 0123")
    (entry,) = alibaba_cloud.journal
    assert list(entry.params) == ["code"]
    assert client.verify(challenge, entry.params["code"]).status_code == 200


@pytest.mark.parametrize("failure", ["refuses", "hangs", "is not there"])
def test_a_vendor_that_fails_is_told_of_on_the_next_step(login, simulator, phone, broker, sms_settings, failure):
    sms_settings(READ_TIMEOUT=0.3, CONNECT_TIMEOUT=0.3)
    if failure == "refuses":
        simulator.refuse(RECIPIENT_CODES[provider_name(simulator)])
    elif failure == "hangs":
        simulator.fail(Fault.SLOW, seconds=2)
    else:
        simulator.stop()
    client = FrontEnd(broker.work)
    challenge = client.challenge(phone)
    status = client.post("status", {"challenge": challenge}).json()
    assert status["trouble"] is True
    assert status["retry_after"] > 50
    assert newest().message.status != MessageStatus.SENT


@pytest.mark.parametrize("simulator_class", [AlibabaCloudSimulator, AwsSnsSimulator, TwilioSimulator])
def test_a_vendor_that_hangs_takes_none_of_the_pages_time(simulator_class, point_to, broker):
    """The same requests, in turns, while connections to the vendor hang, and while they are answered."""
    with simulator_class() as simulator:
        point_to(simulator)
        service = create_service(simulator)
        template = create_template(service, key="otp", text="Your code is ${code}.", purpose="otp", code="SMS_100002")
        register(simulator, template)
        a_login(service, template=template, **GENEROUS)
        ratios: list[float] = []
        while not ratios or (ratios[-1] >= 1.5 and len(ratios) < 3):  # other tests run beside it
            ratios.append(_ratio_of_times(simulator, first=40 * len(ratios)))
        assert simulator.requests == []  # nobody asked the vendor while somebody waited
        assert ratios[-1] < 1.5, ratios


def _ratio_of_times(simulator: Any, first: int) -> float:
    client = FrontEnd(lambda: 0)
    times: dict[bool, list[float]] = {True: [], False: []}
    for n in range(first, first + 40):
        hangs = bool(n % 2)
        simulator.clear()
        if hangs:
            simulator.fail(Fault.SLOW, seconds=30)
        began = time.perf_counter()
        assert client.ask(f"+861380000{n:04}").status_code == 202
        times[hangs].append(time.perf_counter() - began)
    return statistics.median(times[True]) / statistics.median(times[False])


def test_a_test_code_from_admin_is_the_same_text_for_nothing(login, simulator, phone, broker):
    message = send_test_code(login, phone)
    broker.work()
    (entry,) = simulator.journal
    assert entry.phone_number == phone
    assert code_of(entry)
    message.refresh_from_db()
    assert message.status == MessageStatus.SENT
    assert not login.challenges.exists()
