"""Login by phone number as people meet it: a real browser, under a strict policy, with and without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone
from playwright.sync_api import expect

from login_mobile.flows.reauthenticating import SESSION_KEY
from login_mobile.models import Challenge, MobileNumber
from tests import login_browsers
from tests.login_browsers import PHONE, WIDE
from tests.login_under_test import GENEROUS, NUMBER, OTHER, a_login, codes_sent, wrong

pytest_plugins = ["tests.login_under_test", "tests.login_browsers"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]

ENGLISH, CHINESE = "en-US", "zh-CN"
WORDS = {
    ENGLISH: {"login": "Log in or register", "code": "Enter the code", "wrong": "This code is wrong"},
    CHINESE: {"login": "登录或注册", "code": "输入验证码", "wrong": "验证码不正确"},
}


def ask(page, server, phone="(206) 555-0123", **query):
    """Enter a number."""
    page.goto(f"{server}/login/" + "".join(f"?{name}={value}" for name, value in query.items()))
    login_browsers.examine(page)
    page.fill("#id_phone", phone)
    with page.expect_navigation():
        page.click(".login-button")


def enter(page, code):
    """Enter a code. With scripts, it is checked as soon as it is complete."""
    scripted = page.locator("[data-scripted]").count()
    page.fill("#id_code", code)
    if not scripted:
        page.click("form:has(#id_code) .login-button")


def was_there_long_ago(user):
    """The only session there is forgets that its user has just logged in."""
    session = SessionStore(Session.objects.get().session_key)
    assert session[SESSION_KEY][1] == str(user.pk)
    session[SESSION_KEY] = [0.0, str(user.pk)]
    session.save()


def heading(page):
    return page.locator("h1")


def ways(*ordinary: str) -> Iterator[Any]:
    """Windows, languages, with and without scripts: the ordinary run has those that are named, the soak the others."""
    for window, size in (("wide", WIDE), ("phone", PHONE)):
        for name, language in (("english", ENGLISH), ("chinese", CHINESE)):
            for scripts in (True, False):
                case = f"{window}-{name}-{'scripts' if scripts else 'no-scripts'}"
                marks = [] if case in ordinary else [pytest.mark.soak]
                yield pytest.param(size, language, scripts, id=case, marks=marks)


WAYS = ("window", "language", "scripts")
#: Each window with each language, with and without scripts; each language with and without scripts.
PAIRS = ["wide-english-scripts", "wide-chinese-no-scripts", "phone-english-no-scripts", "phone-chinese-scripts"]


@pytest.mark.parametrize(WAYS, list(ways(*PAIRS)))
def test_a_person_registers_logs_out_and_logs_in(open_page, strict_server, eager, window, language, scripts):
    a_login(**GENEROUS)
    page, words = open_page(window=window, language=language, scripts=scripts), WORDS[language]

    ask(page, strict_server)
    expect(heading(page)).to_have_text(words["code"])
    expect(page.locator(".login-number")).to_have_text("+1 206****0123")
    assert "555" not in urlsplit(page.url).path
    login_browsers.examine(page)
    enter(page, codes_sent(NUMBER)[-1])
    page.wait_for_url("**/login/account/")
    login_browsers.examine(page)
    user = User.objects.get()
    assert user.mobile_number.number == NUMBER

    page.click("form[action$='logout/'] button")
    page.wait_for_url("**/login/bye/")
    login_browsers.examine(page)
    page.click(".login-button")
    expect(heading(page)).to_have_text(words["login"])
    page.fill("#id_phone", "2065550123")
    page.click(".login-button")
    expect(heading(page)).to_have_text(words["code"])

    right = codes_sent(NUMBER)[-1]
    enter(page, wrong(right))
    expect(page.locator("#id_code_error")).to_contain_text(words["wrong"])
    expect(page.locator("#id_code")).to_be_focused()
    expect(page.locator("#id_code")).to_have_attribute("aria-describedby", re.compile("id_code_error"))
    expect(page.locator("#id_code")).to_have_value("")
    login_browsers.examine(page)
    enter(page, right)
    page.wait_for_url("**/login/account/")
    assert User.objects.get() == user


@pytest.mark.parametrize(WAYS, list(ways("wide-english-no-scripts", "phone-chinese-scripts")))
def test_a_code_expires_a_new_one_comes_and_the_number_is_corrected(
    open_page, strict_server, eager, pause, window, language, scripts
):
    pause(5 if scripts else 60)
    a_login(sends_per_hour=2, sends_per_day=200, address_sends_per_hour=10_000)
    page = open_page(window=window, language=language, scripts=scripts)
    ask(page, strict_server)
    Challenge.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    enter(page, codes_sent(NUMBER)[-1])
    expect(page.locator(".login-notice.is-bad")).to_be_focused()
    expect(page.locator("#id_code")).to_have_count(0)
    resend = page.locator("button[name=resend]")
    if scripts:
        expect(resend).to_have_attribute("aria-disabled", "true")
        expect(resend).to_contain_text("0:0")
    login_browsers.examine(page)
    if scripts:
        expect(resend).to_have_attribute("aria-disabled", "false")
    else:
        resend.click()  # too early
        expect(page.locator(".login-notice.is-wait")).to_be_visible()
        login_browsers.examine(page)
    pause(0)
    resend.click()
    expect(page.locator(".login-notice.is-good")).to_be_visible()
    login_browsers.examine(page)
    assert len(codes_sent(NUMBER)) == 2

    page.click("a[href*=change]")
    expect(page.locator("#id_phone")).to_have_value("+1 206-555-0123")
    page.click(".login-button")  # the third one of an hour
    expect(page.locator(".login-notice.is-wait")).to_be_focused()
    expect(page.locator("[data-time]")).to_have_text(re.compile(r"^\d+:\d\d" if scripts else r"^\d+ "))
    expect(page.locator("#id_phone")).to_have_value("+1 206-555-0123")
    login_browsers.examine(page)

    page.fill("#id_phone", OTHER)
    page.click(".login-button")
    expect(page.locator(".login-number")).to_have_text("+1 206****0124")
    enter(page, codes_sent(OTHER)[-1])
    page.wait_for_url("**/login/account/")
    assert MobileNumber.objects.get().number == OTHER


@pytest.mark.parametrize(WAYS, list(ways("phone-english-scripts", "phone-chinese-no-scripts")))
def test_an_account_gets_a_name_changes_its_number_and_removes_it(
    open_page, strict_server, eager, no_pause, window, language, scripts
):
    a_login(ask_nickname=True, **GENEROUS)
    page = open_page(window=window, language=language, scripts=scripts)
    ask(page, strict_server)
    enter(page, codes_sent(NUMBER)[-1])
    page.wait_for_url("**/login/nickname/")
    login_browsers.examine(page)
    page.fill("#id_nickname", "x" * 31)
    page.click(".login-button")
    expect(page.locator("#id_nickname")).to_be_focused()
    expect(page.locator("#id_nickname_error")).to_be_visible()
    login_browsers.examine(page)
    page.fill("#id_nickname", "Ada 爱达")
    page.click(".login-button")
    expect(heading(page)).to_contain_text("Ada 爱达")

    was_there_long_ago(User.objects.get())
    page.click("a[href$='/login/number/']")
    page.wait_for_url("**/login/confirm/**")
    login_browsers.examine(page)
    page.click(".login-button")
    page.wait_for_url("**/login/confirm/code/")
    login_browsers.examine(page)
    enter(page, codes_sent(NUMBER)[-1])
    page.wait_for_url("**/login/number/")
    login_browsers.examine(page)
    page.fill("#id_phone", "+86 138 0000 0001")
    if scripts:
        expect(page.locator("#id_region")).to_have_value("CN")
    page.click(".login-button")
    page.wait_for_url("**/login/number/code/")
    enter(page, codes_sent("+8613800000001")[-1])
    expect(page.locator(".login-notice.is-good")).to_be_visible()
    expect(page.locator(".login-account")).to_contain_text("+86 138****0001")
    login_browsers.examine(page)
    if scripts:
        expect(page.get_by_role("status")).not_to_be_empty()

    page.click("a[href$='/remove/']")
    page.wait_for_url("**/remove/")
    login_browsers.examine(page)
    page.click(".is-danger")
    expect(page.locator(".login-notice.is-good")).to_be_visible()
    assert not MobileNumber.objects.exists()
    login_browsers.examine(page)


def test_the_language_is_chosen_on_the_page(open_page, strict_server):
    a_login()
    page = open_page()
    page.goto(f"{strict_server}/login/?next=/sms/")
    page.get_by_role("button", name="简体中文").click()
    expect(heading(page)).to_have_text(WORDS[CHINESE]["login"])
    expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
    assert "next=/sms/" in page.url


@pytest.mark.parametrize("pasted", ["Your code is {0}. It is valid for 5 minutes.", "{0}", "{1}"])
def test_a_code_is_pasted_with_the_words_around_it_and_checked_at_once(open_page, strict_server, eager, pasted):
    a_login()
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    ask(page, strict_server)
    code = codes_sent(NUMBER)[-1]
    full_width = "".join(chr(ord(digit) + 0xFEE0) for digit in code)
    page.evaluate("words => navigator.clipboard.writeText(words)", pasted.format(code, full_width))
    page.focus("#id_code")
    page.keyboard.press("ControlOrMeta+V")
    page.wait_for_url("**/login/account/")


def test_a_code_is_taken_from_the_text_where_the_browser_offers_it(open_page, strict_server, eager):
    a_login()
    page = open_page()
    page.add_init_script(
        """window.OTPCredential = class {};
        navigator.credentials.get = ({otp}) => new Promise((resolve) => {
          window.offered = otp.transport[0];
          window.arrive = (code) => resolve({code});
        });"""
    )
    ask(page, strict_server)
    page.wait_for_function("window.offered === 'sms'")
    page.evaluate("code => window.arrive(code)", codes_sent(NUMBER)[-1])
    page.wait_for_url("**/login/account/")


def test_trouble_with_the_provider_is_told_without_a_reload(open_page, strict_server, broker):
    a_login()
    page = open_page()
    ask(page, strict_server, "206 555 0151")  # the sandbox refuses this one
    expect(heading(page)).to_have_text("Enter the code")
    expect(page.locator(".login-notice")).to_have_count(0)
    while broker.work():
        pass
    page.fill("#id_code", "12")
    expect(page.locator(".login-notice.is-wait")).to_contain_text("texts do not arrive")
    expect(page.get_by_role("status")).to_contain_text("texts do not arrive")
    expect(page.locator("#id_code")).to_have_value("12")
    login_browsers.examine(page)


def test_the_way_in_needs_nothing_but_a_keyboard(open_page, strict_server, eager):
    a_login()
    page = open_page()
    page.goto(f"{strict_server}/login/")
    page.keyboard.type("2065550123")
    page.keyboard.press("Enter")
    expect(page.locator("#id_code")).to_be_focused()
    page.keyboard.type(codes_sent(NUMBER)[-1])
    page.wait_for_url("**/login/account/")


def test_pages_fit_the_smallest_phone(open_page, strict_server, eager):
    a_login()
    page = open_page(window={"width": 320, "height": 480}, language=CHINESE)
    ask(page, strict_server)
    login_browsers.examine(page)
