"""Schedules, expiry, pause, resume, cancel and retry; the end of a notification; its sweep and its purge."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import time_machine
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications.api import cancel, notify, pause, resume, retry_failed
from notifications.choices import NotificationStatus
from notifications.exceptions import NothingToRetry, WrongStatus
from notifications.expansion import expanding
from notifications.freezing import freeze_figures
from notifications.models import Notification, Recipient, SuppressedNumber
from notifications.omitting import omit
from notifications.purging import purge
from notifications.signals import notification_finished
from notifications.sweeping import sweep
from notifications.tasks import advance
from sms_services.api import retry_message
from sms_services.choices import BatchState, MessageStatus
from sms_services.exceptions import InactiveService, RetryRefused, VariablesWiped
from sms_services.models import SmsBatch, SmsMessage
from sms_services.purging import purge as purge_messages
from sms_services.tasks import deliver_messages
from tests.people import a_person, number_of, people, states
from tests.services_under_test import create_template

pytest_plugins = ["tests.services_under_test"]
pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]

SENT, SKIPPED, QUEUED = MessageStatus.SENT, MessageStatus.SKIPPED, MessageStatus.QUEUED
HOUR = timedelta(hours=1)


@pytest.fixture
def text(sandbox):
    return create_template(key="news", text="News")


@pytest.fixture
def finished():
    """The notifications that the signal has told of."""
    heard = []

    def receive(sender, notification, **kwargs):
        heard.append((notification.pk, notification.status))

    notification_finished.connect(receive)
    yield heard
    notification_finished.disconnect(receive)


@pytest.fixture
def small_pages(monkeypatch):
    """Two people a page, and one page a task."""
    monkeypatch.setattr("notifications.expansion.pages.PAGE", 2)
    monkeypatch.setattr(expanding, "ROUND_SECONDS", 0.0)


@pytest.mark.parametrize("what", ["another worker goes on", "it is paused", "it is cancelled", "people are left out"])
def test_a_page_is_written_only_by_whoever_still_has_the_notification(broker, text, monkeypatch, what):
    """Between the reading of a page and its writing, anything may happen: then nothing of it is written."""
    asked = people(5)
    sent = tell(asked)
    monkeypatch.setattr("notifications.expansion.pages.PAGE", 2)
    broker.take()
    slow = expanding._Expansion(expanding._taken(sent.pk))
    read = slow._source.page_after

    def read_slowly(cursor, skip_all):
        page = read(cursor, skip_all)
        monkeypatch.setattr(slow._source, "page_after", read)
        if what == "another worker goes on":
            Notification.objects.update(leased_until=None)
            expanding.expand(sent.pk)
        elif what == "it is paused":
            pause(sent)
        elif what == "people are left out":
            assert not omit(sent.pk, [user.pk for user in asked[:2]])
        else:
            Notification.objects.update(status=NotificationStatus.CANCELLED)
        return page

    monkeypatch.setattr(slow._source, "page_after", read_slowly)
    assert slow.run(until=0.0) is False
    told = Recipient.objects.filter(notification=sent)
    assert told.count() == told.values("user").distinct().count() == (5 if what == "another worker goes on" else 0)
    if what == "people are left out":
        moments_later(sent)
        work_all(broker)
        assert set(told.values_list("user", flat=True)) == {user.pk for user in asked[2:]}


def test_who_is_left_out_while_a_worker_takes_it_ends_its_lease(broker, text):
    asked = people(3)
    sent = tell(asked)
    broker.take()
    between = iter([asked[0].pk])

    def just_before(execute, sql, *rest):
        if sql.startswith("SELECT") and (pk := next(between, None)):
            omit(sent.pk, [pk])
        return execute(sql, *rest)

    with connection.execute_wrapper(just_before):
        taken = expanding._taken(sent.pk)
    omit(sent.pk, [asked[1].pk])
    assert expanding._Expansion(taken).run(until=0.0) is False


class TestLeavingOutWhoSharesANumber:
    """Possible where numbers stand in a field of the host's own, as they are not unique there."""

    @pytest.fixture
    def pair(self, settings):
        settings.NOTIFICATIONS = {"PHONE_NUMBER": "last_name"}
        return [a_person("ada", last_name=number_of(1)), a_person("bob", last_name="+86 138 0000 0001")]

    def test_the_text_leaves_for_whoever_still_needs_it(self, broker, text, pair, django_assert_max_num_queries):
        sent = tell([*pair, a_person("cleo", last_name=number_of(2))])
        broker.work("sms")
        assert states(sent) == {"ada": QUEUED, "bob": "duplicate", "cleo": QUEUED}
        ada, _bob = pair
        cleo = User.objects.get(username="cleo")
        with django_assert_max_num_queries(14):
            assert omit(sent.pk, [ada.pk, cleo.pk])
        assert states(sent) == {"ada": QUEUED, "bob": "duplicate", "cleo": SKIPPED}
        work_all(broker)
        assert states(sent)["ada"] == SENT

    @pytest.mark.parametrize("at_once", [True, False])
    def test_nothing_leaves_once_nobody_needs_it(self, broker, text, pair, at_once):
        sent = tell(pair)
        broker.work("sms")
        pks = [user.pk for user in pair]
        if not at_once:
            assert omit(sent.pk, pks[:1])
        assert omit(sent.pk, pks)
        assert states(sent) == {"ada": SKIPPED, "bob": "duplicate"}

    def test_nor_when_the_other_has_another_number_by_now(self, broker, text, pair):
        sent = tell(pair)
        broker.work("sms")
        User.objects.filter(username="bob").update(last_name=number_of(3))
        assert omit(sent.pk, [pair[0].pk])
        assert states(sent) == {"ada": SKIPPED, "bob": "duplicate"}

    @pytest.mark.parametrize("resolved", [True, False])
    def test_nor_when_the_other_is_deactivated(self, broker, text, pair, small_pages, monkeypatch, resolved):
        monkeypatch.setattr("notifications.expansion.pages.PAGE", 3 if resolved else 1)
        sent = tell(pair)
        broker.work("sms")
        User.objects.filter(username="bob").update(is_active=False)
        assert omit(sent.pk, [pair[0].pk]) is resolved
        assert states(sent)["ada"] == SKIPPED
        moments_later(sent)
        work_all(broker)
        assert states(sent) == {"ada": SKIPPED, "bob": "duplicate" if resolved else "inactive"}

    @pytest.mark.parametrize("everybody", [True, False])
    def test_a_failing_function_for_numbers_keeps_what_may_be_shared(
        self, broker, text, pair, settings, caplog, everybody
    ):
        cleo = a_person("cleo", last_name=number_of(2))
        sent = tell([*pair, cleo])
        broker.work("sms")
        works = settings.NOTIFICATIONS
        settings.NOTIFICATIONS = {"PHONE_NUMBER": failing}
        ada, bob = pair
        if everybody:
            assert omit(sent.pk, [ada.pk, bob.pk, cleo.pk])
            assert states(sent) == {"ada": SKIPPED, "bob": "duplicate", "cleo": SKIPPED}
            assert not caplog.text, "nobody's number matters"
            return
        assert not omit(sent.pk, [ada.pk, cleo.pk])
        assert states(sent) == {"ada": QUEUED, "bob": "duplicate", "cleo": SKIPPED}
        assert (
            f"notifications.unresolvable notification={sent.pk} problem=phone_number error=ZeroDivision" in caplog.text
        )
        settings.NOTIFICATIONS = works
        User.objects.filter(pk=bob.pk).update(last_name=number_of(3))
        assert omit(sent.pk, [ada.pk, cleo.pk])
        assert states(sent)["ada"] == SKIPPED

    def test_a_failing_function_for_numbers_is_not_asked_again_once_all_have_left(self, broker, text, pair, settings):
        sent = tell(pair)
        broker.work("sms")
        settings.NOTIFICATIONS = {"PHONE_NUMBER": failing}
        assert not omit(sent.pk, [pair[0].pk])
        work_all(broker)
        assert omit(sent.pk, [pair[0].pk])
        assert states(sent) == {"ada": SENT, "bob": "duplicate"}

    def test_a_failing_function_for_numbers_keeps_all_while_people_are_resolved(
        self, broker, text, pair, settings, small_pages, monkeypatch
    ):
        monkeypatch.setattr("notifications.expansion.pages.PAGE", 1)
        sent = tell(pair)
        broker.work("sms")
        settings.NOTIFICATIONS = {"PHONE_NUMBER": failing}
        assert not omit(sent.pk, [pair[0].pk])
        assert states(sent) == {"ada": QUEUED}

    def test_one_who_is_resolved_only_later_needs_it_too(self, broker, text, pair, small_pages, monkeypatch):
        monkeypatch.setattr("notifications.expansion.pages.PAGE", 1)
        sent = tell(pair)
        broker.work("sms")
        assert states(sent) == {"ada": QUEUED}
        assert not omit(sent.pk, [pair[0].pk])
        moments_later(sent)
        work_all(broker)
        assert states(sent) == {"ada": SENT, "bob": "duplicate"}


