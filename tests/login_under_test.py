"""A mobile login on the sandbox, and clients that use it as a front end does.

A test module that uses these fixtures says `pytest_plugins = ["tests.login_under_test"]`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import Client

from login_mobile import limits
from login_mobile.models import Challenge, MobileLogin, MobileNumber
from sms_services.choices import Purpose
from sms_services.models import SandboxMessage, SandboxSms, SmsTemplate

pytest_plugins = ["tests.services_under_test"]

T = TypeVar("T")

NUMBER = "+12065550123"
OTHER = "+12065550124"
TEXT = "Your code is ${code}. It is valid for ${minutes} minutes."


def number(n: int) -> str:
    """One of a hundred fictional numbers of one prefix."""
    return f"+120655501{n:02}"


def chinese(n: int) -> str:
    return f"+861380000{n:04}"


def a_login(service: Any = None, **changes: Any) -> MobileLogin:
    """The default login, on the sandbox unless said otherwise, for the US and China."""
    if service is None:
        service, _new = SandboxSms.objects.get_or_create(key="sandbox", defaults={"name": "Sandbox"})
    template, _new = SmsTemplate.objects.get_or_create(
        key="login-code", defaults={"name": "Login code", "purpose": Purpose.OTP, "text": TEXT}
    )
    fields = {
        "key": "main",
        "name": "Main",
        "is_default": True,
        "sms_service": service,
        "template": template,
        "regions": ["US", "CN"],
    }
    return MobileLogin.objects.create(**{**fields, **changes})


#: Limits out of the way of tests of something else.
GENEROUS = {
    "sends_per_hour": 60,
    "sends_per_day": 200,
    "address_sends_per_hour": 10_000,
    "address_sends_per_day": 10_000,
    "address_verifications": 10_000,
    "failures_per_hour": 100,
    "failures_per_day": 100,
    "cap_per_prefix": 10_000,
}


def a_user(number: str | None = None, **fields: Any) -> User:
    """A user, with a verified number if one is given."""
    user = User.objects.create_user(fields.pop("username", f"user{User.objects.count()}"), **fields)
    if number:
        MobileNumber.objects.create(user=user, number=number)
    return user


def codes_sent(phone_number: str) -> list[str]:
    """The codes that a sandbox phone received, oldest first."""
    rows = SandboxMessage.objects.filter(phone_number=phone_number).order_by("pk")
    texts = [row.text.reveal() for row in rows]
    return [found[0] for text in texts if (found := re.search(r"\b\d{6,8}\b", text))]


def wrong(code: str) -> str:
    """Another code of the same length."""
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """What each of these calls returns, all made at the same moment, each in a thread with a connection of its own."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        start.wait(60)
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@contextmanager
def just_before(*words: str, do: Callable[[], Any]) -> Iterator[None]:
    """Somebody else does something just before the first statement that has all these words."""
    done: list[bool] = []

    def wrapped(execute: Any, sql: str, *more: Any) -> Any:
        if not done and all(word in sql for word in words):
            done.append(True)
            do()
        return execute(sql, *more)

    with connection.execute_wrapper(wrapped):
        yield
    assert done


class FrontEnd:
    """A browser or an app that talks JSON, from an address of its own."""

    def __init__(self, work: Callable[[], Any], *, address: str = "203.0.113.7", **client: Any) -> None:
        self.client = Client(REMOTE_ADDR=address, **client)
        self._work = work

    def post(self, path: str, body: Any = None, **headers: Any) -> Any:
        return self.client.post(f"/login/api/{path}/", body or {}, content_type="application/json", **headers)

    def ask(self, phone: str = NUMBER, **body: Any) -> Any:
        """Ask for a code, and have the workers send it."""
        answer = self.post("request", {"phone": phone, **body})
        self.work()
        return answer

    def work(self) -> None:
        """What the workers do: make codes, and then deliver texts."""
        while self._work():
            pass

    def challenge(self, phone: str = NUMBER, **body: Any) -> str:
        """The token of a code that was just sent."""
        answer = self.ask(phone, **body)
        assert answer.status_code == 202, answer.content
        token: str = answer.json()["challenge"]
        return token

    def verify(self, challenge: str, code: Any, **body: Any) -> Any:
        return self.post("verify", {"challenge": challenge, "code": code, **body})

    def log_in(self, phone: str = NUMBER, **body: Any) -> Any:
        """The whole way."""
        challenge = self.challenge(phone, **body)
        return self.verify(challenge, codes_sent(phone)[-1])

    @property
    def user_id(self) -> int | None:
        """Who is logged in."""
        found = self.client.session.get("_auth_user_id")
        return int(found) if found else None


def error(answer: Any) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status_code, answer.json()["error"]["code"]


def newest() -> Challenge:
    return Challenge.objects.newest_first()[0]


@pytest.fixture
def front_end(broker, transactional_db) -> Callable[..., FrontEnd]:
    """`front_end(address="203.0.113.8")`: one more browser; its codes are sent at once."""

    def make(**options: Any) -> FrontEnd:
        return FrontEnd(broker.work, **options)

    return make


@pytest.fixture
def pause(monkeypatch) -> Callable[[int], None]:
    """`pause(3)`: so many seconds between two codes, fewer than any login allows. With 0 there is none."""
    windows = limits._send_windows

    def change(seconds: int) -> None:
        first = limits.Window(seconds, 1) if seconds else limits.Window(1, 1000)
        monkeypatch.setattr(limits, "_send_windows", lambda login: (first, *windows(login)[1:]))

    return change


@pytest.fixture
def no_pause(pause) -> None:
    """One code may be asked for right after another, as no login allows it."""
    pause(0)


@pytest.fixture
def login(transactional_db) -> MobileLogin:
    return a_login()
