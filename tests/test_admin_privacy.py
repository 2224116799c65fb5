"""No page of admin shows a number or a text, but the one that reveals them: nor do errors."""

import logging
import re
from html import unescape
from urllib.parse import parse_qsl, urljoin, urlsplit

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, User
from django.urls import reverse
from django.utils import timezone
from django.utils.log import AdminEmailHandler

from notifications.models import Notification, Recipient, SuppressedNumber
from sms_services.choices import MessageStatus
from sms_services.error_pages import NoVariables
from sms_services.models import MessageExport, MessageReveal, SandboxMessage, SmsBatch, SmsMessage, TemplateCode
from tests.log_messages import (
    LIST,
    MASKED,
    NAME,
    NUMBER,
    PRIVATE,
    a_failed_try,
    a_message,
    a_service,
    assert_private,
    log_in,
    page_of,
    template,
)
from tests.people import a_department

pytestmark = pytest.mark.django_db

LOOKING = ("smsmessage", "smsservice", "sandboxsms", "smstemplate", "messagereveal", "messageexport", "notification")
VIEW, REVEAL, RETRY, EXPORT = (f"{action}_smsmessage" for action in ("view", "reveal", "retry", "export"))
#: Pages that everybody sees or that end the visit.
_LEFT_OUT = ("/admin/logout/", "/admin/password_change/", "/admin/jsi18n/")


@pytest.fixture
def log():
    """Messages of every status, with all that refers to them. Everything about them that is private is the same."""
    service, greeting = a_service(), template()
    somebody = User.objects.create_user("somebody", is_staff=True)
    Group.objects.create(name="Support")
    messages = [a_message(status=status, service=service, template=greeting) for status in MessageStatus]
    messages.append(a_message(retry_of=SmsMessage.objects.get(status="failed"), status="sent"))
    messages.append(a_message(purpose="otp", params={}, hidden_names=["code"], text="Your code is ${code}"))
    for message in messages:
        a_failed_try(message)
        MessageReveal.objects.create(user=somebody, username="somebody", message=message)
    messages.append(a_notification(service, greeting, somebody))
    SandboxMessage.objects.create(service=service, phone_number=NUMBER, text=f"Hello {NAME}", message_id="SB1")
    MessageExport.objects.create(user=somebody, username="somebody", filters={"q": MASKED}, rows=1, revealed=True)
    for user in (somebody, User.objects.create_superuser("admin")):
        LogEntry.objects.log_actions(user.pk, messages[:3], CHANGE, "Retried as message 9.")
    return messages


def a_notification(service, greeting, user):
    """The message of one whose text holds the same name, to the same number."""
    notification = Notification.objects.create(
        service=service,
        template=greeting,
        purpose="notification",
        text=greeting.text,
        variables={"name": NAME},
        batch=SmsBatch.objects.create(),
        status="finished",
        expanded_at=timezone.now(),
        finished_at=timezone.now(),
    )
    message = a_message(service=service, template=greeting, status="sent", batch=notification.batch)
    Recipient.objects.create(notification=notification, user=user, message=message, via=[["user"]])
    return message


def pages_reached_from(client, start):
    """Every page that links lead to, by its address. Of lists that differ in one parameter, one; more are left out."""
    seen, waiting = {}, [start]
    done = set()
    while waiting:
        url = waiting.pop()
        parts = urlsplit(url)
        names = tuple(sorted({name for name, _value in parse_qsl(parts.query) if name != "_changelist_filters"}))
        if (parts.path, names) in done or len(names) > 1 or parts.path in _LEFT_OUT:
            continue
        done.add((parts.path, names))
        response = client.get(url)
        page = response.content.decode()
        links = [response["Location"]] if response.status_code == 302 else re.findall(r'href="([^"#]+)"', page)
        links = [urljoin(url, unescape(link)) for link in links]
        waiting += [link for link in links if link.startswith(("/admin/", "/sms/"))]
        if response.status_code != 302:
            assert response.status_code in {200, 403}, url  # Django links to what somebody may not see
            seen[url] = page
    return seen


