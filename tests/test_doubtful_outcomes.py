"""What may have gone out is never sent again: it is called once, in doubt, and then looked up where that is possible.

What certainly did not go out is tried again, and sent once.
"""

from contextlib import suppress
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from sms_services.api import queue_message, send_message
from sms_services.choices import ErrorKind, MessageStatus, Outcome
from sms_services.delivery.reconciling import reconcile
from sms_services.delivery.sweeping import sweep
from sms_services.exceptions import EncryptionKeyError
from sms_services.models import SmsAttempt, SmsMessage
from sms_services.tasks import deliver_messages
from tests.services_under_test import (
    CODE,
    NUMBER,
    OTHER_NUMBER,
    create_service,
    create_template,
    due,
    foreign_secret,
)
from tests.simulators import AlibabaCloudSimulator, AwsSnsSimulator, Fault, TwilioSimulator
from tests.simulators.alibaba_cloud import DELIVERED

pytest_plugins = ["tests.services_under_test"]

CAN_LOOK_UP = [AlibabaCloudSimulator, TwilioSimulator]
ACCEPTED_IN_DOUBT = [
    Fault.RESET_AFTER_ACCEPTING,
    Fault.SLOW,
    Fault.SERVER_ERROR,
    Fault.MALFORMED,
    Fault.EMPTY,
    Fault.TRUNCATED,
]
LOST_IN_DOUBT = [Fault.RESET_BEFORE_ACCEPTING, Fault.UNAVAILABLE]
SECOND = timedelta(seconds=1)


def sends(simulator) -> int:
    return sum(request.action in simulator.sends for request in simulator.requests)


def past_the_last_look_up(*messages: SmsMessage) -> None:
    """Let more time pass than all of `RECONCILE_DELAYS`."""
    for message in messages:
        SmsMessage.objects.filter(pk=message.pk).update(claimed_at=F("claimed_at") - timedelta(hours=3))


@pytest.fixture(autouse=True)
def _short_waits(sms_settings):
    sms_settings(READ_TIMEOUT=0.3, RECONCILE_DELAYS=(0.0, 7200.0), RETRY_DELAY=0.1)


