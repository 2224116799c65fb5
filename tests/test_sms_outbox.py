"""`sms_outbox` and `capture_sms`: what projects test their texts with. Everything but vendor and broker is real."""

import subprocess
import sys
import threading
from contextlib import contextmanager, suppress

import pytest
from django.db import connection, transaction
from django.test import TestCase

from sms_services.api import queue_message, send_message
from sms_services.choices import ErrorKind, MessageStatus, Purpose
from sms_services.delivery import broker, pacing
from sms_services.exceptions import InvalidParams, InvalidPhoneNumber, OpenTransaction, UnusableTemplate
from sms_services.models import (
    AlibabaCloudSms,
    AwsSnsSms,
    SandboxMessage,
    SandboxSms,
    SmsAttempt,
    SmsMessage,
    SmsTemplate,
    TwilioSms,
)
from sms_services.providers import cache, get_provider
from sms_services.providers.base import OutgoingMessage
from sms_services.providers.twilio import TwilioProvider
from sms_services.signals import message_sent
from sms_services.testing import SmsOutbox, capture_sms
from tests.host_suite import outcomes, plugin_arguments, run_pytest
from tests.services_under_test import CODE, NUMBER, OTHER_NUMBER, RECIPIENT_CODES, create_template

pytest_plugins = ["tests.services_under_test"]

KINDS = {
    "alibaba_cloud": (AlibabaCloudSms, {"access_key": "k" * 20, "access_secret": "s", "verify_sign": "公司"}),
    "aws_sns": (AwsSnsSms, {"access_key": "k" * 20, "secret_key": "s", "region": "us-east-1"}),
    "twilio": (TwilioSms, {"account_sid": f"AC{'0' * 32}", "auth_token": "s", "from_number": "+12065550100"}),
    "sandbox": (SandboxSms, {}),
}
MANY = [f"+861380000{n:04}" for n in range(130)]


def create(name: str, **changes):
    model, fields = KINDS[name]
    return model.objects.create(key=name.replace("_", "-"), name=name.title(), **{**fields, **changes})


@pytest.fixture(
    params=[
        pytest.param(True, id="db", marks=pytest.mark.django_db),
        pytest.param(False, id="transactional_db", marks=pytest.mark.django_db(transaction=True)),
    ]
)
def database(request, db):
    """Both ways in which pytest-django isolates a test."""
    assert connection.in_atomic_block is request.param


@pytest.fixture(params=KINDS)
def service(request, database):
    return create(request.param)


@pytest.fixture
def twilio(database):
    return create("twilio")


@pytest.fixture
def greeting(service):
    return create_template(service)


@pytest.fixture
def hello(twilio):
    return create_template(twilio)


@contextmanager
def nothing_published(monkeypatch):
    published = []
    with monkeypatch.context() as patch:
        patch.setattr(broker._publisher, "publish", published.append)
        yield
    assert published == []


