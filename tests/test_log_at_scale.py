"""The log and the purge with as many messages as a large installation has, on PostgreSQL.

The ordinary run has fewer. Every process has the project's settings and a database of its own; see `tests.workers`.
"""

from __future__ import annotations

import re
import resource
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from sms_services.admin.changelist import MOST_COUNTED
from sms_services.admin.export import PAGE as EXPORTED_AT_ONCE
from sms_services.choices import MessageStatus
from sms_services.models import SandboxSms, SmsMessage, SmsTemplate
from tests.workers import Console, Project

LIST = "/admin/sms_services/smsmessage/"
SERVICES, TEMPLATES = 3, 30
#: Every so many messages one has been under way for ever: it must outlive any purge.
STUCK_EVERY = 997
CHUNK = 100_000

_INSERT = """
INSERT INTO sms_services_smsmessage (
    service_id, template_id, purpose, phone_number, text, template_code, template_kind, params,
    sensitive_params, hidden_names,
    status, skip_reason, error_kind, provider_code, provider_detail, provider_request_id, provider_message_id,
    segments, tries, claim, account, created_at, sweep_at
)
SELECT
    CASE WHEN n %% 100 = 0 THEN {rare_service} ELSE {service} END,
    {template} + n %% {templates},
    CASE WHEN n %% 100 = 1 THEN 'marketing' WHEN n %% 5 < 2 THEN 'otp' ELSE 'notification' END,
    '+861380000' || lpad((n %% 10000)::text, 4, '0'),
    'Your parcel ${{parcel}} waits for you at the counter until the evening.', '', '', '{{"parcel": "A-1"}}', '', '[]',
    CASE WHEN n %% {stuck} = 0 THEN (ARRAY['queued', 'sending', 'unknown'])[1 + n %% 3]
         WHEN n %% 25 = 7 THEN 'failed' WHEN n %% 100 = 3 THEN 'undelivered' ELSE 'sent' END,
    '',
    CASE WHEN n %% 25 = 7 THEN (ARRAY['recipient', 'quota', 'template', 'transient'])[1 + n %% 4] ELSE '' END,
    '', '', '', 'SB' || md5(n::text), 1, 1, '', '',
    now() - make_interval(secs => ({total} - n) * {days} * 86400.0 / {total}) - make_interval(days => {age}),
    CASE WHEN n %% {stuck} = 0 THEN now() + interval '1 day' END
FROM generate_series({start}, {end}) AS n
"""


_OLDEST_TRANSACTION = """
SELECT COALESCE(max(extract(epoch FROM clock_timestamp() - xact_start)), 0) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


def prepare() -> dict[str, int]:
    from django.contrib.auth.models import User
    from django.test.utils import setup_test_environment

    setup_test_environment()  # by which responses have their context
    User.objects.create_superuser("admin")
    services = [SandboxSms.objects.create(key=f"s{n}", name=f"Service {n}") for n in range(SERVICES)]
    templates = [
        SmsTemplate.objects.create(key=f"t{n}", name=f"Template {n}", text="Hello ${name}", purpose="notification")
        for n in range(TEMPLATES)
    ]
    return {"service": services[0].pk, "rare_service": services[1].pk, "template": templates[0].pk}


def insert(start: int, end: int, total: int, days: int, age: int, ids: Mapping[str, int]) -> None:
    from django.db import connection

    sql = _INSERT.format(
        start=start, end=end, total=total, days=days, age=age, stuck=STUCK_EVERY, templates=TEMPLATES, **ids
    )
    with connection.cursor() as cursor:
        cursor.execute(sql.replace("%%", "%"))


def insert_attempts() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sms_services_smsattempt (message_id, service_id, outcome, error_kind, provider_code, "
            "provider_detail, provider_request_id, started_at, finished_at) SELECT id, service_id, "
            "CASE WHEN status = 'undelivered' THEN 'not_sent' WHEN id % 250 = 7 THEN 'uncertain' ELSE 'refused' END, "
            "error_kind, '', '', '', created_at, now() "
            "FROM sms_services_smsmessage WHERE status IN ('failed', 'undelivered')"
        )
        cursor.execute("VACUUM ANALYZE")


def insert_tries_of_most() -> None:
    """Two of three messages were tried in vain before."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sms_services_smsattempt (message_id, service_id, outcome, error_kind, provider_code, "
            "provider_detail, provider_request_id, started_at, finished_at) SELECT id, service_id, 'not_sent', "
            "'transient', '', '', '', created_at, now() FROM sms_services_smsmessage WHERE id % 3 > 0"
        )
        cursor.execute("VACUUM ANALYZE")