def failing(users):
    """A host's function for numbers that does not work."""
    return 1 / 0


def tell(users, **options):
    return notify(**{"service": "sandbox", "template": "news", "users": users, **options})


def now(notification: Notification) -> Notification:
    return Notification.objects.get(pk=notification.pk)


def moments_later(notification: Notification, **moved: datetime) -> None:
    """Let the time come that the sweep waits for."""
    Notification.objects.filter(pk=notification.pk).update(sweep_at=timezone.now(), leased_until=None, **moved)
    sweep()


def expire(notification: Notification) -> None:
    past = timezone.now() - timedelta(seconds=1)
    SmsBatch.objects.filter(notification=notification).update(expires_at=past)
    Notification.objects.filter(pk=notification.pk).update(expires_at=past)


def work_all(broker) -> None:
    while broker.work():
        pass


class TestSchedule:
    def test_it_begins_when_its_time_has_come(self, broker, text):
        sent = tell(people(3), send_at=timezone.now() + HOUR)
        assert sent.status == NotificationStatus.SCHEDULED
        assert broker.work() == 0
        sweep()
        assert broker.work() == 0
        moments_later(sent, send_at=timezone.now())
        work_all(broker)
        assert set(states(sent).values()) == {SENT}
        assert now(sent).started_at is not None

    def test_a_task_that_comes_early_does_nothing(self, broker, text):
        sent = tell(people(3), send_at=timezone.now() + HOUR)
        moments_later(sent)
        work_all(broker)
        assert states(sent) == {}
        assert now(sent).status == NotificationStatus.SCHEDULED

    def test_who_belongs_to_it_is_decided_when_it_begins(self, broker, text):
        from tests.people import a_department

        ada, bob = people(2)
        sales = a_department("Sales", [ada])
        sent = notify(service="sandbox", template="news", departments=sales, send_at=timezone.now() + HOUR)
        sales.members.set([bob])
        moments_later(sent, send_at=timezone.now())
        work_all(broker)
        assert states(sent) == {bob.username: SENT}

    def test_a_moment_that_has_passed_is_now(self, eager, text):
        assert set(states(tell(people(2), send_at=timezone.now() - HOUR)).values()) == {SENT}


