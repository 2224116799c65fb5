"""Claims and outcomes find their rows by the primary key, and the end of a notification its answer by one entry of an
index, whatever the database believes of the table.

Right after many messages were queued PostgreSQL's statistics still say that next to none are. Told to look for some
ids among those that are queued, it then reads all that are, once for each id.

SQLite does it too, whatever it knows. MariaDB does not, as it looks into its indexes before it plans: there these tests
guard only that ids are asked for in a way that the primary key serves.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from notifications.expansion.ending import _skip_some
from notifications.models import Notification
from notifications.noticing import ring_for_done
from sms_services.choices import MessageStatus, Purpose, SkipReason
from sms_services.delivery.claiming import Claim
from sms_services.delivery.queueing import leave_to_sweep
from sms_services.delivery.rows import messages as stored_messages
from sms_services.delivery.settling import settle
from sms_services.delivery.sweeping import bring_back_released
from sms_services.models import SmsBatch, SmsMessage
from sms_services.providers.base import CLAIM_SIZE, Outcome, Result
from tests.plans import assert_by_batch_and_status, assert_by_primary_key, forget_rows, learn_rows, plans
from tests.services_under_test import create_service
from tests.simulators import TwilioSimulator

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

COUNT = 3_000
#: So many of them at once, instead of the thousands that the sweep takes.
STEP = 50


def queue_many(**fields: Any) -> list[SmsMessage]:
    with TwilioSimulator() as simulator:
        service = create_service(simulator)
    rows = [
        SmsMessage(service=service, purpose=Purpose.NOTIFICATION, phone_number=f"+86138{n:08}", text="News", **fields)
        for n in range(COUNT)
    ]
    SmsMessage.objects.bulk_create(rows, batch_size=500)
    return list(SmsMessage.objects.order_by("pk"))


@pytest.fixture
def queued(db: None) -> list[SmsMessage]:
    with connection.cursor() as cursor:
        forget_rows(cursor)
        return queue_many()


def test_by_the_primary_key(queued: list[SmsMessage]) -> None:
    first, second, third = (queued[start : start + CLAIM_SIZE] for start in (0, CLAIM_SIZE, 2 * CLAIM_SIZE))
    service = first[0].service
    results = [Result(Outcome.ACCEPTED, message_id=f"SM{n}") for n in range(CLAIM_SIZE)]
    with plans() as found:
        due = list(stored_messages().sendable([message.pk for message in queued[:500]], timezone.now()))
        taken = Claim.of(service, first).take()
        settled = settle(service, taken, results, can_look_up=True, claim=Claim.of(service, second))
        settle(service, settled.taken, results, can_look_up=True)
        leave_to_sweep([message.pk for message in third])
    assert len(due) == 500
    assert len(taken) == len(settled.taken) == CLAIM_SIZE
    assert SmsMessage.objects.filter(status=MessageStatus.SENT).count() == 2 * CLAIM_SIZE
    assert len(found) == 5
    for plan in found:
        assert_by_primary_key(plan)


def test_whether_anything_is_left_is_asked_of_the_index_of_the_batch(queued: list[SmsMessage]) -> None:
    """Beside another's messages, all of them queued: at first nothing is known of them, then nothing of its own."""
    service = queued[0].service
    now = timezone.now()
    notification = Notification.objects.create(
        service=service, purpose=Purpose.NOTIFICATION, batch=SmsBatch.objects.create(), started_at=now, expanded_at=now
    )
    with connection.cursor() as cursor, plans("SELECT") as found:
        ring_for_done([notification.batch_id])
        learn_rows(cursor)
        ring_for_done([notification.batch_id])
        SmsMessage.objects.update(status=MessageStatus.SENT)
        learn_rows(cursor)
        SmsMessage.objects.update(status=MessageStatus.QUEUED, batch=notification.batch_id)
        ring_for_done([notification.batch_id])
    assert len(found) == 3
    for plan in found:
        assert_by_batch_and_status(plan)


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch) -> SmsBatch:
    """One whose messages were put off until a moment ago."""
    monkeypatch.setattr("sms_services.delivery.sweeping.STEP", STEP)
    monkeypatch.setattr("notifications.expansion.ending.CHUNK", STEP)
    batch = SmsBatch.objects.create(is_put_off=True)
    with connection.cursor() as cursor:
        forget_rows(cursor)
    queue_many(batch=batch, sweep_at=None)
    return batch


def test_what_was_put_off_is_brought_back_by_the_primary_key(batch: SmsBatch) -> None:
    now = timezone.now()
    with plans("UPDATE") as found:
        assert bring_back_released(now) == STEP
    assert SmsMessage.objects.filter(batch=batch, sweep_at=now).count() == STEP
    (plan,) = found
    assert_by_primary_key(plan)


def test_what_is_cancelled_is_skipped_by_the_primary_key(batch: SmsBatch) -> None:
    with plans("UPDATE") as found:
        assert _skip_some(Notification(batch=batch), SkipReason.CANCELLED) == STEP
    assert SmsMessage.objects.filter(batch=batch, status=MessageStatus.SKIPPED).count() == STEP
    (plan,) = found
    assert_by_primary_key(plan)