def fill(console: Console, total: int, *, days: int, age: int = 0) -> None:
    ids = console.call(prepare)
    for start in range(1, total + 1, CHUNK):
        console.call(insert, start, min(start + CHUNK - 1, total), total, days, age, ids)
    console.call(insert_attempts)


@dataclass(frozen=True)
class Seen:
    """What a page cost: its queries of messages with their plans, all its queries, and how long the request took."""

    queries: int
    plans: list[str]
    seconds: float
    rows: int
    links: dict[str, str]


def open_page(url: str) -> Seen:
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.get())
    client.get("/admin/")
    before = time.monotonic()
    with CaptureQueriesContext(connection) as queries:
        response = client.get(url)
    seconds = time.monotonic() - before
    assert response.status_code == 200, (url, response.status_code)
    changelist = response.context["cl"]
    plans = []
    for query in queries:
        if "sms_services_smsmessage" in query["sql"]:
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF) {query['sql']}")
                plans.append("\n".join(line for (line,) in cursor.fetchall()))
    pages = changelist.pages
    links = {name: getattr(pages, name) for name in ("newest", "newer", "older", "oldest")}
    return Seen(len(queries), plans, seconds, len(changelist.result_list), links)


def pages_from_the_end(pages: int) -> list[Seen]:
    """The oldest page, and so many before it."""
    seen = [open_page(f"{LIST}?end=1")]
    for _ in range(pages):
        seen.append(open_page(f"{LIST}{seen[-1].links['newer']}"))
    return seen


@dataclass(frozen=True)
class Exported:
    rows: int
    bytes: int
    seconds: float
    queries: int
    slowest_query: float
    plan: str
    grown_kib: int


def export(query: str = "") -> Exported:
    """Download the whole log, looking at how much more memory that takes than the process has used before."""
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client

    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.get())
    times: list[float] = []
    pages: list[Any] = []

    def timed(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        before = time.monotonic()
        try:
            return execute(sql, params, many, context)
        finally:
            times.append(time.monotonic() - before)
            if sql.startswith("SELECT") and "sms_services_smsmessage" in sql and "provider_request_id" in sql:
                pages.append((sql, params))

    start = time.monotonic()
    response = client.post(f"{LIST}export/{query}", {"revealed": "1"})
    lines = size = 0
    peak = _peak_kib()
    with connection.execute_wrapper(timed):
        for piece in response.streaming_content:
            lines += piece.count(b"\n")
            size += len(piece)
    grown = _peak_kib() - peak
    with connection.cursor() as cursor:
        last, params = pages[-2]  # behind it nothing was found
        cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF) {last}", params)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    return Exported(lines - 1, size, time.monotonic() - start, len(times), max(times), plan, grown)


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@dataclass(frozen=True)
class PurgedBeside:
    deleted: int
    seconds: float
    slowest_statement: float
    slowest_transaction: float
    delivered: int
    undelivered: int
    slowest_delivery: float
    stuck_before: int
    stuck_after: int
    left: int