class TestExpiry:
    def test_what_is_too_late_is_skipped(self, broker, text):
        sent = tell(people(3), expires_at=timezone.now() + HOUR)
        broker.work()
        expire(sent)
        work_all(broker)
        assert set(states(sent).values()) == {QUEUED}
        moments_later(sent)
        work_all(broker)
        assert set(states(sent).values()) == {SKIPPED}
        assert set(SmsMessage.objects.values_list("skip_reason", flat=True)) == {"expired"}
        moments_later(sent)
        work_all(broker)
        assert now(sent).status == NotificationStatus.FINISHED

    def test_who_was_not_resolved_in_time_is_recorded_too(self, broker, text):
        gone = a_person("gone", number_of(9), is_active=False)
        sent = tell([gone, *people(3)], expires_at=timezone.now() + HOUR)
        expire(sent)
        work_all(broker)
        assert states(sent) == {"gone": "inactive", **dict.fromkeys([f"p{n:05}" for n in range(3)], "expired")}
        assert not SmsMessage.objects.exists()
        assert sent.counts()["skipped"] == 4


class TestPause:
    def test_nothing_leaves_until_it_is_resumed(self, broker, text):
        sent = tell(people(3))
        broker.work()
        assert pause(sent).status == NotificationStatus.PAUSED
        work_all(broker)
        moments_later(sent)
        work_all(broker)
        assert set(states(sent).values()) == {QUEUED}
        assert resume(sent.pk).status == NotificationStatus.RUNNING
        work_all(broker)
        assert set(states(sent).values()) == {SENT}

    def test_people_are_not_resolved_meanwhile(self, broker, text, small_pages):
        sent = tell(people(10))
        broker.work("sms")
        assert len(states(sent)) == 2
        pause(sent)
        work_all(broker)
        assert len(states(sent)) == 2
        resume(sent)
        work_all(broker)
        assert list(states(sent).values()) == [SENT] * 10

    def test_one_of_which_all_has_left_ends(self, broker, text):
        sent = tell(people(3))
        broker.work("sms")
        pause(sent)
        SmsMessage.objects.update(status=MessageStatus.SENDING)
        self.sweep_after(seconds=11, broker=broker)
        assert now(sent).status == NotificationStatus.PAUSED
        SmsMessage.objects.update(status=SENT)
        self.sweep_after(seconds=40, broker=broker)
        assert now(sent).status == NotificationStatus.FINISHED
        assert SmsBatch.objects.get().state == BatchState.OPEN

    def test_one_ends_whose_rest_is_skipped_meanwhile(self, broker, text):
        sent = tell(people(3))
        broker.work()
        pause(sent)
        self.sweep_after(seconds=11, broker=broker)
        assert now(sent).status == NotificationStatus.PAUSED
        for number in range(3):
            SuppressedNumber.objects.create(phone_number=number_of(number))
        self.sweep_after(seconds=20, broker=broker)
        assert now(sent).status == NotificationStatus.PAUSED  # looked at now and then only
        self.sweep_after(seconds=400, broker=broker)
        assert now(sent).status == NotificationStatus.FINISHED

    def sweep_after(self, *, seconds: int, broker) -> None:
        with time_machine.travel(timezone.now() + timedelta(seconds=seconds)):
            sweep()
            work_all(broker)

    def test_a_scheduled_one_is_scheduled_again(self, broker, text):
        sent = tell(people(3), send_at=timezone.now() + HOUR)
        pause(sent)
        assert resume(sent).status == NotificationStatus.SCHEDULED
        assert now(sent).sweep_at == now(sent).send_at

    def test_one_whose_time_came_meanwhile_begins_at_once(self, broker, text):
        sent = tell(people(3), send_at=timezone.now() + HOUR)
        pause(sent)
        Notification.objects.update(send_at=timezone.now())
        assert resume(sent).status == NotificationStatus.RUNNING
        work_all(broker)
        assert set(states(sent).values()) == {SENT}

    def test_it_needs_the_right_status(self, eager, text):
        sent = tell(people(1))
        assert now(sent).status == NotificationStatus.FINISHED
        for function in (pause, resume, cancel):
            with pytest.raises(WrongStatus, match="Finished"):
                function(sent)
        for function in (pause, resume, cancel, retry_failed):
            with pytest.raises(Notification.DoesNotExist):
                function(sent.pk + 1)


