"""`queue_message`: the workers send after the commit, and the broker gets ids and nothing else."""

import time
from datetime import date, datetime, timedelta

import pytest
import time_machine
from django.db import transaction
from django.utils import timezone

from sms_services import tasks
from sms_services.api import queue_message
from sms_services.choices import MessageStatus, Purpose
from sms_services.delivery.sweeping import sweep
from sms_services.exceptions import InactiveService, InvalidExpiry, InvalidParams, NoRecipients, UnknownTemplate
from sms_services.models import SmsMessage
from tests.services_under_test import AMERICAN_NUMBERS, CODE, NUMBER, create_service, create_template, due

pytest_plugins = ["tests.services_under_test"]

pytestmark = pytest.mark.django_db(transaction=True)

NAIVE = datetime(2030, 1, 1)  # noqa: DTZ001


@pytest.mark.databases
class TestCommit:
    def test_the_bell_rings_after_the_commit(self, sandbox, broker):
        template = create_template()
        with transaction.atomic():
            (message,) = queue_message(sandbox, NUMBER, template, {"name": "Ada"})
            assert broker.take("sms") == []
        assert message.status == MessageStatus.QUEUED
        (task,) = broker.take("sms")
        assert (task.name, task.args, task.kwargs) == ("sms_services.deliver_messages", [[message.pk]], {})
        assert not task.has_eta

    def test_without_a_transaction_the_bell_rings_at_once(self, sandbox, broker):
        queue_message(sandbox, NUMBER, create_template(), {"name": "Ada"})
        assert len(broker.take("sms")) == 1

    def test_a_rollback_leaves_nothing(self, sandbox, broker):
        template = create_template()
        with transaction.atomic():
            queue_message(sandbox, NUMBER, template, {"name": "Ada"})
            transaction.set_rollback(True)
        assert not SmsMessage.objects.exists()
        assert broker.take("sms") == []

    def test_a_rolled_back_savepoint_leaves_nothing_either(self, sandbox, broker):
        template = create_template()
        with transaction.atomic():
            with transaction.atomic():
                queue_message(sandbox, NUMBER, template, {"name": "Ada"})
                transaction.set_rollback(True)
            (kept,) = queue_message(sandbox, NUMBER, template, {"name": "Eve"})
        assert SmsMessage.objects.get() == kept
        assert [task.args for task in broker.take("sms")] == [[[kept.pk]]]


