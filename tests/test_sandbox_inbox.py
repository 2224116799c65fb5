"""The sandbox inbox: who sees it, what stands on it, what it costs, and how it looks after itself in a browser."""

import re
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlencode

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape

from sms_services.addresses import MAX_AGE, seal
from sms_services.models import SandboxMessage, SandboxSms
from sms_services.providers.base import OutgoingMessage
from sms_services.providers.sandbox import SPECIAL_ENDINGS
from sms_services.views import TEXTS, TEXTS_PER_PHONE

INBOX = "/sms/sandbox/"
CLEAR = "/sms/sandbox/clear/"
ANNA, BEN, CHEN = "+12065550100", "+12065550101", "+8613800000002"


def with_strict_policy(route: Any) -> None:
    """Let a page use nothing but files of its own."""
    if route.request.resource_type != "document":
        route.continue_()
        return
    response = route.fetch()
    policy = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'"
    route.fulfill(response=response, headers={**response.headers, "content-security-policy": policy})


@pytest.fixture
def service(db: None) -> SandboxSms:
    return SandboxSms.objects.create(key="sandbox", name="Front desk")


@pytest.fixture
def staff(db: None) -> User:
    user = User.objects.create_user("staff", password="a long pass phrase", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_sandboxmessage"))
    return user


@pytest.fixture
def staff_client(staff: User) -> Client:
    client = Client()
    client.force_login(staff)
    return client


def receive(service: SandboxSms, number: str, *texts: str) -> None:
    """Let texts arrive as the provider does."""
    messages = [OutgoingMessage(phone_number=number, purpose="notification", text=text) for text in texts]
    service.build_provider().send(messages, "reference")


def shown(client: Client, **query: str) -> str:
    """The inbox; with ``number``, as the form of the filter leads to it."""
    if number := query.pop("number", ""):
        response = client.post(f"{INBOX}phone/", {"number": number}, follow=True)
        ((address, _status),) = response.redirect_chain
        assert number.strip("+") not in unquote(address)
    else:
        response = client.get(INBOX, query)
    assert response.status_code == 200
    return response.content.decode()


def phones(html: str) -> list[str]:
    return re.findall(r'id="phone-(\d+)"', html)


def bubbles(html: str) -> list[str]:
    """What is read in the bubbles, in the page's order."""
    found = re.findall(r'<p class="sandbox-bubble[^>]*>(.*?)</p>', html, re.DOTALL)
    return [re.sub(r"<[^>]+>", "", bubble) for bubble in found]


# Who


def test_the_inbox_has_a_name() -> None:
    assert reverse("sms_services:sandbox_inbox") == INBOX


@pytest.mark.django_db
@pytest.mark.parametrize("path", [INBOX, INBOX + "?fragment=1", CLEAR])
def test_it_sends_anonymous_visitors_to_the_admin_login_and_back(client: Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("admin:login") + "?next=/sms/sandbox/")


@pytest.mark.parametrize("path", [INBOX, INBOX + "?fragment=1", CLEAR])
def test_it_is_closed_to_users_who_are_not_staff(client: Client, service: SandboxSms, path: str) -> None:
    receive(service, ANNA, "Nobody else reads this")
    client.force_login(User.objects.create_user("anna"))
    response = client.get(path)
    assert response.status_code == 302
    assert b"Nobody else" not in response.content


@pytest.mark.parametrize("path", [INBOX, INBOX + "?fragment=1", f"{INBOX}phone/"])
def test_it_needs_the_permission_to_view_sandbox_messages(client: Client, service: SandboxSms, path: str) -> None:
    receive(service, ANNA, "Your code is 482913")
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    response = client.get(path)
    assert response.status_code == 403
    assert b"482913" not in response.content


def test_it_opens_for_staff_in_the_frame_of_the_admin(staff_client: Client) -> None:
    html = shown(staff_client)
    assert 'class="breadcrumbs"' in html
    assert 'id="user-tools"' in html
    assert 'class="theme-toggle"' in html


def test_it_is_stored_in_no_cache(staff_client: Client) -> None:
    for path in (INBOX, INBOX + "?fragment=1"):
        assert "no-store" in staff_client.get(path)["Cache-Control"]


def test_it_changes_nothing_and_takes_no_post(staff_client: Client) -> None:
    assert staff_client.post(INBOX).status_code == 405


# What


def test_each_number_has_a_phone_and_the_phone_with_the_newest_text_comes_first(
    staff_client: Client, service: SandboxSms
) -> None:
    receive(service, ANNA, "one")
    receive(service, BEN, "two")
    receive(service, CHEN, "three")
    receive(service, ANNA, "four")
    html = shown(staff_client)
    assert phones(html) == ["12065550100", "8613800000002", "12065550101"]
    assert bubbles(html) == ["four", "one", "three", "two"]


def test_a_text_shows_its_number_time_service_and_segments(staff_client: Client, service: SandboxSms) -> None:
    receive(service, ANNA, "a" * 161)
    html = shown(staff_client)
    row = SandboxMessage.objects.get()
    assert "+1 206-555-0100" in html
    assert "Front desk" in html
    assert "2 segments GSM-7" in html
    assert f'<time datetime="{timezone.localtime(row.received_at).isoformat()}"' in html


def test_segments_are_counted_as_the_number_s_country_counts_them(staff_client: Client, service: SandboxSms) -> None:
    receive(service, CHEN, "a" * 71)
    assert "2 segments UCS-2" in shown(staff_client)


def test_only_texts_of_other_days_show_their_date(staff_client: Client, service: SandboxSms) -> None:
    receive(service, ANNA, "today")
    assert ", " not in re.findall(r"<time[^>]*>(.*?)</time>", shown(staff_client))[0]
    SandboxMessage.objects.update(received_at=timezone.now() - timedelta(days=40))
    assert ", " in re.findall(r"<time[^>]*>(.*?)</time>", shown(staff_client))[0]


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</p></li><b>482913</b>"]
)
def test_texts_are_escaped(staff_client: Client, service: SandboxSms, text: str) -> None:
    receive(service, ANNA, text)
    html = shown(staff_client)
    assert text not in html
    assert bubbles(html) == [escape(text)]