class TestDoubt:
    @pytest.mark.parametrize("fault", ACCEPTED_IN_DOUBT, ids=lambda fault: fault.name)
    def test_what_was_accepted_is_called_once_and_found_again(self, fault, service, simulator, greeting, eager, heard):
        simulator.fail(fault, seconds=1.0)
        (message,) = send_message(service, NUMBER, greeting, {"name": "Ada"})

        assert (message.status, message.error_kind) == (MessageStatus.UNKNOWN, ErrorKind.TRANSIENT)
        assert message.provider_code
        assert (heard.sent, heard.failed) == ([], [])
        attempt = SmsAttempt.objects.get()
        assert (attempt.message, attempt.outcome) == (message, Outcome.UNCERTAIN)
        assert sends(simulator) == len(simulator.journal) == 1

        due([message])
        sweep()  # which looks up, as tasks are eager
        sweep()
        row = SmsMessage.objects.get()
        if isinstance(simulator, AwsSnsSimulator):
            assert (row.status, row.sweep_at) == (MessageStatus.UNKNOWN, None)
        else:
            assert (row.status, row.error_kind, row.provider_code) == (MessageStatus.SENT, "", "")
            assert abs(row.sent_at - row.claimed_at) < 2 * SECOND
            assert row.sweep_at is None
            assert row.segments == 1
            assert heard.sent == [message]
        if isinstance(simulator, TwilioSimulator):
            assert row.provider_message_id == simulator.journal[0].message_id
        assert sends(simulator) == len(simulator.journal) == 1
        assert SmsAttempt.objects.count() == 1

    @pytest.mark.parametrize("simulator", CAN_LOOK_UP, indirect=True)
    @pytest.mark.parametrize("fault", LOST_IN_DOUBT, ids=lambda fault: fault.name)
    def test_what_was_not_accepted_fails_after_the_last_look_up(
        self, fault, service, simulator, greeting, eager, heard
    ):
        simulator.fail(fault)
        (message,) = send_message(service, NUMBER, greeting, {"name": "Ada"})
        assert message.status == MessageStatus.UNKNOWN
        for _ in range(2):
            due([message])
            sweep()
            row = SmsMessage.objects.get()
            assert row.status == MessageStatus.UNKNOWN
            assert row.sweep_at > timezone.now() + timedelta(hours=1)
        past_the_last_look_up(message)
        due([message])
        sweep()
        row = SmsMessage.objects.get()
        assert (row.status, row.error_kind) == (MessageStatus.FAILED, ErrorKind.TRANSIENT)
        assert (row.provider_code, row.sweep_at, row.sent_at, row.segments) == ("no_record", None, None, None)
        assert heard.failed == [message]
        assert sends(simulator) == 1
        assert simulator.journal == []

    @pytest.mark.parametrize("simulator", CAN_LOOK_UP, indirect=True)
    def test_a_look_up_that_fails_settles_nothing(self, service, simulator, greeting):
        """Not even the last one: “could not be asked” is not “has no record”."""
        action = "ListMessage" if isinstance(simulator, TwilioSimulator) else "QuerySendDetails"
        simulator.fail(Fault.RESET_BEFORE_ACCEPTING, times=1)
        (message,) = send_message(service, NUMBER, greeting, {"name": "Ada"})
        past_the_last_look_up(message)
        for fault in (Fault.SERVER_ERROR, Fault.RESET_BEFORE_ACCEPTING, Fault.MALFORMED, Fault.TRUNCATED, Fault.EMPTY):
            simulator.fail(fault, actions=[action], times=1)
            reconcile([message.pk])
            row = SmsMessage.objects.get()
            assert (fault, row.status) == (fault, MessageStatus.UNKNOWN)
            assert row.sweep_at > timezone.now()

    @pytest.mark.parametrize("simulator", CAN_LOOK_UP, indirect=True)
    def test_a_code_in_doubt_is_wiped_and_still_found(self, service, simulator, otp, eager):
        simulator.fail(Fault.RESET_AFTER_ACCEPTING)
        (message,) = send_message(service, NUMBER, otp, {"code": CODE})
        row = SmsMessage.objects.get()
        assert (row.status, row.sensitive_params) == (MessageStatus.UNKNOWN, "")
        due([message])
        sweep()
        row.refresh_from_db()
        assert row.status == MessageStatus.SENT

    def test_a_receipt_that_came_meanwhile_is_taken_over(self, broker, alibaba_cloud, db):
        service = create_service(alibaba_cloud)
        alibaba_cloud.fail(Fault.RESET_AFTER_ACCEPTING, times=1)
        (message,) = send_message(service, NUMBER, create_template(service), {"name": "Ada"})
        alibaba_cloud.set_status(NUMBER, DELIVERED)
        reconcile([message.pk])
        message.refresh_from_db()
        assert message.status == MessageStatus.DELIVERED

    def test_undelivered_has_its_kind(self, broker, twilio, db):
        service = create_service(twilio)
        twilio.fail(Fault.RESET_AFTER_ACCEPTING, times=1)
        (message,) = send_message(service, NUMBER, create_template(), {"name": "Ada"})
        twilio.set_status(NUMBER, "undelivered", error_code=30005)
        reconcile([message.pk])
        message.refresh_from_db()
        assert (message.status, message.error_kind) == (MessageStatus.UNDELIVERED, ErrorKind.RECIPIENT)
        assert message.provider_code == "30005"

    @pytest.mark.parametrize("simulator", CAN_LOOK_UP, indirect=True)
    def test_a_message_of_another_account_is_neither_called_lost_nor_asked_for_again_and_again(
        self, service, simulator, greeting, eager
    ):
        """The service was given other credentials meanwhile, whose account knows nothing of it."""
        simulator.fail(Fault.RESET_AFTER_ACCEPTING)
        (message,) = send_message(service, NUMBER, greeting, {"name": "Ada"})
        other = {"access_key": "LTAI5tOtherAccessKey"} if service.sends_by_code else {"account_sid": "AC" + "6" * 32}
        type(service).objects.filter(pk=service.pk).update(**other)
        past_the_last_look_up(message)
        sweep()
        row = SmsMessage.objects.get()
        assert (row.status, row.sweep_at) == (MessageStatus.UNKNOWN, None)

    def test_a_lost_batch_is_found_number_by_number(self, broker, alibaba_cloud, eager, db):
        service = create_service(alibaba_cloud)
        template = create_template(service)
        numbers = [f"+861380000{n:04}" for n in range(40)]
        alibaba_cloud.fail(Fault.RESET_AFTER_ACCEPTING, times=1)
        messages = send_message(service, numbers, template, {"name": "Ada"})
        assert {message.status for message in messages} == {MessageStatus.UNKNOWN}
        due(messages)
        sweep()
        assert SmsMessage.objects.filter(status=MessageStatus.SENT).count() == 40
        assert sends(alibaba_cloud) == 1

    def test_a_reset_in_the_search_for_an_illegal_number_leaves_only_its_half_in_doubt(
        self, broker, alibaba_cloud, eager, db
    ):
        service = create_service(alibaba_cloud)
        template = create_template(service)
        numbers = [f"+861380000{n:04}" for n in range(40)]
        alibaba_cloud.refuse("isv.MOBILE_NUMBER_ILLEGAL", times=1)
        alibaba_cloud.fail(Fault.RESET_AFTER_ACCEPTING, times=1, numbers=numbers[:1])
        messages = send_message(service, numbers, template, {"name": "Ada"})
        assert [message.status for message in messages] == ["unknown"] * 20 + ["sent"] * 20
        due(messages)
        sweep()
        assert SmsMessage.objects.filter(status=MessageStatus.SENT).count() == len(alibaba_cloud.journal) == 40

    def test_one_service_that_cannot_be_asked_holds_no_other_up(
        self, broker, alibaba_cloud, twilio, point_to, sms_settings, db
    ):
        """Messages of all services are looked up by the same tasks."""
        point_to(alibaba_cloud, twilio)
        broken, fine = create_service(alibaba_cloud), create_service(twilio)
        template = create_template(broken)
        messages = []
        for simulator, service in ((alibaba_cloud, broken), (twilio, fine)):
            simulator.fail(Fault.RESET_AFTER_ACCEPTING, times=1)
            messages += send_message(service, NUMBER, template, {"name": "Ada"})
        type(broken).objects.filter(pk=broken.pk).update(access_secret=foreign_secret())
        with suppress(EncryptionKeyError):
            reconcile([message.pk for message in messages])
        messages[1].refresh_from_db()
        assert messages[1].status == MessageStatus.SENT


