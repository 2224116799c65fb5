"""The sweep rings again for what the broker lost, and settles what dead workers left."""

import threading
import time
from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest
from django.db import connection, connections
from django.utils import timezone

from sms_services import tasks
from sms_services.api import queue_message
from sms_services.choices import ErrorKind, MessageStatus, Outcome, Purpose
from sms_services.delivery import sweeping
from sms_services.delivery.delivering import deliver
from sms_services.delivery.reconciling import reconcile
from sms_services.delivery.settling import settle
from sms_services.delivery.sweeping import doubt_lost, look_up_doubtful, ring_for_forgotten, sweep
from sms_services.models import SmsAttempt, SmsMessage
from sms_services.providers.base import Result
from tests.services_under_test import (
    AMERICAN_NUMBERS,
    CHINESE_NUMBERS,
    CODE,
    NUMBER,
    create_service,
    create_template,
    due,
    foreign_secret,
)
from tests.simulators import Fault

pytest_plugins = ["tests.services_under_test"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

LATER = timedelta(hours=1)


@pytest.fixture
def template(db):
    return create_template()


def queued(sandbox, template, count=1) -> list[SmsMessage]:
    return queue_message(sandbox, AMERICAN_NUMBERS[:count], template, {"name": "Ada"})


def claimed(sandbox, template, count=1, claim="claim-of-a-worker") -> list[SmsMessage]:
    """What a worker has taken and not settled."""
    return take(sandbox, queued(sandbox, template, count), claim)


def take(service, messages, claim) -> list[SmsMessage]:
    """Leave messages as a worker does that dies between its claim and the provider."""
    now = timezone.now()
    rows = SmsMessage.objects.filter(pk__in=[message.pk for message in messages])
    rows.update(
        status=MessageStatus.SENDING,
        claim=claim,
        account=service.account,
        claimed_at=now,
        sweep_at=now + timedelta(minutes=5),
        tries=1,
    )
    return list(rows.order_by("pk"))


def run_side_by_side(*works) -> None:
    """Each work in a thread, with a database connection of its own, all at the same time."""
    start = threading.Barrier(len(works))
    errors: list[BaseException] = []

    def run(work):
        try:
            start.wait(10)
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []


class TestLostBells:
    def test_a_bell_that_was_lost_is_rung_again(self, sandbox, template, broker):
        messages = queued(sandbox, template, 3)
        broker.take("sms")
        due(messages)
        sweep()
        (task,) = broker.take("sms")
        assert sorted(task.args[0]) == [message.pk for message in messages]

    def test_what_has_expired_is_skipped_instead(self, sandbox, broker, heard):
        otp = create_template(key="login", text="${code}", purpose=Purpose.OTP)
        soon = timezone.now() + timedelta(minutes=5)
        (late,) = queue_message(sandbox, NUMBER, otp, {"code": CODE}, expires_at=soon)
        (early,) = queue_message(sandbox, NUMBER, otp, {"code": CODE}, expires_at=soon)
        SmsMessage.objects.filter(pk=late.pk).update(expires_at=timezone.now())
        broker.take("sms-codes")
        sweep()
        late.refresh_from_db()
        assert late.status == MessageStatus.QUEUED  # its time for the sweep has not come
        due([late, early])
        sweep()
        assert [task.args for task in broker.take("sms-codes")] == [[[early.pk]]]
        late.refresh_from_db()
        early.refresh_from_db()
        assert (late.status, late.skip_reason, late.sensitive_params) == ("skipped", "expired", "")
        assert (late.sweep_at, late.hidden_names, early.status) == (None, ["code"], "queued")
        assert heard.failed == heard.sent == []

    def test_it_is_not_rung_again_at_once(self, sandbox, template, broker):
        messages = queued(sandbox, template)
        broker.take("sms")
        sweep()
        assert broker.take("sms") == []
        due(messages)
        sweep()
        sweep()
        assert len(broker.take("sms")) == 1
        messages[0].refresh_from_db()
        assert messages[0].sweep_at > timezone.now() + timedelta(minutes=4)

    def test_a_row_that_another_program_created_is_delivered(self, sandbox, template, broker):
        """The fields that the design lists suffice to create a working row."""
        message = SmsMessage.objects.create(
            service=sandbox, template=template, phone_number=NUMBER, text="Hello", purpose=Purpose.NOTIFICATION
        )
        sweep()
        broker.work()
        message.refresh_from_db()
        assert message.status == MessageStatus.SENT

    def test_codes_are_rung_for_in_their_queue(self, sandbox, template, broker):
        otp = create_template(key="login", text="${code}", purpose=Purpose.OTP)
        (code,) = queue_message(sandbox, NUMBER, otp, {"code": CODE})
        (other,) = queued(sandbox, template)
        broker.take("sms"), broker.take("sms-codes")
        due([code, other])
        sweep()
        assert [task.args for task in broker.take("sms-codes")] == [[[code.pk]]]
        assert [task.args for task in broker.take("sms")] == [[[other.pk]]]

    def test_a_message_that_waits_for_its_next_try_is_left_alone(self, twilio, template, broker):
        service = create_service(twilio)
        twilio.fail(Fault.THROTTLED, times=1, retry_after=600)
        (message,) = queue_message(service, NUMBER, template, {"name": "Ada"})
        broker.work()
        message.refresh_from_db()
        assert message.due_at > timezone.now() + timedelta(minutes=9)
        assert ring_for_forgotten(timezone.now()) == 0
        due([message])
        sweep()
        broker.work()
        message.refresh_from_db()
        assert message.status == MessageStatus.SENT

    def test_all_services_get_their_own_bells(self, sandbox, template, broker):
        other = type(sandbox).objects.create(key="other", name="Other")
        messages = [*queued(sandbox, template, 2), *queued(other, template, 2)]
        broker.take("sms")
        due(messages)
        sweep()
        bells = sorted(sorted(task.args[0]) for task in broker.take("sms"))
        assert bells == [[m.pk for m in messages[:2]], [m.pk for m in messages[2:]]]

    def test_a_backlog_is_worked_off_in_steps(self, sandbox, template, broker, monkeypatch):
        monkeypatch.setattr(sweeping, "STEP", 4)
        messages = queued(sandbox, template, 10)
        broker.take("sms")
        due(messages)
        for _ in range(3):
            sweep()
        rung = Counter(pk for task in broker.take("sms") for pk in task.args[0])
        assert rung == Counter(message.pk for message in messages)

    def test_a_message_that_no_key_opens_stays_queued_and_holds_nobody_up(self, sandbox, template, broker):
        otp = create_template(key="login", text="${code}", purpose=Purpose.OTP)
        unreadable, readable = queue_message(sandbox, AMERICAN_NUMBERS[:2], otp, {"code": CODE})
        SmsMessage.objects.filter(pk=unreadable.pk).update(sensitive_params=foreign_secret())
        broker.work()
        unreadable.refresh_from_db()
        readable.refresh_from_db()
        assert (unreadable.status, readable.status) == (MessageStatus.QUEUED, MessageStatus.SENT)


class TestDeadWorkers:
    def test_what_a_dead_worker_left_is_in_doubt(self, sandbox, template, broker):
        messages = claimed(sandbox, template, 3)
        broker.take("sms")
        sweep()
        assert SmsMessage.objects.filter(status=MessageStatus.SENDING).count() == 3
        due(messages)
        assert doubt_lost(timezone.now()) == 3
        for message in messages:
            message.refresh_from_db()
            assert (message.status, message.error_kind) == (MessageStatus.UNKNOWN, ErrorKind.TRANSIENT)
            assert message.provider_code == "worker_lost"
            attempt = message.attempts.get()
            assert (attempt.outcome, attempt.error_kind) == (Outcome.UNCERTAIN, ErrorKind.TRANSIENT)
            assert (attempt.provider_code, attempt.started_at) == ("worker_lost", message.claimed_at)

    def test_a_code_that_a_dead_worker_left_is_wiped(self, sandbox, template):
        otp = create_template(key="login", text="${code}", purpose=Purpose.OTP)
        (message,) = queue_message(sandbox, NUMBER, otp, {"code": CODE})
        due(take(sandbox, [message], "claim"))
        sweep()
        message.refresh_from_db()
        assert (message.status, message.sensitive_params) == (MessageStatus.UNKNOWN, "")

    def test_it_is_looked_up_and_never_sent_again(self, service, simulator, greeting, broker):
        """The worker died before it called, or after: the provider knows."""
        numbers = AMERICAN_NUMBERS[:2]
        arrived, lost = queue_message(service, numbers, greeting, {"name": "Ada"})
        broker.take("sms")
        deliver(service, [arrived])
        accepted = simulator.journal[0]
        row = SmsMessage.objects.filter(pk=arrived.pk)
        row.update(status=MessageStatus.SENDING, provider_message_id="", sent_at=None, sweep_at=timezone.now())
        due(take(service, [lost], "claim"))
        sweep()
        broker.work()
        arrived.refresh_from_db()
        lost.refresh_from_db()
        if service.provider_class.can_look_up:
            assert arrived.status == MessageStatus.SENT
            assert arrived.provider_message_id in {"", accepted.message_id}
        else:
            assert arrived.status == MessageStatus.UNKNOWN
        assert lost.status == MessageStatus.UNKNOWN
        assert len(simulator.journal) == 1

    def test_messages_to_one_number_are_looked_up_together(self, sandbox, template, broker, monkeypatch):
        """Two tasks at the same time could take one record for two messages."""
        monkeypatch.setattr(sweeping, "LOOK_UPS", 3)
        messages = [queue_message(sandbox, AMERICAN_NUMBERS[n // 2], template, {"name": "Ada"})[0] for n in range(8)]
        broker.take("sms")
        due(take(sandbox, messages, "claim"))
        sweep()
        numbers = {message.pk: message.phone_number for message in messages}
        parts = [{numbers[pk] for pk in task.args[0]} for task in broker.take("sms")]
        assert sum(map(len, parts)) == 4, "a number is in two tasks"

    def test_without_look_ups_in_the_settings_a_lost_message_stays_in_doubt(
        self, sandbox, template, broker, sms_settings
    ):
        sms_settings(RECONCILE_DELAYS=())
        due(claimed(sandbox, template))
        broker.take("sms")
        sweep()
        broker.work()
        assert SmsMessage.objects.get().status == MessageStatus.UNKNOWN


class TestLateWorkers:
    """A worker that was taken for dead, and comes back with its outcome."""

    ACCEPTED = Result(Outcome.ACCEPTED, message_id="SB1", segments=1)
    REFUSED = Result(Outcome.REFUSED, ErrorKind.RECIPIENT, "21614")
    NOT_SENT = Result(Outcome.NOT_SENT, ErrorKind.TRANSIENT, "ConnectTimeout")
    UNCERTAIN = Result(Outcome.UNCERTAIN, ErrorKind.TRANSIENT, "ReadTimeout")

    @pytest.mark.parametrize(
        ("result", "status", "kind"),
        [
            (ACCEPTED, MessageStatus.SENT, ""),
            (REFUSED, MessageStatus.FAILED, ErrorKind.RECIPIENT),
            (NOT_SENT, MessageStatus.FAILED, ErrorKind.TRANSIENT),
            (UNCERTAIN, MessageStatus.UNKNOWN, ErrorKind.TRANSIENT),
        ],
    )
    def test_the_late_worker_knows_best(self, sandbox, template, broker, heard, result, status, kind):
        (message,) = claimed(sandbox, template)
        broker.take("sms")
        due([message])
        doubt_lost(timezone.now())
        settle(sandbox, [message], [result], can_look_up=True)
        row = SmsMessage.objects.get()
        assert (row.status, row.error_kind) == (status, kind)
        assert broker.take("sms") == []
        assert len(heard.sent) == (status == MessageStatus.SENT)
        assert len(heard.failed) == (status == MessageStatus.FAILED)
        due([row])
        sweep()
        assert SmsMessage.objects.get().status == status, "the sweep moved it"

    def test_each_message_of_the_batch_counts_by_itself(self, sandbox, template):
        """The sweep saw half of the claim; another sweep would have seen the rest."""
        messages = claimed(sandbox, template, 4)
        due(messages[:2])
        assert doubt_lost(timezone.now()) == 2
        results = [self.ACCEPTED, self.UNCERTAIN, self.ACCEPTED, self.NOT_SENT]
        settle(sandbox, messages, results, can_look_up=True)
        statuses = list(SmsMessage.objects.order_by("pk").values_list("status", flat=True))
        assert statuses == ["sent", "unknown", "sent", "queued"]

    @pytest.mark.parametrize("result", [ACCEPTED, REFUSED, NOT_SENT, UNCERTAIN], ids=lambda result: result.outcome)
    @pytest.mark.parametrize("final", ["sent", "failed", "delivered"])
    def test_what_is_settled_already_stays_and_is_told_once(self, sandbox, template, broker, heard, result, final):
        """The look-up was faster than the late worker."""
        (message,) = claimed(sandbox, template)
        broker.take("sms")
        SmsMessage.objects.update(status=final, sweep_at=None)
        settle(sandbox, [message], [result], can_look_up=True)
        broker.work()
        assert SmsMessage.objects.get().status == final
        assert (heard.sent, heard.failed) == ([], []), "nothing happened to the message"

    def test_the_claim_of_another_worker_is_not_settled(self, sandbox, template):
        (message,) = claimed(sandbox, template, claim="mine")
        SmsMessage.objects.update(claim="theirs")
        settle(sandbox, [message], [self.ACCEPTED], can_look_up=True)
        assert SmsMessage.objects.get().status == MessageStatus.SENDING


class TestAtTheSameTime:
    def test_two_sweeps_write_one_attempt(self, sandbox, template):
        messages = claimed(sandbox, template, 20)
        due(messages)
        run_side_by_side(*[lambda: doubt_lost(timezone.now())] * 4)
        assert SmsAttempt.objects.count() == 20
        assert set(SmsMessage.objects.values_list("status", flat=True)) == {MessageStatus.UNKNOWN}

    def test_two_sweeps_ring_once(self, sandbox, template, broker):
        messages = queued(sandbox, template, 20)
        broker.take("sms")
        due(messages)
        rung = []
        run_side_by_side(*[lambda: rung.append(ring_for_forgotten(timezone.now()))] * 4)
        assert sum(rung) == 20

    def test_two_sweeps_look_up_once(self, sandbox, template, broker):
        messages = claimed(sandbox, template, 20)
        SmsMessage.objects.update(status=MessageStatus.UNKNOWN)
        due(messages)
        found = []
        run_side_by_side(*[lambda: found.append(look_up_doubtful(timezone.now()))] * 4)
        assert sum(found) == 20

    def test_workers_with_the_same_task_send_once(self, service, simulator, greeting, broker):
        simulator.latency = 0.01
        messages = queue_message(service, CHINESE_NUMBERS[:150], greeting, {"name": "Ada"})
        ids = [message.pk for message in messages]
        run_side_by_side(*[lambda: tasks.deliver_messages(ids)] * 3)
        assert Counter(accepted.phone_number for accepted in simulator.journal) == Counter(CHINESE_NUMBERS[:150])
        assert set(SmsMessage.objects.values_list("status", "tries")) == {("sent", 1)}
        ids_by_number = {accepted.phone_number: accepted.message_id for accepted in simulator.journal}
        for message in SmsMessage.objects.all():
            assert message.provider_message_id == ids_by_number[message.phone_number]

    def test_a_sweep_between_claim_and_outcome_loses_nothing(self, twilio, template, broker, sms_settings):
        """The worker is only slow: its messages are called lost while it still waits for the provider."""
        sms_settings(SENDING_TIMEOUT=1.0)
        service = create_service(twilio)
        twilio.latency = 2.5
        messages = queue_message(service, AMERICAN_NUMBERS[:5], template, {"name": "Ada"})
        broker.take("sms")

        def sweep_meanwhile():
            while not SmsMessage.objects.filter(status=MessageStatus.SENDING).exists():
                pass
            time.sleep(1.1)
            assert doubt_lost(timezone.now()) == 5

        run_side_by_side(lambda: tasks.deliver_messages([message.pk for message in messages]), sweep_meanwhile)
        assert set(SmsMessage.objects.values_list("status", flat=True)) == {MessageStatus.SENT}
        assert len(twilio.journal) == 5


class TestTransitions:
    """Nothing else ever happens: whoever comes late or twice changes nothing."""

    @pytest.mark.parametrize("status", MessageStatus)
    def test_no_code_path_takes_a_step_that_does_not_exist(self, sandbox, template, broker, status):
        def fresh() -> SmsMessage:
            SmsMessage.objects.all().delete()
            (message,) = queued(sandbox, template)
            broker.take("sms")
            now = timezone.now()
            SmsMessage.objects.update(status=status, claim="claim", claimed_at=now, sweep_at=now - LATER, due_at=None)
            message.refresh_from_db()
            return message

        def settled_as(result):
            return lambda message: settle(sandbox, [message], [result], can_look_up=True)

        paths = {
            "deliver_messages": lambda message: tasks.deliver_messages([message.pk]),
            "deliver": lambda message: deliver(sandbox, [message]),
            "reconcile": lambda message: reconcile([message.pk]),
            "sweep": lambda message: sweep(),
            "sweep and work": lambda message: [sweep(), broker.work()],
            **{
                f"settle {result.outcome}": settled_as(result)
                for result in (
                    TestLateWorkers.ACCEPTED,
                    TestLateWorkers.REFUSED,
                    TestLateWorkers.NOT_SENT,
                    TestLateWorkers.UNCERTAIN,
                )
            },
        }
        seen: list[str] = []
        with recorded_statuses(seen):
            for name, path in paths.items():
                message = fresh()
                seen.clear()
                path(message)
                steps = [status, *seen]
                for before, after in pairwise(steps):
                    allowed = SmsMessage.TRANSITIONS.get(before, frozenset())
                    assert after == before or after in allowed, f"{name}: {before} → {after}"
                row = SmsMessage.objects.get()
                assert row.status == steps[-1], name


class recorded_statuses:  # noqa: N801 - reads as a context manager
    """Every status that a row of `SmsMessage` gets, whichever statement writes it (one row in the table)."""

    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    def __enter__(self) -> None:
        self.wrapper = connection.execute_wrapper(self.record)
        self.wrapper.__enter__()

    def __exit__(self, *exception: object) -> None:
        self.wrapper.__exit__(*exception)

    def record(self, execute, sql, params, many, context):
        answer = execute(sql, params, many, context)
        if "UPDATE" in sql and SmsMessage._meta.db_table in sql and "SELECT" not in sql.partition("UPDATE")[0]:
            now = SmsMessage.objects.values_list("status", flat=True).get()
            if now != (self.seen[-1] if self.seen else None):
                self.seen.append(now)
        return answer
