"""The pages of notifications with as many people as a large installation has, on PostgreSQL.

Every process has the project's settings and a database of its own; see `tests.workers`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.workers import Console, Project

NOTIFICATION = "/admin/notifications/notification/"
#: Every page is to be there within this time, on a busy machine too: a tenth of it is usual.
SECONDS = 5.0
#: But for the one that counts different numbers, all there are: a second for 100,000 people.
SECONDS_TO_COUNT = 30.0
CHUNK = 100_000
#: One in so many is skipped, one fails, and one in twice as many is in doubt.
SKIPPED, FAILED, UNKNOWN = 10, 50, 500

_USERS = """
INSERT INTO auth_user (password, is_superuser, username, first_name, last_name, email, is_staff, is_active, date_joined)
SELECT '', false, 'p' || lpad(n::text, 8, '0'), 'N' || n, 'Example', '', false, true, now()
FROM generate_series(1, {total}) AS n
"""
_NUMBERS = """
INSERT INTO login_mobile_mobilenumber (user_id, number, verified_at, last_used_at)
SELECT id, '+86138' || right(username, 8), now(), now() FROM auth_user WHERE username LIKE 'p%'
"""
_MEMBERS = """
INSERT INTO notifications_department_members (department_id, user_id)
SELECT {department}, id FROM auth_user WHERE username LIKE 'p%'
"""
_MESSAGES = """
INSERT INTO sms_services_smsmessage (
    service_id, template_id, batch_id, purpose, phone_number, text, template_code, template_kind, params,
    sensitive_params, hidden_names, status, skip_reason, error_kind, provider_code, provider_detail,
    provider_request_id, provider_message_id, segments, tries, claim, account, created_at
)
SELECT {service}, {template}, {batch}, 'notification', number, 'News', '', '', '{{}}', '', '[]',
    CASE WHEN user_id % {failed} = 1 THEN 'failed' WHEN user_id % {unknown} = 2 THEN 'unknown'
         WHEN user_id % 100 < 30 THEN 'queued' ELSE 'sent' END, '',
    CASE WHEN user_id % {failed} = 1 OR user_id % {unknown} = 2 THEN 'recipient' ELSE '' END,
    '', '', '', '', 1, 1, '', '', now()
FROM login_mobile_mobilenumber WHERE user_id % {skipped} > 0 AND user_id > {start} AND user_id <= {end}
"""
_RECIPIENTS = """
INSERT INTO notifications_recipient (notification_id, user_id, message_id, via, skip_reason)
SELECT {notification}, user_id, m.id, '[["department", {department}]]',
    CASE WHEN m.id IS NULL THEN 'no_number' ELSE '' END
