"""What goes wrong with a notification: what is not lost, what is said, and what comes out of it in the end."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone

from notifications.api import cancel, notify, pause, recipients_summary, resume, retry_failed
from notifications.choices import NotificationProblem, NotificationStatus
from notifications.exceptions import InvalidTime, InvalidVariables
from notifications.expansion.expanding import expand
from notifications.expansion.writing import Writer
from notifications.models import Department, Notification, SuppressedNumber
from notifications.signals import notification_finished
from notifications.summary import RecipientsSummary
from notifications.sweeping import sweep
from sms_services.choices import MessageStatus
from sms_services.delivery.sweeping import sweep as sweep_messages
from sms_services.models import SmsBatch, SmsMessage
from tests.people import a_person, number_of, people, states
from tests.services_under_test import create_template

pytest_plugins = ["tests.services_under_test"]
pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]

SENT, SKIPPED, QUEUED = MessageStatus.SENT, MessageStatus.SKIPPED, MessageStatus.QUEUED
HOUR = timedelta(hours=1)


@pytest.fixture
def text(sandbox):
    return create_template(key="news", text="News")


def tell(users, **options):
    return notify(**{"service": "sandbox", "template": "news", "users": users, **options})


def now(notification: Notification) -> Notification:
    return Notification.objects.get(pk=notification.pk)


def later(notification: Notification) -> None:
    """The sweep's time has come."""
    Notification.objects.filter(pk=notification.pk).update(sweep_at=timezone.now(), leased_until=None)
    sweep()


def expire(notification: Notification) -> None:
    past = timezone.now() - timedelta(seconds=1)
    SmsBatch.objects.filter(notification=notification).update(expires_at=past)
    Notification.objects.filter(pk=notification.pk, sweep_at=F("expires_at")).update(sweep_at=past)
    Notification.objects.filter(pk=notification.pk).update(expires_at=past)


def work_all(broker) -> None:
    while broker.work():
        pass


def without_numbers(users):
    raise ValueError("+8613800000000 is nobody's")


@pytest.mark.skipif(connection.vendor != "postgresql", reason="Only PostgreSQL has DISTINCT ON.")
def test_a_queryset_that_is_distinct_by_a_field_keeps_its_order(eager, text):
    a_person("old", number_of(1), last_name="Lee")
    a_person("new", number_of(2), last_name="Lee")
    asked = User.objects.order_by("last_name", "-pk").distinct("last_name")
    assert recipients_summary(users=asked).people == 1
    assert states(tell(asked)) == {"new": SENT}


class TestPausedTooLong:
    @pytest.mark.parametrize("resolved", [True, False])
    def test_it_ends_by_itself(self, resolved, broker, text):
        create_template(key="door", text="${pin}")
        sent = tell(people(3), template="door", variables={"pin": "1234"}, expires_at=timezone.now() + HOUR)
        if resolved:
            broker.work()
        pause(sent)
        Notification.objects.update(sweep_at=timezone.now())
        sweep()
        assert timezone.now() < now(sent).sweep_at < sent.expires_at
        expire(sent)
        for _ in range(3):
            sweep()
            work_all(broker)
            Notification.objects.filter(finished_at=None).update(sweep_at=timezone.now())
        assert set(states(sent).values()) == {SKIPPED if resolved else "expired"}
        assert now(sent).status == NotificationStatus.FINISHED
        assert now(sent).sensitive_variables == ""
        assert not any(message.sensitive_params for message in SmsMessage.objects.all())

    def test_one_that_was_scheduled_does_too(self, broker, text):
        sent = tell(people(2), send_at=timezone.now() + HOUR, expires_at=timezone.now() + 2 * HOUR)
        pause(sent)
        Notification.objects.update(send_at=timezone.now() - HOUR)
        expire(sent)
        for _ in range(2):
            sweep()
            work_all(broker)
            Notification.objects.filter(finished_at=None).update(sweep_at=timezone.now())
        assert now(sent).status == NotificationStatus.FINISHED
        assert set(states(sent).values()) == {"expired"}

    def test_until_then_it_stays(self, broker, text):
        sent = tell(people(2), expires_at=timezone.now() + HOUR)
        pause(sent)
        later(sent)
        work_all(broker)
        assert now(sent).status == NotificationStatus.PAUSED
        assert now(sent).sweep_at > timezone.now()
        resume(sent)
        work_all(broker)
        assert set(states(sent).values()) == {SENT}


class TestHeldBacklog:
    def test_the_sweep_walks_past_it_once(self, broker, text):
        sent = tell(people(3))
        broker.work()
        pause(sent)
        broker.take()
        SmsMessage.objects.update(sweep_at=timezone.now())
        sweep_messages()
        assert not SmsMessage.objects.filter(sweep_at__isnull=False).exists()
        sweep_messages()
        assert broker.take() == []

    def test_it_leaves_after_a_resumption_whose_bell_is_lost(self, broker, text):
        sent = tell(people(3))
        broker.work()
        pause(sent)
        SmsMessage.objects.update(sweep_at=timezone.now())
        sweep_messages()
        resume(sent)
        broker.take()
        sweep_messages()
        work_all(broker)
        assert set(states(sent).values()) == {SENT}
        assert not SmsBatch.objects.get().is_put_off


