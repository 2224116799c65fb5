"""A code is found nowhere in clear: not in the database's file, the broker, a session, a cookie, a log, a page.

The codes of these tests have eight digits, so that no clock and no hash shows one by chance.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core import mail
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path, reverse

from login_mobile.api import request_code
from login_mobile.choices import Sending
from login_mobile.flows import entering, proving, sending
from login_mobile.models import Challenge, MobileNumber
from login_mobile.transactions import outside_transactions
from sms_services.models import SmsMessage, SmsService
from tests.login_under_test import NUMBER, OTHER, FrontEnd, a_login, a_user, codes_sent, newest, wrong
from tests.services_under_test import all_rows
from tests.test_leaks import Told, notations, told  # noqa: F401 - a fixture

pytest_plugins = ["tests.login_under_test"]


@pytest.fixture(autouse=True)
def _long_codes(broker, transactional_db) -> None:
    a_login(code_length=8)


def sessions() -> str:
    return json.dumps([session.get_decoded() for session in Session.objects.all()])


def assert_hidden(code: str, *places: str) -> None:
    for place in places:
        assert not re.search(rf"(?<!\d){code}(?!\d)", place)
        assert code[::-1] not in place or code == code[::-1]


def database_file() -> str:
    """Every byte that SQLite has written, its log included; of another database, all that its tables hold."""
    if connection.vendor != "sqlite":
        return all_rows()
    path = Path(str(connection.settings_dict["NAME"]))
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT count(*) FROM login_mobile_challenge").fetchone() == (Challenge.objects.count(),)
    return "".join(file.read_bytes().decode("latin-1") for file in path.parent.glob(f"{path.name}*"))


@pytest.mark.databases
def test_from_the_request_to_the_login_nothing_holds_it(broker, told: Told, monkeypatch):  # noqa: F811
    # Django logs every statement with its parameters.
    monkeypatch.setattr(connections["default"], "force_debug_cursor", True)
    client = FrontEnd(lambda: 0)
    challenge = client.ask().json()["challenge"]
    tasks = []
    while found := broker.take("sms-codes"):
        tasks += found
        before_delivery = database_file() + all_rows()
        for task in found:
            broker.app.tasks[task.name](*task.args)
    (code,) = codes_sent(NUMBER)
    assert [task.name for task in tasks] == ["login_mobile.send_codes", "sms_services.deliver_messages"]
    while_it_waits = [database_file(), all_rows(), sessions()]
    client.verify(challenge, wrong(code))
    answer = client.verify(challenge, code)
    assert answer.status_code == 200
    assert "login_mobile_challenge" in told.text()  # the statements were logged
    cookies = " ".join(f"{name}={morsel.value}" for name, morsel in client.client.cookies.items())
    places = [
        before_delivery,
        *while_it_waits,
        *(task.raw for task in tasks),
        told.text(),
        answer.content.decode(),
        cookies,
        database_file(),
        all_rows(),
        sessions(),
        repr(SmsMessage.objects.get().__dict__),
        repr(newest().__dict__),
    ]
    assert_hidden(code, *places)
    assert_hidden(wrong(code), *places[4:])


def test_the_pages_keep_it_nowhere_either(broker):
    client = Client()
    client.post("/login/", {"phone": NUMBER, "region": "US"})
    while broker.work():
        pass
    (code,) = codes_sent(NUMBER)
    wrong_page = client.post("/login/code/", {"code": wrong(code)})
    assert_hidden(code, sessions(), str(client.cookies), wrong_page.content.decode())
    assert_hidden(wrong(code), sessions(), str(client.cookies), wrong_page.content.decode())
    page = client.post("/login/code/", {"code": code}, follow=True)
    assert client.session["_auth_user_id"]
    assert_hidden(code, sessions(), str(client.cookies), page.content.decode(), str(page.redirect_chain))


def test_neither_the_message_log_nor_the_challenges_in_admin_show_it(front_end, client):
    front_end().ask()
    (code,) = codes_sent(NUMBER)
    client.force_login(a_user(is_staff=True, is_superuser=True))
    for name, row in (("sms_services_smsmessage", SmsMessage.objects.get()), ("login_mobile_challenge", newest())):
        for url in (reverse(f"admin:{name}_changelist"), reverse(f"admin:{name}_change", args=[row.pk])):
            page = client.get(url)
            assert page.status_code == 200
            assert_hidden(code, page.content.decode())
            assert "206****0123" in page.content.decode()
            assert newest().digest not in page.content.decode()


@pytest.fixture(params=[True, False], ids=["DEBUG", "production"])
def reports(request, settings) -> Iterator[Any]:
    """What whoever looks at an error sees: the page under DEBUG, the mail to the admins without."""
    settings.DEBUG = request.param
    settings.ADMINS = [("Admin", "admin@example.com")]
    settings.LOGGING_CONFIG = None
    import logging

    from django.utils.log import AdminEmailHandler

    handler = AdminEmailHandler(include_html=True)
    logger = logging.getLogger("django.request")
    logger.addHandler(handler)

    def of(answer: Any) -> str:
        assert answer.status_code == 500
        mails = [f"{message.body} {message.alternatives}" for message in mail.outbox]
        return answer.content.decode() + "".join(mails)

    yield of
    logger.removeHandler(handler)


class TestExceptionPages:
    @pytest.mark.parametrize("place", [(proving, "buckets"), (proving, "one_of"), (entering, "number_row")], ids=str)
    @pytest.mark.parametrize("by", ["json", "page"])
    def test_whatever_fails_while_a_code_is_compared(self, broker, reports, monkeypatch, place, by):
        client = FrontEnd(broker.work, raise_request_exception=False)
        challenge = None
        if by == "json":
            challenge = client.challenge()
        else:
            client.client.post("/login/", {"phone": NUMBER, "region": "US"})
            client.work()
        (code,) = codes_sent(NUMBER)
        monkeypatch.setattr(*place, None)
        if by == "json":
            report = reports(client.verify(str(challenge), code))
        else:
            report = reports(client.client.post("/login/code/", {"code": code}))
        assert "NoneType" in report
        assert_hidden(code, report)

    def test_a_password_is_as_safe(self, front_end, reports, monkeypatch):
        client = front_end(raise_request_exception=False)
        client.client.force_login(a_user(password="Xq81kd-secret"))
        monkeypatch.setattr("login_mobile.flows.reauthenticating.buckets", None)
        report = reports(client.post("reauthenticate/verify", {"password": "Xq81kd-secret"}))
        assert "Xq81kd" not in report

    @pytest.mark.parametrize("by", ["page", "no token"])
    def test_so_is_what_a_page_got_whose_template_fails(self, client, reports, monkeypatch, by):
        """One of the host's own, say."""
        monkeypatch.setattr("login_mobile.pages.notices.render", None)
        client = Client(enforce_csrf_checks=by == "no token", raise_request_exception=False)
        report = reports(client.post("/login/", {"phone": NUMBER, "region": "GB", "password": "Xq81kd-secret"}))
        for secret in (*notations(NUMBER), "Xq81kd"):
            assert secret not in report

    def test_so_is_the_number(self, front_end, reports, monkeypatch):
        monkeypatch.setattr("login_mobile.flows.requesting.buckets", None)
        client = front_end(raise_request_exception=False)
        report = reports(client.post("request", {"phone": NUMBER}))
        for notation in notations(NUMBER):
            assert notation not in report

    @pytest.mark.parametrize("reports", [False], indirect=True, ids=["production"])
    def test_also_in_a_view_of_the_hosts_own(self, reports, monkeypatch, client, settings):
        settings.ROOT_URLCONF = __name__
        monkeypatch.setattr("login_mobile.flows.requesting.buckets", None)
        client.raise_request_exception = False
        report = reports(client.get("/"))
        for notation in notations(NUMBER):
            assert notation not in report

    @pytest.mark.parametrize("by", ["page", "action"])
    def test_so_it_is_where_an_admin_takes_it_away(self, reports, monkeypatch, admin_client, by):
        row = MobileNumber.objects.create(user=a_user(), number=NUMBER)
        monkeypatch.setattr("login_mobile.flows.notices.queue_message", None)
        admin_client.raise_request_exception = False
        if by == "page":
            url = reverse("admin:login_mobile_mobilenumber_delete", args=[row.pk])
            report = reports(admin_client.post(url, {"post": "yes"}))
        else:
            url = reverse("admin:login_mobile_mobilenumber_changelist")
            body = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
            report = reports(admin_client.post(url, body))
        for notation in notations(NUMBER):
            assert notation not in report
        assert MobileNumber.objects.exists()


