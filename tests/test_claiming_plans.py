"""Claims and outcomes find their rows by the primary key, whatever the database believes of the table.

Right after many messages were queued PostgreSQL's statistics still say that next to none are. Told to look for some
ids among those that are queued, it then reads all that are, once for each id.

SQLite does it too, whatever it knows. MariaDB does not, as it looks into its indexes before it plans: there these tests
guard only that ids are asked for in a way that the primary key serves.
"""

from __future__ import annotations

import pytest
from django.db import connection
from django.utils import timezone

from sms_services.choices import MessageStatus, Purpose
from sms_services.delivery.claiming import Claim
from sms_services.delivery.queueing import leave_to_sweep
from sms_services.delivery.rows import messages as stored_messages
from sms_services.delivery.settling import settle
from sms_services.models import SmsMessage
from sms_services.providers.base import CLAIM_SIZE, Outcome, Result
from tests.plans import assert_by_primary_key, forget_rows, plans
from tests.services_under_test import create_service
from tests.simulators import TwilioSimulator

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

COUNT = 3_000


def queue_many() -> list[SmsMessage]:
    with TwilioSimulator() as simulator:
        service = create_service(simulator)
    rows = [
        SmsMessage(service=service, purpose=Purpose.NOTIFICATION, phone_number=f"+86138{n:08}", text="News")
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
