"""Limits over several processes and a restart, and codes through real workers, killed and restarted ones too."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from login_mobile.models import Challenge
from sms_services.models import SandboxMessage
from tests.login_under_test import NUMBER, a_login, chinese, codes_sent, wrong
from tests.workers import Project, eventually

PROCESSES = 4


def make_login(**changes: Any) -> None:
    a_login(**changes)


def ask(phones: list[str], address: str, forge: bool = False) -> list[int]:
    """Ask for codes, each time with another X-Forwarded-For if that is to be forged; returns the statuses."""
    statuses = []
    for n, phone in enumerate(phones):
        headers = {"HTTP_X_FORWARDED_FOR": f"192.0.2.{n}, 2001:db8:{n}::1"} if forge else {}
        client = Client(REMOTE_ADDR=address, SERVER_NAME="localhost", **headers)
        answer = client.post("/login/api/request/", {"phone": phone}, content_type="application/json")
        statuses.append(answer.status_code)
    return statuses


def ask_for_challenge(phone: str) -> str:
    client = Client(SERVER_NAME="localhost")
    answer = client.post("/login/api/request/", {"phone": phone}, content_type="application/json")
    challenge: str = answer.json()["challenge"]
    return challenge


def enter(challenge: str, codes: list[str], address: str = "203.0.113.7") -> list[int]:
    statuses = []
    for code in codes:
        client = Client(REMOTE_ADDR=address, SERVER_NAME="localhost")
        body = {"challenge": challenge, "code": code}
        statuses.append(client.post("/login/api/verify/", body, content_type="application/json").status_code)
    return statuses


def users() -> int:
    return User.objects.count()


def texts() -> int:
    return SandboxMessage.objects.count()


def sendings() -> list[str]:
    return list(Challenge.objects.values_list("sending", flat=True))


@pytest.fixture(params=["PostgreSQL", "SQLite"])
def database(request, tmp_path: Path) -> str:
    if request.param == "SQLite":
        return f"sqlite:///{tmp_path / 'db.sqlite3'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


def test_limits_hold_over_four_processes_and_a_restart(database: str, redis_url: str, tmp_path: Path) -> None:
    with Project(tmp_path, database=database, broker=redis_url) as project:
        consoles = [project.console() for _ in range(PROCESSES)]
        consoles[0].call(make_login, address_sends_per_hour=10)

        for console in consoles:  # the same number from four processes at once
            console.begin(ask, [NUMBER] * 5, "198.51.100.1")
        assert Counter(status for console in consoles for status in console.result()) == {202: 1, 429: 19}

        for index, console in enumerate(consoles):  # one address, many numbers, forged headers
            console.begin(ask, [chinese(index * 10 + n) for n in range(10)], "203.0.113.7", forge=True)
        statuses = Counter(status for console in consoles for status in console.result())
        assert statuses == {202: 10, 429: 30}

        for console in consoles:
            console.stop()
        again = project.console()  # nothing was kept in a process
        assert again.call(ask, [NUMBER], "198.51.100.9") == [429]
        assert again.call(ask, [chinese(900)], "203.0.113.7", forge=True) == [429]
        assert again.call(ask, [chinese(900)], "203.0.113.8") == [202]


def test_attempts_hold_over_four_processes_and_a_restart(database: str, redis_url: str, tmp_path: Path) -> None:
    with Project(tmp_path, database=database, broker=redis_url) as project:
        consoles = [project.console() for _ in range(PROCESSES)]
        consoles[0].call(make_login)
        project.worker()
        challenge = consoles[0].call(ask_for_challenge, NUMBER)
        (code,) = eventually(lambda: consoles[0].call(codes_sent, NUMBER), within=60)
        guesses = [f"{(int(wrong(code)) + n) % 1_000_000:06}" for n in range(40)]
        assert code not in guesses

        for index, console in enumerate(consoles):
            console.begin(enter, challenge, guesses[index * 5 : index * 5 + 5])
        statuses = Counter(status for console in consoles for status in console.result())
        assert statuses[400] < 5  # five were compared, and the last of them says that there is no sixth
        assert set(statuses) <= {400, 410}
        for console in consoles:
            console.stop()
        again = project.console()
        assert again.call(enter, challenge, [code]) == [410]
        assert again.call(users) == 0


def test_a_code_goes_out_once_though_workers_are_killed_and_tasks_are_lost(
    postgresql_url: str, redis_url: str, tmp_path: Path
) -> None:
    environment = {"SMS_SWEEP_SECONDS": 1}
    with Project(tmp_path, database=postgresql_url, broker=redis_url, **environment) as project:
        console = project.console()
        console.call(make_login, address_sends_per_hour=1000, address_sends_per_day=1000)
        worker = project.worker().wait_until_ready()
        phones = [chinese(n) for n in range(30)]
        console.begin(ask, phones, "203.0.113.7")
        worker.kill()
        assert console.result() == [202] * 30
        project.worker()
        project.beat()
        # What lay in the broker comes to the new worker; what the killed one had, the sweep rings for.
        eventually(lambda: console.call(sendings).count("handed_over") == 30, within=90, every=0.5)
        eventually(lambda: console.call(texts) >= 29, within=60, every=0.5)  # one may be in doubt, for good
        assert console.call(texts) <= 30
        for phone in phones:
            assert len(console.call(codes_sent, phone)) <= 1