FROM login_mobile_mobilenumber n LEFT JOIN sms_services_smsmessage m ON m.phone_number = n.number
WHERE user_id > {start} AND user_id <= {end}
"""


def prepare(total: int) -> dict[str, Any]:
    """One notification, in the middle of its sending, to a department."""
    from django.contrib.auth.models import User
    from django.utils import timezone

    from notifications.models import Department, Notification
    from sms_services.models import SandboxSms, SmsBatch, SmsTemplate

    User.objects.create_superuser("admin")
    department = Department.objects.add_root({"name": "Everybody"})
    service = SandboxSms.objects.create(key="box", name="Box", price_per_segment=1, currency="EUR")
    template = SmsTemplate.objects.create(key="news", name="News", text="News", purpose="notification")
    now = timezone.now()
    notification = Notification.objects.create(
        service=service,
        template=template,
        purpose="notification",
        text="News",
        batch=SmsBatch.objects.create(),
        started_at=now,
        expanded_at=now,
    )
    notification.departments.add(department)
    return {
        "total": total,
        "department": department.pk,
        "service": service.pk,
        "template": template.pk,
        "batch": notification.batch_id,
        "notification": notification.pk,
        "failed": FAILED,
        "unknown": UNKNOWN,
        "skipped": SKIPPED,
    }


def run(sql: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql)


def middle(total: int) -> int:
    from django.contrib.auth.models import User

    return User.objects.order_by("pk")[total // 2].pk


def fill(console: Console, total: int) -> dict[str, Any]:
    """Everybody belongs to the department, and is a recipient."""
    values = console.call(prepare, total)
    for sql in (_USERS, _NUMBERS, _MEMBERS):
        console.call(run, sql.format(**values))
    console.call(run, "VACUUM ANALYZE")
    for start in range(0, total + 1, CHUNK):
        for sql in (_MESSAGES, _RECIPIENTS):
            console.call(run, sql.format(**values, start=start, end=start + CHUNK))
    console.call(run, "VACUUM ANALYZE")
    return {"middle": console.call(middle, total), **values}


def finish(pk: int) -> None:
    """The page then sums up what all its messages took."""
    from django.utils import timezone

    from notifications.models import Notification

    Notification.objects.filter(pk=pk).update(status="finished", finished_at=timezone.now())


def seconds(url: str, fields: dict[str, Any] | None = None) -> tuple[float, int]:
    """How long a page takes, and how large it is."""
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.get(username="admin"))
    client.get("/admin/")
    before = time.monotonic()
    response = client.post(url, fields) if fields else client.get(url)
    took = time.monotonic() - before
    assert response.status_code == 200, (url, response.status_code)
    return took, len(response.content)


@pytest.fixture(params=[pytest.param(total, marks=pytest.mark.soak) for total in (100_000, 1_000_000)])
def console(request, tmp_path, postgresql_url) -> Iterator[tuple[Console, dict[str, Any]]]:
    with Project(tmp_path, database=postgresql_url, broker="memory://") as project:
        console = project.console()
        yield console, fill(console, request.param)


def test_no_page_is_slow_however_many_people_there_are(console):
    console, made = console
    recipients = f"{NOTIFICATION}{made['notification']}/recipients/"
    pages: dict[str, tuple[str, dict[str, Any] | None]] = {
        "the list": (NOTIFICATION, None),
        "a notification": (f"{NOTIFICATION}{made['notification']}/change/", None),
        "its progress": (f"{NOTIFICATION}{made['notification']}/progress/", None),
        "its recipients": (recipients, None),
        "in the middle": (f"{recipients}?after=0-{made['middle']}", None),
        "before the middle": (f"{recipients}?before=0-{made['middle']}", None),
        "failed": (f"{recipients}?status=failed", None),
        "failed alike": (f"{recipients}?status=failed&kind=quota&code=none", None),
        "in doubt": (f"{recipients}?status=unknown", None),
        "sent": (f"{recipients}?status=sent", None),
        "skipped": (f"{recipients}?status=skipped", None),
        "without number": (f"{recipients}?reason=no_number", None),
        "cancelled": (f"{recipients}?reason=cancelled", None),
        "by name": (f"{recipients}?q=p00000777", None),
        "by name, failed": (f"{recipients}?q=p00000&status=failed", None),
        "departments": ("/admin/notifications/department/", None),
        "members": (f"/admin/notifications/department/{made['department']}/members/", None),
        "members in the middle": (
            f"/admin/notifications/department/{made['department']}/members/?after={made['middle']}",
            None,
        ),
        "deleting": (f"/admin/notifications/department/{made['department']}/delete/", None),
        "finding": (f"{NOTIFICATION}find/?field_name=users&term=N7777", None),
        "composing": (
            f"{NOTIFICATION}compose/",
            {
                "departments": made["department"],
                "service": made["service"],
                "template": made["template"],
                "_refresh": "all",
                "include_subdepartments": "on",
            },
        ),
    }
    took = {}
    for name, (url, fields) in pages.items():
        took[name], size = console.call(seconds, url, fields)
        assert size < 200_000, name
    console.call(finish, made["notification"])
    took["at its end"], _ = console.call(seconds, pages["a notification"][0])
    print("\n".join(f"{name}: {value:.2f} s" for name, value in took.items()))
    assert took.pop("composing") < SECONDS_TO_COUNT
    assert {name: value for name, value in took.items() if value > SECONDS} == {}