class TestManyInDoubt:
    """Several messages to one number at a time: each gets its own record, or none."""

    @pytest.mark.parametrize("simulator", CAN_LOOK_UP, indirect=True)
    def test_two_equal_texts_get_a_record_each(self, service, simulator, greeting):
        simulator.fail(Fault.RESET_AFTER_ACCEPTING)
        messages = [send_message(service, NUMBER, greeting, {"name": "Ada"})[0] for _ in range(2)]
        reconcile([message.pk for message in messages])
        self.assert_each_has_its_own(simulator, messages)

    @pytest.mark.parametrize("simulator", CAN_LOOK_UP, indirect=True)
    def test_two_texts_looked_up_for_the_last_time_get_a_record_each(self, service, simulator, greeting, sms_settings):
        """Whoever gets none here is called “not sent, safe to send again”."""
        simulator.fail(Fault.RESET_AFTER_ACCEPTING)
        messages = [send_message(service, NUMBER, greeting, {"name": name})[0] for name in ("Ada", "Eve")]
        sms_settings(RECONCILE_DELAYS=(0.0,))
        reconcile([message.pk for message in messages])
        self.assert_each_has_its_own(simulator, messages)

    def assert_each_has_its_own(self, simulator, messages):
        for message in messages:
            message.refresh_from_db()
        assert [message.status for message in messages] == [MessageStatus.SENT] * 2
        if isinstance(simulator, TwilioSimulator):
            by_id = {accepted.message_id: accepted.text for accepted in simulator.journal}
            assert [by_id[message.provider_message_id] for message in messages] == [
                f"Hello {message.params['name']}" for message in messages
            ]
            assert len({message.provider_message_id for message in messages}) == 2

    @pytest.mark.parametrize("names", [("Ada", "Eve"), ("Eve", "Ada")])
    def test_a_text_that_was_lost_does_not_take_anothers_record(self, broker, twilio, db, names):
        """The first is lost, the second is accepted: different texts, so it is plain which is which."""
        service, template = create_service(twilio), create_template()
        twilio.fail(Fault.RESET_BEFORE_ACCEPTING, times=1)
        twilio.fail(Fault.RESET_AFTER_ACCEPTING, times=1)
        lost, accepted = (send_message(service, NUMBER, template, {"name": name})[0] for name in names)
        reconcile([lost.pk, accepted.pk])
        lost.refresh_from_db()
        accepted.refresh_from_db()
        assert (accepted.status, accepted.provider_message_id) == ("sent", twilio.journal[0].message_id)
        assert (lost.status, lost.provider_message_id) == ("unknown", "")

    def test_a_record_of_a_message_that_was_sent_belongs_to_that_message(self, broker, twilio, db):
        service, template = create_service(twilio), create_template()
        send_message(service, NUMBER, template, {"name": "Ada"})
        twilio.fail(Fault.RESET_BEFORE_ACCEPTING, times=1)
        (lost,) = send_message(service, NUMBER, template, {"name": "Ada"})
        reconcile([lost.pk])
        lost.refresh_from_db()
        assert lost.status == MessageStatus.UNKNOWN

    def test_also_if_it_was_sent_through_another_service_of_the_same_account(self, broker, twilio, db):
        """One account, two services: one for codes and one, with a limit, for everything else."""
        codes, others = (create_service(twilio, key=key) for key in ("codes", "others"))
        template = create_template()
        send_message(codes, NUMBER, template, {"name": "Ada"})
        twilio.fail(Fault.RESET_BEFORE_ACCEPTING, times=1)
        (lost,) = send_message(others, NUMBER, template, {"name": "Ada"})
        reconcile([lost.pk])
        lost.refresh_from_db()
        assert lost.status == MessageStatus.UNKNOWN

    def test_a_text_that_somebody_else_sent_from_the_account_is_not_ours(self, broker, twilio, db):
        service = create_service(twilio)
        theirs = create_service(twilio, key="theirs")
        send_message(theirs, NUMBER, create_template(key="other", text="Your parcel has arrived"))
        SmsMessage.objects.all().delete()
        twilio.fail(Fault.RESET_BEFORE_ACCEPTING, times=1)
        (lost,) = send_message(service, NUMBER, create_template(), {"name": "Ada"})
        reconcile([lost.pk])
        lost.refresh_from_db()
        assert lost.status == MessageStatus.UNKNOWN

    @pytest.mark.parametrize("simulator", CAN_LOOK_UP, indirect=True)
    def test_a_text_to_another_number_is_not_this_ones(self, service, simulator, greeting):
        send_message(service, OTHER_NUMBER, greeting, {"name": "Ada"})
        simulator.fail(Fault.RESET_BEFORE_ACCEPTING, times=1)
        (lost,) = send_message(service, NUMBER, greeting, {"name": "Ada"})
        reconcile([lost.pk])
        lost.refresh_from_db()
        assert lost.status == MessageStatus.UNKNOWN