class TestCancel:
    def test_its_counts_say_at_once_that_nothing_more_leaves(self, broker, text):
        """However many there are to be marked one by one."""
        sent = tell(people(3))
        broker.work()
        broker.take()
        Notification.objects.update(status=NotificationStatus.CANCELLED)  # as when the rows are still to be marked
        SmsBatch.objects.update(state=BatchState.CLOSED)
        SmsMessage.objects.update(status=QUEUED)
        assert (sent.counts()["skipped"], sent.counts()["queued"], sent.counts()["total"]) == (3, 0, 3)

    def test_what_has_not_left_is_skipped_at_once(self, broker, text):
        sent = tell(people(3))
        broker.work()
        assert cancel(sent).status == NotificationStatus.CANCELLED
        assert set(states(sent).values()) == {SKIPPED}
        assert set(SmsMessage.objects.values_list("skip_reason", flat=True)) == {"cancelled"}
        work_all(broker)
        assert now(sent).finished_at is not None
        assert sent.counts()["skipped"] == 3

    def test_everybody_is_recorded(self, broker, text, small_pages):
        sent = tell(people(10))
        broker.work("sms")
        cancel(sent)
        work_all(broker)
        assert sorted(states(sent).values()) == ["cancelled"] * 8 + [SKIPPED] * 2
        assert now(sent).expanded_at is not None
        assert sent.counts() == {**dict.fromkeys(MessageStatus.values, 0), "skipped": 10, "total": 10}

    @pytest.mark.parametrize("before", ["scheduled", "paused"])
    def test_one_that_has_not_begun(self, before, broker, text):
        sent = tell(people(3), send_at=timezone.now() + HOUR)
        if before == "paused":
            pause(sent)
        cancel(sent)
        work_all(broker)
        assert set(states(sent).values()) == {"cancelled"}
        assert now(sent).started_at is None
        assert now(sent).status == NotificationStatus.CANCELLED

    def test_a_retry_that_comes_back_is_skipped_later(self, broker, text):
        sent = tell(a_person("slow", "+12065550156"))  # the sandbox's number that cannot be reached
        broker.work()
        SmsMessage.objects.update(status=MessageStatus.SENDING)
        cancel(sent)
        assert now(sent).finished_at is None
        SmsMessage.objects.update(status=QUEUED)
        moments_later(sent)
        work_all(broker)
        assert set(states(sent).values()) == {SKIPPED}
        assert now(sent).finished_at is not None

    def test_in_a_transaction_that_is_rolled_back_nothing_happens(self, broker, text):
        sent = tell(people(2))
        with transaction.atomic():
            cancel(sent)
            transaction.set_rollback(True)
        work_all(broker)
        assert set(states(sent).values()) == {SENT}


