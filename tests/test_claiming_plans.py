"""Claims and outcomes find their rows by the primary key, whatever the database believes of the table.

Right after many messages were queued PostgreSQL's statistics still say that next to none are. Told to look for some
ids among those that are queued, it then reads all that are, once for each id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

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
from tests.services_under_test import create_service
from tests.simulators import TwilioSimulator

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

TABLE = SmsMessage._meta.db_table
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


def forget_rows(cursor: Any) -> None:
    """The statistics of an empty table."""
    if connection.vendor == "postgresql":
        SmsMessage.objects.all().delete()
        cursor.execute(f"VACUUM ANALYZE {TABLE}")
    elif connection.vendor == "mysql":
        cursor.execute(f"ANALYZE TABLE {TABLE}")
        cursor.fetchall()
    else:
        cursor.execute("ANALYZE")


def used(row: Any) -> str:
    """What a line of a plan uses. MariaDB's also names the indexes that it decided against."""
    possible_keys = 4 if connection.vendor == "mysql" else len(row)
    return " ".join(str(value) for column, value in enumerate(row) if column != possible_keys)


@contextmanager
def plans() -> Iterator[list[str]]:
    """How the database goes about each statement of the block that reads or writes messages."""
    explain = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
    found: list[str] = []

    def look(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if TABLE in sql and sql.startswith(("SELECT", "UPDATE")):
            with connection.connection.cursor() if connection.vendor != "sqlite" else connection.cursor() as cursor:
                cursor.execute(explain + sql, params)
                found.append("\n".join(map(used, cursor.fetchall())))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(look):
        yield found


@pytest.fixture
def queued(db: None) -> list[SmsMessage]:
    with connection.cursor() as cursor:
        forget_rows(cursor)
        return queue_many()


def other_indexes(plan: str) -> list[str]:
    """The indexes of messages that a plan uses beside the primary key."""
    return [index.name for index in SmsMessage._meta.indexes if index.name in plan]


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
        assert not other_indexes(plan), plan