class TestEveryService:
    def test_a_text_that_is_sent_now_is_there(self, sms_outbox, service, greeting):
        (message,) = send_message(service, "(206) 555-0123", greeting, {"name": "Ada"})
        assert message.status == MessageStatus.SENT
        (text,) = sms_outbox
        assert (text.phone_number, text.text, text.params) == (NUMBER, "Hello Ada", {"name": "Ada"})
        assert (text.purpose, text.service) == (Purpose.NOTIFICATION, service.key)
        assert text.template_code == ("SMS_100001" if service.sends_by_code else "")
        assert text.message == message
        assert (message.provider_message_id, message.segments) == (text.message_id, 1)
        assert not SandboxMessage.objects.exists()

    def test_a_text_that_is_queued_is_there_without_a_broker(self, sms_outbox, service, greeting, monkeypatch):
        with nothing_published(monkeypatch):
            messages = queue_message(service, [NUMBER, OTHER_NUMBER], greeting, {"name": "Ada"})
            assert [message.status for message in messages] == ["queued", "queued"]
            assert sorted(text.phone_number for text in sms_outbox) == [NUMBER, OTHER_NUMBER]
        assert set(SmsMessage.objects.values_list("status", flat=True)) == {"sent"}

    def test_a_large_sending_arrives_whole_and_once(self, sms_outbox, service, greeting):
        service.max_per_second = 1
        service.save()
        queue_message(service, MANY, greeting, {"name": "Ada"})
        assert sorted(text.phone_number for text in sms_outbox) == MANY
        assert len(sms_outbox) == len({text.message.pk for text in sms_outbox}) == len(MANY)

    def test_the_rate_limit_holds_nothing_back_now_either(self, sms_outbox, service, greeting):
        service.max_per_second = 1
        service.save()
        messages = send_message(service, MANY, greeting, {"name": "Ada"})
        assert {message.status for message in messages} == {"sent"}

    def test_what_production_refuses_is_refused(self, sms_outbox, service, greeting):
        unusable = SmsTemplate.objects.create(key="empty", name="Empty")
        with pytest.raises(UnusableTemplate):
            send_message(service, NUMBER, unusable)
        with pytest.raises(InvalidParams):
            send_message(service, NUMBER, greeting, {"nickname": "Ada"})
        with pytest.raises(InvalidParams):
            queue_message(service, "+8613800001234", greeting, {"name": "x" * 1600})
        with pytest.raises(InvalidPhoneNumber):
            queue_message(service, "+1 206", greeting, {"name": "Ada"})
        assert sms_outbox == []
        assert not SmsMessage.objects.exists()

    def test_the_fake_behaves_as_the_provider_that_it_replaces(self, sms_outbox, service):
        fake, real = get_provider(service), service.build_provider()
        for name in ("name", "extra", "sends_by_code", "can_look_up", "errors", "max_characters"):
            assert getattr(fake, name) == getattr(real, name)
        assert fake.count_segments("你好" * 40, NUMBER) == real.count_segments("你好" * 40, NUMBER)
        assert fake.verify().ok
        outgoing = [OutgoingMessage(number, "otp", "Hello", "SMS_100001") for number in MANY]
        for limit in (None, 7):
            assert list(fake.batches(outgoing, limit)) == list(real.batches(outgoing, limit))

    def test_one_time_codes_are_in_the_text_and_nowhere_else(self, sms_outbox, service):
        otp = create_template(service, text="Your code is ${code}.", purpose=Purpose.OTP)
        send_message(service, NUMBER, otp, {"code": CODE})
        assert (sms_outbox[0].text, sms_outbox[0].params["code"]) == (f"Your code is {CODE}.", CODE)
        assert sms_outbox[0].message.params == {}

    def test_a_bare_template_code_has_no_text(self, sms_outbox, database):
        send_message(create("alibaba_cloud"), NUMBER, "SMS_200002", {"a": "b"}, purpose=Purpose.NOTIFICATION)
        assert (sms_outbox[0].template_code, sms_outbox[0].text) == ("SMS_200002", "")


@pytest.mark.databases
class TestTransactions:
    def test_what_is_queued_waits_for_the_end_of_an_open_transaction(self, sms_outbox, twilio, hello):
        with transaction.atomic():
            queue_message(twilio, NUMBER, hello, {"name": "Ada"})
            assert len(sms_outbox) == 0
            sms_outbox.deliver()
            assert not sms_outbox
        assert len(sms_outbox) == 1

    def test_what_was_rolled_back_is_never_there(self, sms_outbox, twilio, hello):
        with suppress(ZeroDivisionError), transaction.atomic():
            queue_message(twilio, NUMBER, hello, {"name": "Ada"})
            raise ZeroDivisionError
        sms_outbox.deliver()
        assert sms_outbox == []

    def test_sending_now_in_a_transaction_is_refused_as_ever(self, sms_outbox, twilio, hello):
        with pytest.raises(OpenTransaction), transaction.atomic():
            send_message(twilio, NUMBER, hello, {"name": "Ada"})

    def test_captured_hooks_send_nothing_twice(
        self, sms_outbox, twilio, hello, django_capture_on_commit_callbacks, monkeypatch
    ):
        with nothing_published(monkeypatch), django_capture_on_commit_callbacks(execute=True):
            queue_message(twilio, NUMBER, hello, {"name": "Ada"})
        assert len(sms_outbox) == 1

    def test_another_threads_texts_are_there_once_it_has_committed(self, sms_outbox, transactional_db):
        service = create("twilio")
        template = create_template(service)

        def request():
            try:
                queue_message(service, NUMBER, template, {"name": "Ada"})
                send_message(service, OTHER_NUMBER, template, {"name": "Ada"})
            finally:
                connection.close()

        thread = threading.Thread(target=request)
        thread.start()
        thread.join()
        assert sorted(text.phone_number for text in sms_outbox) == [NUMBER, OTHER_NUMBER]

    def test_eager_tasks_deliver_at_the_commit(self, sms_outbox, transactional_db, eager):
        service = create("twilio")
        (message,) = queue_message(service, NUMBER, create_template(service), {"name": "Ada"})
        message.refresh_from_db()
        assert message.status == MessageStatus.SENT
        assert len(sms_outbox) == 1


