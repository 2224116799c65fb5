"""The pages under /login/, as their forms and links use them, without a browser."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import path
from django.utils import timezone

from config.urls import urlpatterns as project_urls
from login_mobile.models import Challenge, MobileLogin, MobileNumber, Pause
from sms_services.models import SandboxMessage, SandboxSms, SmsTemplate
from tests.login_under_test import GENEROUS, NUMBER, OTHER, a_login, a_user, codes_sent, wrong

pytest_plugins = ["tests.login_under_test"]
pytestmark = pytest.mark.django_db(transaction=True)

CODE, ACCOUNT, CONFIRM = "/login/code/", "/login/account/", "/login/confirm/"


class Visitor(Client):
    """A browser whose codes are sent at once, and which loads every page that it posts."""

    def __init__(self, work, **options) -> None:
        super().__init__(enforce_csrf_checks=True, **options)
        self._work = work

    def submit(self, url, **data):
        """Load a page and post its form."""
        page = self.get(url, follow=True)
        main = page.content.decode().split("</main>")[0]
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', main)
        assert token, main
        hidden = dict(re.findall(r'<input type="hidden" name="(next|config)" value="([^"]*)">', main))
        response = self.post(page.request["PATH_INFO"], {"csrfmiddlewaretoken": token[1], **hidden, **data})
        while self._work():
            pass
        return response

    def ask(self, phone=NUMBER, url="/login/", **data):
        return self.submit(url, phone=phone, region="US", **data)

    def enter(self, phone=NUMBER, url=CODE):
        return self.submit(url, code=codes_sent(phone)[-1])

    def log_in(self, phone=NUMBER):
        assert self.ask(phone).status_code == 302
        response = self.enter(phone)
        assert response.status_code == 302, text(response)
        return response


def text(response):
    """What a page says, without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


@pytest.fixture
def visitor(broker):
    return Visitor(broker.work)


@pytest.fixture
def ada(visitor, no_pause):
    """Somebody who has just logged in with a number."""
    a_login(**GENEROUS)
    visitor.log_in()
    visitor.user = User.objects.get()
    return visitor


def later(client, seconds=700):
    """Let the time pass after which somebody has to confirm who they are."""
    session = client.session
    stamp, user = session["login_mobile_confirmed"]
    session["login_mobile_confirmed"] = [stamp - seconds, user]
    session.save()


def test_a_number_and_a_code_make_an_account_and_a_session(visitor, login):
    response = visitor.ask("(206) 555-0123")
    assert response.url == CODE
    assert codes_sent(NUMBER)[0] not in str(dict(visitor.session))
    response = visitor.enter()
    assert response.url == ACCOUNT
    user = User.objects.get()
    assert visitor.session["_auth_user_id"] == str(user.pk)
    assert user.mobile_number.number == NUMBER
    assert "login_mobile_device" in response.cookies
    assert "+1 206****0123" in text(visitor.get(ACCOUNT))


def test_no_page_is_cached_and_no_address_holds_a_number(visitor, login):
    for response in (visitor.ask(), visitor.get(CODE), visitor.enter(), visitor.get(ACCOUNT)):
        assert "no-store" in response["Cache-Control"]
        assert "555" not in response.get("Location", "") + response.request["PATH_INFO"]
        assert response["Referrer-Policy"] == "same-origin"


def test_every_form_needs_its_token(login, broker):
    visitor = Visitor(broker.work)
    for url in ("/login/", CODE, "/login/nickname/", "/login/logout/", "/login/number/", CONFIRM):
        refused = visitor.post(url, {"phone": NUMBER})
        assert refused.status_code == 403, url
        assert "Please begin anew." in text(refused)
        assert f'href="{url}"' in refused.content.decode()
    assert not Challenge.objects.exists()


def test_a_project_with_a_view_for_that_answers_itself(login, broker, settings):
    settings.CSRF_FAILURE_VIEW = f"{__name__}.our_csrf_failure"
    refused = Visitor(broker.work).post("/login/", {"phone": NUMBER})
    assert (refused.status_code, text(refused)) == (418, "Ours.")


def our_csrf_failure(request, reason=""):
    return HttpResponse("Ours.", status=418)