class TestTheEnd:
    def test_it_is_told_once(self, eager, text, finished):
        sent = tell(people(3))
        assert finished == [(sent.pk, NotificationStatus.FINISHED)]
        moments_later(sent)
        assert len(finished) == 1

    def test_whoever_delivers_the_last_message_has_it_ended_at_once(self, broker, text, finished):
        sent = tell(people(3))
        broker.work("sms")
        (task,) = broker.take()
        ids = task.args[0]
        deliver_messages(ids[:2])
        assert broker.take() == []
        deliver_messages(ids[2:])
        assert now(sent).status == NotificationStatus.RUNNING
        (task,) = broker.take()
        assert (task.name, task.args) == ("notifications.advance", [[sent.pk]])
        advance(*task.args)
        assert finished == [(sent.pk, NotificationStatus.FINISHED)]

    def test_with_one_that_began_long_ago_the_end_is_left_to_the_sweep(self, broker, text, finished):
        """Else each of its deliveries would ask for the end."""
        sent = tell(people(3))
        broker.work("sms")
        Notification.objects.update(started_at=timezone.now() - timedelta(minutes=2))
        broker.work("sms")
        assert broker.take() == []
        moments_later(sent)
        work_all(broker)
        assert finished == [(sent.pk, NotificationStatus.FINISHED)]

    def test_the_sweep_ends_what_nobody_was_rung_for(self, broker, text, finished):
        sent = tell(people(3))
        broker.work("sms")
        broker.work("sms")
        broker.take()
        moments_later(sent)
        work_all(broker)
        assert finished == [(sent.pk, NotificationStatus.FINISHED)]

    def test_counts_still_change_and_are_frozen_in_the_end(self, eager, text):
        sent = tell(people(3))
        SmsMessage.objects.all().apply_receipt(MessageStatus.DELIVERED)
        assert sent.counts()["delivered"] == 3
        moments_later(sent)
        assert (now(sent).final_counts, now(sent).segments()) == (None, 3)
        moments_later(sent, finished_at=timezone.now() - timedelta(days=3))
        SmsMessage.objects.all().delete()
        assert (now(sent).counts()["delivered"], now(sent).segments()) == (3, 3)
        assert now(sent).sweep_at is None

    def test_a_lost_bell_is_rung_by_the_sweep(self, broker, text):
        sent = tell(people(3))
        broker.take()
        moments_later(sent)
        work_all(broker)
        assert set(states(sent).values()) == {SENT}

    def test_what_a_dead_worker_left_is_gone_on_with(self, broker, text, small_pages):
        sent = tell(people(6))
        broker.work("sms")
        broker.take()
        lease = timezone.now() + timedelta(seconds=30)
        Notification.objects.update(leased_until=lease, sweep_at=lease)
        sweep()
        assert [task.name for task in broker.take()] == []
        moments_later(sent)
        work_all(broker)
        assert sorted(states(sent)) == [f"p{n:05}" for n in range(6)]

    def test_a_worker_leaves_alone_what_another_one_has(self, broker, text):
        tell(people(3))
        Notification.objects.update(leased_until=timezone.now() + timedelta(seconds=30))
        broker.work()
        assert not Recipient.objects.exists()


class TestRetriesFromTheLog:
    """A message that is retried by itself stands outside of the notification, and ends with it all the same."""

    @pytest.fixture(params=[1, 2, 3])
    def retried(self, request, broker, text):
        sent = tell(people(2))
        broker.work()
        message = SmsMessage.objects.order_by("pk").first()
        for _ in range(request.param):
            SmsMessage.objects.filter(pk=message.pk).update(status=MessageStatus.FAILED)
            message = retry_message(message)
        return sent, message

    def test_suppressing_skips_them(self, retried, broker):
        _sent, retry = retried
        SuppressedNumber.objects.create(phone_number=retry.phone_number)
        work_all(broker)
        retry.refresh_from_db()
        assert (retry.status, retry.skip_reason) == (SKIPPED, "suppressed")

    def test_cancelling_skips_them(self, retried, broker):
        sent, retry = retried
        cancel(sent)
        work_all(broker)
        retry.refresh_from_db()
        assert (retry.status, retry.skip_reason) == (SKIPPED, "cancelled")

    def test_who_is_left_out_gets_none(self, retried, broker):
        sent, retry = retried
        assert omit(sent.pk, [User.objects.order_by("pk").first().pk])
        retry.refresh_from_db()
        assert (retry.status, retry.skip_reason) == (SKIPPED, "cancelled")
        work_all(broker)
        assert sorted(states(sent).values()) == ["failed", SENT]