class TestListLike:
    def test_it_reads_like_a_list(self, sms_outbox, twilio, hello):
        assert not sms_outbox
        assert sms_outbox == []
        for name in ("Ada", "Bo", "Cy"):
            queue_message(twilio, NUMBER, hello, {"name": name})
        assert repr(sms_outbox) == "[]"
        assert [text.text for text in sms_outbox[1:]] == ["Hello Bo", "Hello Cy"]
        assert sms_outbox[-1].text == "Hello Cy"
        assert (len(sms_outbox), bool(sms_outbox)) == (3, True)
        assert list(sms_outbox) == sms_outbox
        assert "Hello Ada" in repr(sms_outbox)
        with pytest.raises(IndexError):
            sms_outbox[3]

    def test_clear_delivers_first(self, sms_outbox, twilio, hello):
        (message,) = queue_message(twilio, NUMBER, hello, {"name": "Ada"})
        sms_outbox.clear()
        assert sms_outbox == []
        message.refresh_from_db()
        assert message.status == MessageStatus.SENT

    def test_the_vendor_still_knows_what_was_cleared(self, sms_outbox, twilio, hello):
        sms_outbox.fail("timeout")
        (message,) = send_message(twilio, NUMBER, hello, {"name": "Ada"})
        sms_outbox.clear()
        sms_outbox.look_up()
        message.refresh_from_db()
        assert (message.status, sms_outbox) == (MessageStatus.SENT, [])

    def test_texts_to_one_number_know_their_own_rows(self, sms_outbox, twilio, hello):
        rows = [queue_message(twilio, NUMBER, hello, {"name": name})[0] for name in ("Ada", "Bo", "Cy")]
        assert [text.message for text in sms_outbox] == rows
        assert [text.params["name"] for text in sms_outbox] == [text.message.params["name"] for text in sms_outbox]

    def test_they_know_them_when_one_of_them_was_tried_again(self, sms_outbox, twilio, hello):
        rows = [queue_message(twilio, NUMBER, hello, {"name": name})[0] for name in ("Ada", "Bo", "Cy", "Di")]
        sms_outbox.fail("throttled", times=1)
        sms_outbox.fail("lost", times=1)
        sms_outbox.fail("timeout", times=1)
        assert [text.message for text in sms_outbox] == rows[2:]
        sms_outbox.deliver()
        assert [text.message for text in sms_outbox] == [*rows[2:], rows[0]]
        assert [text.params["name"] for text in sms_outbox] == [text.message.params["name"] for text in sms_outbox]

    def test_what_a_receiver_queues_is_delivered_too(self, sms_outbox, twilio, hello):
        def follow_up(message, **kwargs):
            if message.params["name"] == "Ada":
                queue_message(twilio, OTHER_NUMBER, hello, {"name": "Bo"})

        message_sent.connect(follow_up)
        queue_message(twilio, NUMBER, hello, {"name": "Ada"})
        assert [text.text for text in sms_outbox] == ["Hello Ada", "Hello Bo"]

    def test_a_text_whose_row_is_gone_says_so(self, sms_outbox, twilio, hello):
        send_message(twilio, NUMBER, hello, {"name": "Ada"})
        SmsMessage.objects.all().delete()
        with pytest.raises(SmsMessage.DoesNotExist):
            _ = sms_outbox[0].message