def test_a_tab_that_was_left_open_while_somebody_logged_in_leads_on(visitor, login):
    old = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', visitor.get("/login/").content.decode())
    visitor.log_in()
    form = {"csrfmiddlewaretoken": old[1], "phone": OTHER, "config": "main", "next": "/sms/"}
    refused = visitor.post("/login/", form)
    assert refused.status_code == 403
    assert 'href="/login/?config=main&amp;next=%2Fsms%2F"' in refused.content.decode()
    assert "somebody has logged in meanwhile" in text(refused)
    assert visitor.get("/login/").url == ACCOUNT


@pytest.mark.parametrize(
    "evil",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example",
        "http:evil.example",
        "javascript:alert(1)",
        " //evil.example",
        "/\t/evil.example",
        "http://testserver@evil.example/",
        "/" + "a" * 2100,
    ],
)
def test_next_leads_to_this_host_only(visitor, login, evil):
    page = visitor.get("/login/", {"next": evil}).content.decode()
    assert 'name="next"' not in page.split("</main>")[0]
    refused = visitor.get("/login/", {"next": evil, "config": "nope"}).content.decode()
    for shown in (page, refused):
        assert 'href="/admin/login/"' in shown
    visitor.ask(next=evil)
    assert visitor.enter().url == ACCOUNT


@pytest.mark.parametrize("evil", ["https://evil.example/", "//evil.example/", "/\\evil.example/"])
def test_so_it_does_after_confirming(ada, evil):
    assert ada.get(CONFIRM, {"next": evil}).url == ACCOUNT
    later(ada)
    ada.submit(CONFIRM)
    session = ada.session
    token, _next, *others = session["login_mobile_identity"]
    session["login_mobile_identity"] = [token, evil, *others]
    session.save()
    assert ada.enter(url="/login/confirm/code/").url == ACCOUNT


def test_it_leads_from_https_to_https_only(visitor, login):
    page = visitor.get("/login/", {"next": "http://testserver/sms/"}, secure=True).content.decode()
    assert 'name="next"' not in page.split("</main>")[0]


def test_whoever_has_planted_a_session_does_not_finish_in_it(broker, no_pause):
    """A right code alone makes it worth an account, before there is a nickname."""
    a_login(ask_nickname=True)
    mallory, victim = Visitor(broker.work), Visitor(broker.work)
    mallory.ask(OTHER)
    victim.cookies["sessionid"] = mallory.cookies["sessionid"].value
    victim.ask(NUMBER)
    assert victim.enter(NUMBER).url == "/login/nickname/"
    assert mallory.get("/login/nickname/").status_code == 302
    assert victim.submit("/login/nickname/", nickname="Ada").url == ACCOUNT


def test_next_is_kept_through_corrections_and_new_codes_and_checked_when_used(visitor, no_pause):
    a_login(**GENEROUS)
    visitor.ask("12", url="/login/?next=/sms/sandbox/")
    visitor.ask(url="/login/?next=/sms/sandbox/")
    visitor.submit(CODE, resend="1")
    visitor.ask(OTHER, url="/login/?change=1")
    assert visitor.enter(OTHER).url == "/sms/sandbox/"

    visitor.logout()
    visitor.ask(OTHER, url="/login/?next=/sms/sandbox/")
    session = visitor.session
    session["login_mobile_login"] = [session["login_mobile_login"][0], "//evil.example/", "", True]
    session.save()
    assert visitor.enter(OTHER).url == ACCOUNT


def test_whoever_is_logged_in_goes_on_at_once(ada):
    assert ada.get("/login/").url == ACCOUNT
    # A page that somebody may not see sends them here, and would do so again and again.
    assert ada.get("/login/?next=/sms/").url == f"{ACCOUNT}?next=%2Fsms%2F"
    assert ada.get("/login/?next=//evil.example/").url == ACCOUNT


@pytest.mark.parametrize("target", ["/dash/", "/other/"])
def test_a_page_that_is_not_for_them_does_not_send_them_round_in_circles(ada, settings, target):
    """Also the one to which a login leads."""
    settings.LOGIN_REDIRECT_URL = "/dash/"
    assert ada.get("/login/").url == "/dash/"
    response = ada.get(f"/login/?next={target}", follow=True)
    assert [url for url, _status in response.redirect_chain] == [f"{ACCOUNT}?next={quote(target, safe='')}"]
    assert response.status_code == 200


@pytest.mark.parametrize("path", ["", "code/", "api/config/"])
def test_they_need_no_login_where_a_project_demands_one_everywhere(visitor, login, settings, path):
    last = "django.contrib.auth.middleware.LoginRequiredMiddleware"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, last]
    answer = visitor.get(f"/login/{path}")
    assert answer.status_code == 200 or "next=" not in answer.url
    asked = Client().post("/login/api/request/", {"phone": NUMBER}, content_type="application/json")
    assert asked.status_code == 202


