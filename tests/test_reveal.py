"""Revealing a number and a text: who may, how, and that it is written down."""

import pytest
from django.test import Client

from sms_services.api import send_message
from sms_services.models import MessageReveal, SmsMessage
from tests.log_messages import MASKED, NAME, NUMBER, a_message, a_service, assert_private, log_in, page_of, template

pytestmark = [pytest.mark.django_db, pytest.mark.databases]

VIEW, REVEAL = "view_smsmessage", "reveal_smsmessage"


@pytest.fixture
def message():
    return a_message()


def test_those_who_may_see_the_number_and_the_text_once(client, message):
    user = log_in(client, VIEW, REVEAL)
    before = client.get(page_of(message)).content.decode()
    assert "Reveal number and text" in before
    assert_private(before)
    response = client.post(page_of(message, "reveal"))
    page = response.content.decode()
    assert NUMBER in page
    assert f"Hello {NAME}" in page
    assert "no-store" in response["Cache-Control"]
    assert_private(client.get(page_of(message)).content.decode())
    record = MessageReveal.objects.get()
    assert (record.user, record.username, record.message) == (user, "clerk", message)
    assert record.revealed_at is not None


@pytest.mark.parametrize("permissions", [[], [VIEW], [REVEAL], [VIEW, "retry_smsmessage", "export_smsmessage"]])
def test_nobody_else_does(client, message, permissions):
    log_in(client, *permissions)
    response = client.post(page_of(message, "reveal"))
    assert response.status_code == 403
    assert_private(response.content.decode())
    assert not MessageReveal.objects.exists()
    if VIEW in permissions:
        assert "Reveal number" not in client.get(page_of(message)).content.decode()


def test_a_stranger_is_asked_to_log_in(client, message):
    response = client.post(page_of(message, "reveal"))
    assert (response.status_code, response["Location"].split("?")[0]) == (302, "/admin/login/")


@pytest.mark.parametrize("method", ["get", "head", "put"])
def test_it_is_a_post_and_its_address_leads_to_the_message(client, message, method):
    log_in(client, VIEW, REVEAL)
    response = getattr(client, method)(page_of(message, "reveal"))
    if method == "put":
        assert response.status_code == 405
    else:
        assert (response.status_code, response["Location"]) == (302, page_of(message))
    assert not MessageReveal.objects.exists()


def test_it_needs_the_pages_own_token(message):
    client = Client(enforce_csrf_checks=True)
    log_in(client, VIEW, REVEAL)
    response = client.post(page_of(message, "reveal"))
    assert response.status_code == 403
    assert not MessageReveal.objects.exists()


def test_nothing_is_shown_that_is_not_recorded(client, message, monkeypatch):
    log_in(client, VIEW, REVEAL)
    client.raise_request_exception = False
    monkeypatch.setattr(MessageReveal.objects, "create", lambda **kwargs: 1 / 0)
    response = client.post(page_of(message, "reveal"))
    assert response.status_code == 500
    assert_private(response.content.decode())


def test_an_error_page_shows_nothing_even_with_debug_on(client, message, monkeypatch, settings):
    settings.DEBUG = True
    log_in(client, VIEW, REVEAL)
    client.raise_request_exception = False
    monkeypatch.setattr(SmsMessage, "__str__", lambda self: 1 / 0)
    response = client.post(page_of(message, "reveal"))
    assert response.status_code == 500
    assert_private(response.content.decode())


def test_sensitive_variables_are_never_shown(client):
    log_in(client, VIEW, REVEAL)
    login = template(key="login", text="Your code is ${code}.", purpose="otp")
    (sent,) = send_otp(login)
    waiting = a_message(status="queued", purpose="otp", text=login.text, params={}, template=login)
    waiting.set_params({"code": "904417"})
    waiting.save()
    for message in (sent, waiting):
        page = client.post(page_of(message, "reveal")).content.decode()
        assert NUMBER in page
        assert "Your code is ••••••••." in page
        assert "904417" not in page
        assert "wiped once the outcome is known" in page


def send_otp(login):
    service = a_service()
    row = SmsMessage(
        service=service, template=login, purpose="otp", phone_number=NUMBER, text=login.text, status="sent"
    )
    row.set_params({"code": "904417"})
    row.sensitive_params = ""
    row.save()
    return [row]


def test_what_is_sent_keeps_the_names_of_what_is_wiped(transactional_db):
    login = template(key="login", text="Your code is ${code}.", purpose="otp")
    (message,) = send_message(a_service(), NUMBER, login, {"code": "904417"})
    message.refresh_from_db()
    assert (message.status, message.hidden_names, message.wiped_names) == ("sent", ["code"], ("code",))


def test_the_record_outlives_the_message_and_the_account(admin_client, client):
    user = log_in(Client(), VIEW, REVEAL)
    client.force_login(user)
    message = a_message()
    client.post(page_of(message, "reveal"))
    pk = message.pk
    message.delete()
    user.delete()
    record = MessageReveal.objects.get()
    assert (record.user, record.username, record.message_id) == (None, "clerk", pk)
    page = admin_client.get("/admin/sms_services/messagereveal/").content.decode()
    assert "clerk" in page
    detail = admin_client.get(f"/admin/sms_services/messagereveal/{record.pk}/change/")
    assert detail.status_code == 200


def test_the_records_can_only_be_read(admin_client, message):
    record = MessageReveal.objects.create(username="clerk", message=message)
    base = "/admin/sms_services/messagereveal/"
    page = admin_client.get(base).content.decode()
    assert str(message.pk) in page
    assert "Show all" not in page
    assert "1 result (<a" in admin_client.get(base, {"q": "clerk"}).content.decode()
    assert MASKED not in page
    assert_private(page)
    for url in (f"{base}add/", f"{base}{record.pk}/delete/"):
        assert admin_client.get(url).status_code == 403
    assert admin_client.post(f"{base}{record.pk}/change/", {"username": "x"}).status_code == 403
    assert admin_client.post(base, {"action": "delete_selected", "_selected_action": record.pk}).status_code in (
        200,
        302,
    )
    assert MessageReveal.objects.exists()


def test_a_message_that_is_not_there_is_not_found(client):
    log_in(client, VIEW, REVEAL)
    assert client.post("/admin/sms_services/smsmessage/4000000/reveal/").status_code == 404
