"""A page of failures to retry is a range of an index, however many there are."""

from __future__ import annotations

import re

import pytest
from django.db import connection

from notifications.expansion.pages import Failures
from notifications.models import Notification
from sms_services.choices import MessageStatus, Purpose
from sms_services.models import SmsBatch, SmsMessage
from tests.log_messages import a_service
from tests.plans import forget_rows, plans

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

COUNT, PAGE = 3_000, 100
#: What of a plan is a range of the index of batch and status, read as far as the page goes.
RANGE = {
    "postgresql": r"using sms_message_batch on .*\n +Index Cond: \(\(batch_id = .* AND \(id > ",
    "mysql": r" range sms_message_batch ",
    "sqlite": r"INDEX sms_message_batch \(batch_id=\? AND status=\? AND id>\?\)",
}
SORTED = r"Sort|filesort|TEMP B-TREE"


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> Notification:
    """One that came to nothing: every other message failed, the others were not delivered."""
    monkeypatch.setattr("notifications.expansion.pages.PAGE", PAGE)
    with connection.cursor() as cursor:
        forget_rows(cursor)
    service, batch = a_service(), SmsBatch.objects.create()
    SmsMessage.objects.bulk_create(
        [
            SmsMessage(
                service=service,
                batch=batch,
                purpose=Purpose.NOTIFICATION,
                phone_number=f"+86138{n:08}",
                text="News",
                status=(MessageStatus.FAILED, MessageStatus.UNDELIVERED)[n % 2],
            )
            for n in range(COUNT)
        ],
        batch_size=500,
    )
    return Notification(batch=batch)


def test_a_page_is_a_range_of_the_index_of_each_status(old: Notification) -> None:
    failures = Failures(Notification(batch=SmsBatch.objects.create(), retry_of=old))
    ids = list(SmsMessage.objects.order_by("pk").values_list("pk", flat=True))
    with plans("SELECT") as found:
        page = failures.page_after(str(ids[-3 * PAGE]), "")
    of_each_status = found[:2]
    for plan in of_each_status:
        assert re.search(RANGE[connection.vendor], plan), plan
        assert not re.search(SORTED, plan), plan
    assert (page.cursor, page.is_last) == (str(ids[-2 * PAGE]), False)