def test_a_project_says_where_to_go_after_a_login(visitor, login, settings):
    settings.LOGIN_REDIRECT_URL = "/shop/"
    visitor.ask()
    assert visitor.enter().url == "/shop/"


def test_logging_out_is_a_post(ada):
    assert ada.get("/login/logout/").url == ACCOUNT
    assert ada.get("/login/bye/").url == ACCOUNT
    assert "_auth_user_id" in ada.session
    response = ada.submit(ACCOUNT)  # wrong form: nothing happens
    assert response.status_code == 405
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', ada.get(ACCOUNT).content.decode())[1]
    assert ada.post("/login/logout/", {"csrfmiddlewaretoken": token}).url == "/login/bye/"
    assert "_auth_user_id" not in ada.session
    assert "You are logged out" in text(ada.get("/login/bye/"))


@pytest.mark.parametrize(
    ("phone", "words"),
    [
        ("", "Enter your phone number."),
        ("12", "not a valid phone number"),
        ("+1 876 555 0123", "Numbers of this country cannot be used here."),
        ("+1 900 555 0123", "not a mobile number"),
        ("+86 10 1234 5678", "not a mobile number"),
        ("206555012x", "has only digits"),
        ("2" * 300, "too long"),
        ("\u200b2065550123", "has only digits"),
    ],
)
def test_a_number_that_is_none_is_refused_at_its_field(visitor, login, phone, words):
    response = visitor.ask(phone)
    assert response.status_code == 400
    page = response.content.decode()
    assert words in page
    field = re.search(r'<input[^>]*name="phone"[^>]*>', page)[0]
    for attribute in ('aria-invalid="true"', 'aria-describedby="id_phone_error"', "autofocus"):
        assert attribute in field
    assert 'id="id_phone_error"' in page
    assert not Challenge.objects.exists()


def test_a_region_that_is_not_offered_is_refused(visitor, login):
    response = visitor.submit("/login/", phone="7911123456", region="GB")
    assert "Numbers of this country cannot be used here." in text(response)


def test_countries_are_offered_by_name_with_the_first_one_chosen(visitor, login):
    page = visitor.get("/login/").content.decode()
    options = re.findall(r"<option value=\"(\w\w)\"[^>]*?( selected)?>([^<]+)</option>", page)
    assert [(region, name) for region, _chosen, name in options] == [
        ("US", "United States (+1)"),
        ("CN", "China (+86)"),
    ]
    assert re.search(r'<option value="US"[^>]* selected', page)
    MobileLogin.objects.update(regions=["CN"])
    page = visitor.get("/login/").content.decode()
    assert "<select" not in page
    assert "China (+86)" in page


def test_a_throttled_number_is_told_when_to_come_back(visitor, login):
    visitor.ask()
    response = visitor.ask()
    assert response.status_code == 429
    assert 1 <= int(response["Retry-After"]) <= 60
    page = response.content.decode()
    assert f'data-countdown="{response["Retry-After"]}"' in page
    assert re.search(r"Try again in \d+ seconds?", text(response))
    assert "A code for this number was asked for just now." in text(response)
    assert 'value="+12065550123"' in page  # the number stays
    assert f'href="{CODE}"' in page  # and there is a way on for whoever has the code by now
    MobileLogin.objects.update(sends_per_hour=1)
    assert "There are too many requests" in text(visitor.ask())
    stranger = Visitor(visitor._work)
    assert f'href="{CODE}"' not in stranger.ask().content.decode()


def test_what_is_paused_says_so(visitor, login):
    Pause.objects.create(
        login=login,
        scope="country",
        value="US",
        active_key=Pause.key_of(login.pk, "country", "US"),
        reason="unused",
    )
    response = visitor.ask()
    assert response.status_code == 403
    assert "cannot be sent to numbers like this one" in text(response)


def test_a_wrong_code_is_told_at_its_field_and_not_repeated(visitor, login):
    visitor.ask()
    code = wrong(codes_sent(NUMBER)[0])
    response = visitor.submit(CODE, code=code)
    assert response.status_code == 400
    page = response.content.decode()
    assert "This code is wrong" in page
    assert code not in page
    field = re.search(r'<input[^>]*name="code"[^>]*>', page)[0]
    for attribute in (
        'autocomplete="one-time-code"',
        'inputmode="numeric"',
        'aria-invalid="true"',
        'aria-describedby="id_code_helptext id_code_error"',
        "autofocus",
    ):
        assert attribute in field
    assert "value=" not in field


