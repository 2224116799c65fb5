"""The log as a CSV file: the list's filters, masked alike, streamed and recorded."""

import asyncio
import csv
import gc
import io
import re
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.admin import site
from django.contrib.auth.models import User
from django.core.handlers.asgi import ASGIHandler
from django.http import StreamingHttpResponse
from django.middleware.csrf import CSRF_SECRET_LENGTH
from django.test import AsyncClient
from django.urls import reverse
from django.utils.crypto import get_random_string

from sms_services.models import MessageExport, SmsMessage
from tests.log_messages import LIST, MASKED, NAME, NUMBER, a_message, assert_private, log_in, many_messages, template

pytestmark = [pytest.mark.django_db, pytest.mark.databases]

DOCUMENTATION = Path(__file__).parent.parent / "docs" / "csv-export.md"
EXPORT_URL = f"{LIST}export/"
VIEW, REVEAL, EXPORT = "view_smsmessage", "reveal_smsmessage", "export_smsmessage"


def text_of(response):
    assert isinstance(response, StreamingHttpResponse), response.status_code
    return b"".join(response.streaming_content).decode("utf-8-sig")


def rows_of(response):
    return list(csv.DictReader(io.StringIO(text_of(response))))


def test_it_holds_what_the_list_shows(client):
    log_in(client, VIEW, EXPORT)
    a_message(status="sent", error_kind="")
    failed = a_message(template=template(), segments=2, provider_message_id="SM1")
    response = client.post(f"{EXPORT_URL}?status__exact=failed")
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in response["Content-Disposition"]
    (row,) = rows_of(response)
    assert row["id"] == str(failed.pk)
    assert (row["status"], row["error_kind"], row["segments"], row["template"]) == ("failed", "recipient", "2", "hello")
    assert row["phone_number"] == f"'{MASKED}"


def test_under_asgi_it_leaves_page_by_page_too(client, monkeypatch):
    monkeypatch.setattr("sms_services.admin.export.PAGE", 2)
    user = log_in(client, VIEW, EXPORT)
    many_messages(6)

    async def first_page_and_the_rest():
        browser = AsyncClient()
        await browser.aforce_login(user)
        pieces = aiter((await browser.post(EXPORT_URL)).streaming_content)
        first = [await anext(pieces) for _ in range(3)]  # the mark, the names, a page
        await SmsMessage.objects.all().adelete()
        return b"".join(first), [piece async for piece in pieces]

    first, rest = async_to_sync(first_page_and_the_rest)()
    assert first.count(b"\n") == 3
    assert rest == []
    assert MessageExport.objects.get().rows == 2


def test_it_is_masked_unless_asked_otherwise_by_those_who_may(client):
    log_in(client, VIEW, EXPORT, REVEAL)
    a_message()
    assert_private(text_of(client.post(EXPORT_URL)))
    (row,) = rows_of(client.post(EXPORT_URL, {"revealed": "1"}))
    assert (row["phone_number"], row["text"]) == (f"'{NUMBER}", f"Hello {NAME}")
    assert row["variables"] == f"name={NAME}"


def test_sensitive_variables_are_in_no_file(client):
    log_in(client, VIEW, EXPORT, REVEAL)
    message = a_message(purpose="otp", text="Your code is ${code}.", params={}, status="queued")
    message.set_params({"code": "904417"})
    message.save()
    assert "904417" not in text_of(client.post(EXPORT_URL, {"revealed": "1"}))


def test_each_is_recorded_once_with_its_filters_and_how_much_it_was(client):
    user = log_in(client, VIEW, EXPORT, REVEAL)
    many_messages(30)
    a_message()
    searched = client.post(f"{LIST}search/?status__exact=failed", {"q": NUMBER})["Location"]
    text_of(client.post(searched.replace("?", "export/?"), {"revealed": "1"}))
    record = MessageExport.objects.get()
    assert (record.user, record.username, record.revealed, record.rows) == (user, "clerk", True, 1)
    assert record.filters == {"q": MASKED, "status__exact": "failed"}
    assert record.exported_at is not None


