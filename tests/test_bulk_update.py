"""One UPDATE for many rows with different values, on each database that the project runs on."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import FieldError
from django.db import connection
from django.db.models import Exists, OuterRef, Q
from django.test.utils import CaptureQueriesContext

from sms_services.choices import MessageStatus, Purpose
from sms_services.delivery.bulk_update import update_rows
from sms_services.encryption import Secret
from sms_services.models import SandboxSms, SmsMessage, SmsTemplate
from tests.services_under_test import CHINESE_NUMBERS

pytestmark = [pytest.mark.django_db, pytest.mark.databases]

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
TEXTS = [
    "plain",
    "",
    'it\'s “quoted” "twice"',
    "100% %s %(name)s %%",
    "back\\slash \\' \\n",
    "; DROP TABLE sms_services_smsmessage; --",
    "中文，emoji 😀, ünï",
    "new\nline\r\n\ttab",
    "null NULL None",
    " spaces ",
    "$1 :name ? ${name}",
]


@pytest.fixture
def messages():
    """Rows to change, and the service and template that they need."""
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox")

    def messages(count: int) -> list[SmsMessage]:
        rows = [
            SmsMessage(service=service, purpose=Purpose.NOTIFICATION, phone_number=number, text="before")
            for number in CHINESE_NUMBERS[:count]
        ]
        return SmsMessage.objects.bulk_create(rows)

    return messages


def update(fields, rows, **options):
    return update_rows(SmsMessage, fields, rows, using="default", **options)


def test_each_row_gets_its_own_values_of_every_type(messages):
    """None first and None later: PostgreSQL takes a column's type from the first row."""
    fields = (
        "status", "text", "provider_detail", "segments", "tries", "sent_at", "due_at", "sensitive_params", "params",
        "template",
    )  # fmt: skip
    template = SmsTemplate.objects.create(key="a", name="a", text="a")
    values = [
        ("queued", "", "", None, 0, None, None, "", {}, None),
        ("sent", "x", "y" * 255, 3, 2, NOW, NOW + timedelta(days=400), Secret.of("code"), {"a": "ü%s'"}, template.pk),
        ("failed", "", "", None, 32767, None, NOW, "", {"a": {"b": [1, None, True]}}, None),
        ("unknown", "z", "", 0, 1, NOW - timedelta(microseconds=1), None, Secret.of("more"), {}, template.pk),
    ]
    for rows_in_order in (values, values[::-1]):
        rows = messages(4)
        pairs = list(zip(rows, rows_in_order, strict=True))
        assert update(fields, [(row.pk, *row_values) for row, row_values in pairs]) == 4
        for row, expected in pairs:
            row = SmsMessage.objects.get(pk=row.pk)
            got = tuple(getattr(row, SmsMessage._meta.get_field(name).attname) for name in fields)
            assert got == expected
        SmsMessage.objects.all().delete()


def test_texts_are_stored_as_they_are(messages):
    rows = messages(len(TEXTS))
    assert update(["text"], [(row.pk, text) for row, text in zip(rows, TEXTS, strict=True)]) == len(TEXTS)
    for row, text in zip(rows, TEXTS, strict=True):
        row.refresh_from_db()
        assert row.text == text


def test_a_secret_stays_a_secret(messages):
    (row,) = messages(1)
    update(["sensitive_params"], [(row.pk, Secret.of("it's 100% secret"))])
    row.refresh_from_db()
    assert row.sensitive_params.reveal() == "it's 100% secret"


def test_only_the_rows_and_fields_that_are_named_change(messages):
    first, second = messages(2)
    update(["status"], [(first.pk, "sent")])
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, first.text, second.status) == ("sent", "before", "queued")


def test_guards_leave_other_rows_as_they_are(messages):
    rows = messages(4)
    SmsMessage.objects.filter(pk=rows[0].pk).update(status=MessageStatus.SENDING, claim="mine's 100%")
    SmsMessage.objects.filter(pk=rows[1].pk).update(status=MessageStatus.SENDING, claim="another of mine")
    SmsMessage.objects.filter(pk=rows[2].pk).update(status=MessageStatus.SENDING, claim="theirs")
    were = [MessageStatus.SENDING, MessageStatus.SENDING, MessageStatus.SENDING, MessageStatus.QUEUED]
    claims = ["mine's 100%", "another of mine", "mine's 100%", ""]
    changed = update(
        ["text"],
        [(row.pk, was, claim, "after") for row, was, claim in zip(rows, were, claims, strict=True)],
        guards=["status", "claim"],
    )
    assert changed == 3
    assert list(SmsMessage.objects.order_by("pk").values_list("text", flat=True)) == [
        "after", "after", "before", "after",
    ]  # fmt: skip


def test_a_guarded_field_may_change(messages):
    first, second = messages(2)
    rows = [(first.pk, MessageStatus.QUEUED, MessageStatus.SENT), (second.pk, MessageStatus.SENT, MessageStatus.FAILED)]
    assert update(["status"], rows, guards=["status"]) == 1
    assert list(SmsMessage.objects.order_by("pk").values_list("status", flat=True)) == ["sent", "queued"]


def test_only_rows_for_which_the_condition_is_true_change(messages):
    """It may ask subqueries, and the table that changes."""
    rows = messages(4)
    SmsMessage.objects.filter(pk=rows[0].pk).update(text="100% other")
    service = SandboxSms.objects.filter(key="sandbox", pk=OuterRef("service"))
    condition = Q(Exists(service)) & ~Q(text="100% other") & ~Q(pk=rows[1].pk)
    assert update(["text"], [(row.pk, "after") for row in rows], condition=condition) == 2
    assert list(SmsMessage.objects.order_by("pk").values_list("text", flat=True)) == [
        "100% other", "before", "after", "after",
    ]  # fmt: skip


def test_a_condition_that_needs_a_join_is_refused(messages):
    (row,) = messages(1)
    with pytest.raises(FieldError, match="not permitted"):
        update(["text"], [(row.pk, "after")], condition=Q(service__key="sandbox"))


def test_rows_that_keep_their_values_count_too(messages):
    """MySQL may count only what differs; settling asks how many rows it still held."""
    rows = messages(3)
    assert update(["text"], [(row.pk, "before") for row in rows]) == 3


def test_rows_that_are_gone_do_not_count(messages):
    (row,) = messages(1)
    assert update(["text"], [(row.pk, "after"), (4_000_000_000, "after")]) == 1


def test_no_rows_need_no_query(messages, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert update(["text"], []) == 0


def test_a_thousand_rows_are_one_query(messages):
    rows = messages(1000)
    with CaptureQueriesContext(connection) as queries:
        assert update(["text", "sent_at", "segments"], [(row.pk, f"N{row.pk}", NOW, 1) for row in rows]) == 1000
    assert len(queries) == 1
    assert all(row.text == f"N{row.pk}" and row.sent_at == NOW for row in SmsMessage.objects.all())