@pytest.mark.parametrize("may_everything", [False, True], ids=["who may look", "who may everything"])
def test_no_page_that_a_link_leads_to_shows_a_number_or_a_text(client, log, may_everything):
    if may_everything:
        client.force_login(User.objects.get(username="admin"))
    else:
        log_in(client, *(f"view_{model}" for model in LOOKING))
    pages = pages_reached_from(client, "/admin/")
    showing = {urlsplit(url).path for url, page in pages.items() for words in PRIVATE if words in page}
    # What a permission of its own is for.
    assert showing == ({reverse("sms_services:sandbox_inbox")} if may_everything else set())
    paths = {urlsplit(url).path for url in pages}
    assert reverse("admin:notifications_notification_change", args=[Notification.objects.get().pk]) in paths
    expected = {page_of(message, view) for message in log for view in ("change", "history")} | {LIST}
    if may_everything:
        expected |= {
            reverse("admin:auth_user_delete", args=[User.objects.get(username="somebody").pk]),
            reverse("admin:sms_services_sandboxsms_delete", args=[a_service().pk]),
            reverse("admin:sms_services_smstemplate_delete", args=[log[0].template_id]),
            reverse("admin:sms_services_smsservice_test", args=[a_service().pk]),
        }
    assert expected <= paths
    if may_everything:
        assert f"{MASKED} (Failed)" in pages["/admin/"] or f"{MASKED} (Queued)" in pages["/admin/"]  # recent actions


def test_entries_of_the_admins_log_name_messages_masked(client, log):
    client.force_login(User.objects.get(username="admin"))
    client.post(page_of(SmsMessage.objects.get(status="undelivered"), "retry"))
    entries = [f"{entry.object_repr} {entry.get_change_message()} {entry}" for entry in LogEntry.objects.all()]
    assert len(entries) == 7
    for entry in entries:
        assert MASKED in entry
        assert_private(entry)


@pytest.mark.parametrize("model", ["auth_user", "auth_group", "sms_services_smsservice", "sms_services_smstemplate"])
def test_asking_to_delete_what_messages_refer_to_names_none(client, log, model):
    client.force_login(User.objects.get(username="admin"))
    TemplateCode.objects.create(template_id=log[0].template_id, service=a_service(), code="SMS_1")
    pks = {
        "auth_user": [user.pk for user in User.objects.exclude(username="admin")],
        "auth_group": [Group.objects.get().pk],
        "sms_services_smsservice": [a_service().pk],
        "sms_services_smstemplate": [log[0].template_id],
    }[model]
    url = reverse(f"admin:{model}_changelist")
    page = client.post(url, {"action": "delete_selected", "_selected_action": pks}).content.decode()
    assert "delete" in page
    assert_private(page)


@pytest.mark.parametrize(
    ("model", "field"),
    [("messagereveal", "message"), ("smsattempt", "message"), ("smsmessage", "retry_of")],
)
@pytest.mark.parametrize("term", ["", NUMBER, "206 555 0123", "+1206", NAME, "SM1234567"])
def test_fields_that_complete_show_no_number_and_find_none_by_it(client, log, model, field, term):
    log_in(client, *(f"view_{model}" for model in LOOKING), "view_smsattempt", REVEAL)
    SmsMessage.objects.filter(pk=log[0].pk).update(provider_message_id="SM1234567")
    query = {"app_label": "sms_services", "model_name": model, "field_name": field, "term": term}
    response = client.get("/admin/autocomplete/", query)
    assert response.status_code == 200
    found = response.json()["results"]
    assert_private(response.content.decode())
    assert len(found) == {"": len(log), "SM1234567": 1}.get(term, 0)
    for result in found:
        assert result["text"].startswith(MASKED)


@pytest.mark.parametrize("name", [field.name for field in SmsMessage._meta.concrete_fields if not field.primary_key])
def test_no_other_field_stands_for_a_message_in_an_address(client, log, name):
    """Neither as what a popup hands over, nor as what a page is opened by."""
    client.force_login(User.objects.get(username="admin"))
    assert client.get(LIST, {"_popup": "1", "_to_field": name}).status_code == 400
    page = reverse("admin:sms_services_smsmessage_change", args=[NUMBER])
    assert client.get(page, {"_to_field": name}).status_code == 400


def fail_with_a_number(*args, **kwargs):
    """What an exception page would show: the value of a variable where the error was."""
    number, text = NUMBER, f"Hello {NAME}"
    raise ZeroDivisionError(len(number + text))