class TestRetry:
    @pytest.fixture
    def sent(self, eager, text):
        refused, fine = a_person("refused", "+12065550151"), a_person("fine", number_of(1))
        return tell([refused, fine])

    def test_only_what_failed_is_sent_once_more(self, sent):
        assert states(sent) == {"refused": MessageStatus.FAILED, "fine": SENT}
        retry = retry_failed(sent)
        assert retry.retry_of_id == sent.pk
        assert states(retry) == {"refused": MessageStatus.FAILED}
        old, new = SmsMessage.objects.filter(phone_number="+12065550151").order_by("pk")
        assert new.retry_of_id == old.pk
        assert new.readable_text() == "News"
        with pytest.raises(NothingToRetry):
            retry_failed(sent)
        assert states(retry_failed(retry)) == {"refused": MessageStatus.FAILED}

    def test_page_by_page_each_is_sent_once_more(self, eager, text, small_pages):
        sent = tell(people(12))
        ids = list(SmsMessage.objects.order_by("pk").values_list("pk", flat=True))
        failed, undelivered = ids[1:6] + ids[9:10], ids[6:9] + ids[10:]
        SmsMessage.objects.filter(pk__in=failed).update(status=MessageStatus.FAILED)
        SmsMessage.objects.filter(pk__in=undelivered).update(status=MessageStatus.UNDELIVERED)
        retried = [*ids[2:6], ids[11]]  # whole pages, and the last one
        for pk in retried:
            retry_message(pk)
        retry = retry_failed(sent)
        again = SmsMessage.objects.filter(batch=retry.batch).order_by("retry_of")
        assert list(again.values_list("retry_of", flat=True)) == [ids[1], *ids[6:11]]
        assert now(retry).status == NotificationStatus.FINISHED

    def test_who_has_left_meanwhile_is_skipped(self, sent):
        User.objects.filter(username="refused").update(is_active=False)
        assert states(retry_failed(sent)) == {"refused": "inactive"}

    def test_who_opted_out_meanwhile_is_skipped(self, sent):
        SuppressedNumber.objects.create(phone_number="+12065550151")
        assert states(retry_failed(sent)) == {"refused": "suppressed"}

    def test_variables_are_kept(self, eager, sandbox):
        from django.db.models import F

        create_template(key="hello", text="Hello ${name}, ${what}")
        user = a_person("refused", "+12065550151")
        sent = notify(users=user, service="sandbox", template="hello", variables={"name": F("first_name"), "what": "x"})
        retry_failed(sent)
        assert {m.readable_text() for m in SmsMessage.objects.all()} == {"Hello Refused, x"}
        assert SmsMessage.objects.count() == 2

    def test_what_was_sensitive_is_gone(self, eager, sandbox):
        create_template(key="door", text="${pin}")
        user = a_person("refused", "+12065550151")
        sent = notify(users=user, service="sandbox", template="door", variables={"pin": "1234"})
        with pytest.raises(VariablesWiped):
            retry_failed(sent)

    def test_a_deactivated_service_refuses(self, sent, sandbox):
        sandbox.is_active = False
        sandbox.save()
        with pytest.raises(InactiveService):
            retry_failed(sent)

    def test_what_was_stopped_is_not_retried_as_the_log_does_not(self, broker, text):
        sent = tell([a_person("refused", "+12065550151"), *people(2)])
        broker.work("sms")
        (task,) = broker.take()
        deliver_messages(task.args[0][:1])
        for stop, words in ((pause, "paused"), (cancel, "cancelled")):
            stop(sent)
            with pytest.raises(WrongStatus, match=words):
                retry_failed(sent)
            with pytest.raises(RetryRefused, match=words):
                retry_message(SmsMessage.objects.get(status=MessageStatus.FAILED))
        work_all(broker)
        assert now(sent).finished_at is not None
        with pytest.raises(WrongStatus, match="cancelled"):
            retry_failed(sent)
        assert Notification.objects.count() == 1

    def test_what_was_paused_is_retried_once_it_goes_on(self, broker, text):
        sent = tell([a_person("refused", "+12065550151"), *people(2)])
        broker.work("sms")
        broker.work("sms")
        pause(sent)
        resume(sent)
        retry = retry_failed(sent)
        work_all(broker)
        assert states(retry) == {"refused": MessageStatus.FAILED}

    def test_two_at_once_make_one(self, sent, broker):
        broker.app.conf.update(task_always_eager=False)
        retry_failed(sent)
        with pytest.raises(WrongStatus):
            retry_failed(sent)