@pytest.mark.parametrize("entered", ["{0} {1}", "{0}-{1}", " {0}{1} ", "full-width"])
def test_a_code_may_be_pasted_as_it_comes(visitor, login, entered):
    visitor.ask()
    code = codes_sent(NUMBER)[0]
    if entered == "full-width":
        pasted = "".join(chr(ord(digit) + 0xFEE0) for digit in code)
    else:
        pasted = entered.format(code[:3], code[3:])
    assert visitor.submit(CODE, code=pasted).status_code == 302


@pytest.mark.parametrize("entered", ["", "12345", "abcdef", "1" * 5000, "٠١٢٣٤٥"])
def test_what_is_no_code_uses_up_no_attempt(visitor, login, entered):
    visitor.ask()
    assert visitor.submit(CODE, code=entered).status_code == 400
    assert Challenge.objects.get().attempts == 0


def test_used_up_attempts_end_a_code_and_lead_to_a_new_one(visitor, login):
    visitor.ask()
    right = codes_sent(NUMBER)[0]
    for _ in range(5):
        response = visitor.submit(CODE, code=wrong(right))
    assert response.status_code == 410
    assert 'name="code"' not in response.content.decode()
    assert "entered wrongly too often" in text(response)
    assert "A new code is needed" in text(visitor.get(CODE))


def test_an_expired_code_leads_to_a_new_one(visitor, login, no_pause):
    visitor.ask()
    Challenge.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    page = visitor.get(CODE)
    assert "This code has expired" in text(page)
    assert 'name="code"' not in page.content.decode()
    assert visitor.submit(CODE, resend="1").url == CODE
    assert "A new code is on its way" in text(visitor.get(CODE))
    assert "A new code is on its way" not in text(visitor.get(CODE))
    assert visitor.enter().url == ACCOUNT


def test_a_new_code_asked_for_too_early_is_kindly_refused(visitor, login):
    visitor.ask()
    response = visitor.submit(CODE, resend="1")
    assert response.status_code == 429
    assert int(response["Retry-After"]) > 0
    assert 'name="code"' in response.content.decode()
    assert visitor.enter().url == ACCOUNT


def test_the_code_page_of_nobody_leads_to_the_beginning(visitor, login):
    for url in (CODE, "/login/nickname/"):
        assert visitor.get(url).url == "/login/"


def test_the_number_is_kept_when_it_is_to_be_changed(visitor, login):
    visitor.ask("+86 138 0000 0001")
    page = visitor.get(CODE).content.decode()
    assert 'href="/login/?change=1"' in page
    assert "138 0000 0001" not in page
    page = visitor.get("/login/?change=1").content.decode()
    assert 'value="+86 138 0000 0001"' in page
    assert re.search(r'<option value="CN"[^>]* selected', page)
    assert "138 0000" not in Visitor(None).get("/login/?change=1").content.decode()


def test_a_nickname_is_asked_for_once_the_code_was_right(visitor):
    a_login(ask_nickname=True)
    visitor.ask()
    assert visitor.enter().url == "/login/nickname/"
    assert not User.objects.exists()
    assert visitor.get(CODE).url == "/login/nickname/"
    for name in ("", "  ", "x" * 31, "a\u200bb"):
        response = visitor.submit("/login/nickname/", nickname=name)
        assert response.status_code == 422
        assert 'id="id_nickname_error"' in response.content.decode()
    assert visitor.submit("/login/nickname/", nickname="Ada 👩‍💻").url == ACCOUNT
    assert User.objects.get().first_name == "Ada 👩‍💻"
    assert "Hello, Ada" in text(visitor.get(ACCOUNT))


def test_a_known_user_is_not_asked_for_a_nickname(visitor):
    a_login(ask_nickname=True)
    a_user(NUMBER)
    visitor.ask()
    assert visitor.enter().url == ACCOUNT


def test_a_nickname_that_comes_too_late_needs_a_new_code(visitor):
    a_login(ask_nickname=True)
    visitor.ask()
    visitor.enter()
    long_ago = timezone.now() - timedelta(seconds=1)
    Challenge.objects.update(expires_at=long_ago, finish_by=long_ago)
    assert "This code has expired" in text(visitor.get("/login/nickname/", follow=True))


