"""Retrying: a new message that points at the old one, once, and never a second text without a question."""

import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.contrib.admin import site
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.messages.storage.fallback import FallbackStorage
from django.db import connection, transaction
from django.db.models.signals import pre_save
from django.utils import timezone

from notifications.models import SuppressedNumber
from sms_services.api import retry_message
from sms_services.choices import BatchState, MessageStatus, TemplateStatus
from sms_services.exceptions import (
    AlreadyRetried,
    InactiveService,
    InDoubt,
    NotRetryable,
    RetryRefused,
    UnusableTemplate,
    VariablesWiped,
)
from sms_services.models import SandboxMessage, SmsBatch, SmsMessage
from sms_services.signals import retry_requested
from tests.log_messages import LIST, MASKED, NUMBER, a_message, a_service, assert_private, log_in, page_of, template
from tests.replica import ReadsElsewhere

pytest_plugins = ["tests.services_under_test"]

pytestmark = pytest.mark.django_db

VIEW, RETRY = "view_smsmessage", "retry_smsmessage"


class TestFunction:
    pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

    @pytest.mark.parametrize("status", ["failed", "undelivered"])
    def test_what_did_not_arrive_is_queued_as_a_new_message(self, broker, status):
        old = a_message(status=status, template=template(), template_code="SMS_1")
        new = retry_message(old)
        assert new.pk != old.pk
        assert (new.status, new.retry_of) == ("queued", old)
        for name in ("service", "template", "purpose", "phone_number", "text", "params", "template_code"):
            assert getattr(new, name) == getattr(old, name), name
        assert list(old.retries.all()) == [new]
        assert [task.args for task in broker.take("sms")] == [[[new.pk]]]
        old.refresh_from_db()
        assert old.status == status

    def test_it_leaves_on_the_ordinary_path(self, broker):
        new = retry_message(a_message().pk)
        broker.work()
        new.refresh_from_db()
        assert new.status in {"sent", "failed"}
        assert (new.tries, SandboxMessage.objects.count()) == (1, int(new.status == "sent"))

    def test_it_says_what_the_old_one_said(self, broker):
        greeting = template()
        old = a_message(template=greeting)
        greeting.text = "Changed"
        greeting.save()
        assert retry_message(old).text == "Hello ${name}"

    def test_it_keeps_an_expiry_that_is_still_to_come(self, broker):
        past, soon = timezone.now() - timedelta(minutes=1), timezone.now() + timedelta(minutes=1)
        assert retry_message(a_message(expires_at=soon)).expires_at == soon
        assert retry_message(a_message(expires_at=past)).expires_at is None
        assert retry_message(a_message(batch=SmsBatch.objects.create(expires_at=soon))).expires_at == soon

    def test_the_bell_rings_after_the_commit(self, broker):
        old = a_message()
        with transaction.atomic():
            retry_message(old)
            assert broker.take("sms") == []
        assert len(broker.take("sms")) == 1

    def test_a_broker_that_is_down_leaves_it_to_the_sweep(self, broker):
        old = a_message()
        with broker.down():
            new = retry_message(old)
        new.refresh_from_db()
        assert (new.status, new.sweep_at is not None) == ("queued", True)

    @pytest.mark.parametrize("status", ["queued", "sending", "sent", "delivered", "skipped"])
    def test_nothing_else_is(self, status):
        with pytest.raises(NotRetryable):
            retry_message(a_message(status=status), even_if_in_doubt=True)
        assert SmsMessage.objects.count() == 1

    def test_what_is_in_doubt_needs_a_word_more(self, broker):
        old = a_message(status="unknown")
        with pytest.raises(InDoubt):
            retry_message(old)
        assert retry_message(old, even_if_in_doubt=True).retry_of == old

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"state": BatchState.HELD}, "paused. Resume"),
            ({"state": BatchState.CLOSED}, "cancelled. Send a new"),
            ({"expires_at": timezone.now() - timedelta(days=1)}, "time has passed"),
        ],
    )
    def test_what_its_batch_may_not_send_any_more_is_not_retried(self, broker, fields, words):
        old = a_message(batch=SmsBatch.objects.create(**fields))
        with pytest.raises(RetryRefused, match=words):
            retry_message(old)
        assert SmsMessage.objects.count() == 1

    def test_nor_is_a_retry_of_it(self, broker):
        batch = SmsBatch.objects.create()
        new = retry_message(a_message(batch=batch))
        SmsMessage.objects.filter(pk=new.pk).update(status="failed")
        SmsBatch.objects.update(state=BatchState.CLOSED)
        with pytest.raises(RetryRefused):
            retry_message(new)

    def test_whoever_wants_no_notifications_gets_no_retry_of_one(self, broker):
        old, other = a_message(batch=SmsBatch.objects.create()), a_message()
        SuppressedNumber.objects.create(phone_number=old.phone_number)
        with pytest.raises(RetryRefused, match="suppressed"):
            retry_message(old)
        assert retry_message(other).status == "queued"  # not of a notification

    def test_a_retry_that_waits_is_skipped_when_its_number_is_suppressed(self, broker):
        new, other = retry_message(a_message(batch=SmsBatch.objects.create())), retry_message(a_message())
        SuppressedNumber.objects.create(phone_number=new.phone_number)
        new.refresh_from_db()
        assert (new.status, new.skip_reason) == ("skipped", "suppressed")
        other.refresh_from_db()
        assert other.status == "queued"  # not of a notification

    def test_who_objects_at_the_last_moment_is_heard(self, broker):
        answers = iter([None, "Not any more."])

        def object_the_second_time(message, **kwargs):
            return next(answers)

        old = a_message()
        retry_requested.connect(object_the_second_time, weak=False)
        try:
            with pytest.raises(RetryRefused, match=r"Not any more\."):
                retry_message(old)
        finally:
            retry_requested.disconnect(object_the_second_time)
        assert SmsMessage.objects.get() == old

    def test_a_code_that_the_platform_has_rejected_since_is_refused(self, broker):
        greeting = template()
        old = a_message(template=greeting, template_code="SMS_1")
        greeting.codes.create(service=old.service, code="SMS_1", platform_status=TemplateStatus.REJECTED)
        with pytest.raises(UnusableTemplate, match="rejected"):
            retry_message(old)
        assert SmsMessage.objects.count() == 1

    def test_a_message_has_one_retry_and_that_may_have_another(self, broker):
        old = a_message()
        new = retry_message(old)
        with pytest.raises(AlreadyRetried) as raised:
            retry_message(old)
        assert raised.value.retry_id == new.pk
        SmsMessage.objects.filter(pk=new.pk).update(status="failed")
        assert retry_message(new).retry_of == new

    @pytest.mark.parametrize(
        "changes",
        [
            {"purpose": "otp", "text": "Your code is ${code}.", "params": {}},
            {"text": "${name}: ${token}", "hidden_names": ["token"]},
            {"text": "", "template_code": "SMS_1", "hidden_names": ["token"]},
        ],
        ids=["code", "token", "token of a bare code"],
    )
    def test_what_was_wiped_cannot_be_sent_again(self, changes):
        with pytest.raises(VariablesWiped):
            retry_message(a_message(**changes))
        assert SmsMessage.objects.count() == 1

    def test_a_deactivated_service_sends_nothing(self):
        with pytest.raises(InactiveService):
            retry_message(a_message(service=a_service(key="off", name="Off", is_active=False)))
        assert SmsMessage.objects.count() == 1

    def test_no_error_tells_the_number(self):
        for status in ("failed", "unknown", "sent"):
            with pytest.raises(NotRetryable) as raised:
                retry_message(a_message(status=status, purpose="otp", params={}))
            assert_private(str(raised.value))

    def test_a_message_that_moves_on_meanwhile_is_left_alone(self, broker, monkeypatch):
        old = a_message(status="unknown")

        def settle_meanwhile(*args):
            SmsMessage.objects.filter(pk=old.pk).update(status="sent")

        monkeypatch.setattr("sms_services.api._check_for_provider", settle_meanwhile)
        with pytest.raises(NotRetryable):
            retry_message(old, even_if_in_doubt=True)
        assert SmsMessage.objects.count() == 1

    def test_many_at_once_make_one_retry(self, broker):
        old = a_message()
        barrier = threading.Barrier(6)
        made, refused = [], []

        def retry():
            barrier.wait()
            try:
                made.append(retry_message(old).pk)
            except AlreadyRetried as error:
                refused.append(error.retry_id)
            finally:
                connection.close()

        threads = [threading.Thread(target=retry) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 1
        assert refused == made * 5
        assert SmsMessage.objects.filter(retry_of=old).count() == 1


def press(client, message, **answer):
    return client.post(page_of(message, "retry"), answer)


@contextmanager
def unrecordable(message):
    """The database refuses the line in the history of a message."""

    def spoil(instance, **kwargs):
        if instance.object_id == message.pk:
            instance.action_flag = None

    pre_save.connect(spoil, sender=LogEntry)
    try:
        yield
    finally:
        pre_save.disconnect(spoil, sender=LogEntry)


def choose(client, messages, **answer):
    form = {"action": "retry_selected", "_selected_action": [message.pk for message in messages], **answer}
    if answer:
        form.setdefault("asked", ",".join(str(message.pk) for message in messages))
    return client.post(LIST, {"index": 0, **form} if not answer else form, follow=True)


@pytest.mark.databases
def test_what_comes_into_doubt_after_the_question_is_asked_about_too(client, broker):
    log_in(client, VIEW, RETRY)
    asked, later = a_message(status="unknown"), a_message(status="unknown")
    page = choose(client, [asked, later], in_doubt="all", asked=str(asked.pk)).content.decode()
    assert "Retry, even if they arrive twice" in page
    assert not SmsMessage.objects.filter(retry_of__in=[asked, later]).exists()


class TestButton:
    @pytest.mark.databases
    def test_one_press_and_the_new_message_is_open(self, client, broker):
        log_in(client, VIEW, RETRY)
        old = a_message()
        assert ">Retry</button>" in client.get(page_of(old)).content.decode()
        response = press(client, old)
        new = SmsMessage.objects.get(retry_of=old)
        assert response["Location"] == page_of(new)
        assert ">Retry</button>" not in client.get(page_of(new)).content.decode()

    @pytest.mark.databases
    def test_what_is_in_doubt_is_asked_about(self, client, broker):
        log_in(client, VIEW, RETRY)
        old = a_message(status="unknown")
        page = press(client, old).content.decode()
        assert "Nobody knows whether this message was sent" in page
        assert_private(page)
        assert SmsMessage.objects.count() == 1
        press(client, old, in_doubt="all")
        assert SmsMessage.objects.get(retry_of=old).status == "queued"

    @pytest.mark.parametrize("status", MessageStatus.values)
    @pytest.mark.parametrize(
        ("case", "words"),
        [
            ("plain", ""),
            ("code", "one-time codes and other sensitive variables are not kept"),
            ("wiped", "one-time codes and other sensitive variables are not kept"),
            ("inactive", "the service is deactivated"),
            ("retried", "Already retried: "),
        ],
    )
    def test_it_is_offered_where_it_works_and_elsewhere_the_page_says_why_not(
        self, client, broker, status, case, words
    ):
        log_in(client, VIEW, RETRY)
        changes = {
            "code": {"purpose": "otp", "text": "Your code is ${code}.", "params": {}},
            "wiped": {"text": "${name}: ${token}", "hidden_names": ["token"]},
            "inactive": {"service": a_service(key="off", name="Off", is_active=False)},
        }
        old = a_message(status=status, **changes.get(case, {}))
        if case == "retried":
            a_message(retry_of=old)
        page = client.get(page_of(old)).content.decode()
        offered = ">Retry</button>" in page
        assert_private(page)
        press(client, old, in_doubt="all")
        assert offered == SmsMessage.objects.exclude(retry_of=None).exclude(status="failed").exists()
        did_not_arrive = status in {"failed", "undelivered", "unknown"}
        assert offered == (case == "plain" and did_not_arrive)
        if words:
            assert (words in page) == (did_not_arrive or case == "retried")

    def test_why_not_is_said(self, client, broker):
        log_in(client, VIEW, RETRY)
        old = a_message()
        new = retry_message(old)
        response = client.post(page_of(old, "retry"), follow=True)
        assert f"already retried, as message {new.pk}" in response.content.decode()

    @pytest.mark.databases
    @pytest.mark.django_db(transaction=True)
    def test_without_a_record_nothing_is_sent_and_no_error_page_is_shown(self, client, broker):
        log_in(client, VIEW, RETRY)
        old = a_message()
        with unrecordable(old):
            response = client.post(page_of(old, "retry"), follow=True)
        assert "Something went wrong, so nothing was queued or recorded. Try again." in response.content.decode()
        assert not old.retries.exists()
        assert broker.take("sms") == []
        press(client, old)
        assert LogEntry.objects.get().object_id == str(old.pk)

    @pytest.mark.databases
    def test_the_record_is_made_from_what_was_written(self, broker, settings, rf):
        old = a_message()
        settings.DATABASE_ROUTERS = [ReadsElsewhere("smsmessage")]
        request = rf.post("/")
        request.user, request.session = User.objects.create_superuser("root"), {}
        request._messages = FallbackStorage(request)
        (retry,) = site.get_model_admin(SmsMessage)._retry(request, [old.pk], [])
        assert (retry.retry_of_id, LogEntry.objects.get().object_id) == (old.pk, str(old.pk))

    def test_it_is_a_post_and_its_address_leads_to_the_message(self, client):
        log_in(client, VIEW, RETRY)
        old = a_message()
        assert client.get(page_of(old, "retry"))["Location"] == page_of(old)
        assert SmsMessage.objects.count() == 1

    @pytest.mark.parametrize("permissions", [[], [VIEW], [RETRY], [VIEW, "reveal_smsmessage", "change_smsmessage"]])
    def test_it_needs_its_permission(self, client, permissions):
        log_in(client, *permissions)
        old = a_message()
        assert press(client, old).status_code == 403
        assert SmsMessage.objects.count() == 1
        if VIEW in permissions:
            assert ">Retry</button>" not in client.get(page_of(old)).content.decode()
            assert "retry_selected" not in client.get(LIST).content.decode()


@pytest.mark.databases
class TestAction:
    def test_all_that_can_be_are_retried_and_the_others_counted(self, client, broker):
        log_in(client, VIEW, RETRY)
        failed = [a_message(), a_message(status="undelivered")]
        retried = a_message()
        retry_message(retried)
        others = [retried, a_message(status="sent"), a_message(purpose="otp", params={})]
        page = choose(client, failed + others).content.decode()
        assert {message.retry_of for message in SmsMessage.objects.exclude(retry_of=None)} == {*failed, retried}
        assert "2 texts are sent once more, as new messages: " in page
        assert "Already retried." in page
        assert "Only what failed" in page
        assert "One-time codes" in page
        assert_private(page)

    def test_those_in_doubt_are_asked_about(self, client, broker):
        log_in(client, VIEW, RETRY)
        failed, doubtful = a_message(), a_message(status="unknown")
        page = choose(client, [failed, doubtful]).content.decode()
        assert "Nobody knows whether this message was sent" in page
        assert "left out" not in page
        assert SmsMessage.objects.count() == 2
        choose(client, [failed, doubtful], in_doubt="certain")
        assert [message.retry_of for message in SmsMessage.objects.exclude(retry_of=None)] == [failed]

    def test_what_cannot_be_retried_is_counted_before_the_answer(self, client, broker):
        log_in(client, VIEW, RETRY)
        code = {"purpose": "otp", "text": "Your code is ${code}.", "params": {}}
        retried = [a_message(), a_message(status="unknown")]
        for message in retried:
            retry_message(message, even_if_in_doubt=True)
        impossible = [*retried, a_message(**code), a_message(status="unknown", **code), a_message(status="sent")]
        failed, doubtful = a_message(), a_message(status="unknown")
        page = choose(client, [failed, doubtful, *impossible]).content.decode()
        assert "Nobody knows whether this message was sent" in page
        assert "Retry only the one that was certainly not sent" in page
        assert "5 of the selected messages are left out:" in page
        for line in ("<li>2: Already retried.</li>", "<li>2: One-time codes", "<li>1: Only what failed"):
            assert line in page
        page = choose(client, impossible).content.decode()  # nothing to ask
        assert "2 messages were not retried. Already retried." in page

    def test_the_answer_may_be_all_of_them(self, client, broker):
        log_in(client, VIEW, RETRY)
        failed, doubtful = a_message(), a_message(status="unknown")
        choose(client, [failed, doubtful], in_doubt="all")
        assert SmsMessage.objects.filter(retry_of__in=[failed, doubtful]).count() == 2

    def test_it_needs_its_permission(self, client):
        log_in(client, VIEW)
        choose(client, [a_message()])
        assert SmsMessage.objects.count() == 1

    def test_there_is_a_limit(self, client, monkeypatch):
        monkeypatch.setattr("sms_services.admin.retry.MOST_AT_ONCE", 2)
        log_in(client, VIEW, RETRY)
        page = choose(client, [a_message() for _ in range(3)]).content.decode()
        assert "At most 2 messages" in page
        assert SmsMessage.objects.count() == 3

    @pytest.mark.django_db(transaction=True)
    def test_one_that_cannot_be_recorded_is_not_done_and_the_others_are(self, client, broker):
        log_in(client, VIEW, RETRY)
        messages = [a_message() for _ in range(3)]
        with unrecordable(messages[1]):
            page = choose(client, messages).content.decode()
        assert "2 texts are sent once more, as new messages: " in page
        assert "1 message was not retried. Something went wrong, so nothing was queued or recorded." in page
        assert_private(page)
        retries = SmsMessage.objects.exclude(retry_of=None)
        assert {retry.retry_of for retry in retries} == {messages[0], messages[2]}
        assert {entry.object_id for entry in LogEntry.objects.all()} == {str(messages[0].pk), str(messages[2].pk)}
        assert sorted(task.args for task in broker.take("sms")) == sorted([[retry.pk]] for retry in retries)

    def test_the_history_names_who_and_no_number(self, client, broker):
        user = log_in(client, VIEW, RETRY)
        old = a_message()
        choose(client, [old])
        entry = LogEntry.objects.get()
        assert (entry.user, entry.object_id) == (user, str(old.pk))
        assert MASKED in entry.object_repr
        assert NUMBER not in f"{entry.object_repr} {entry.change_message}"
        assert "Retried as message" in client.get(page_of(old, "history")).content.decode()