@pytest.mark.databases
class TestDelivery:
    def test_a_worker_delivers_what_was_queued(self, transactional_db, service, simulator, greeting, broker):
        queued = queue_message(service, AMERICAN_NUMBERS[:3], greeting, {"name": "Ada"})
        assert simulator.requests == []
        assert broker.work() == 1
        assert sorted(accepted.phone_number for accepted in simulator.journal) == AMERICAN_NUMBERS[:3]
        ids = {accepted.phone_number: accepted.message_id for accepted in simulator.journal}
        for message in queued:
            message.refresh_from_db()
            assert (message.status, message.provider_message_id) == (MessageStatus.SENT, ids[message.phone_number])

    def test_a_task_that_comes_twice_sends_once(self, transactional_db, service, simulator, greeting):
        (message,) = queue_message(service, NUMBER, greeting, {"name": "Ada"})
        tasks.deliver_messages([message.pk])
        tasks.deliver_messages([message.pk])
        assert len(simulator.journal) == 1

    def test_eager_tasks_deliver_at_the_commit(self, transactional_db, service, simulator, greeting, eager):
        with transaction.atomic():
            (message,) = queue_message(service, NUMBER, greeting, {"name": "Ada"})
            assert simulator.requests == []
        assert [accepted.text for accepted in simulator.journal] == ["Hello Ada"]
        message.refresh_from_db()
        assert message.status == MessageStatus.SENT

    def test_what_has_expired_is_not_sent(self, transactional_db, service, simulator, greeting, broker):
        soon = timezone.now() + timedelta(minutes=5)
        queued = queue_message(service, AMERICAN_NUMBERS[:3], greeting, {"name": "Ada"}, expires_at=soon)
        assert set(SmsMessage.objects.values_list("expires_at", flat=True)) == {soon}
        assert all(message.sweep_at <= soon for message in queued)
        late = queued[1]
        SmsMessage.objects.filter(pk=late.pk).update(expires_at=timezone.now())
        assert broker.work() == 1
        assert sorted(accepted.phone_number for accepted in simulator.journal) == [
            message.phone_number for message in queued if message != late
        ]
        tasks.deliver_messages([late.pk])  # nothing to do
        late.refresh_from_db()
        assert (late.status, late.tries) == (MessageStatus.QUEUED, 0)

    def test_it_is_skipped_as_soon_as_it_has_expired(self, sandbox, broker, greeting):
        soon = timezone.now() + timedelta(seconds=5)
        (message,) = queue_message(sandbox, AMERICAN_NUMBERS[0], greeting, {"name": "Ada"}, expires_at=soon)
        broker.take()
        with time_machine.travel(soon + timedelta(seconds=1)):
            sweep()
        message.refresh_from_db()
        assert (message.status, message.skip_reason) == (MessageStatus.SKIPPED, "expired")

    @pytest.mark.parametrize("expires_at", ["2030-01-01T00:00Z", 300, date(2030, 1, 1), NAIVE], ids=repr)
    def test_an_expiry_has_a_time_zone(self, sandbox, expires_at):
        with pytest.raises(InvalidExpiry, match="time zone"):
            queue_message(sandbox, NUMBER, create_template(), {"name": "Ada"}, expires_at=expires_at)
        assert not SmsMessage.objects.exists()

    def test_messages_that_are_gone_are_left_alone(self, sandbox):
        tasks.deliver_messages([4_000_000_000])

    def test_a_service_that_was_deactivated_meanwhile_refuses(self, sandbox, broker, heard):
        (message,) = queue_message(sandbox, NUMBER, create_template(), {"name": "Ada"})
        sandbox.is_active = False
        sandbox.save()
        broker.work()
        message.refresh_from_db()
        assert (message.status, message.provider_code) == (MessageStatus.FAILED, "service_inactive")
        assert heard.failed == [message]
        with pytest.raises(InactiveService):
            queue_message(sandbox, NUMBER, create_template(key="other"), {"name": "Ada"})

    def test_many_messages_are_cut_into_tasks(self, sandbox, broker):
        numbers = [f"+861380000{n:04}" for n in range(1001)]
        messages = queue_message(sandbox, numbers, create_template(), {"name": "Ada"})
        sizes = [len(task.args[0]) for task in broker.take("sms")]
        assert (sum(sizes), max(sizes)) == (1001, 500)
        assert all(message.pk for message in messages)