def test_without_registration_the_page_promises_nothing(visitor):
    a_login(allow_registration=False)
    assert "Log in or register" not in text(visitor.get("/login/"))
    visitor.ask()
    assert "If +1 206****0123 is registered here, it gets a code by text." in text(visitor.get(CODE))
    assert not codes_sent(NUMBER)


def test_pages_are_the_same_for_every_number(broker):
    a_login(allow_registration=False, **GENEROUS)
    a_user("+12065550150")
    a_user("+12065550151", is_active=False)
    a_user("+12065550152", is_staff=True)
    seen = set()
    for ending in ("50", "51", "52", "53"):
        visitor = Visitor(broker.work)
        pages = [visitor.ask(f"+120655501{ending}"), visitor.get(CODE), visitor.submit(CODE, code="000000")]
        pages += [visitor.submit(CODE, resend="1"), visitor.ask(f"+120655501{ending}")]
        bodies = [
            re.sub(r'value="\w{64}"|01\d\d\b|0:\d\d|\d+ seconds|data-countdown="\d+"', "", page.content.decode())
            for page in pages
        ]
        cookies = [sorted(page.cookies) for page in pages]
        seen.add(repr([[page.status_code for page in pages], bodies, cookies]))
    assert len(seen) == 1


def test_an_inactive_user_and_staff_are_refused_after_the_code_only(visitor):
    a_login()
    a_user(NUMBER, is_active=False)
    visitor.ask()
    response = visitor.enter()
    assert response.status_code == 403
    assert "You cannot log in with this number." in text(response)
    assert "_auth_user_id" not in visitor.session
    assert visitor.get(CODE).url == "/login/"


def test_staff_who_are_refused_go_on_with_a_password_to_where_they_wanted(visitor):
    a_login(key="shop")
    a_user(NUMBER, is_staff=True)
    refused = visitor.get("/login/?next=/approvals/done/&config=nope")
    visitor.ask(url="/login/?next=/approvals/done/&config=shop")
    for page in (refused, visitor.enter()):
        assert 'href="/admin/login/?next=%2Fapprovals%2Fdone%2F"' in page.content.decode()
    assert 'href="/login/?config=shop&amp;next=%2Fapprovals%2Fdone%2F"' in page.content.decode()


def test_trouble_with_the_provider_is_told_on_the_next_page(visitor, login, broker, monkeypatch):
    visitor.ask("+1 206 555 0151")  # the sandbox refuses this one
    page = text(visitor.get(CODE))
    assert "texts do not arrive at the moment" in page
    assert "Send a new code" in page


def test_a_login_that_is_switched_off_or_missing_says_so(visitor):
    response = visitor.get("/login/")
    assert response.status_code == 404
    assert "not set up here" in text(response)
    a_login(is_active=False)
    response = visitor.get("/login/")
    assert response.status_code == 403
    assert "switched off" in text(response)
    assert visitor.get("/login/?config=<script>").status_code == 404


def test_a_front_end_names_its_login(visitor, login):
    a_login(key="shop", is_default=False, regions=["CN"])
    page = visitor.get("/login/?config=shop").content.decode()
    assert "China (+86)" in page
    visitor.submit("/login/?config=shop", phone="13800000001", region="CN")
    assert Challenge.objects.get().login.key == "shop"
    assert 'href="/login/?change=1&amp;config=shop"' in visitor.get(CODE).content.decode()


def test_pages_count_under_atomic_requests(visitor, login, settings):
    from django.db import connection

    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        visitor.ask()
        visitor.submit(CODE, code=wrong(codes_sent(NUMBER)[0]))
        assert Challenge.objects.get().attempts == 1
        assert visitor.enter().url == ACCOUNT
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False


# The number of a logged-in user


def test_the_account_is_for_those_who_are_logged_in(visitor, login):
    for url in (ACCOUNT, "/login/number/", "/login/number/code/", "/login/number/remove/", CONFIRM):
        assert visitor.get(url).url == f"/login/?next={url.replace('/', '%2F')}"


def test_a_number_is_added_to_an_account_with_a_password(visitor, login):
    user = a_user(username="bob", password="correct horse")
    visitor.login(username="bob", password="correct horse")
    assert "Add a phone number" in text(visitor.get(ACCOUNT))
    assert visitor.ask(url="/login/number/").url == "/login/number/code/"
    assert visitor.enter(url="/login/number/code/").url == ACCOUNT
    assert user.mobile_number.number == NUMBER
    assert "Your number is confirmed." in text(visitor.get(ACCOUNT))
    assert "Your number is confirmed." not in text(visitor.get(ACCOUNT))