def test_the_name_of_a_service_is_escaped(staff_client: Client, service: SandboxSms) -> None:
    SandboxSms.objects.update(name="<script>alert(1)</script>")
    receive(service, ANNA, "hello")
    assert "<script>alert(1)" not in shown(staff_client)


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("Your code is 482913.", ["482913"]),
        ("验证码1234，5分钟内有效", ["1234"]),
        ("1234 or 12345678", ["1234", "12345678"]),
        ("G-482913 is your code", ["482913"]),
        ("Code: 482913, valid until 20:15", ["482913"]),
        ("(4829)", ["4829"]),
        ("123 and 123456789 and SMS_123456", []),
        ("On 2026-03-04 you paid 1234.50 or 12,3456", []),
        ("Open https://example.com/8841/ now", []),
        ("١٢٣٤", []),
    ],
)
def test_runs_of_four_to_eight_digits_are_emphasised(
    staff_client: Client, service: SandboxSms, text: str, codes: list[str]
) -> None:
    receive(service, ANNA, text)
    html = shown(staff_client)
    assert re.findall(r"<mark>(.*?)</mark>", html) == codes
    assert re.findall(r'data-copy="(.*?)"', html) == codes
    assert bubbles(html) == [text]


def test_a_text_of_a_lost_key_is_said_to_be_unreadable_and_the_others_are_shown(
    staff_client: Client, service: SandboxSms, settings: Any
) -> None:
    receive(service, ANNA, "from before")
    settings.SMS_SERVICES = {**settings.SMS_SERVICES, "ENCRYPTION_KEYS": [Fernet.generate_key().decode()]}
    receive(service, ANNA, "from now")
    newer, older = bubbles(shown(staff_client))
    assert newer == "from now"
    assert "cannot be read" in older
    assert "encryption keys" in older


# How many


def queries(client: Client, query: dict[str, str]) -> int:
    with CaptureQueriesContext(connection) as captured:
        client.get(INBOX, query)
    return len(captured)


@pytest.mark.parametrize("query", [{}, {"fragment": "1"}, {"phone": ANNA}])
def test_the_number_of_queries_is_the_same_for_one_text_and_for_many(
    staff_client: Client, service: SandboxSms, query: dict[str, str]
) -> None:
    query = {name: seal(value, "phone") if name == "phone" else value for name, value in query.items()}
    other = SandboxSms.objects.create(key="other", name="Back office")
    receive(service, ANNA, "one")
    for_one = queries(staff_client, query)
    for ending in range(10, 50):
        receive(other if ending % 2 else service, f"+120655501{ending}", "one", "two 482913", "three")
        receive(service, ANNA, "more")
    assert queries(staff_client, query) == for_one <= 7


