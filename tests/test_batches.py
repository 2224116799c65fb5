"""A thousand numbers: few requests where the provider takes batches, few connections where it does not."""

from collections import Counter

import pytest

from sms_services.api import send_message
from sms_services.choices import ErrorKind, MessageStatus
from sms_services.conf import get_settings
from sms_services.delivery.delivering import deliver
from sms_services.models import SmsAttempt, SmsMessage
from tests.services_under_test import (
    AMERICAN_NUMBERS,
    CHINESE_NUMBERS,
    create_service,
    create_template,
    queued_messages,
    register,
)
from tests.simulators import AwsSnsSimulator, TwilioSimulator

pytest_plugins = ["tests.services_under_test"]

#: Variables of their own for a thousand numbers.
DIFFERENT = {number: {"name": f"N{number[-4:]}"} for number in CHINESE_NUMBERS}


@pytest.fixture
def service(alibaba_cloud, broker, db):
    return create_service(alibaba_cloud)


@pytest.fixture
def greeting(service, alibaba_cloud):
    template = create_template(service)
    register(alibaba_cloud, template)
    return template


class TestAlibabaCloud:
    def test_a_thousand_equal_texts_need_at_most_ten_requests(self, service, alibaba_cloud, greeting):
        messages = send_message(service, CHINESE_NUMBERS, greeting, {"name": "Ada"})
        assert len(alibaba_cloud.requests) <= 10
        assert {request.action for request in alibaba_cloud.requests} == {"SendSms"}
        assert {message.status for message in messages} == {MessageStatus.SENT}
        assert Counter(accepted.phone_number for accepted in alibaba_cloud.journal) == Counter(CHINESE_NUMBERS)
        assert {accepted.text for accepted in alibaba_cloud.journal} == {"Hello Ada"}
        ids = {accepted.phone_number: accepted.message_id for accepted in alibaba_cloud.journal}
        assert all(message.provider_message_id == ids[message.phone_number] for message in messages)

    def test_a_thousand_different_texts_need_ten_requests(self, service, alibaba_cloud, greeting):
        messages = queued_messages(service, greeting, DIFFERENT)
        deliver(service, messages)
        assert [request.action for request in alibaba_cloud.requests] == ["SendBatchSms"] * 10
        assert {message.status for message in messages} == {MessageStatus.SENT}
        assert {accepted.phone_number: accepted.text for accepted in alibaba_cloud.journal} == {
            number: f"Hello {params['name']}" for number, params in DIFFERENT.items()
        }

    @pytest.mark.parametrize("illegal", [(0, 499, 999), (500, 501, 502), (7, 333, 640)])
    def test_three_illegal_numbers_fail_alone(self, service, alibaba_cloud, greeting, illegal):
        bad = {CHINESE_NUMBERS[index] for index in illegal}
        alibaba_cloud.refuse_numbers(dict.fromkeys(bad, "isv.MOBILE_NUMBER_ILLEGAL"))
        messages = send_message(service, CHINESE_NUMBERS, greeting, {"name": "Ada"})
        assert len(alibaba_cloud.requests) <= 70
        assert Counter(accepted.phone_number for accepted in alibaba_cloud.journal) == Counter(
            set(CHINESE_NUMBERS) - bad
        )
        failed = [message for message in messages if message.status != MessageStatus.SENT]
        assert {message.phone_number for message in failed} == bad
        assert {(message.status, message.error_kind) for message in failed} == {("failed", ErrorKind.RECIPIENT)}
        assert SmsMessage.objects.filter(status=MessageStatus.SENT).count() == 997
        assert SmsAttempt.objects.count() == 3

    def test_three_illegal_numbers_among_different_texts_fail_alone(self, service, alibaba_cloud, greeting):
        bad = {CHINESE_NUMBERS[index] for index in (3, 250, 999)}
        alibaba_cloud.refuse_numbers(dict.fromkeys(bad, "isv.MOBILE_NUMBER_ILLEGAL"))
        messages = queued_messages(service, greeting, DIFFERENT)
        deliver(service, messages)
        assert len(alibaba_cloud.requests) <= 70
        assert len(alibaba_cloud.journal) == len({accepted.phone_number for accepted in alibaba_cloud.journal}) == 997
        assert {message.phone_number for message in messages if message.status == "failed"} == bad

    def test_numbers_of_the_mainland_and_of_elsewhere_go_in_requests_of_their_own(
        self, service, alibaba_cloud, greeting
    ):
        numbers = [number for pair in zip(CHINESE_NUMBERS[:90], AMERICAN_NUMBERS[:90], strict=True) for number in pair]
        messages = send_message(service, numbers, greeting, {"name": "Ada"})
        assert {message.status for message in messages} == {MessageStatus.SENT}
        assert [message.phone_number for message in messages] == numbers
        wire = [request.parameters["PhoneNumbers"].split(",") for request in alibaba_cloud.requests]
        assert sorted(len(part) for part in wire) == [90, 90]
        assert {tuple(sorted({number[:3] for number in part})) for part in wire} == {("138",), ("120",)}
        assert Counter(accepted.phone_number for accepted in alibaba_cloud.journal) == Counter(numbers)

    def test_an_illegal_number_elsewhere_fails_none_on_the_mainland(self, service, alibaba_cloud, greeting):
        numbers = [*CHINESE_NUMBERS[:50], *AMERICAN_NUMBERS[:50]]
        alibaba_cloud.refuse_numbers({AMERICAN_NUMBERS[7]: "isv.MOBILE_NUMBER_ILLEGAL"})
        messages = send_message(service, numbers, greeting, {"name": "Ada"})
        assert [message.phone_number for message in messages if message.status == "failed"] == [AMERICAN_NUMBERS[7]]
        assert len(alibaba_cloud.journal) == 99

    def test_what_a_wrong_secret_refuses_is_not_cut_up(self, service, alibaba_cloud, greeting):
        service.access_secret = "not-the-secret"
        service.save()
        messages = send_message(service, CHINESE_NUMBERS[:500], greeting, {"name": "Ada"})
        assert len(alibaba_cloud.requests) == 1
        assert {message.error_kind for message in messages} == {ErrorKind.CREDENTIALS}

    def test_a_batch_keeps_to_the_rate(self, service, alibaba_cloud, greeting):
        service.max_per_second = 200
        service.save()
        messages = send_message(service, CHINESE_NUMBERS[:100], greeting, {"name": "Ada"})
        sizes = [len(request.parameters["PhoneNumbers"].split(",")) for request in alibaba_cloud.requests]
        assert max(sizes) <= 10
        assert {message.status for message in messages} == {MessageStatus.SENT, MessageStatus.QUEUED}


@pytest.mark.parametrize("simulator", [AwsSnsSimulator, TwilioSimulator], indirect=True)
class TestPool:
    def test_a_thousand_texts_open_no_more_connections_than_the_pool_has_threads(self, simulator, broker, db):
        service, template = create_service(simulator), create_template()
        simulator.latency = 0.001
        messages = send_message(service, CHINESE_NUMBERS, template, {"name": "Ada"})
        assert {message.status for message in messages} == {MessageStatus.SENT}
        assert Counter(accepted.phone_number for accepted in simulator.journal) == Counter(CHINESE_NUMBERS)
        ids = {accepted.phone_number: accepted.message_id for accepted in simulator.journal}
        assert all(message.provider_message_id == ids[message.phone_number] for message in messages)
        assert simulator.connections <= get_settings().THREADS

    def test_one_connection_serves_one_text_after_the_other(self, simulator, broker, db):
        service, template = create_service(simulator), create_template()
        for number in AMERICAN_NUMBERS[:20]:
            send_message(service, number, template, {"name": "Ada"})
        assert simulator.connections == 1