class TestPurge:
    @pytest.fixture
    def old(self, eager, text):
        sent = tell(people(5))
        long_ago = timezone.now() - timedelta(days=181)
        Notification.objects.update(created_at=long_ago, finished_at=long_ago)
        SmsBatch.objects.update(created_at=long_ago)
        return sent

    def test_what_is_old_goes_and_its_messages_stay(self, old, text):
        young = tell(people(2, 10))
        assert sum(purge(dry_run=True)) == 1
        assert Notification.objects.count() == 2
        assert sum(purge(batch_size=2)) == 1
        assert list(Notification.objects.values_list("pk", flat=True)) == [young.pk]
        assert Recipient.objects.count() == 2
        assert SmsMessage.objects.count() == 7

    def test_what_may_not_be_retried_may_not_be_afterwards_either(self, old):
        cancelled, suppressed = old.batch, SmsMessage.objects.first()
        SmsMessage.objects.update(status=MessageStatus.FAILED)
        assert sum(purge()) == 1
        SuppressedNumber.objects.create(phone_number=suppressed.phone_number)
        with pytest.raises(RetryRefused, match="suppressed"):
            retry_message(suppressed)
        SmsBatch.objects.filter(pk=cancelled.pk).update(state=BatchState.CLOSED)
        with pytest.raises(RetryRefused, match="cancelled"):
            retry_message(SmsMessage.objects.last())

    def test_the_batch_goes_when_the_last_message_has_gone(self, old, text):
        tell(people(2, 10))
        SmsBatch.objects.create()
        assert sum(purge()) == 1
        assert SmsBatch.objects.count() == 3
        SmsMessage.objects.filter(batch=old.batch_id).delete()
        assert sum(purge()) == 0
        assert SmsBatch.objects.count() == 2

    def test_what_was_scheduled_long_ago_and_ended_lately_stays(self, old):
        Notification.objects.update(finished_at=timezone.now())
        assert sum(purge()) == 0

    def test_a_retry_keeps_its_people(self, old, broker):
        SmsMessage.objects.filter(batch=old.batch).update(status="failed")
        broker.app.conf.update(task_always_eager=False)
        retry = retry_failed(old)
        assert sum(purge()) == 0
        work_all(broker)
        assert retry.counts()["sent"] == 5
        assert sum(purge()) == 1

    def test_what_has_not_ended_stays(self, broker, text):
        tell(people(2))
        Notification.objects.update(created_at=timezone.now() - timedelta(days=500))
        assert sum(purge()) == 0

    def test_it_can_be_switched_off(self, old, settings):
        settings.NOTIFICATIONS = {"RETENTION_DAYS": None}
        assert sum(purge()) == 0

    def test_messages_that_are_purged_take_their_recipients_along(self, old):
        long_ago = timezone.now() - timedelta(days=181)
        SmsMessage.objects.update(created_at=long_ago, sent_at=long_ago)
        for _ in purge_messages():
            pass
        assert not Recipient.objects.exists()
        assert SmsBatch.objects.get().state == BatchState.OPEN
        assert sum(purge()) == 1
        assert not SmsBatch.objects.exists()