def with_even_numbers_only(users):
    return users.filter(username__endswith="2").annotate(sms_number=F("mobile_number__number"))


def test_whom_the_projects_function_leaves_out_is_recorded(broker, text, settings):
    settings.NOTIFICATIONS = {"PHONE_NUMBER": with_even_numbers_only}
    asked = [*people(3), *people(2, start=3, is_active=False)]
    sent = tell(asked)
    work_all(broker)
    reasons = dict.fromkeys(["p00000", "p00001"], "no_number") | dict.fromkeys(["p00003", "p00004"], "inactive")
    assert states(sent) == {**reasons, "p00002": SENT}
    expected = RecipientsSummary(people=5, reachable=1, without_number=2, inactive=2)
    assert recipients_summary(users=asked) == expected


def test_many_branches_of_the_tree(broker, text):
    """More than SQLite takes in one condition."""
    rows = [Department(name=f"Branch {n}", path=f"{n:04}", depth=1) for n in range(1, 1_201)]
    Department.objects.bulk_create(rows)
    Department.objects.order_by("path").last().members.add(people(1)[0])
    sent = tell(None, departments=Department.objects.all())
    work_all(broker)
    assert set(states(sent).values()) == {SENT}


class TestUnresolvable:
    @pytest.fixture
    def broken(self, broker, text, settings, caplog):
        settings.NOTIFICATIONS = {"PHONE_NUMBER": without_numbers}
        sent = tell(people(2))
        with caplog.at_level(logging.WARNING):
            work_all(broker)
        return sent

    def test_it_says_so_and_waits_some_minutes(self, broken, caplog):
        stuck = now(broken)
        assert stuck.problem == NotificationProblem.PHONE_NUMBER
        assert "PHONE_NUMBER" in str(stuck.problem_words)
        assert stuck.leased_until is None
        assert stuck.sweep_at > timezone.now() + timedelta(minutes=1)
        assert stuck.status == NotificationStatus.RUNNING
        said = [record.getMessage() for record in caplog.get_records("setup")]
        assert said == [f"notifications.unresolvable notification={broken.pk} problem=phone_number error=ValueError"]

    def test_it_goes_on_when_it_works_again(self, broken, broker, settings):
        settings.NOTIFICATIONS = {}
        later(broken)
        work_all(broker)
        assert set(states(broken).values()) == {SENT}
        assert (now(broken).problem, str(now(broken).problem_words)) == ("", "")

    def test_it_can_be_cancelled(self, broken, broker):
        cancel(broken)
        work_all(broker)
        assert set(states(broken).values()) == {"cancelled"}
        assert now(broken).finished_at is not None

    def test_a_field_that_may_not_be_looked_up_any_more(self, broker, sandbox, settings):
        create_template(key="hello", text="Hello ${name}")
        ada = a_person("ada", number_of(1))
        variables = {"name": F("first_name")}
        sent = tell(ada, template="hello", variables=variables, send_at=timezone.now() + HOUR)
        settings.NOTIFICATIONS = {"RECIPIENT_FIELDS": ["last_name"]}
        Notification.objects.update(send_at=timezone.now())
        later(sent)
        work_all(broker)
        assert states(sent) == {}
        assert now(sent).problem == NotificationProblem.RECIPIENT_FIELDS

    def test_a_lost_key(self, broker, text, sms_settings):
        from cryptography.fernet import Fernet

        create_template(key="door", text="${pin}")
        sent = tell(people(1), template="door", variables={"pin": "1234"})
        sms_settings(ENCRYPTION_KEYS=[Fernet.generate_key().decode()])
        work_all(broker)
        assert now(sent).problem == NotificationProblem.ENCRYPTION_KEY
        cancel(sent)
        work_all(broker)
        assert now(sent).finished_at is not None

    def test_what_the_database_refuses_is_named_without_its_values(self, broker, text, monkeypatch):
        sent = tell(people(2))
        write = Writer.write

        def write_twice(writer, page):
            write(writer, page)
            write(writer, page)

        monkeypatch.setattr(Writer, "write", write_twice)
        with pytest.raises(IntegrityError) as caught:
            expand(sent.pk)
        error: BaseException | None = caught.value
        while error is not None:
            assert "1380000" not in str(error)
            assert "Key (" not in str(error)
            error = error.__context__