@pytest.mark.parametrize(
    ("method", "path", "broken"),
    [
        ("get", "", "sms_services.admin.messages.MessageChangeList.get_results"),
        ("get", "", "sms_services.admin.messages.mask"),  # while the page is rendered
        ("get", "{pk}/change/", "sms_services.admin.messages.mask"),
        ("get", "{pk}/change/", "sms_services.admin.messages.advice_for"),
        ("get", "{pk}/history/", "sms_services.models.messages.mask"),
        ("get", "{pk}/delete/", "sms_services.admin.read_only.ReadOnly.has_delete_permission"),
        ("post", "{pk}/reveal/", "sms_services.models.messages.SmsMessage.readable_text"),
        ("post", "{pk}/retry/", "sms_services.admin.retry.Retries._retry"),
        ("post", "{unknown}/retry/", "sms_services.models.messages.SmsMessage.__str__"),
        ("post", "export/", "sms_services.admin.export._filters"),
        ("post", "search/", "sms_services.admin.search.seal"),
        ("get", "../../autocomplete/", "sms_services.models.messages.mask"),
        ("post", "../smsservice/{service}/test/", "sms_services.admin.services.send_message"),
        ("post", "../smsservice/{service}/test/", "sms_services.admin.forms.normalize"),
        ("get", "/sms/sandbox/", "sms_services.views._text"),
        ("get", "{notification}/change/", "notifications.admin.notifications.page_parts"),
        ("get", "{notification}/recipients/", "notifications.admin.recipients.mask"),
        ("get", "{notification}/progress/", "notifications.admin.progress.page_parts"),
        ("post", "{notification}/pause/", "notifications.admin.control.pause"),
        ("post", "{notification}/resume/", "notifications.admin.control.resume"),
        ("post", "{notification}/cancel/", "notifications.models.Notification.counts"),
        ("post", "{notification}/retry/", "notifications.admin.control.failures_of"),
        ("get", "/admin/notifications/notification/find/?field_name=users", "notifications.admin.finding.user_label"),
        ("get", "/admin/notifications/department/{department}/members/", "notifications.admin.members.user_label"),
        ("post", "/admin/notifications/department/{department}/members/", "notifications.admin.members.links"),
        ("get", "/admin/notifications/suppressednumber/", "notifications.admin.suppressed.mask"),
        ("get", "{suppressed}/change/", "notifications.admin.suppressed.mask"),
        ("get", "{suppressed}/history/", "notifications.models.suppressed.mask"),
        ("get", "{suppressed}/delete/", "notifications.models.suppressed.mask"),
        ("post", "/admin/notifications/suppressednumber/find/", "notifications.admin.suppressed.normalize"),
        ("post", "/admin/notifications/suppressednumber/add/", "notifications.admin.suppressed.normalize"),
    ],
)
def test_no_error_page_shows_a_number_even_with_debug_on(client, log, settings, monkeypatch, method, path, broken):
    settings.DEBUG = True
    client.force_login(User.objects.get(username="admin"))
    client.raise_request_exception = False
    suppressed = SuppressedNumber.objects.create(phone_number=NUMBER)
    ids = {
        "pk": SmsMessage.objects.get(status="undelivered").pk,
        "unknown": SmsMessage.objects.get(status="unknown").pk,
        "service": a_service().pk,
        "notification": f"/admin/notifications/notification/{Notification.objects.get().pk}",
        "suppressed": f"/admin/notifications/suppressednumber/{suppressed.pk}",
        "department": a_department("Works", User.objects.all()).pk,
    }
    data = {"q": NUMBER, "phone_number": NUMBER, "template": log[0].template_id, "variable_name": NAME}
    if "autocomplete" in path:
        data = {"app_label": "sms_services", "model_name": "messagereveal", "field_name": "message", "term": ""}
    monkeypatch.setattr(broken, fail_with_a_number)
    response = getattr(client, method)(
        urljoin(LIST, path.format(**ids)), data if method == "post" or "auto" in path else {}
    )
    page = response.content.decode()
    assert (response.status_code, "ZeroDivisionError" in page) == (500, True)
    assert "fail_with_a_number" in page
    assert_private(page)


def test_such_a_page_would_show_it_otherwise(client, log, settings, monkeypatch):
    """What the test above looks at is where Django shows variables."""
    settings.DEBUG = True
    client.force_login(User.objects.get(username="admin"))
    client.raise_request_exception = False
    monkeypatch.setattr("sms_services.admin.messages.mask", fail_with_a_number)
    monkeypatch.setattr(
        NoVariables, "get_traceback_frame_variables", lambda self, request, frame: frame.f_locals.items()
    )
    assert NUMBER in client.get(LIST).content.decode()


def test_mails_to_admins_hide_them_too(client, log, settings, monkeypatch, mailoutbox):
    settings.ADMINS = [("Operator", "operator@example.com")]
    handler = AdminEmailHandler(include_html=True)
    logger = logging.getLogger("django.request")
    logger.addHandler(handler)
    try:
        client.force_login(User.objects.get(username="admin"))
        client.raise_request_exception = False
        monkeypatch.setattr("sms_services.admin.search.seal", fail_with_a_number)
        client.post(f"{LIST}search/", {"q": NUMBER})
    finally:
        logger.removeHandler(handler)
    words = "".join(mail.body + str(mail.alternatives) for mail in mailoutbox)
    assert "fail_with_a_number" in words
    assert "<title>ZeroDivisionError" in words
    assert_private(words)