@pytest.mark.django_db(transaction=True)
def test_a_download_that_is_broken_off_says_how_far_it_got(client, monkeypatch):
    monkeypatch.setattr("sms_services.admin.export.PAGE", 10)
    log_in(client, VIEW, EXPORT)
    many_messages(50)
    response = client.post(EXPORT_URL)
    stream = iter(response)
    for _ in range(4):
        next(stream)
    del stream
    response.close()
    assert MessageExport.objects.get().rows in {10, 20}


@pytest.mark.django_db(transaction=True)
def test_under_asgi_too_one_that_is_broken_off_says_how_far_it_got(client, monkeypatch):
    monkeypatch.setattr("sms_services.admin.export.PAGE", 10)
    log_in(client, VIEW, EXPORT)
    many_messages(50)
    arrived, rows = async_to_sync(hang_up_at)(client, page=2)
    assert arrived.count(b"\n") == 11, "the names and a page have arrived, the second one has not"
    assert rows == 10


async def hang_up_at(client, page):
    """Ask the project's ASGI handler for the file; the browser goes while this page is being sent to it.

    Returns what has arrived, and what the record says as soon as the handler is done: a server's loop goes on, and what
    is left to its garbage collector cannot reach the database.
    """
    token = get_random_string(CSRF_SECRET_LENGTH)
    client.cookies[settings.CSRF_COOKIE_NAME] = token
    cookies = "; ".join(f"{name}={cookie.value}" for name, cookie in client.cookies.items())
    headers = {"host": "localhost", "cookie": cookies, "x-csrftoken": token}
    scope = {
        "type": "http",
        "method": "POST",
        "path": EXPORT_URL,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asked, waiting, arrived = asyncio.Event(), asyncio.Event(), []

    async def receive():
        if not asked.is_set():
            asked.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        await waiting.wait()
        return {"type": "http.disconnect"}

    async def send(event):
        body = event.get("body", b"")
        if len(arrived) == page + 1:  # behind the mark and the names
            waiting.set()
            await asyncio.Event().wait()  # a connection that takes no more
        elif body:
            arrived.append(body)

    gc.disable()
    try:
        await asyncio.wait_for(ASGIHandler()(scope, receive, send), timeout=30)
        return b"".join(arrived), (await MessageExport.objects.aget()).rows
    finally:
        gc.enable()


def test_every_message_is_in_it_once(client, monkeypatch):
    monkeypatch.setattr("sms_services.admin.export.PAGE", 7)
    log_in(client, VIEW, EXPORT)
    messages = many_messages(50)
    ids = [int(row["id"]) for row in rows_of(client.post(EXPORT_URL))]
    assert ids == [message.pk for message in reversed(messages)]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(client, start):
    log_in(client, VIEW, EXPORT, REVEAL)
    words = f'{start}HYPERLINK("https://example.com")'
    a_message(text=words, provider_detail=words, provider_message_id=words, params={})
    for row in rows_of(client.post(EXPORT_URL, {"revealed": "1"})):
        for name in ("text", "provider_detail", "provider_message_id"):
            assert row[name].startswith("'"), name
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())


def test_the_documentation_says_how_a_program_reads_it(client, tmp_path, monkeypatch):
    log_in(client, VIEW, EXPORT, REVEAL)
    a_message(text="'Hello'", provider_detail="-1")
    (tmp_path / "sms-messages.csv").write_bytes(b"".join(client.post(EXPORT_URL, {"revealed": "1"}).streaming_content))
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec(re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)[0], found)
    (row,) = found["rows"]
    assert (row["phone_number"], row["text"], row["provider_detail"]) == (NUMBER, "'Hello'", "-1")
    listed = re.search(r"```csv\n(.*?),…\n", DOCUMENTATION.read_text())
    assert ",".join(f'"{name}"' for name in row).startswith(listed[1])