def test_a_busy_phone_hides_no_quiet_one(staff_client: Client, service: SandboxSms) -> None:
    receive(service, BEN, "quiet")
    receive(service, ANNA, *(f"busy {i}" for i in range(TEXTS_PER_PHONE + 5)))
    html = shown(staff_client)
    assert phones(html) == ["12065550100", "12065550101"]
    assert bubbles(html) == [*(f"busy {i}" for i in range(TEXTS_PER_PHONE + 4, 4, -1)), "quiet"]
    assert "Older texts are hidden" in html


def test_the_desk_holds_the_newest_texts_and_says_that_older_ones_are_hidden(
    staff_client: Client, service: SandboxSms
) -> None:
    numbers = [f"+120655501{ending:02}" for ending in range(50)]
    for number in numbers:
        receive(service, number, *"abcde")
    html = shown(staff_client)
    assert len(bubbles(html)) == TEXTS
    assert phones(html) == [number[1:] for number in reversed(numbers[10:])]
    assert 'id="sandbox-older"' in html


def test_nothing_is_said_to_be_hidden_when_all_is_shown(staff_client: Client, service: SandboxSms) -> None:
    receive(service, ANNA, *(f"busy {i}" for i in range(TEXTS_PER_PHONE)))
    assert "Older texts" not in shown(staff_client)


# One phone


@pytest.mark.parametrize(
    "notation", [ANNA, "(206) 555-0100", "206.555.0100", "+1 206 555 0100", "＋１２０６５５５０１００"]
)
def test_a_number_in_any_notation_shows_one_phone(staff_client: Client, service: SandboxSms, notation: str) -> None:
    receive(service, ANNA, "for Anna")
    receive(service, BEN, "for Ben")
    assert bubbles(shown(staff_client, number=notation)) == ["for Anna"]


def test_one_phone_shows_more_of_its_texts_than_it_does_among_others(staff_client: Client, service: SandboxSms) -> None:
    receive(service, ANNA, *(f"text {i}" for i in range(TEXTS_PER_PHONE + 5)))
    assert len(bubbles(shown(staff_client, number=ANNA))) == TEXTS_PER_PHONE + 5


def test_an_unreadable_number_is_explained_and_filters_nothing(staff_client: Client, service: SandboxSms) -> None:
    receive(service, ANNA, "for Anna")
    html = shown(staff_client, number="<b>nonsense")
    assert "This is not a phone number." in html
    assert "<b>nonsense" not in html
    assert 'value="&lt;b&gt;nonsense"' in html
    assert bubbles(html) == ["for Anna"]


def test_a_phone_on_the_desk_is_shown_alone_by_its_own_button(staff_client: Client, service: SandboxSms) -> None:
    receive(service, ANNA, "for Anna")
    html = shown(staff_client)
    assert re.search(r'<form id="sandbox-choose" method="post" action="/sms/sandbox/phone/">', html)
    assert f'form="sandbox-choose" name="number" value="{ANNA}"' in html
    assert not [link for link in re.findall(r'(?:href|action)="([^"]*)"', html) if ANNA[1:] in link]


@pytest.mark.parametrize("token", ["gAAAAAnonsense", ANNA])
def test_an_address_that_cannot_be_read_leads_to_all_phones_and_says_so(staff_client: Client, token: str) -> None:
    response = staff_client.get(INBOX, {"phone": token}, follow=True)
    assert response.redirect_chain == [(INBOX, 302)]
    assert "The phone in this address cannot be read" in response.content.decode()


def test_a_page_of_one_phone_never_becomes_that_of_all(
    staff_client: Client, service: SandboxSms, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(service, BEN, "for Ben")
    query = {"phone": seal(ANNA, "phone"), "fragment": "1"}
    assert "No texts for" in shown(staff_client, **query)
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + MAX_AGE + 10)
    response = staff_client.get(INBOX, query)
    assert (response.status_code, response.content) == (204, b"")


def test_an_empty_field_and_a_login_in_between_lead_to_all_phones(staff_client: Client) -> None:
    for answer in (staff_client.post(f"{INBOX}phone/", {"number": " "}), staff_client.get(f"{INBOX}phone/")):
        assert (answer.status_code, answer["Location"]) == (302, INBOX)


def test_a_phone_without_texts_is_named(staff_client: Client, service: SandboxSms) -> None:
    receive(service, ANNA, "for Anna")
    assert "No texts for +1 206-555-0101 yet" in shown(staff_client, number=BEN)