class TestFaults:
    def test_after_a_timeout_the_text_is_there_and_the_message_in_doubt(self, sms_outbox, service, greeting):
        sms_outbox.fail("timeout")
        (message,) = send_message(service, NUMBER, greeting, {"name": "Ada"})
        assert (message.status, message.error_kind) == (MessageStatus.UNKNOWN, ErrorKind.TRANSIENT)
        assert [text.message for text in sms_outbox] == [message]
        sms_outbox.deliver()
        assert len(sms_outbox) == 1
        sms_outbox.look_up()
        message.refresh_from_db()
        assert message.status == ("sent" if service.provider_class.can_look_up else "unknown")

    def test_a_lost_request_leaves_the_message_in_doubt_and_nothing_else(self, sms_outbox, service, greeting):
        sms_outbox.fail("lost")
        (message,) = send_message(service, NUMBER, greeting, {"name": "Ada"})
        sms_outbox.deliver()
        sms_outbox.look_up()
        message.refresh_from_db()
        assert (message.status, sms_outbox) == (MessageStatus.UNKNOWN, [])

    def test_a_look_up_that_gives_up_fails_what_was_lost(self, sms_outbox, twilio, hello, sms_settings):
        sms_settings(RECONCILE_DELAYS=[0])
        sms_outbox.fail("lost")
        (message,) = send_message(twilio, NUMBER, hello, {"name": "Ada"})
        sms_outbox.look_up()
        message.refresh_from_db()
        assert (message.status, message.provider_code) == (MessageStatus.FAILED, "no_record")

    @pytest.mark.parametrize(("fault", "kind"), [("throttled", "throttled"), ("down", "transient")])
    def test_what_did_not_go_out_is_tried_again_at_deliver(self, sms_outbox, service, greeting, fault, kind):
        sms_outbox.fail(fault, times=2)
        (message,) = send_message(service, NUMBER, greeting, {"name": "Ada"})
        assert (message.status, message.error_kind) == (MessageStatus.QUEUED, kind)
        assert sms_outbox == []
        sms_outbox.deliver()
        assert sms_outbox == []
        sms_outbox.deliver()
        assert len(sms_outbox) == 1
        assert (sms_outbox[0].message.tries, SmsAttempt.objects.count()) == (3, 2)
        codes = set(SmsAttempt.objects.values_list("provider_code", flat=True))
        assert codes <= set(service.provider_class.errors) | {"Throttled", "ConnectionRefused"}

    def test_a_first_try_waits_for_nothing_and_a_second_for_deliver(self, sms_outbox, twilio, hello, sms_settings):
        sms_settings(RETRY_DELAY=0.0)
        sms_outbox.fail("throttled", times=1)
        queue_message(twilio, NUMBER, hello, {"name": "Ada"})
        assert sms_outbox == []
        SmsMessage.objects.update(due_at=None)
        assert sms_outbox == []
        sms_outbox.deliver()
        assert len(sms_outbox) == 1

    def test_tries_are_used_up_as_in_production(self, sms_outbox, twilio, hello, sms_settings):
        sms_settings(MAX_TRIES=3)
        sms_outbox.fail("down")
        (message,) = queue_message(twilio, NUMBER, hello, {"name": "Ada"})
        for _ in range(5):
            sms_outbox.deliver()
        message.refresh_from_db()
        assert (message.status, message.tries, sms_outbox) == (MessageStatus.FAILED, 3, [])

    def test_one_call_of_deliver_is_one_try(self, sms_outbox, twilio, hello):
        sms_outbox.fail("down")
        (message,) = queue_message(twilio, NUMBER, hello, {"name": "Ada"})
        for tries in (1, 2, 3):
            sms_outbox.deliver()
            message.refresh_from_db()
            assert message.tries == tries

    @pytest.mark.parametrize("kind", list(ErrorKind))
    def test_a_refusal_has_the_kind_that_was_asked_for(self, sms_outbox, service, greeting, kind):
        sms_outbox.fail("refused", kind=kind)
        (message,) = send_message(service, NUMBER, greeting, {"name": "Ada"})
        assert (message.status, message.error_kind) == (MessageStatus.FAILED, kind)
        assert message.provider_code
        assert sms_outbox == []

    def test_a_refused_number_is_refused_with_the_vendors_code(self, sms_outbox, twilio, hello):
        sms_outbox.fail("refused", code="21610", numbers="(206) 555-0124")
        messages = send_message(twilio, [NUMBER, OTHER_NUMBER], hello, {"name": "Ada"})
        assert [message.status for message in messages] == ["sent", "failed"]
        assert (messages[1].provider_code, messages[1].error_kind) == ("21610", ErrorKind.RECIPIENT)
        assert [text.phone_number for text in sms_outbox] == [NUMBER]

    @pytest.mark.parametrize("name", RECIPIENT_CODES)
    def test_a_code_comes_from_no_other_vendor(self, sms_outbox, database, name):
        services = {kind: create(kind) for kind in RECIPIENT_CODES}
        template = create_template(*services.values())
        sms_outbox.fail("refused", code=RECIPIENT_CODES[name])
        statuses = {
            kind: send_message(service, NUMBER, template, {"name": "Ada"})[0].status
            for kind, service in services.items()
        }
        assert statuses == {kind: "failed" if kind == name else "sent" for kind in services}

    def test_a_code_of_the_table_is_tried_again_where_the_table_says_so(self, sms_outbox, twilio, hello):
        sms_outbox.fail("refused", code="20429")
        (message,) = send_message(twilio, NUMBER, hello, {"name": "Ada"})
        assert (message.status, message.error_kind) == (MessageStatus.QUEUED, ErrorKind.THROTTLED)

    def test_one_service_goes_down_and_the_other_does_not(self, sms_outbox, twilio, hello):
        sandbox = create("sandbox")
        sms_outbox.fail("down", service="twilio")
        assert send_message(twilio, NUMBER, hello, {"name": "Ada"})[0].status == "queued"
        assert send_message(sandbox, NUMBER, hello, {"name": "Ada"})[0].status == "sent"
        sms_outbox.recover()
        sms_outbox.deliver()
        assert [text.service for text in sms_outbox] == ["sandbox", "twilio"]

    def test_the_earliest_fault_is_met_first(self, sms_outbox, twilio, hello):
        sms_outbox.fail("lost", times=1)
        sms_outbox.fail("refused", times=1)
        numbers = [NUMBER, OTHER_NUMBER, "+12065550125"]
        messages = send_message(twilio, numbers, hello, {"name": "Ada"})
        assert [message.status for message in messages] == ["unknown", "failed", "sent"]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"fault": "broken"}, "timeout, lost, throttled"),
            ({"fault": "down", "kind": "quota"}, "refused"),
            ({"fault": "refused", "code": "0815"}, "0815"),
            ({"fault": "refused", "code": "21610", "kind": "quota"}, "not both"),
            ({"fault": "refused", "kind": "weather"}, "weather"),
            ({"fault": "down", "times": 0}, "1 or more"),
        ],
    )
    def test_a_fault_that_cannot_be_is_said_at_once(self, arguments, words):
        with pytest.raises(ValueError, match=words):
            SmsOutbox().fail(**arguments)