class TestRetry:
    def test_it_expires_when_the_first_one_does(self, eager, text):
        sent = tell(a_person("refused", "+12065550151"), expires_at=timezone.now() + HOUR)
        retry = retry_failed(sent)
        assert retry.expires_at == sent.expires_at
        assert retry.batch.expires_at == sent.expires_at

    def test_it_is_refused_when_it_is_too_late(self, eager, text):
        sent = tell(a_person("refused", "+12065550151"), expires_at=timezone.now() + HOUR)
        expire(sent)
        with pytest.raises(InvalidTime, match="passed"):
            retry_failed(sent)


class TestOptingOut:
    def test_what_is_queued_does_not_leave(self, broker, text):
        sent = tell(people(3))
        broker.work()
        SuppressedNumber.objects.create(phone_number=number_of(1))
        assert states(sent) == {"p00000": QUEUED, "p00001": SKIPPED, "p00002": QUEUED}
        assert SmsMessage.objects.get(phone_number=number_of(1)).skip_reason == "suppressed"
        work_all(broker)
        assert sorted(states(sent).values()) == [SENT, SENT, SKIPPED]

    def test_what_is_no_notification_leaves(self, broker, text):
        from sms_services.api import queue_message

        [message] = queue_message("sandbox", number_of(1), "news")
        SuppressedNumber.objects.create(phone_number=number_of(1))
        work_all(broker)
        assert SmsMessage.objects.get(pk=message.pk).status == SENT

    def test_it_is_one_transaction(self, broker, text):
        tell(people(1))
        broker.work()
        with transaction.atomic():
            SuppressedNumber.objects.create(phone_number=number_of(0))
            transaction.set_rollback(True)
        assert SmsMessage.objects.get().status == QUEUED


class TestSummary:
    def test_numbers_that_have_to_be_read_are_counted(self, text, settings):
        settings.NOTIFICATIONS = {"PHONE_NUMBER": "last_name"}
        for name, number in {
            "as": "+8613800000001",
            "national": "13800000002",
            "spaced": "+86 138 0000 0003",
            "nonsense": "none",
        }.items():
            a_person(name, last_name=number)
        summary = recipients_summary(users=User.objects.all())
        assert (summary.people, summary.reachable, summary.to_be_read) == (4, 4, 3)

    def test_who_has_no_value_to_look_up_is_counted(self, text, settings):
        settings.NOTIFICATIONS = {"RECIPIENT_FIELDS": ["first_name", "last_login", "headed_departments__name"]}
        ann, ben, cat = people(3)
        User.objects.filter(pk=ann.pk).update(first_name="")
        User.objects.filter(pk=ben.pk).update(last_login=timezone.now())
        User.objects.filter(pk=cat.pk).update(is_active=False, first_name="")
        counts = [
            recipients_summary(users=[ann, ben, cat], fields=fields).without_value
            for fields in ([], ["first_name"], ["last_login"], ["first_name", "last_login"])
        ]
        assert counts == [0, 1, 1, 1]
        for fields in (["email"], ["headed_departments__name"]):
            with pytest.raises(InvalidVariables):
                recipients_summary(users=[ann], fields=fields)

    def test_ids_however_many(self, text):
        users = people(3)
        ids = [user.pk for user in users] + list(range(10**6, 10**6 + 300_000))
        assert recipients_summary(users=ids).reachable == 3


class TestTheEnd:
    @pytest.fixture
    def where(self):
        """In which step receivers run."""
        step = {"now": "", "heard": []}

        def receive(sender, **kwargs):
            step["heard"].append(step["now"])

        notification_finished.connect(receive)
        yield step
        notification_finished.disconnect(receive)

    def test_receivers_run_in_the_queue_of_notifications(self, where, broker, text):
        sent = tell(people(2))
        broker.work("sms")
        where["now"] = "delivery"
        broker.work("sms")
        where["now"] = "sweep"
        later(sent)
        where["now"] = "worker"
        work_all(broker)
        assert where["heard"] == ["worker"]

    def test_whoever_cancels_does_not_wait_for_them(self, where, broker, text):
        sent = tell(people(2))
        broker.work()
        where["now"] = "caller"
        cancel(sent)
        assert set(states(sent).values()) == {SKIPPED}
        where["now"] = "worker"
        work_all(broker)
        assert where["heard"] == ["worker"]

    def test_the_sweep_leaves_counting_to_a_worker(self, broker, text):
        sent = tell(people(2))
        work_all(broker)
        later(sent)
        work_all(broker)
        Notification.objects.update(finished_at=timezone.now() - timedelta(days=4))
        later(sent)
        assert now(sent).final_counts is None
        work_all(broker)
        assert now(sent).final_counts["total"] == 2


class TestIdempotency:
    @pytest.mark.parametrize("pair", [("due-Ä", "due-A"), ("due-a", "due-A"), ("straße", "strasse")])
    def test_keys_are_compared_to_the_letter(self, pair, broker, text):
        users = people(1)
        first, second = (tell(users, idempotency_key=key) for key in pair)
        assert first.pk != second.pk
        assert [tell(users, idempotency_key=key).pk for key in pair] == [first.pk, second.pk]