@outside_transactions
def hosts_view(request: HttpRequest) -> HttpResponse:
    request_code(request, posted(request))
    return HttpResponse()


def posted(request: HttpRequest) -> str:
    """What the host's view need not keep in a variable."""
    return NUMBER


urlpatterns = [path("", hosts_view)]


def test_a_worker_that_fails_tells_nothing(broker, told: Told, monkeypatch):  # noqa: F811
    FrontEnd(lambda: 0).ask()
    made = []
    new_code = sending.new_code

    def noted(length: int) -> str:
        made.append(new_code(length))
        return made[-1]

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(sending, "new_code", noted)
    monkeypatch.setattr(sending, "queue_message", fail)
    broker.work()
    (code,) = made
    assert "login.code_stuck" in told.text()
    assert "ZeroDivisionError" in told.text()
    assert newest().sending == Sending.WAITING  # the sweep starts again
    assert_hidden(code, told.text(), all_rows())


def test_logs_at_debug_hold_masked_numbers_only(broker, told: Told):  # noqa: F811
    """Django's log of statements, which is off here as it is in production, is another matter: the README says so."""
    client = FrontEnd(broker.work)
    assert client.log_in().status_code == 200
    client.ask("+12065550154")
    client.client.post("/login/", {"phone": OTHER, "region": "US"})
    client.work()
    SmsService.objects.update(is_active=False)
    client.ask("+12065550155")
    assert "login.code_not_sent" in told.text()
    text = "\n".join(line for line in told.text().splitlines() if "django.db" not in line)
    for phone in (NUMBER, OTHER, "+12065550154", "+12065550155"):
        for notation in notations(phone):
            assert notation not in text


def test_logs_of_trouble_hold_masked_numbers_only(front_end, told: Told, monkeypatch):  # noqa: F811
    def fail(challenge: Any) -> None:
        raise ValueError(challenge.phone_number)

    monkeypatch.setattr(sending, "_hand_over", fail)
    client = front_end()
    assert client.ask().status_code == 202
    assert client.ask().status_code == 429
    text = "\n".join(line for line in told.text().splitlines() if "django.db" not in line)
    assert "login.code_stuck" in text
    for notation in notations(NUMBER):
        assert notation not in text


def test_reprs_and_refusals_hold_neither(front_end):
    client = front_end()
    challenge = client.challenge()
    row = newest()
    assert "5550123" not in f"{row!r} {row}"
    assert challenge not in repr(row)
    from login_mobile.api import PendingCode, code_status

    assert "token" not in repr(PendingCode("token", 1, 2))
    request = type("Request", (), {"COOKIES": {}, "user": None})()
    assert "5550123" not in repr(code_status(request, challenge))  # type: ignore[arg-type]