# Nothing yet


def test_an_empty_inbox_explains_how_texts_get_there(staff_client: Client) -> None:
    html = shown(staff_client)
    assert "No texts yet" in html
    assert reverse("admin:sms_services_smsservice_add") in html


def test_it_lists_every_special_number_and_what_it_provokes(staff_client: Client) -> None:
    html = shown(staff_client)
    for ending, (code, description) in SPECIAL_ENDINGS.items():
        assert f"+1 206-555-01{ending}" in html
        assert f"+86 138 0000 00{ending}" in html
        assert code in html
        assert str(description)[1:] in html


# Looking again


def test_an_unchanged_desk_costs_a_304_and_one_query_for_texts(
    staff_client: Client, service: SandboxSms, django_assert_max_num_queries: Any
) -> None:
    receive(service, ANNA, "hello")
    etag = staff_client.get(INBOX, {"fragment": "1"})["ETag"]
    with django_assert_max_num_queries(5):  # session, user, their permissions and their groups', ids
        response = staff_client.get(INBOX, {"fragment": "1"}, headers={"If-None-Match": etag})
    assert response.status_code == 304
    assert response["ETag"] == etag
    assert response.content == b""


def test_the_page_says_which_state_of_the_desk_it_shows(staff_client: Client, service: SandboxSms) -> None:
    receive(service, ANNA, "hello")
    etag = staff_client.get(INBOX, {"fragment": "1"})["ETag"]
    assert f'data-etag="{escape(etag)}"' in shown(staff_client)


@pytest.mark.parametrize("change", ["arrival", "clearing", "another phone", "language"])
def test_a_changed_desk_is_sent_anew(staff_client: Client, service: SandboxSms, change: str) -> None:
    receive(service, ANNA, "hello")
    etag = staff_client.get(INBOX, {"fragment": "1"})["ETag"]
    query, headers = {"fragment": "1"}, {"If-None-Match": etag}
    if change == "arrival":
        receive(service, ANNA, "again")
    elif change == "clearing":
        SandboxMessage.objects.all().delete()
    elif change == "another phone":
        query["phone"] = seal(ANNA, "phone")
    else:
        headers["Accept-Language"] = "zh-hans"
    response = staff_client.get(INBOX, query, headers=headers)
    assert response.status_code == 200
    assert response["ETag"] != etag


def test_the_fragment_is_the_desk_alone(staff_client: Client, service: SandboxSms) -> None:
    receive(service, ANNA, "hello")
    html = shown(staff_client, fragment="1")
    assert bubbles(html) == ["hello"]
    assert "<html" not in html
    assert "csrfmiddlewaretoken" not in html


# Clearing


def test_clearing_needs_the_permission(staff_client: Client, service: SandboxSms) -> None:
    receive(service, ANNA, "hello")
    assert CLEAR not in shown(staff_client)
    assert staff_client.post(CLEAR).status_code == 403
    assert SandboxMessage.objects.count() == 1


def test_clearing_is_a_post(admin_client: Client, service: SandboxSms) -> None:
    receive(service, ANNA, "hello")
    assert admin_client.get(CLEAR).status_code == 405
    assert SandboxMessage.objects.count() == 1


def test_clearing_needs_a_csrf_token(admin_user: User, service: SandboxSms) -> None:
    receive(service, ANNA, "hello")
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert client.post(CLEAR).status_code == 403
    assert SandboxMessage.objects.count() == 1


def test_clearing_deletes_every_text_and_says_how_many(staff: User, staff_client: Client, service: SandboxSms) -> None:
    staff.user_permissions.add(Permission.objects.get(codename="delete_sandboxmessage"))
    receive(service, ANNA, "one", "two")
    receive(service, BEN, "three")
    assert CLEAR in shown(staff_client)
    response = staff_client.post(CLEAR, follow=True)
    assert response.redirect_chain == [(INBOX, 302)]
    assert "3 texts were deleted." in response.content.decode()
    assert not SandboxMessage.objects.exists()


# In a browser


