"""Providers that take one message per request are kept busy, with at most one claim's size in doubt."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sms_services.api import queue_message, send_message
from sms_services.choices import MessageStatus
from sms_services.delivery import settling
from sms_services.delivery.delivering import deliver
from sms_services.delivery.pacing import Pace
from sms_services.models import SmsAttempt, SmsMessage
from sms_services.providers.base import CLAIM_SIZE
from tests.services_under_test import (
    AMERICAN_NUMBERS,
    CHINESE_NUMBERS,
    NUMBER,
    OTHER_NUMBER,
    create_service,
    create_template,
)
from tests.simulators import Fault

pytest_plugins = ["tests.services_under_test"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

SENDING, SENT = MessageStatus.SENDING, MessageStatus.SENT


@pytest.fixture
def service(twilio, broker):
    return create_service(twilio)


@pytest.fixture
def template(db):
    return create_template()


@contextmanager
def watched(look: Callable[[], object]) -> Iterator[list[object]]:
    """What another connection sees, again and again, until the block ends."""
    seen: list[object] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen.append(look())
        connections.close_all()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def statuses() -> dict[str, str]:
    return dict(SmsMessage.objects.values_list("phone_number", "status"))


def test_no_more_than_one_claims_size_is_ever_in_doubt(service, template, twilio):
    messages = queue_message(service, CHINESE_NUMBERS[:300], template, {"name": "Ada"})
    twilio.latency = 0.02
    with watched(lambda: SmsMessage.objects.filter(status=SENDING).count()) as counts:
        deliver(service, messages)
    assert CLAIM_SIZE // 2 < max(counts) <= CLAIM_SIZE
    assert set(statuses().values()) == {SENT}
    assert {message.status for message in messages} == {SENT}
    assert len(twilio.journal) == 300


def test_a_slow_message_holds_no_other_up(service, template, twilio):
    slow, *others = CHINESE_NUMBERS[:200]
    messages = queue_message(service, [slow, *others], template, {"name": "Ada"})
    twilio.fail(Fault.SLOW, numbers=[slow], seconds=2.0)
    with watched(statuses) as seen:
        deliver(service, messages)
    meanwhile = [sum(status == SENT for status in at.values()) for at in seen if at[slow] == SENDING]
    assert max(meanwhile) > len(others) - CLAIM_SIZE
    assert set(statuses().values()) == {SENT}


def test_one_statement_settles_and_claims(service, template):
    messages = queue_message(service, CHINESE_NUMBERS[:500], template, {"name": "Ada"})
    with CaptureQueriesContext(connection) as queries:
        deliver(service, messages)
    assert len(queries) <= 16
    assert set(statuses().values()) == {SENT}


def test_what_somebody_took_or_cancelled_meanwhile_is_left_alone(service, template, twilio):
    messages = queue_message(service, CHINESE_NUMBERS[:200], template, {"name": "Ada"})
    taken, cancelled, expired = CHINESE_NUMBERS[100:150], CHINESE_NUMBERS[150:170], CHINESE_NUMBERS[170:200]
    SmsMessage.objects.filter(phone_number__in=taken).update(status=SENDING, claim="theirs")
    SmsMessage.objects.filter(phone_number__in=cancelled).update(status=MessageStatus.SKIPPED)
    SmsMessage.objects.filter(phone_number__in=expired).update(expires_at=timezone.now())
    deliver(service, messages)
    assert sorted(accepted.phone_number for accepted in twilio.journal) == CHINESE_NUMBERS[:100]
    rows = statuses()
    assert {rows[number] for number in CHINESE_NUMBERS[:100]} == {SENT}
    assert {rows[number] for number in taken} == {SENDING}
    assert {rows[number] for number in cancelled} == {MessageStatus.SKIPPED}
    assert {rows[number] for number in expired} == {MessageStatus.QUEUED}
    assert set(SmsMessage.objects.filter(phone_number__in=taken).values_list("claim", "tries")) == {("theirs", 0)}


def test_refusals_and_retries_stand_among_those_that_leave(service, template, twilio, broker):
    refused, throttled = CHINESE_NUMBERS[5], CHINESE_NUMBERS[70]
    twilio.refuse_numbers({refused: "21614"})
    twilio.fail(Fault.THROTTLED, numbers=[throttled])
    messages = queue_message(service, CHINESE_NUMBERS[:150], template, {"name": "Ada"})
    broker.take("sms")
    deliver(service, messages)
    rows = statuses()
    assert (rows.pop(refused), rows.pop(throttled)) == (MessageStatus.FAILED, MessageStatus.QUEUED)
    assert set(rows.values()) == {SENT}
    (again,) = broker.take("sms")
    assert again.args == [[message.pk for message in messages if message.phone_number == throttled]]


def test_a_new_message_is_committed_as_claimed_before_the_provider_is_called(service, template, twilio):
    twilio.fail(Fault.SLOW, seconds=0.5)
    look = SmsMessage.objects.values_list("status", "tries", "account").first
    with watched(look) as seen:
        (message,) = send_message(service, NUMBER, template, {"name": "Ada"})
    states = [state for state in dict.fromkeys(seen) if state is not None]
    assert states[0] == (SENDING, 1, service.account)
    assert message.status == SENT


def test_new_messages_that_do_not_leave_at_once_are_stored_as_queued(service, template, twilio):
    twilio.fail(Fault.SLOW, numbers=[OTHER_NUMBER], seconds=1.0)
    numbers = [OTHER_NUMBER, *AMERICAN_NUMBERS[30:], *CHINESE_NUMBERS[:80]]
    numbers = list(dict.fromkeys(numbers))
    with watched(statuses) as seen:
        messages = send_message(service, numbers, template, {"name": "Ada"})
    assert all(sum(status == SENDING for status in at.values()) <= CLAIM_SIZE for at in seen)
    assert any(MessageStatus.QUEUED in at.values() for at in seen)
    assert [message.phone_number for message in messages] == numbers
    assert {message.status for message in messages} == {SENT}
    assert sorted(accepted.phone_number for accepted in twilio.journal) == sorted(numbers)


@pytest.mark.parametrize("call", [2, 3, 5])
def test_what_flies_when_something_breaks_is_settled_and_the_rest_stays_queued(
    twilio, service, template, monkeypatch, call
):
    messages = queue_message(service, CHINESE_NUMBERS[:200], template, {"name": "Ada"})
    real, calls = Pace.take, []

    def breaks_once(self, *args, **kwargs):
        calls.append(args)
        if len(calls) == call:
            raise OperationalError("deadlock detected")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Pace, "take", breaks_once)
    with pytest.raises(OperationalError):
        deliver(service, messages)
    accepted = {accepted.phone_number for accepted in twilio.journal}
    rows = dict(SmsMessage.objects.values_list("phone_number", "status"))
    assert {number for number, status in rows.items() if status == SENT} == accepted
    assert set(rows.values()) <= {SENT, MessageStatus.QUEUED}


def test_a_lost_answer_to_a_commit_writes_no_failed_try_twice(twilio, service, template, monkeypatch):
    """The outcomes are in the database, but the worker cannot know and writes them again."""
    twilio.fail(Fault.SERVER_ERROR, numbers=[CHINESE_NUMBERS[3], CHINESE_NUMBERS[30]])
    messages = queue_message(service, CHINESE_NUMBERS[:40], template, {"name": "Ada"})
    real, lost = settling._write, []

    def written_but_unanswered(*args, **kwargs):
        written = real(*args, **kwargs)
        if not lost:
            lost.append(True)
            raise OperationalError("server closed the connection unexpectedly")
        return written

    monkeypatch.setattr(settling, "_write", written_but_unanswered)
    deliver(service, messages)
    assert lost
    failed = SmsMessage.objects.exclude(status=SENT)
    assert SmsAttempt.objects.count() == sum(failed.values_list("tries", flat=True))
    assert not SmsMessage.objects.filter(status=SENDING).exists()