class TestFiguresOfShortRetention:
    """Messages that are purged before receipts can no longer come."""

    @pytest.fixture(params=[1, 2])
    def days(self, request, sms_settings):
        sms_settings(RETENTION_DAYS={"notification": request.param})
        return request.param

    def age(self, days: int) -> None:
        """All of it is so old, and a minute."""
        moment = timezone.now() - timedelta(days=days, minutes=1)
        SmsMessage.objects.update(created_at=moment, sent_at=moment)
        Notification.objects.filter(finished_at__isnull=False).update(created_at=moment, finished_at=moment)

    @pytest.mark.parametrize("ended", ["as long ago", "lately"])
    def test_they_are_those_of_before_the_purge(self, eager, text, days, ended):
        sent = tell([a_person("refused", "+12065550151"), a_person("without"), *people(3)])
        SmsMessage.objects.filter(status=SENT).apply_receipt(MessageStatus.DELIVERED)
        before, segments = sent.counts(), sent.segments()
        assert (before["delivered"], before["failed"], before["skipped"], segments) == (3, 1, 1, 3)
        self.age(days)
        if ended == "lately":
            Notification.objects.update(finished_at=timezone.now())
        (_purpose, count), *_rest = purge_messages(batch_size=2)
        assert (count, _rest) == (2, [("notification", 2)])
        assert not SmsMessage.objects.exists()
        assert (now(sent).counts(), now(sent).segments()) == (before, segments)
        moments_later(sent, finished_at=timezone.now() - timedelta(days=3))
        assert (now(sent).counts(), now(sent).segments()) == (before, segments)

    def test_a_worker_that_counts_too_late_changes_nothing(self, eager, text, days):
        sent = tell(people(3))
        self.age(days)
        meanwhile = iter([True])

        def purging(execute, sql, *rest):
            if "sms_services_smsmessage" in sql and next(meanwhile, False):
                list(purge_messages())
            return execute(sql, *rest)

        with connection.execute_wrapper(purging):
            freeze_figures(Notification.objects.filter(pk=sent.pk))
        assert not SmsMessage.objects.exists()
        assert (now(sent).counts()["sent"], now(sent).segments()) == (3, 3)

    def test_many_are_frozen_in_as_many_queries_as_few(self, eager, text, days):
        def queries(count: int) -> int:
            sent = [tell([person]) for person in people(count, start=count)]
            sent.append(tell([a_person(f"without{count}")]))
            self.age(days)
            with CaptureQueriesContext(connection) as captured:
                assert list(purge_messages()) == [("notification", count)]
            figures = [(now(each).final_counts["sent"], now(each).final_segments) for each in sent[:-1]]
            assert figures == [(1, 1)] * count
            return len(captured)

        assert queries(2) == queries(12)

    def test_what_has_not_ended_stays_whole(self, broker, text, days):
        sent = tell(people(3))
        broker.work("sms")
        (task,) = broker.take()
        deliver_messages(task.args[0][:2])
        pause(sent)
        self.age(days)
        assert list(purge_messages(dry_run=True)) == [("notification", 2)]  # what is kept is counted too
        assert SmsMessage.objects.count() == 3
        assert [count for _purpose, count in purge_messages()] == [0]
        assert sent.counts()["total"] == 3
        resume(sent)
        work_all(broker)
        assert now(sent).finished_at is not None
        self.age(days)
        assert [count for _purpose, count in purge_messages()] == [3]
        assert (now(sent).counts()["sent"], now(sent).counts()["total"]) == (3, 3)

    def test_one_that_ends_while_the_purge_asks_for_it_loses_no_figures(self, eager, text, days):
        sent = tell(people(3))
        self.age(days)
        Notification.objects.update(finished_at=None)
        just_asked = iter([True])

        def ending(execute, sql, *rest):
            found = execute(sql, *rest)
            if "finished_at" in sql and next(just_asked, False):
                Notification.objects.update(finished_at=timezone.now())
            return found

        with connection.execute_wrapper(ending):
            list(purge_messages())
        assert next(just_asked, False) is False
        assert now(sent).counts()["sent"] == now(sent).counts()["total"] == 3
        assert [count for _purpose, count in purge_messages()] == [3]
        assert now(sent).counts()["sent"] == now(sent).counts()["total"] == 3

    def test_a_dry_run_freezes_nothing(self, eager, text, days):
        sent = tell(people(3))
        self.age(days)
        assert [count for _purpose, count in purge_messages(dry_run=True)] == [3]
        assert now(sent).final_counts is None


def test_a_missing_key_holds_up_and_forgets_nothing(broker, sandbox, sms_settings, settings, caplog):
    create_template(key="door", text="${pin}")
    sent = notify(users=people(2), service="sandbox", template="door", variables={"pin": "1234"})
    keys = settings.SMS_SERVICES["ENCRYPTION_KEYS"]
    sms_settings(ENCRYPTION_KEYS=[Fernet.generate_key().decode()])
    broker.work()
    said = f"notifications.unresolvable notification={sent.pk} problem=encryption_key error=EncryptionKeyError"
    assert said in caplog.text
    sms_settings(ENCRYPTION_KEYS=keys)
    moments_later(sent)
    work_all(broker)
    assert set(states(sent).values()) == {SENT}