@pytest.mark.databases
class TestReceipts:
    @pytest.mark.parametrize("status", ["delivered", "undelivered"])
    def test_a_receipt_moves_a_sent_message_on_once(self, sms_outbox, twilio, hello, status):
        (message,) = send_message(twilio, NUMBER, hello, {"name": "Ada"})
        sent_at = message.sent_at
        assert sms_outbox.receipt(message, status)
        assert (message.status, message.sent_at) == (status, sent_at)
        for late in ("delivered", "undelivered"):
            assert not sms_outbox.receipt(message, late)
            assert message.status == status

    def test_a_receipt_of_a_text_moves_its_row(self, sms_outbox, twilio, hello):
        send_message(twilio, NUMBER, hello, {"name": "Ada"})
        assert sms_outbox.receipt(sms_outbox[0], "undelivered", code="30003")
        row = sms_outbox[0].message
        assert (row.status, row.provider_code) == (MessageStatus.UNDELIVERED, "30003")
        assert row.error_kind == TwilioProvider.errors["30003"].kind

    def test_a_receipt_settles_what_was_in_doubt(self, sms_outbox, twilio, hello):
        sms_outbox.fail("timeout")
        (message,) = send_message(twilio, NUMBER, hello, {"name": "Ada"})
        assert sms_outbox.receipt(message, "delivered")
        assert (message.status, message.error_kind, message.provider_code) == (MessageStatus.DELIVERED, "", "")
        assert message.sent_at == message.claimed_at
        assert message.sweep_at is None

    @pytest.mark.parametrize("status", sorted(set(MessageStatus) - {MessageStatus.SENT, MessageStatus.UNKNOWN}))
    def test_in_any_other_status_it_changes_nothing(self, sms_outbox, twilio, hello, status):
        (message,) = send_message(twilio, NUMBER, hello, {"name": "Ada"})
        SmsMessage.objects.update(status=status)
        before = SmsMessage.objects.values().get()
        assert not sms_outbox.receipt(message, "delivered")
        assert SmsMessage.objects.values().get() == before

    @pytest.mark.parametrize("status", ["sent", "failed", "lost"])
    def test_a_receipt_says_one_of_two_things(self, sms_outbox, twilio, hello, status):
        (message,) = send_message(twilio, NUMBER, hello, {"name": "Ada"})
        with pytest.raises(ValueError, match=status):
            sms_outbox.receipt(message, status)