def test_a_number_is_changed_after_confirming_who_it_is(ada):
    later(ada)
    assert ada.get("/login/number/").url == f"{CONFIRM}?next=%2Flogin%2Fnumber%2F"
    assert ada.submit(f"{CONFIRM}?next=/login/number/").url == "/login/confirm/code/"
    assert ada.enter(url="/login/confirm/code/").url == "/login/number/"
    own = ada.ask(NUMBER, url="/login/number/")
    assert own.status_code == 409
    assert "This is your number already." in text(own)
    ada.ask(OTHER, url="/login/number/")
    assert "Use another number" in text(ada.get("/login/number/code/"))
    assert ada.enter(OTHER, url="/login/number/code/").url == ACCOUNT
    assert MobileNumber.objects.get().number == OTHER
    newest = SandboxMessage.objects.filter(phone_number=NUMBER).order_by("-pk")[0].text.reveal()
    assert not re.search(r"\d{6}", newest)  # the notice
    assert "Your number was changed." in text(ada.get(ACCOUNT))


def test_the_pages_of_an_account_go_by_the_login_by_which_somebody_came(visitor, login, no_pause):
    """Its countries, the service of its codes, and that of the notice to the old number."""
    shop = SandboxSms.objects.create(key="shop", name="Shop")
    own = SmsTemplate.objects.create(key="shop-notice", name="Shop notice", text="Told by the shop.")
    a_login(shop, key="shop", name="Shop", is_default=False, regions=["US"], notice_template=own, **GENEROUS)
    MobileLogin.objects.filter(pk=login.pk).update(regions=["CN"])
    assert visitor.get(f"{ACCOUNT}?config=shop").url == "/login/?next=%2Flogin%2Faccount%2F&config=shop"
    assert visitor.ask(url="/login/?config=shop").url == CODE
    assert visitor.enter().url == ACCOUNT
    later(visitor)
    visitor.submit(f"{CONFIRM}?next=/login/number/")
    assert visitor.enter(url="/login/confirm/code/").url == "/login/number/"
    assert "<select" not in visitor.get("/login/number/").content.decode()
    assert visitor.ask(OTHER, url="/login/number/").url == "/login/number/code/"
    assert "config=shop" in visitor.get("/login/number/code/").content.decode()
    assert visitor.enter(OTHER, url="/login/number/code/").url == ACCOUNT
    assert visitor.submit("/login/number/remove/").url == ACCOUNT
    texts = SandboxMessage.objects.order_by("pk")
    assert {row.service.key for row in texts} == {"shop"}
    assert [row.text.reveal() for row in texts if "code" not in row.text.reveal()] == ["Told by the shop."] * 2


def test_an_account_takes_another_login_from_the_address_while_it_is_in_use(ada):
    shop = a_login(key="shop", name="Shop", is_default=False, regions=["CN"])
    assert ada.get(f"{ACCOUNT}?config=nope").status_code == 404
    assert ada.get("/login/?config=shop&next=/").url == f"{ACCOUNT}?next=%2F"
    assert "China (+86)" in ada.get("/login/number/").content.decode()
    assert "<select" not in ada.get("/login/number/").content.decode()
    MobileLogin.objects.filter(pk=shop.pk).update(is_active=False)
    assert "<select" in ada.get("/login/number/").content.decode()
    assert "<select" in ada.get("/login/number/?config=shop").content.decode()
    later(ada)
    assert ada.submit(f"{CONFIRM}?config=shop").url == "/login/confirm/code/"
    MobileLogin.objects.filter(pk=shop.pk).update(is_active=True)
    assert ada.enter(url="/login/confirm/code/?config=shop").url == ACCOUNT
    assert "<select" not in ada.get("/login/number/").content.decode()
    shop.delete()
    assert "<select" in ada.get("/login/number/").content.decode()


def test_a_login_without_the_country_of_ones_number_confirms_by_it_and_by_a_new_code(ada):
    a_login(key="shop", name="Shop", is_default=False, regions=["CN"], **GENEROUS)
    later(ada)
    assert ada.submit(f"{CONFIRM}?config=shop&next=/login/number/").url == "/login/confirm/code/"
    assert ada.submit("/login/confirm/code/", resend="1").url == "/login/confirm/code/"
    assert ada.enter(url="/login/confirm/code/").url == "/login/number/"