@pytest.fixture
def chromium_page(browser: Any, settings: Any, live_server: Any, admin_user: User) -> Iterator[Any]:
    """A page of a real browser, logged in as an admin, under a strict policy; fails on anything in the console."""
    client = Client()
    client.force_login(admin_user)
    session = {"name": settings.SESSION_COOKIE_NAME, "value": client.cookies[settings.SESSION_COOKIE_NAME].value}
    complaints: list[str] = []
    with browser.new_context(
        base_url=live_server.url, locale="en-US", permissions=["clipboard-read", "clipboard-write"]
    ) as context:
        context.add_cookies([{**session, "url": live_server.url}])
        context.route("**/*", with_strict_policy)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
    assert complaints == []


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_text_that_arrives_while_the_page_is_open_appears_by_itself(chromium_page: Any, service: SandboxSms) -> None:
    receive(service, BEN, "an old one")
    response = chromium_page.goto(INBOX)
    assert "default-src 'self'" in response.headers["content-security-policy"]
    chromium_page.get_by_text("Live", exact=True).wait_for()
    receive(service, ANNA, "Your code is 482913.")
    new = chromium_page.locator(".sandbox-text.is-new")
    new.wait_for()
    assert "Your code is 482913." in new.inner_text()
    assert chromium_page.locator(".sandbox-phone h2").all_inner_texts() == [
        "00\n+1 206-555-0100",
        "01\n+1 206-555-0101",
    ]
    assert "New text for +1 206-555-0100: Your code is 482913." in chromium_page.get_by_role("status").inner_text()


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_what_stays_on_the_desk_is_left_alone_when_a_text_arrives(chromium_page: Any, service: SandboxSms) -> None:
    receive(service, BEN, *(f"Ben {i}" for i in range(20)))
    receive(service, ANNA, "Anna 1")
    chromium_page.goto(INBOX)
    chromium_page.evaluate(
        """() => {
            document.querySelectorAll("[data-text]").forEach((text) => { text.seen = true; });
            document.getElementById("screen-12065550101").scrollTop = 200;
            document.querySelector("#phone-12065550101 h2 button").focus();
        }"""
    )
    receive(service, ANNA, "Anna 2")
    chromium_page.locator(".sandbox-bubble", has_text="Anna 2").wait_for()
    left_alone = chromium_page.evaluate(
        """() => ({
            rebuilt: [...document.querySelectorAll("[data-text]")].filter((text) => !text.seen).length,
            scrolled: document.getElementById("screen-12065550101").scrollTop,
            focused: document.activeElement.textContent,
        })"""
    )
    assert left_alone == {"rebuilt": 1, "scrolled": 200, "focused": "+1 206-555-0101"}


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_code_is_copied_by_its_button(chromium_page: Any, service: SandboxSms) -> None:
    receive(service, ANNA, "Your code is 482913.")
    chromium_page.goto(INBOX)
    chromium_page.get_by_role("button", name="Copy 482913").click()
    chromium_page.locator(".sandbox-copy.is-copied").wait_for()
    assert chromium_page.evaluate("navigator.clipboard.readText()") == "482913"


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_script_in_a_text_is_shown_and_not_run(chromium_page: Any, service: SandboxSms) -> None:
    chromium_page.goto(INBOX)
    receive(service, ANNA, "<script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\">")
    chromium_page.locator(".sandbox-bubble", has_text="<script>document.title").wait_for()
    assert chromium_page.title() != "run"


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_it_says_so_when_the_session_has_ended(chromium_page: Any, service: SandboxSms) -> None:
    chromium_page.goto(INBOX)
    chromium_page.context.clear_cookies()
    chromium_page.get_by_text("You are signed out.").wait_for()


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_it_says_so_when_the_phone_in_its_address_has_expired(
    chromium_page: Any, service: SandboxSms, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(service, ANNA, "for Anna")
    chromium_page.goto(f"{INBOX}?{urlencode({'phone': seal(ANNA, 'phone')})}")
    chromium_page.get_by_text("Live", exact=True).wait_for()
    receive(service, BEN, "for Ben")
    monkeypatch.setattr("sms_services.addresses.MAX_AGE", -1)
    chromium_page.get_by_text("This page has expired.").wait_for()
    assert chromium_page.locator(".sandbox-phone h2").all_inner_texts() == ["00\n+1 206-555-0100"]


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_without_scripts_there_is_a_link_to_refresh(chromium_page: Any, service: SandboxSms) -> None:
    receive(service, ANNA, "Your code is 482913.")
    chromium_page.route("**/*.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    chromium_page.goto(INBOX)
    assert chromium_page.get_by_role("link", name="Refresh").is_visible()
    assert not chromium_page.get_by_role("button", name="Copy 482913").is_visible()