class TestTasks:
    def test_what_the_broker_gets_are_ids(self, sandbox, broker):
        otp = create_template(key="login", text="Your code is ${code}.", purpose=Purpose.OTP)
        note = create_template(text="Hello ${name}")
        (code,) = queue_message(sandbox, NUMBER, otp, {"code": CODE})
        (greeting,) = queue_message(sandbox, NUMBER, note, {"name": "Adalbert"})
        written = broker.take("sms-codes") + broker.take("sms")
        assert [task.args for task in written] == [[[code.pk]], [[greeting.pk]]]
        for task in written:
            for secret in (NUMBER, NUMBER[2:], CODE, "Adalbert", "Hello", "Your code", "gAAAA"):
                assert secret not in task.raw

    def test_one_time_codes_have_a_queue_of_their_own(self, sandbox, broker):
        otp = create_template(key="login", text="Your code is ${code}.", purpose=Purpose.OTP)
        (message,) = queue_message(sandbox, NUMBER, otp, {"code": CODE})
        assert broker.take("sms") == []
        assert [task.args for task in broker.take("sms-codes")] == [[[message.pk]]]

    def test_queues_are_settings_and_default_to_the_hosts(self, sandbox, broker, sms_settings):
        note, otp = create_template(), create_template(key="o", text="${code}", purpose=Purpose.OTP)
        sms_settings(OTP_QUEUE="", QUEUE="")
        queue_message(sandbox, NUMBER, otp, {"code": CODE})
        queue_message(sandbox, NUMBER, note, {"name": "Ada"})
        assert len(broker.take("sms")) == 2  # CELERY_TASK_DEFAULT_QUEUE
        sms_settings(OTP_QUEUE="first", QUEUE="second")
        queue_message(sandbox, NUMBER, otp, {"code": CODE})
        queue_message(sandbox, NUMBER, note, {"name": "Ada"})
        assert (len(broker.take("first")), len(broker.take("second"))) == (1, 1)

    def test_a_retry_of_a_code_stays_in_its_queue(self, service, simulator, otp, broker):
        simulator.stop()
        (message,) = queue_message(service, NUMBER, otp, {"code": CODE})
        (task,) = broker.take("sms-codes")
        tasks.deliver_messages(*task.args)
        (again,) = broker.take("sms-codes")
        assert (again.args, again.has_eta) == ([[message.pk]], True)


#: kombu gives up at once instead of after six seconds.
IMPATIENT = {"max_retries": 1, "interval_start": 0, "interval_step": 0}


class TestBrokenBroker:
    @pytest.mark.databases
    def test_the_sweep_delivers_what_the_broker_never_got(self, sandbox, broker, caplog):
        template = create_template()
        with broker.down(**IMPATIENT):
            (message,) = queue_message(sandbox, NUMBER, template, {"name": "Ada"})
        message.refresh_from_db()
        assert message.status == MessageStatus.QUEUED
        assert "sms.broker_unreachable task=sms_services.deliver_messages" in caplog.text
        sweep()
        assert broker.work() == 1
        message.refresh_from_db()
        assert message.status == MessageStatus.SENT

    @pytest.mark.databases
    def test_the_sweep_survives_a_broken_broker(self, sandbox, broker):
        (message,) = queue_message(sandbox, NUMBER, create_template(), {"name": "Ada"})
        broker.take("sms")
        due([message])
        with broker.down(**IMPATIENT):
            sweep()
            sweep()
        sweep()
        broker.work()
        message.refresh_from_db()
        assert (message.status, message.tries) == (MessageStatus.SENT, 1)

    def test_a_broker_that_is_down_does_not_hold_the_caller_up(self, sandbox, broker):
        """The caller is a person's request, and the rows are safe: there is no reason to wait for the bell."""
        template = create_template()
        with broker.down(max_retries=1, interval_start=2):
            began = time.monotonic()
            for _ in range(5):
                queue_message(sandbox, NUMBER, template, {"name": "Ada"})
            assert time.monotonic() - began < 1.5
        deadline = time.monotonic() + 10
        while not broker.work():
            assert time.monotonic() < deadline, "the bell stays broken"
            queue_message(sandbox, NUMBER, template, {"name": "Ada"})
            time.sleep(0.05)


class TestWrongUse:
    @pytest.mark.parametrize(
        ("numbers", "template", "params", "error"),
        [
            ([], "greeting", {"name": "Ada"}, NoRecipients),
            (NUMBER, "greeting", {}, InvalidParams),
            (NUMBER, "farewell", {}, UnknownTemplate),
        ],
    )
    def test_it_checks_what_send_message_checks(self, sandbox, broker, numbers, template, params, error):
        create_template()
        with pytest.raises(error):
            queue_message(sandbox, numbers, template, params)
        assert not SmsMessage.objects.exists()
        assert broker.take("sms") == []

    def test_what_the_provider_would_never_take_is_not_queued(self, twilio, broker):
        service = create_service(twilio)
        with pytest.raises(InvalidParams, match="1600"):
            queue_message(service, NUMBER, create_template(), {"name": "a" * 1600})
        assert not SmsMessage.objects.exists()