def test_who_it_is_is_confirmed_by_password_too(visitor, login):
    a_user(NUMBER, username="bob", password="correct horse")
    visitor.login(username="bob", password="correct horse")
    later(visitor)
    page = f"{CONFIRM}?next=/login/number/remove/"
    response = visitor.submit(page, password="wrong horse")
    assert response.status_code == 400
    assert "This password is wrong." in text(response)
    assert "wrong horse" not in response.content.decode()
    assert visitor.submit(page, password="correct horse").url == "/login/number/remove/"
    assert visitor.submit(f"{CONFIRM}?next=//evil.example/").status_code == 405  # confirmed: the account's page


def test_a_session_that_cannot_confirm_itself_is_not_led_out_of_its_account(visitor, login):
    user = a_user(username="bob")
    visitor.force_login(user)
    later(visitor)
    response = visitor.get(CONFIRM)
    assert "Do not log out" in text(response)
    assert "logout/" not in response.content.decode()
    assert "Text a code" not in text(response)
    warning = "Once you log out, you may not get in again."
    assert warning in text(visitor.get(ACCOUNT))
    user.set_password("correct horse")
    user.save()
    visitor.force_login(user)
    assert warning not in text(visitor.get(ACCOUNT))


def test_the_page_of_the_account_leads_on(ada, settings):
    ada.get(ACCOUNT)  # what it says once
    for asked, onward in (("/approvals/?page=2", "/approvals/?page=2"), ("//evil.example/", ""), (ACCOUNT, "")):
        page = ada.get("/login/", {"next": asked}, follow=True).content.decode()
        assert re.findall(r'<a class="login-button" href="([^"]*)">Continue</a>', page) == [onward] * bool(onward)
    settings.LOGIN_REDIRECT_URL = "/shop/"
    assert '<a class="login-button" href="/shop/">Continue</a>' in ada.get(ACCOUNT).content.decode()


def test_a_notice_is_promised_only_if_one_can_be_sent(ada):
    told = {"/login/number/": "The old one is told about the change.", "/login/number/remove/": "It gets a text"}
    for url, words in told.items():
        assert words in text(ada.get(url))
    MobileLogin.objects.update(
        notice_template=SmsTemplate.objects.create(key="notice", name="Notice", variables="name")
    )
    for url, words in told.items():
        assert words not in text(ada.get(url))
    assert "We text a code to the new number." in text(ada.get("/login/number/"))


def test_a_number_is_removed_after_a_question(ada):
    page = text(ada.get("/login/number/remove/"))
    assert "+1 206****0123" in page
    assert "Your account has no password." in page
    assert MobileNumber.objects.exists()
    assert ada.submit("/login/number/remove/").url == ACCOUNT
    assert not MobileNumber.objects.exists()
    assert "Your number was removed." in text(ada.get(ACCOUNT))
    assert ada.get("/login/number/remove/").url == ACCOUNT


@pytest.mark.parametrize("url", ["/login/number/", "/login/number/remove/"])
def test_an_old_session_changes_nothing(ada, url):
    page = ada.get(url)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.content.decode())[1]
    later(ada)
    response = ada.post(url, {"csrfmiddlewaretoken": token, "phone": OTHER, "region": "US"})
    assert response.url.startswith(CONFIRM)
    assert MobileNumber.objects.get().number == NUMBER
    assert Challenge.objects.count() == 1


def test_the_number_of_somebody_else_is_refused_after_its_code_only(ada):
    a_user(OTHER)
    assert ada.ask(OTHER, url="/login/number/").url == "/login/number/code/"
    response = ada.enter(OTHER, url="/login/number/code/")
    assert response.status_code == 409
    assert "This number belongs to another account." in text(response)
    assert ada.user.mobile_number.number == NUMBER


def test_a_code_to_add_a_number_leads_to_the_beginning_once_the_account_has_another(visitor, login):
    """No new code in its place would do, as it is none to change a number."""
    user = a_user(username="bob", password="correct horse")
    visitor.login(username="bob", password="correct horse")
    visitor.ask(url="/login/number/")
    MobileNumber.objects.create(user=user, number=OTHER)
    response = visitor.enter(url="/login/number/code/")
    assert response.status_code == 409
    assert "The number of your account has changed meanwhile." in text(response)
    assert '<a class="login-button" href="/login/number/">Begin anew</a>' in response.content.decode()
    assert "resend" not in response.content.decode()
    assert visitor.get("/login/number/code/").url == "/login/number/"