class TestTriedAgain:
    """Refused connections and throttling: certainly not sent."""

    def test_a_refused_connection_is_tried_again_and_sent_once(self, service, simulator, greeting, broker):
        simulator.stop()
        (message,) = queue_message(service, NUMBER, greeting, {"name": "Ada"})
        deliver_messages([message.pk])
        message.refresh_from_db()
        assert (message.status, message.error_kind) == (MessageStatus.QUEUED, ErrorKind.TRANSIENT)
        assert (message.tries, message.sensitive_params) == (1, "")
        simulator.start()
        due([message])
        assert broker.work() == 1
        message.refresh_from_db()
        assert (message.status, message.tries) == (MessageStatus.SENT, 2)
        assert (message.error_kind, message.provider_code) == ("", "")
        assert len(simulator.journal) == 1
        attempt = SmsAttempt.objects.get()
        assert (attempt.outcome, attempt.error_kind) == (Outcome.NOT_SENT, ErrorKind.TRANSIENT)

    def test_throttling_is_tried_again_and_sent_once(self, service, simulator, greeting, broker):
        simulator.fail(Fault.THROTTLED, times=2)
        (message,) = send_message(service, NUMBER, greeting, {"name": "Ada"})
        for _ in range(2):
            assert (message.status, message.error_kind) == (MessageStatus.QUEUED, ErrorKind.THROTTLED)
            due([message])
            broker.work()
            message.refresh_from_db()
        assert (message.status, message.tries) == (MessageStatus.SENT, 3)
        assert len(simulator.journal) == 1
        assert SmsAttempt.objects.count() == 2

    def test_a_message_is_not_tried_before_its_time(self, service, simulator, greeting, broker):
        simulator.fail(Fault.THROTTLED, times=1, retry_after=60_000)
        send_message(service, NUMBER, greeting, {"name": "Ada"})
        broker.work()
        sweep()
        broker.work()
        assert sends(simulator) == 1

    def test_a_pause_that_a_provider_asks_for_is_kept(self, service, simulator, greeting):
        asked = 7_000 if isinstance(simulator, AlibabaCloudSimulator) else 7  # its header counts milliseconds
        simulator.fail(Fault.THROTTLED, times=1, retry_after=asked)
        before = timezone.now()
        (message,) = send_message(service, NUMBER, greeting, {"name": "Ada"})
        assert 7 * SECOND <= message.due_at - before < 10 * SECOND

    def test_a_pause_beyond_all_reason_loses_nothing(self, service, simulator, greeting):
        """The row must not stay “sending”: nothing went out, and another try is due some day."""
        simulator.fail(Fault.THROTTLED, times=1, retry_after=10**15)
        (message,) = send_message(service, NUMBER, greeting, {"name": "Ada"})
        assert message.status == MessageStatus.QUEUED
        assert message.due_at - timezone.now() < timedelta(days=1)

    def test_the_pause_grows_with_the_tries(self, broker, twilio, sms_settings, db):
        sms_settings(RETRY_DELAY=100.0, MAX_TRIES=4)
        service, template = create_service(twilio), create_template()
        twilio.fail(Fault.THROTTLED)
        longest = []
        messages = [send_message(service, NUMBER, template, {"name": "Ada"})[0] for _ in range(20)]
        for _ in range(3):
            pauses = [message.due_at - message.claimed_at for message in messages]
            assert len(set(pauses)) > 10, "no jitter"
            longest.append(max(pauses))
            due(messages)
            deliver_messages([message.pk for message in messages])
            for message in messages:
                message.refresh_from_db()
        assert longest[0] <= 101 * SECOND
        assert 101 * SECOND < longest[1] <= 201 * SECOND
        assert 201 * SECOND < longest[2] <= 401 * SECOND

    @pytest.mark.parametrize(
        ("fault", "kind"), [(Fault.THROTTLED, ErrorKind.THROTTLED), (None, ErrorKind.TRANSIENT)], ids=["slow", "down"]
    )
    def test_the_last_try_fails_with_its_kind(
        self, fault, kind, service, simulator, greeting, broker, sms_settings, heard
    ):
        sms_settings(MAX_TRIES=3)
        if fault:
            simulator.fail(fault)
        else:
            simulator.stop()
        (message,) = send_message(service, NUMBER, greeting, {"name": "Ada"})
        for _ in range(5):
            due([message])
            broker.work()
        message.refresh_from_db()
        assert (message.status, message.error_kind, message.tries) == (MessageStatus.FAILED, kind, 3)
        assert message.provider_code
        assert heard.failed == [message]
        assert SmsAttempt.objects.count() == 3
        assert simulator.journal == []

    def test_one_throttled_number_is_tried_again_alone(self, broker, twilio, db):
        service, template = create_service(twilio), create_template()
        twilio.fail(Fault.THROTTLED, times=1, numbers=[OTHER_NUMBER])
        messages = send_message(service, [NUMBER, OTHER_NUMBER], template, {"name": "Ada"})
        assert [message.status for message in messages] == ["sent", "queued"]
        due(messages)
        broker.work()
        assert sorted(accepted.phone_number for accepted in twilio.journal) == [NUMBER, OTHER_NUMBER]

    def test_what_is_in_doubt_is_never_tried_again(self, service, simulator, greeting, broker):
        """Whoever rings: the broker again, the sweep, or both."""
        simulator.fail(Fault.RESET_AFTER_ACCEPTING, times=1)
        (message,) = send_message(service, NUMBER, greeting, {"name": "Ada"})
        due([message])
        sweep()
        assert "sms_services.deliver_messages" not in {task.name for task in broker.take("sms")}
        deliver_messages([message.pk])
        assert sends(simulator) == 1
