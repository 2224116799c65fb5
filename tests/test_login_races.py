"""Many at once: one code, one number, one account. Threads with connections of their own, on every database."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.dispatch import Signal

from login_mobile import signals
from login_mobile.api import lift_limits
from login_mobile.flows.sending import send
from login_mobile.models import Challenge, MobileLogin, MobileNumber
from sms_services.models import SandboxMessage, SmsMessage
from tests.login_under_test import GENEROUS, NUMBER, OTHER, FrontEnd, a_login, a_user, at_once, codes_sent, error, wrong

pytest_plugins = ["tests.login_under_test"]
pytestmark = [pytest.mark.databases]

MANY = 50


@pytest.fixture(params=["autocommit", "atomic requests"])
def _atomic_requests(request, monkeypatch) -> None:
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", request.param == "atomic requests")


@pytest.fixture
def _raising_receivers() -> Any:
    """Every signal of ours has a receiver that fails."""
    ours = [signal for signal in vars(signals).values() if isinstance(signal, Signal)]
    assert len(ours) > 5

    def fail(**kwargs: Any) -> None:
        raise RuntimeError("a receiver of the host project")

    for signal in ours:
        signal.connect(fail)
    yield
    for signal in ours:
        signal.disconnect(fail)


@pytest.mark.usefixtures("_atomic_requests", "_raising_receivers")
def test_of_fifty_right_codes_at_once_one_logs_in(front_end):
    a_login(**GENEROUS)
    challenge = front_end().challenge()
    code = codes_sent(NUMBER)[0]
    clients = [front_end() for _ in range(MANY)]

    answers = at_once([lambda client=client: client.verify(challenge, code) for client in clients])

    assert Counter(answer.status_code for answer in answers) == {200: 1, 410: MANY - 1}
    assert {error(answer)[1] for answer in answers if answer.status_code != 200} <= {"used", "too_many_attempts"}
    assert sum(client.user_id is not None for client in clients) == 1
    assert User.objects.count() == MobileNumber.objects.count() == 1


@pytest.mark.usefixtures("_atomic_requests", "_raising_receivers")
def test_after_fifty_wrong_codes_at_once_five_were_compared_and_the_right_one_is_refused(front_end, monkeypatch):
    a_login(**GENEROUS)
    challenge = front_end().challenge()
    code = codes_sent(NUMBER)[0]
    heard: list[Any] = []

    def listen(**kwargs: Any) -> None:
        heard.append(kwargs["challenge"])

    signals.code_rejected.connect(listen)
    clients = [front_end() for _ in range(MANY)]
    answers = at_once([lambda client=client: client.verify(challenge, wrong(code)) for client in clients])
    signals.code_rejected.disconnect(listen)

    assert len(heard) == 5
    assert Challenge.objects.get().attempts == 5
    assert Counter(error(answer)[0] for answer in answers)[400] < 5  # the last one says that there is no sixth
    assert error(front_end().verify(challenge, code)) == (410, "too_many_attempts")
    assert not User.objects.exists()


@pytest.mark.usefixtures("_atomic_requests")
def test_of_fifty_requests_for_one_number_at_once_one_sends_a_text(front_end):
    a_login(**GENEROUS)
    clients = [front_end(address=f"203.0.113.{n}") for n in range(MANY)]

    answers = at_once([lambda client=client: client.post("request", {"phone": NUMBER}) for client in clients])
    clients[0].work()

    assert Counter(answer.status_code for answer in answers) == {202: 1, 429: MANY - 1}
    assert all(int(answer["Retry-After"]) > 0 for answer in answers if answer.status_code == 429)
    assert SmsMessage.objects.count() == SandboxMessage.objects.count() == 1


def test_ten_workers_that_get_one_task_at_once_send_one_text(broker, transactional_db):
    a_login(**GENEROUS)
    FrontEnd(lambda: 0).ask()
    pk = Challenge.objects.get().pk
    at_once([lambda: send([pk])] * 10)
    while broker.work():
        pass
    assert len(codes_sent(NUMBER)) == SmsMessage.objects.count() == 1


def test_fifty_people_at_once_all_get_their_codes(front_end):
    """The counters that all share make nobody wait in vain."""
    a_login(**GENEROUS)
    clients = [front_end(address=f"203.0.113.{n}") for n in range(MANY)]
    answers = at_once(
        [
            lambda client=client, n=n: client.post("request", {"phone": f"+861380000{n:04}"})
            for n, client in enumerate(clients)
        ]
    )
    assert Counter(answer.status_code for answer in answers) == {202: MANY}


def test_a_number_that_two_browsers_prove_at_once_makes_one_user(front_end):
    a_login(**GENEROUS)
    first, second = front_end(), front_end()
    one = first.challenge()
    Challenge.objects.update(known_device=True)  # as if asked for by a known browser: a stranger does not end it

    lift_limits(NUMBER)
    other = second.challenge()
    codes = codes_sent(NUMBER)

    answers = at_once([lambda: first.verify(one, codes[0]), lambda: second.verify(other, codes[1])])

    assert 200 in {answer.status_code for answer in answers}
    assert User.objects.count() == MobileNumber.objects.count() == 1
    users = {
        client.user_id for client, answer in zip((first, second), answers, strict=True) if answer.status_code == 200
    }
    assert users == {User.objects.get().pk}


def test_of_two_users_who_confirm_one_number_at_once_one_gets_it(front_end):
    a_login(**GENEROUS)
    clients = [front_end(), front_end()]
    challenges = []
    for n, client in enumerate(clients):
        client.client.force_login(a_user(username=f"claimant{n}"))
        challenges.append(client.post("number/request", {"phone": NUMBER}).json()["challenge"])
        client.work()

        lift_limits(NUMBER)
    codes = codes_sent(NUMBER)
    assert len(codes) == 2

    answers = at_once(
        [lambda n=n: clients[n].post("number/verify", {"challenge": challenges[n], "code": codes[n]}) for n in range(2)]
    )

    won, lost = sorted(answers, key=lambda answer: answer.status_code)
    assert won.json() == {"phone": NUMBER}
    # Whoever is later finds the number taken, or their claim ended, by a hair's breadth.
    assert error(lost) in [(409, "number_taken"), (410, "replaced")]
    assert lost.json()["error"]["message"]
    assert MobileNumber.objects.count() == 1


def test_limits_of_a_number_are_exact_when_codes_are_entered_at_once_for_many_challenges(front_end):
    """Whatever the number of challenges: failures of the number are counted over all of them."""
    a_login(**{**GENEROUS, "failures_per_hour": 7, "failures_per_day": 7})

    ada, challenges = front_end(), []
    for _ in range(4):
        challenges.append(ada.challenge(OTHER))
        Challenge.objects.update(known_device=True)
        lift_limits(OTHER)
    code = codes_sent(OTHER)[-1]
    clients = [front_end() for _ in range(20)]
    answers = at_once(
        [lambda client=client, n=n: client.verify(challenges[n % 4], wrong(code)) for n, client in enumerate(clients)]
    )
    assert sum(Challenge.objects.values_list("attempts", flat=True)) == 7
    assert sum(answer.status_code == 429 for answer in answers) >= 1


def test_of_logins_that_are_made_the_default_at_once_one_is_it(broker, transactional_db):
    a_login()
    logins = [a_login(key=f"shop-{number}", is_default=False) for number in range(4)]
    for _round in range(5):
        MobileLogin.objects.update(is_default=False)
        for login in logins:
            login.is_default = True
        at_once([login.save for login in logins])
        assert MobileLogin.objects.get(is_default=True) in logins