def purge_beside_deliveries(total: int) -> PurgedBeside:
    """Purge everything that is settled and old, while another thread delivers what is new, and old and still queued."""
    from django.db import connection

    from sms_services.api import queue_message
    from sms_services.purging import purge
    from sms_services.tasks import deliver_messages

    stuck = SmsMessage.objects.filter(sweep_at__isnull=False)
    stuck_ids = set(stuck.values_list("pk", flat=True))
    new: list[int] = []
    times: list[float] = []
    deliveries: list[float] = []
    done, started = threading.Event(), threading.Event()

    def deliver() -> None:
        numbers = [f"+861380000{number:04}" for number in range(20)]
        waiting = list(SmsMessage.objects.filter(pk__in=stuck_ids, status="queued").values_list("pk", flat=True))
        while not done.is_set():
            before = time.monotonic()
            messages = queue_message("s2", numbers, "t0", {"name": "Ada"})
            deliver_messages([message.pk for message in messages])
            deliver_messages([waiting.pop() for _ in range(min(2, len(waiting)))])
            deliveries.append(time.monotonic() - before)
            new.extend(message.pk for message in messages)
            started.set()
        connection.close()

    def timed(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        before = time.monotonic()
        try:
            return execute(sql, params, many, context)
        finally:
            times.append(time.monotonic() - before)

    def watch() -> None:
        """How long the oldest open transaction of anybody else has been open."""
        while not done.wait(0.02):
            with connection.cursor() as cursor:
                cursor.execute(_OLDEST_TRANSACTION)
                transactions.append(float(cursor.fetchone()[0]))
        connection.close()

    transactions: list[float] = []
    threads = [threading.Thread(target=deliver), threading.Thread(target=watch)]
    for thread in threads:
        thread.start()
    started.wait(30)
    start = time.monotonic()
    deleted = 0
    try:
        with connection.execute_wrapper(timed):
            for _name, count in purge():
                deleted += count
    finally:
        seconds = time.monotonic() - start
        done.set()
        for thread in threads:
            thread.join()
    delivered = SmsMessage.objects.filter(pk__in=new, status="sent").count()
    return PurgedBeside(
        deleted=deleted,
        seconds=seconds,
        slowest_statement=max(times),
        slowest_transaction=max(transactions),
        delivered=delivered,
        undelivered=len(new) - delivered,
        slowest_delivery=max(deliveries),
        stuck_before=len(stuck_ids),
        stuck_after=SmsMessage.objects.filter(pk__in=stuck_ids).count(),
        left=SmsMessage.objects.count(),
    )


@pytest.fixture
def console(tmp_path, postgresql_url, monkeypatch) -> Iterator[Console]:
    monkeypatch.setattr("tests.workers.ANSWERS_WITHIN", 900.0)
    with Project(tmp_path, database=postgresql_url, broker="memory://") as project:
        yield project.console()


sizes = pytest.mark.parametrize("total", [20_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
purge_sizes = pytest.mark.parametrize("total", [10_000, pytest.param(500_000, marks=pytest.mark.soak)])

PAGES = {
    "the list": "",
    "failed": "?status__exact=failed",
    "sent": "?status__exact=sent",
    "undelivered": "?status__exact=undelivered",
    "skipped (none)": "?status__exact=skipped",
    "quota": "?error_kind__exact=quota",
    "throttled (none)": "?error_kind__exact=throttled",
    "failed and quota": "?status__exact=failed&error_kind__exact=quota",
    "marketing": "?purpose__exact=marketing",
    "rare service": "?service={rare}",
    "failed of a template": "?status__exact=failed&template={template}",
    "a year": "?created={year}",
    "a month": "?created={year}-{month:02}",
    "failed in a month": "?created={year}-{month:02}&status__exact=failed",
    "number": "?q={number}",
    "provider's id": "?q=SBc4ca4238a0b923820dcc509a6f75849b",
}
MESSAGES_AND_TRIES = "sms_services_sms(message|attempt)"
#: A try of each outcome that can be chosen, alone and with each status; of some there are no messages.
TRIES = {
    f"a try: {outcome}, {status or 'any status'}": f"?try={outcome}" + (f"&status__exact={status}" if status else "")
    for outcome in ("uncertain", "not_sent")
    for status in ("", *MessageStatus.values)
}


def urls(console: Console) -> dict[str, str]:
    from datetime import timedelta

    from django.utils import timezone

    long_ago = timezone.now() - timedelta(days=330)
    ids = console.call(known_ids)
    when = {"year": long_ago.year, "month": long_ago.month}
    return {name: LIST + query.format(**when, **ids) for name, query in {**PAGES, **TRIES}.items()}


def messages_read(plan: str, table: str = "sms_services_smsmessage") -> float:
    """How many rows of messages a plan took from their table, whatever became of them. ``table`` is a pattern."""
    read, ours, loops = 0.0, False, 0
    for line in plan.splitlines():
        if node := re.search(r"rows=([\d.]+) loops=(\d+)", line):
            ours, loops = bool(re.search(rf"Scan .*\bon {table}\b", line)), int(node[2])
            read += ours * loops * float(node[1])
        elif ours and (removed := re.search(r"Rows Removed by .*: (\d+)", line)):
            read += loops * int(removed[1])
    return read


def known_ids() -> dict[str, int | str]:
    return {
        "rare": SandboxSms.objects.get(key="s1").pk,
        "template": SmsTemplate.objects.get(key="t3").pk,
        "number": address_of("+86 138 0000 0042"),
    }


def address_of(number: str) -> str:
    """What the search form puts into the address."""
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.get())
    return client.post(f"{LIST}search/", {"q": number})["Location"].split("q=")[1]


@sizes
def test_every_page_of_the_log_is_a_few_queries_of_an_index(console, total):
    fill(console, total, days=400)
    pages = {name: console.call(open_page, url) for name, url in urls(console).items()}
    for number, page in enumerate(console.call(pages_from_the_end, 3)):
        pages[f"{number} before the end"] = page
    for name, page in pages.items():
        print(f"\n=== {name}: {page.rows} rows, {page.queries} queries, {page.seconds * 1000:.0f} ms")
        for plan in page.plans:
            print(plan, end="\n\n")
    assert {page.queries for name, page in pages.items()} <= {6, 7, 8, 9}
    for name, page in pages.items():
        for plan in page.plans:
            assert not re.search(r"Seq Scan on sms_services_smsmessage", plan), f"{name}:\n{plan}"
            # So many tries there are at most; so many failed messages there are, or are counted.
            most = total // 100 if name in TRIES else max(total // 25, MOST_COUNTED + 1)
            assert messages_read(plan) <= most, f"{name}:\n{plan}"
    assert pages["the list"].rows == pages["0 before the end"].rows == 100
    assert pages["number"].rows == min(100, total // 10_000)
    assert pages["provider's id"].rows == 1
    assert pages["skipped (none)"].rows == 0


@sizes
def test_a_failed_try_that_most_messages_have_is_found_along_the_log(console, total):
    fill(console, total, days=400)
    console.call(insert_tries_of_most)
    for query in ("?try=not_sent", "?try=not_sent&status__exact=sent"):
        page = console.call(open_page, f"{LIST}{query}")
        exported = console.call(export, query)
        print(f"\n=== {query}: {page.seconds * 1000:.0f} ms, {exported}")
        (listed,) = (plan for plan in page.plans if re.match("Limit .* rows=101 ", plan))
        assert messages_read(listed, MESSAGES_AND_TRIES) < 1_000, listed
        assert exported.rows > total // 2
        assert messages_read(exported.plan) < 3 * EXPORTED_AT_ONCE, exported.plan


@sizes
def test_an_export_is_flat_in_memory(console, total):
    fill(console, total, days=400)
    console.call(export, "?error_kind__exact=quota")  # what is imported and cached once
    exported = console.call(export)
    print(exported)
    assert exported.rows == total
    assert exported.grown_kib < 8 * 1024
    assert messages_read(exported.plan) <= EXPORTED_AT_ONCE, exported.plan


@purge_sizes
def test_a_purge_beside_deliveries_loses_nothing_and_holds_nothing_up(console, total):
    fill(console, total, days=30, age=400)
    figures = console.call(purge_beside_deliveries, total)
    print(figures)
    assert figures.deleted == total - total // STUCK_EVERY
    assert figures.stuck_after == figures.stuck_before == total // STUCK_EVERY
    assert figures.delivered > 0
    assert figures.undelivered == 0
    assert figures.left == figures.stuck_after + figures.delivered
    assert figures.slowest_statement < 1.0
    assert figures.slowest_transaction < 2.0
    assert figures.slowest_delivery < 2.0