class TestIsolation:
    @pytest.mark.parametrize("run", [1, 2])
    def test_every_test_starts_with_an_empty_outbox_and_no_faults(self, sms_outbox, twilio, hello, run):
        assert sms_outbox == []
        (message,) = send_message(twilio, NUMBER, hello, {"name": "Ada"})
        assert message.status == MessageStatus.SENT
        sms_outbox.fail("down")

    def test_nothing_is_replaced_after_the_block_however_it_ends(self, twilio):
        before = (cache._replacement, broker._silent, pacing._limited)
        with suppress(ZeroDivisionError), capture_sms():
            assert (cache._replacement, broker._silent, pacing._limited) != before
            raise ZeroDivisionError
        assert before == (cache._replacement, broker._silent, pacing._limited) == (None, False, True)
        assert type(get_provider(twilio)) is TwilioProvider

    def test_no_real_provider_is_built_meanwhile(self, sms_outbox, twilio, hello):
        send_message(twilio, NUMBER, hello, {"name": "Ada"})
        assert cache._providers == {}

    def test_an_inner_outbox_keeps_its_texts_to_itself(self, sms_outbox, twilio, hello):
        with capture_sms() as inner:
            send_message(twilio, NUMBER, hello, {"name": "Ada"})
            assert len(inner) == 1
        assert sms_outbox == []
        send_message(twilio, NUMBER, hello, {"name": "Ada"})
        assert (len(sms_outbox), len(inner)) == (1, 1)


class TestWithoutFixtures(TestCase):
    def setUp(self):
        self.sms = self.enterContext(capture_sms())

    def test_capture_sms_serves_unittest(self):
        service = create("twilio")
        queue_message(service, NUMBER, create_template(service), {"name": "Ada"})
        assert [text.text for text in self.sms] == ["Hello Ada"]


class TestImport:
    def test_the_plugin_imports_neither_django_nor_ours(self):
        program = (
            "import sys, pytest; before = set(sys.modules); import sms_services.pytest_plugin;"
            "print(sorted(set(sys.modules) - before))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "['sms_services', 'sms_services.pytest_plugin']"

    def test_a_run_without_django_does_not_mind_it(self, tmp_path):
        (tmp_path / "test_arithmetic.py").write_text("def test_sum():\n    assert 1 + 1 == 2\n")
        code, output = run_pytest("-p", "no:django", *plugin_arguments(), cwd=tmp_path)
        assert (code, outcomes(output)) == (0, {"passed": 1}), output
