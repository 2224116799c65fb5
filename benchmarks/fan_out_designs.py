"""Notifications to many people, and what they are compared with. Each function runs in a process of the run's own.

What a notification puts to the broker is done in the same process, task by task. The broker is the embedded one, in
files: one in memory would count the waiting tasks into the process's memory.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from celery import current_app
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.color import no_style
from django.db import connection, models, transaction

from login_mobile.models import MobileNumber
from notifications import directory, tasks  # noqa: F401 - tasks are known to the app once they are imported
from notifications.api import notify
from notifications.models import Department, Notification, Recipient
from sms_services.choices import MessageStatus
from sms_services.models import SmsMessage, SmsService, SmsTemplate

from .designs import NAME, TEMPLATE, point_at, queries, row
from .figures import Figures, measured
from .startup_child import peak_mib

PROVIDER = "twilio"
ADVANCE = "notifications.advance"


def populate(sizes: Sequence[int]) -> None:
    """People with fictional numbers, and a department of each size. The database makes them all from a first one."""
    users, link = get_user_model(), directory.members()
    user = users.objects.create(username="p0", first_name=NAME)
    number = MobileNumber.objects.create(user=user, number="+8613800000000")
    series = f"WITH RECURSIVE series(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM series WHERE i < {max(sizes) - 1})"
    with transaction.atomic(), connection.cursor() as cursor:
        _multiply(cursor, series, user, {"username": "'p' || i"}, "series")
        people = f"series JOIN {_table(users)} u ON u.username = 'p' || i"
        _multiply(cursor, series, number, {"user": "u.id", "number": "'+86' || (13800000000 + i)"}, people)
        for size in sizes:
            department = Department.objects.add_root({"name": str(size)})
            columns = ", ".join(_column(link.model, name) for name in (link.other, link.user))
            some = f"SELECT %s, id FROM {_table(users)} ORDER BY id LIMIT %s"
            cursor.execute(f"INSERT INTO {_table(link.model)} ({columns}) {some}", [department.pk, size])
    _analyze()


def fan_out(url: str, size: int) -> Figures:
    """A notification to a department, from ``notify()`` to the last outcome."""
    point_at(PROVIDER, url)
    _empty()
    with queries() as statements:
        figures = measured(size, lambda: _notify_and_work(size))
    _expect(SmsMessage.objects.filter(status=MessageStatus.SENT).count(), size)
    return figures._replace(queries=len(statements), mib=peak_mib())


def expansion(size: int) -> Figures:
    """Only the first half: from ``notify()`` until each has a message and a recipient. What would send is dropped."""
    _empty()
    with queries() as statements:
        figures = measured(size, lambda: _notify_and_work(size, only=ADVANCE))
    _expect(Recipient.objects.filter(message__status=MessageStatus.QUEUED).count(), size)
    return figures._replace(queries=len(statements), mib=peak_mib())


def insert_select(size: int) -> Figures:
    """The same rows from one INSERT … SELECT for each of both tables, in one transaction."""
    _empty()
    notification = _notify(size)
    _work(only="")
    service, template = SmsService.objects.get(key=PROVIDER), SmsTemplate.objects.get(key=TEMPLATE)
    message = row(service, template, template.code_for(service), "+12065550100", NAME)
    message.save()
    link, numbers = directory.members(), _table(MobileNumber)
    user, department = (_column(link.model, name) for name in (link.user, link.other))
    members = (
        f"{_table(link.model)} l JOIN {numbers} n ON n.user_id = l.{user} "
        f"WHERE l.{department} = {Department.objects.get(name=str(size)).pk}"
    )
    to_recipients = (
        f"INSERT INTO {_table(Recipient)} (notification_id, user_id, message_id, via, skip_reason) "
        f"SELECT %s, n.user_id, m.id, {_json()}, '' "
        f"FROM {_table(SmsMessage)} m JOIN {numbers} n ON n.number = m.phone_number WHERE m.batch_id = %s"
    )

    def run() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            _multiply(cursor, "", message, {"phone_number": "n.number", "batch": str(notification.batch_id)}, members)
            via = json.dumps([["department", notification.pk]])
            cursor.execute(to_recipients, [notification.pk, via, notification.batch_id])

    figures = measured(size, run)._replace(queries=2, mib=peak_mib())
    _expect(Recipient.objects.filter(message__status=MessageStatus.QUEUED).count(), size)
    return figures


def _notify(size: int) -> Notification:
    department = Department.objects.get(name=str(size))
    return notify(service=PROVIDER, template=TEMPLATE, variables={"name": NAME}, departments=department)


def _notify_and_work(size: int, *, only: str | None = None) -> None:
    _notify(size)
    _work(only=only)


def _work(*, only: str | None = None) -> None:
    """Do what waits for workers, until nothing does. ``only``: drop all tasks but those of this name."""
    for name, args in _waiting():
        if only is None or name == only:
            current_app.tasks[name](*args)


def _waiting() -> Iterator[tuple[str, Sequence[Any]]]:
    name = settings.CELERY_TASK_DEFAULT_QUEUE
    with current_app.connection_for_read() as broker, broker.SimpleQueue(name) as waiting:
        while True:
            try:
                message = waiting.get_nowait()
            except waiting.Empty:
                return
            message.ack()
            yield message.headers["task"], message.payload[0]


def _multiply(cursor: Any, before: str, sample: models.Model, own: dict[str, str], source: str) -> None:
    """Copy a saved row for each row of a source; ``own`` says what each copy has of its own, as SQL."""
    fields = [field for field in sample._meta.concrete_fields if not field.primary_key]
    quoted = [connection.ops.quote_name(_column(sample, field.name)) for field in fields]
    values = [own.get(field.name) or f"sample.{column}" for field, column in zip(fields, quoted, strict=True)]
    copied = f"(SELECT * FROM {_table(sample)} WHERE id = {sample.pk}) sample"
    cursor.execute(
        f"{before} INSERT INTO {_table(sample)} ({', '.join(quoted)}) "
        f"SELECT {', '.join(values)} FROM {copied} CROSS JOIN {source}"
    )


def _column(model: Any, name: str) -> str:
    column: str = model._meta.get_field(name).column
    return column


def _table(model: Any) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _json() -> str:
    return "%s::jsonb" if connection.vendor == "postgresql" else "%s"


def _empty() -> None:
    """No messages and no notifications, so that no repetition finds larger tables than another."""
    tables = [model._meta.db_table for model in (SmsMessage, Notification)]
    flush: Callable[..., list[str]] = connection.ops.sql_flush
    connection.ops.execute_sql_flush(flush(no_style(), tables, allow_cascade=True))


def _analyze() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _expect(found: int, wanted: int) -> None:
    """A benchmark that measures failures measures nothing."""
    if found != wanted:
        raise RuntimeError(f"{found} of {wanted} messages came to their end.")