def test_no_code_is_sent_in_the_place_of_a_used_one(visitor, login):
    visitor.ask(url="/login/?next=/sms/")
    page = visitor.get(CODE).content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]
    Challenge.objects.update(state="used")  # in another tab
    answers = [visitor.get(CODE)]
    for data in ({"code": codes_sent(NUMBER)[-1]}, {"resend": "1"}):
        answers.append(visitor.post(CODE, {"csrfmiddlewaretoken": token, **data}))
    for answer in answers:
        assert answer.status_code == 410
        assert "This code has been used already." in text(answer)
        assert '<a class="login-button" href="/login/?next=%2Fsms%2F">Begin anew</a>' in answer.content.decode()
        assert "resend" not in answer.content.decode()


def test_a_code_for_one_purpose_does_not_do_for_another(ada):
    ada.ask(OTHER, url="/login/number/")
    session = ada.session
    session["login_mobile_login"] = [session["login_mobile_number"][0], "", "", True]
    session.save()
    response = ada.enter(OTHER)
    assert response.status_code == 404
    assert MobileNumber.objects.get().number == NUMBER


def test_the_documented_examples_work(broker, settings, tmp_path, monkeypatch):
    """Those of mobile-login.md, one after the other in one module."""
    page = (Path(__file__).resolve().parent.parent / "docs" / "mobile-login.md").read_text()
    chapter = page.partition("## From your own code")[2].partition("\n## ")[0]
    example: Any = ModuleType("documented_example")
    for block in re.findall(r"```python\n(.*?)```", chapter, re.DOTALL):
        exec(block, vars(example))
    urls = [path(f"{name}/", getattr(example, name), name=name) for name in ("ask", "enter")]
    example.urlpatterns = [*urls, path("", example.enter, name="home"), *project_urls]
    monkeypatch.setitem(sys.modules, example.__name__, example)
    settings.ROOT_URLCONF = example.__name__
    settings.TEMPLATES = [{**django_settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    for name in ("ask", "enter"):
        (tmp_path / f"{name}.html").write_text("{{ error }}")

    browser = Client()
    assert browser.get("/ask/").status_code == 200
    assert "not a valid phone number" in text(browser.post("/ask/", {"phone": "12"}))
    assert browser.post("/ask/", {"phone": NUMBER}).url == "/enter/"
    while broker.work():
        pass
    assert browser.post("/enter/", {"code": wrong(codes_sent(NUMBER)[0])}).status_code == 400
    assert browser.post("/enter/", {"code": codes_sent(NUMBER)[0]}).url == "/"
    assert example.owner(NUMBER).pk == int(browser.session["_auth_user_id"])
    assert example.import_number(a_user(), OTHER).number == OTHER


def test_templates_are_overridden_by_name(visitor, login, settings, tmp_path):
    folder = tmp_path / "login_mobile"
    folder.mkdir()
    (folder / "login.html").write_text(
        '{% extends "login_mobile/base.html" %}{% block content %}<h1>Our shop</h1>'
        '<form method="post">{% csrf_token %}{% include "login_mobile/_phone.html" %}</form>{% endblock %}'
    )
    settings.TEMPLATES = [{**django_settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    assert "Our shop" in text(visitor.get("/login/"))
    assert visitor.ask().url == CODE


@pytest.mark.parametrize(("language", "tag"), [("en", "en"), ("zh-CN,zh;q=0.9", "zh-hans"), ("fr", "en")])
def test_the_language_is_the_browsers(visitor, login, language, tag):
    page = visitor.get("/login/", headers={"accept-language": language}).content.decode()
    assert f'<html lang="{tag}"' in page
    assert f'lang="{tag}" aria-current="true"' in page


def test_nothing_on_the_pages_breaks_a_strict_policy(ada):
    for url in (ACCOUNT, "/login/number/", "/login/number/remove/", "/login/bye/"):
        page = ada.get(url).content.decode()
        assert not re.search(r"<style|style=|<script(?![^>]*src=)|\son\w+=|javascript:", page), url


def test_a_sandbox_that_is_down_does_not_change_the_pages_answer(visitor, login):
    SandboxSms.objects.update(is_active=False)
    assert visitor.ask().url == CODE
    assert visitor.get(CODE).status_code == 200