@pytest.mark.parametrize(
    ("permissions", "form", "status"),
    [
        ([], {}, 403),
        ([VIEW], {}, 403),
        ([EXPORT], {}, 403),
        ([VIEW, REVEAL], {}, 403),
        ([VIEW, EXPORT], {}, 200),
        ([VIEW, EXPORT], {"revealed": "1"}, 403),
        ([VIEW, EXPORT, REVEAL], {"revealed": "1"}, 200),
    ],
)
def test_who_may(client, permissions, form, status):
    log_in(client, *permissions)
    a_message()
    response = client.post(EXPORT_URL, form)
    assert response.status_code == status
    assert MessageExport.objects.count() == (status == 200)
    if status == 403:
        assert_private(response.content.decode())


def test_a_project_may_show_the_log_to_fewer(client, monkeypatch):
    log_in(client, VIEW, EXPORT)
    monkeypatch.setattr(type(site.get_model_admin(SmsMessage)), "has_view_permission", lambda *_args: False)
    assert client.post(EXPORT_URL).status_code == 403
    assert not MessageExport.objects.exists()


def test_the_buttons_are_there_for_those_who_may(client):
    log_in(client, VIEW)
    assert "Export" not in client.get(LIST).content.decode()
    clerk = User.objects.get()
    clerk.delete()
    log_in(client, VIEW, EXPORT)
    page = client.get(LIST, {"status__exact": "failed"}).content.decode()
    assert f'action="{EXPORT_URL}?status__exact=failed"' in page
    assert "Export with numbers" not in page


def test_it_is_a_post_and_its_address_leads_to_the_list(client):
    log_in(client, VIEW, EXPORT)
    response = client.get(EXPORT_URL, {"status__exact": "failed"})
    assert response["Location"] == f"{LIST}?status__exact=failed"
    assert not MessageExport.objects.exists()


def test_the_record_says_in_words_what_was_chosen(client, admin_client):
    log_in(client, VIEW, EXPORT, REVEAL)
    message = a_message(template=template())
    chosen = f"service={message.service_id}&template={message.template_id}&try=not_sent&created=2026"
    searched = client.post(f"{LIST}search/?{chosen}&status__exact=failed", {"q": NUMBER})["Location"]
    text_of(client.post(searched.replace("?", "export/?")))
    page = admin_client.get(reverse("admin:sms_services_messageexport_changelist")).content.decode()
    for line in (
        f"Search: {MASKED}",
        "Status: Failed",
        "Service: sandbox",
        "Template: hello",
        "Failed try: Certainly not sent",
        "Created: 2026",
    ):
        assert f'<div class="sms-filter-line">{line}</div>' in page


def test_it_is_of_what_was_searched(client):
    log_in(client, VIEW, EXPORT, REVEAL)
    found = a_message()
    a_message(phone_number="+12065550199")
    searched = client.post(f"{LIST}search/", {"q": "206 555 0123"})["Location"]
    (row,) = rows_of(client.post(searched.replace("?", "export/?")))
    assert row["id"] == str(found.pk)


def test_a_search_that_is_not_allowed_exports_nothing(client):
    log_in(client, VIEW, EXPORT)
    a_message()
    searched = client.post(f"{LIST}search/", {"q": NUMBER})["Location"]
    response = client.post(searched.replace("?", "export/?"))
    assert (response.status_code, response["Location"]) == (302, searched)
    assert "Only those who may reveal" in client.get(searched).content.decode()
    assert not MessageExport.objects.exists()


def test_a_search_that_has_ended_exports_nothing_instead_of_everything(client):
    log_in(client, VIEW, EXPORT, REVEAL)
    a_message()
    response = client.post(f"{EXPORT_URL}?q=gAAAAABroken&status__exact=failed")
    assert (response.status_code, response["Location"]) == (302, f"{LIST}?status__exact=failed")
    assert not MessageExport.objects.exists()


def test_nothing_can_be_guessed_through_its_query_string(client):
    log_in(client, VIEW, EXPORT)
    assert client.post(f"{EXPORT_URL}?phone_number__startswith=%2B1").status_code == 400
    assert client.post(f"{EXPORT_URL}?created=x").status_code == 302
    assert not MessageExport.objects.exists()
