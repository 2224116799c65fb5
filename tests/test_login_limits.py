"""Who may ask for how many codes, and enter how many: per number, address, prefix, country and day."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.signals import request_finished
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from login_mobile import buckets, conf, refusals
from login_mobile.api import lift_limits, request_code
from login_mobile.buckets import Counter, Full, Window
from login_mobile.choices import RefusalReason
from login_mobile.exceptions import Refusal
from login_mobile.models import Bucket, Challenge, MobileNumber, Pause
from login_mobile.purging import purge
from sms_services.models import SandboxMessage
from tests.login_under_test import (
    GENEROUS,
    NUMBER,
    OTHER,
    a_login,
    a_user,
    at_once,
    chinese,
    codes_sent,
    error,
    number,
    wrong,
)

pytest_plugins = ["tests.login_under_test"]


@pytest.fixture
def clock() -> Any:
    """`clock.shift(seconds)`: the server's clock goes on by itself, and further when it is told to."""
    with time_machine.travel(timezone.now(), tick=True) as traveller:
        yield traveller


def waits(answer: Any) -> int:
    """The seconds after which a throttled client is told to come back, in both places."""
    assert error(answer) == (429, "throttled")
    told: int = answer.json()["error"]["retry_after"]
    assert answer["Retry-After"] == str(told)
    return told


class TestSendsPerNumber:
    def test_a_minute_between_two_codes(self, front_end, login, clock):
        ada = front_end()
        asked = ada.ask()
        assert asked.json()["retry_after"] == 60
        assert 58 <= waits(ada.ask()) <= 60
        clock.shift(58)
        assert waits(ada.ask()) <= 2
        clock.shift(2)
        assert ada.ask().status_code == 202
        assert len(codes_sent(NUMBER)) == 2

    def test_five_an_hour(self, front_end, login, clock):
        for _ in range(5):
            assert front_end().ask().status_code == 202
            clock.shift(61)
        assert 3600 - 5 * 62 <= waits(front_end().ask()) <= 3600 - 5 * 61
        clock.shift(3600 - 5 * 61)
        assert front_end().ask().status_code == 202

    def test_the_answer_to_the_last_code_of_an_hour_says_when_the_next_one_is_possible(self, front_end, login, clock):
        for n in range(5):
            told = front_end().ask().json()["retry_after"]
            assert told == 60 if n < 4 else told > 3000
            clock.shift(61)

    def test_ten_a_day(self, front_end, login, clock):
        for _ in range(10):
            assert front_end().ask().status_code == 202
            clock.shift(1000)
        clock.shift(3600)
        assert waits(front_end().ask()) > 3600
        clock.shift(86_400 - 13_600)
        assert front_end().ask().status_code == 202

    def test_the_window_rolls(self, front_end, clock):
        """Not: so many in each hour of the clock, which would be twice as many around its turn."""
        a_login(**{**GENEROUS, "sends_per_hour": 2})
        clock.move_to(timezone.now().replace(minute=58, second=0))
        for _ in range(2):
            assert front_end().ask().status_code == 202
            clock.shift(61)
        clock.shift(300)
        assert waits(front_end().ask()) > 3000

    def test_it_is_one_number_however_it_is_written_and_whatever_the_code_is_for(self, front_end, login):
        front_end().ask("+1 206 555 0123")
        for phone in ("(206) 555-0123", "２０６５５５０１２３", "٢٠٦٥٥٥٠١٢٣", "+12065550123"):
            assert waits(front_end(address="203.0.113.99").ask(phone, region="US"))
        client = front_end(address="203.0.113.98")
        client.client.force_login(a_user())
        assert waits(client.post("number/request", {"phone": NUMBER}))

    def test_several_configurations_do_not_multiply_it(self, front_end, login):
        a_login(key="second", name="Second", is_default=False)
        front_end().ask()
        assert waits(front_end().ask(config="second"))

    def test_sends_that_go_nowhere_count_too(self, front_end):
        a_login(allow_registration=False)
        ada = front_end()
        assert ada.ask().status_code == 202
        assert not SandboxMessage.objects.exists()
        assert 58 <= waits(ada.ask()) <= 60

    def test_a_refused_request_counts_nowhere(self, front_end, login, clock):
        front_end().ask()
        for _ in range(20):
            waits(front_end().ask())
        clock.shift(61)
        assert front_end().ask().status_code == 202

    def test_an_admin_lifts_the_limits(self, front_end, login):
        front_end().ask()
        waits(front_end().ask())
        assert lift_limits(NUMBER)
        assert front_end().ask().status_code == 202

    def test_those_of_the_owners_browser_too(self, front_end, clock):
        a_login(sends_per_hour=1, sends_per_day=1)
        ada = front_end()
        assert ada.log_in().status_code == 200
        clock.shift(61)
        assert ada.ask().status_code == 202
        clock.shift(61)
        waits(ada.ask())
        assert lift_limits(NUMBER)
        assert ada.ask().status_code == 202


class TestSendsPerAddress:
    def test_ten_an_hour_and_fifty_a_day(self, front_end, clock):
        a_login(cap_per_prefix=1000, pause_below_percent=0)
        client = front_end()
        sent = 0
        for _hour in range(5):
            for _ in range(10):
                assert client.ask(chinese(sent)).status_code == 202
                sent += 1
            assert 3500 < waits(client.ask(chinese(sent))) <= 3600 or _hour == 4
            clock.shift(3600)
        assert waits(client.ask(chinese(sent))) > 3600
        assert front_end(address="203.0.113.8").ask(chinese(sent)).status_code == 202

    def test_users_known_browsers_and_resends_are_counted_too(self, front_end, clock):
        a_login(**{**GENEROUS, "address_sends_per_hour": 3, "address_sends_per_day": 3})
        client = front_end()
        assert client.log_in().status_code == 200
        clock.shift(61)
        challenge = client.challenge()
        clock.shift(61)
        assert client.post("number/request", {"phone": OTHER}).status_code == 202
        clock.shift(61)
        waits(client.post("resend", {"challenge": challenge}))
        waits(client.post("number/request", {"phone": number(30)}))
        waits(client.post("reauthenticate/request"))
        waits(client.ask())

    def test_ipv6_counts_by_its_64(self, front_end):
        a_login(address_sends_per_hour=2, address_sends_per_day=2)
        for n in range(2):
            assert front_end(address=f"2001:db8:0:1::{n + 1}").ask(number(n)).status_code == 202
        waits(front_end(address="2001:db8:0:1:ffff:ffff:ffff:ffff").ask(number(3)))
        assert front_end(address="2001:db8:0:2::1").ask(number(3)).status_code == 202

    def test_a_48_has_ten_times_as_many(self, front_end):
        """A site gets 65,536 of the /64 with it."""
        a_login(address_sends_per_hour=1, address_sends_per_day=1)
        for n in range(10):
            assert front_end(address=f"2001:db8:0:{n}::1").ask(number(n)).status_code == 202
        waits(front_end(address="2001:db8:0:ffff::1").ask(number(10)))
        assert front_end(address="2001:db8:1:ffff::1").ask(number(10)).status_code == 202
        assert front_end(address="203.0.113.7").ask(number(11)).status_code == 202

    def test_ipv4_in_ipv6_is_the_ipv4_address(self, front_end):
        a_login(address_sends_per_hour=1, address_sends_per_day=1)
        front_end(address="203.0.113.7").ask(number(1))
        waits(front_end(address="::ffff:203.0.113.7").ask(number(2)))

    def test_all_without_an_address_share_their_limits(self, front_end):
        a_login(address_sends_per_hour=1, address_sends_per_day=1)
        assert front_end(address="").ask(number(1)).status_code == 202
        waits(front_end(address="unix:").ask(number(2)))


class TestForwardedFor:
    """With two proxies of ours, the second entry from the right is what the outer one saw."""

    @pytest.mark.parametrize("proxies", [0, 1, 2])
    def test_what_the_client_writes_into_it_opens_no_new_bucket(self, front_end, settings, proxies):
        settings.LOGIN_MOBILE = {"TRUSTED_PROXIES": proxies}
        a_login(address_sends_per_hour=3, address_sends_per_day=3)
        true = ["203.0.113.7", "198.51.100.1"][:proxies]
        answers = []
        for n in range(10):
            forged = ", ".join([f"192.0.2.{n}", f"2001:db8:{n}::1", *true])
            client = front_end(address="198.51.100.2" if proxies else "203.0.113.7", HTTP_X_FORWARDED_FOR=forged)
            answers.append(client.ask(number(n)).status_code)
        assert answers == [202] * 3 + [429] * 7

    def test_no_proxy_is_trusted_unless_somebody_says_so(self):
        assert conf.Settings().TRUSTED_PROXIES == 0

    def test_fewer_entries_than_proxies_and_other_headers_open_none_either(self, front_end, settings):
        settings.LOGIN_MOBILE = {"TRUSTED_PROXIES": 2}
        a_login(address_sends_per_hour=1, address_sends_per_day=1)
        answers = []
        for n in range(3):
            forged = f"192.0.2.{n}"
            headers = {"HTTP_X_FORWARDED_FOR": forged, "HTTP_X_REAL_IP": forged, "HTTP_FORWARDED": f"for={forged}"}
            answers.append(front_end(address="198.51.100.2", **headers).ask(number(n)).status_code)
        assert answers == [202, 429, 429]

    def test_behind_a_trusted_proxy_each_client_has_its_own(self, front_end, settings):
        settings.LOGIN_MOBILE = {"TRUSTED_PROXIES": 1}
        a_login(address_sends_per_hour=1, address_sends_per_day=1)
        for n in range(5):
            client = front_end(address="10.0.0.1", HTTP_X_FORWARDED_FOR=f"203.0.113.{n}")
            assert client.ask(number(n)).status_code == 202

    def test_a_second_configuration_changes_nobodys_address(self, front_end, settings):
        settings.LOGIN_MOBILE = {"TRUSTED_PROXIES": 1}
        a_login(address_sends_per_hour=1, address_sends_per_day=1)
        a_login(key="second", name="Second", is_default=False, address_sends_per_hour=1, address_sends_per_day=1)
        for n in range(4):
            client = front_end(address="10.0.0.1", HTTP_X_FORWARDED_FOR=f"203.0.113.{n // 2}")
            answer = client.ask(number(n), config="second" if n % 2 else "main")
            assert answer.status_code == (429 if n % 2 else 202)

    @pytest.mark.parametrize("header", ["", "unknown", "203.0.113", "<script>", "203.0.113.7, ", "a" * 5000])
    def test_what_cannot_be_read_counts_for_the_proxy(self, front_end, settings, header):
        settings.LOGIN_MOBILE = {"TRUSTED_PROXIES": 1}
        a_login(address_sends_per_hour=1, address_sends_per_day=1)
        assert front_end(address="10.0.0.1", HTTP_X_FORWARDED_FOR=header).ask(number(1)).status_code == 202
        waits(front_end(address="10.0.0.1", HTTP_X_FORWARDED_FOR=header).ask(number(2)))

    @pytest.mark.parametrize("entry", ["203.0.113.7:4711", "[2001:db8::1]:4711", "2001:db8::2", "fe80::1%eth0"])
    def test_ports_brackets_and_zones_are_read(self, front_end, settings, entry):
        settings.LOGIN_MOBILE = {"TRUSTED_PROXIES": 1}
        a_login(address_sends_per_hour=1, address_sends_per_day=1)
        assert front_end(address="10.0.0.1", HTTP_X_FORWARDED_FOR=entry).ask(number(1)).status_code == 202
        assert front_end(address="10.0.0.1").ask(number(2)).status_code == 202  # the proxy itself has its own
        waits(front_end(address="10.0.0.2", HTTP_X_FORWARDED_FOR=entry).ask(number(3)))


class TestVerificationsPerAddress:
    def test_a_48_has_ten_times_as_many_as_a_64(self, front_end):
        a_login(address_verifications=1)
        challenge = front_end().challenge()
        for n in range(10):
            other = front_end(address=f"2001:db8:0:{n}::1")
            assert error(other.verify(challenge, "12345")) == (400, "malformed_code")
            waits(other.verify(challenge, "12345"))
        waits(front_end(address="2001:db8:0:ffff::1").verify(challenge, "12345"))

    def test_thirty_in_five_minutes_right_or_wrong_and_for_no_challenge_at_all(self, front_end, login, clock):
        client = front_end()
        challenge = client.challenge()
        code = codes_sent(NUMBER)[0]
        for _ in range(15):
            assert error(client.verify("A" * 43, code)) == (404, "unknown_challenge")
        for _ in range(15):
            assert error(client.verify(challenge, "no code")) == (400, "malformed_code")
        assert 290 < waits(client.verify(challenge, code)) <= 300
        assert front_end(address="203.0.113.8").verify(challenge, code).status_code == 200
        clock.shift(300)
        assert error(client.verify(challenge, code)) == (410, "used")

    def test_over_all_configurations_purposes_and_states(self, front_end):
        limit = {**GENEROUS, "address_verifications": 5}
        a_login(**limit)
        a_login(key="second", name="Second", is_default=False, **limit)
        client = front_end()
        client.client.force_login(a_user())
        first, second = client.challenge(), client.challenge(OTHER, config="second")
        third = client.post("number/request", {"phone": number(40)}).json()["challenge"]
        assert error(client.verify(first, "1")) == (400, "malformed_code")
        assert error(client.verify(second, "1", config="second")) == (400, "malformed_code")
        assert error(client.post("number/verify", {"challenge": third, "code": "1"})) == (400, "malformed_code")
        assert error(client.verify(first, "123456", config="second")) == (404, "unknown_challenge")
        Challenge.objects.update(state="used")
        assert error(client.verify(first, "123456")) == (410, "used")
        waits(client.verify(first, "123456"))
        waits(client.post("number/verify", {"challenge": third, "code": "1"}))


class TestFailuresPerNumber:
    def test_ten_an_hour_over_all_codes_and_a_new_code_resets_nothing(self, front_end, login, clock):
        failures = 0
        while failures < 10:
            client = front_end(address=f"203.0.113.{failures}")
            challenge = client.challenge()
            for _ in range(4):
                if failures < 10:
                    client.verify(challenge, wrong(codes_sent(NUMBER)[-1]))
                    failures += 1
            clock.shift(61)
        challenge = front_end().challenge()
        assert 3000 < waits(front_end().verify(challenge, codes_sent(NUMBER)[-1])) <= 3600
        assert Challenge.objects.newest_first()[0].attempts == 0  # nothing was compared

    def test_twenty_a_day(self, front_end, clock):
        a_login(**{**GENEROUS, "failures_per_hour": 10, "failures_per_day": 20})
        failures = 0
        while failures < 20:
            challenge = front_end().challenge()
            for _ in range(4):
                answer = front_end().verify(challenge, wrong(codes_sent(NUMBER)[-1]))
                if answer.status_code == 400:
                    failures += 1
            clock.shift(1200)
        challenge = front_end().challenge()
        assert waits(front_end().verify(challenge, codes_sent(NUMBER)[-1])) > 3600

    def test_right_codes_are_no_failures(self, front_end, clock):
        a_login(**{**GENEROUS, "failures_per_hour": 1, "failures_per_day": 1})
        for _ in range(3):
            assert front_end().log_in().status_code == 200
            clock.shift(61)

    def test_nor_do_they_make_wrong_ones_forgotten(self, front_end, clock):
        a_login(**{**GENEROUS, "failures_per_hour": 2, "failures_per_day": 2})
        for _ in range(2):
            client = front_end()
            challenge = client.challenge()
            client.verify(challenge, wrong(codes_sent(NUMBER)[-1]))
            client.verify(challenge, codes_sent(NUMBER)[-1])
            clock.shift(61)
        waits(client.verify(client.challenge(), codes_sent(NUMBER)[-1]))

    @pytest.mark.parametrize("known", [True, False])
    def test_they_are_the_same_for_every_number(self, front_end, known):
        a_login(**{**GENEROUS, "failures_per_hour": 2, "failures_per_day": 2})
        if known:
            a_user(NUMBER)
        client = front_end()
        challenge = client.challenge()
        (code,) = codes_sent(NUMBER)
        for _ in range(2):
            assert error(client.verify(challenge, wrong(code))) == (400, "wrong_code")
        waits(client.verify(challenge, code))

    def test_several_configurations_do_not_multiply_them(self, front_end, clock):
        limits = {**GENEROUS, "failures_per_hour": 2, "failures_per_day": 2}
        a_login(**limits)
        a_login(key="second", name="Second", is_default=False, **limits)
        client = front_end()
        for config in ("main", "second"):
            client.verify(client.challenge(config=config), wrong(codes_sent(NUMBER)[-1]), config=config)
            clock.shift(61)
        for config in ("main", "second"):
            waits(client.verify(client.challenge(config=config), codes_sent(NUMBER)[-1], config=config))
            clock.shift(61)

    def test_nor_do_purposes_and_users(self, front_end, clock):
        a_login(**{**GENEROUS, "failures_per_hour": 2, "failures_per_day": 2})

        def as_a_new_user(enter: Callable[[str], str]) -> Any:
            client = front_end()
            client.client.force_login(a_user())
            challenge = client.post("number/request", {"phone": NUMBER}).json()["challenge"]
            client.work()
            clock.shift(61)
            return client.post("number/verify", {"challenge": challenge, "code": enter(codes_sent(NUMBER)[-1])})

        for _ in range(2):
            assert error(as_a_new_user(wrong)) == (400, "wrong_code")
        client = front_end()
        waits(client.verify(client.challenge(), codes_sent(NUMBER)[-1]))
        clock.shift(61)
        waits(as_a_new_user(str))

    def test_they_are_of_one_number_only(self, front_end, clock):
        a_login(failures_per_hour=1, failures_per_day=1)
        client = front_end()
        challenge = client.challenge()
        client.verify(challenge, wrong(codes_sent(NUMBER)[0]))
        waits(client.verify(challenge, codes_sent(NUMBER)[0]))
        assert client.log_in(OTHER).status_code == 200


class TestLockOut:
    """A stranger uses up a number's limits. The browser that has logged in with the number before has its own."""

    def test_the_owner_still_gets_codes(self, front_end, login, clock):
        ada, mallory = front_end(), front_end(address="198.51.100.9")
        assert ada.log_in().status_code == 200
        clock.shift(61)
        while mallory.ask().status_code == 202:
            clock.shift(61)
        assert ada.log_in().status_code == 200

    def test_the_owners_codes_still_work(self, front_end, clock):
        a_login(failures_per_hour=3, failures_per_day=3)
        ada, mallory = front_end(), front_end(address="198.51.100.9")
        assert ada.log_in().status_code == 200
        clock.shift(61)
        challenge = mallory.challenge()
        for _ in range(3):
            mallory.verify(challenge, wrong(codes_sent(NUMBER)[-1]))
        waits(mallory.verify(challenge, codes_sent(NUMBER)[-1]))
        assert ada.log_in().status_code == 200

    def test_a_strangers_newer_code_does_not_end_the_owners(self, front_end, login, clock):
        ada, mallory = front_end(), front_end(address="198.51.100.9")
        assert ada.log_in().status_code == 200
        clock.shift(61)
        challenge = ada.challenge()
        code = codes_sent(NUMBER)[-1]
        mallory.challenge()
        assert ada.verify(challenge, code).status_code == 200

    def test_what_the_owners_browser_has_used_up_is_limited_too(self, front_end, clock):
        a_login(sends_per_hour=2, sends_per_day=2)
        ada = front_end()
        assert ada.log_in().status_code == 200
        for _ in range(2):
            assert ada.ask().status_code == 202
            clock.shift(61)
        waits(ada.ask())

    def test_known_browsers_share_what_they_use_up(self, front_end, clock):
        """One that makes a new one with every code gains nothing."""
        a_login(sends_per_hour=2, sends_per_day=2)
        ada = front_end()
        assert ada.log_in().status_code == 200
        other = front_end()
        other.client.cookies.update(ada.client.cookies)
        for _ in range(2):
            clock.shift(61)
            assert ada.ask().status_code == 202
        clock.shift(61)
        waits(other.ask())
        new = front_end()
        assert new.log_in().status_code == 200
        clock.shift(61)
        waits(new.ask())

    @pytest.mark.parametrize("cap", ["cap_per_prefix", "cap_per_country"])
    def test_pumping_by_strangers_does_not_lock_the_owner_out(self, front_end, clock, cap):
        a_login(**{**GENEROUS, cap: 3})
        ada, mallory = front_end(), front_end(address="198.51.100.9")
        assert ada.log_in().status_code == 200
        clock.shift(61)
        while mallory.ask(number(90)).status_code == 202:
            clock.shift(61)
        assert front_end().ask(number(91)).status_code in {403, 429}
        assert ada.log_in().status_code == 200

    def test_nor_does_a_pause(self, front_end, login, clock):
        ada = front_end()
        assert ada.log_in().status_code == 200
        clock.shift(61)
        for scope, value in (("country", "US"), ("prefix", NUMBER[:-4])):
            Pause.objects.create(login=login, scope=scope, value=value, active_key=Pause.key_of(login.pk, scope, value))
        assert error(front_end().ask()) == (403, "paused")
        assert ada.log_in().status_code == 200

    def test_a_browser_is_known_for_half_a_year(self, front_end, login, clock):
        ada, mallory = front_end(), front_end(address="198.51.100.9")
        assert ada.log_in().status_code == 200
        clock.shift(179 * 86_400)
        assert mallory.ask().status_code == 202
        assert ada.ask().status_code == 202
        clock.shift(2 * 86_400)
        assert mallory.ask().status_code == 202
        waits(ada.ask())

    @pytest.mark.parametrize("cap", ["cap_per_prefix", "cap_per_country"])
    def test_nor_do_browsers_that_are_known_for_many_numbers_escape_the_caps(self, front_end, clock, cap):
        a_login(**{**GENEROUS, cap: 4, "pause_below_percent": 0})
        client = front_end()
        for n in range(4):
            assert client.log_in(number(n)).status_code == 200
        sent = 0
        for _ in range(2):
            clock.shift(61)
            sent += sum(client.ask(number(n)).status_code == 202 for n in range(4))
        assert sent == 4

    @pytest.mark.parametrize("trick", ["forged", "another number", "changed hands"])
    def test_a_cookie_that_is_not_for_this_number_opens_no_bucket(self, front_end, login, clock, trick):
        ada, mallory = front_end(), front_end(address="198.51.100.9")
        assert mallory.log_in(OTHER).status_code == 200
        if trick == "forged":
            mallory.client.cookies["login_mobile_device"] = "W1sxLCJhYmMiLCJkZWYiXV0:1xVhWv:forged"
        if trick == "changed hands":  # Mallory had the number before Ada
            assert mallory.log_in(NUMBER).status_code == 200
            MobileNumber.objects.filter(number=NUMBER).delete()
            clock.shift(61)
            assert ada.log_in().status_code == 200
            clock.shift(61)
        assert front_end().ask().status_code == 202
        waits(mallory.ask())


class TestCaps:
    @pytest.mark.parametrize(
        ("limit", "phones"),
        [
            ({"cap_per_prefix": 3}, [chinese(n) for n in range(4)]),
            ({"cap_per_country": 3}, [f"+861380{n}000000" for n in range(4)]),
            ({"cap_per_day": 3}, ["+12065550100", "+12125550100", "+8613800000000", "+8613900000000"]),
        ],
        ids=["prefix", "country", "all"],
    )
    def test_a_day_has_its_caps(self, front_end, clock, limit, phones):
        a_login(**{**GENEROUS, "pause_below_percent": 0, **limit})
        for n, phone in enumerate(phones[:3]):
            assert front_end(address=f"203.0.113.{n}").ask(phone).status_code == 202
        assert waits(front_end().ask(phones[3])) > 86_000
        clock.shift(86_401)
        assert front_end().ask(phones[3]).status_code == 202

    def test_the_days_own_is_known_browsers_too(self, front_end, clock):
        a_login(**{**GENEROUS, "cap_per_day": 2})
        ada = front_end()
        assert ada.log_in().status_code == 200
        assert front_end().ask(OTHER).status_code == 202
        clock.shift(61)
        waits(ada.ask())

    def test_each_login_has_its_own(self, front_end):
        a_login(cap_per_day=1, pause_below_percent=0)
        a_login(key="second", name="Second", is_default=False)
        front_end().ask(number(1))
        waits(front_end().ask(number(2)))
        assert front_end().ask(number(2), config="second").status_code == 202


class TestFailClosed:
    """What cannot be counted is refused."""

    @pytest.mark.parametrize("path", ["request", "verify"])
    def test_without_its_table_nothing_is_sent_and_nothing_compared(self, front_end, login, path):
        client = front_end()
        challenge = client.challenge(OTHER)
        with connection.schema_editor() as editor:
            editor.alter_db_table(Bucket, Bucket._meta.db_table, "somewhere_else")
        try:
            answer = client.ask() if path == "request" else client.verify(challenge, codes_sent(OTHER)[0])
        finally:
            with connection.schema_editor() as editor:
                editor.alter_db_table(Bucket, "somewhere_else", Bucket._meta.db_table)
        assert error(answer) == (503, "unavailable")
        assert answer["Retry-After"]
        assert codes_sent(NUMBER) == []
        assert client.user_id is None

    def test_a_database_that_stays_locked_refuses(self, front_end, login, monkeypatch, caplog):
        monkeypatch.setattr(buckets, "_locked", lambda counters: (_ for _ in ()).throw(OperationalError("locked")))
        assert error(front_end().ask()) == (503, "unavailable")
        assert "login.not_counted error=OperationalError" in caplog.text
        assert not Challenge.objects.exists()


@pytest.mark.databases
class TestCountingRefusals:
    """It costs a refusal nothing, under attack least of all."""

    @pytest.fixture(autouse=True)
    def paused(self, login):
        Pause.objects.create(
            login=login, scope="country", value="US", active_key=Pause.key_of(login.pk, "country", "US")
        )

    def test_nothing_is_written_before_the_response_has_left(self, login, rf):
        with CaptureQueriesContext(connection) as queries, pytest.raises(Refusal):
            request_code(rf.post("/"), NUMBER)
        assert {query["sql"].split()[0] for query in queries} == {"SELECT"}
        assert refusals.counted(login) == {RefusalReason.PAUSED: 1}
        for _ in range(2):
            request_finished.send(None)
            assert [row.kind for row in Bucket.objects.all()] == ["refused"]
            assert refusals.counted(login) == {RefusalReason.PAUSED: 1}

    def test_they_are_written_together(self, front_end, login, monkeypatch):
        monkeypatch.setattr(refusals.Gathered, "PAUSE", 3600)
        written = [(front_end().ask(), sum(Bucket.objects.get().entries.values()))[1] for _ in range(3)]
        assert written == [1, 1, 1]
        assert refusals.counted(login) == {RefusalReason.PAUSED: 3}

    def test_what_cannot_be_written_harms_no_request_and_is_written_later(self, front_end, login, monkeypatch):
        monkeypatch.setattr(refusals.Gathered, "PAUSE", 0)
        with connection.schema_editor() as editor:
            editor.alter_db_table(Bucket, Bucket._meta.db_table, "somewhere_else")
        try:
            assert error(front_end().ask()) == (403, "paused")
        finally:
            with connection.schema_editor() as editor:
                editor.alter_db_table(Bucket, "somewhere_else", Bucket._meta.db_table)
        assert error(front_end().ask()) == (403, "paused")
        assert sum(Bucket.objects.get().entries.values()) == 2

    def test_none_is_lost_or_counted_twice_among_threads(self, login, monkeypatch):
        monkeypatch.setattr(refusals.Gathered, "PAUSE", 0)

        def refuse() -> None:
            refusals.count(login, RefusalReason.PAUSED)
            request_finished.send(None)

        at_once([refuse] * 20)
        request_finished.send(None)
        assert sum(Bucket.objects.get().entries.values()) == 20


@pytest.mark.databases
class TestBuckets:
    """The mechanism: exact, all or nothing, in any number of threads."""

    def counter(self, *windows: Window, subject: str = "somebody") -> Counter:
        return Counter("test", subject, windows)

    def test_of_many_at_once_exactly_the_limit_is_let_through(self, transactional_db):
        counter = self.counter(Window(60, 10))

        def take() -> bool:
            try:
                buckets.take([counter])
            except Full:
                return False
            return True

        assert sum(at_once([take] * 40)) == 10

    def test_all_or_none(self, transactional_db):
        roomy, tight = self.counter(Window(60, 9)), self.counter(Window(60, 1), subject="other")
        buckets.take([roomy, tight])
        for _ in range(20):
            with pytest.raises(Full) as full:
                buckets.take([roomy, tight])
            assert full.value.counter == tight
        for _ in range(8):
            buckets.take([roomy])
        with pytest.raises(Full):
            buckets.take([roomy])

    def test_crossing_orders_do_not_deadlock(self, transactional_db):
        counters = [self.counter(Window(60, 1000), subject=str(n)) for n in range(4)]
        orders = [counters, counters[::-1]] * 10
        assert len(at_once([lambda order=order: buckets.take(order) for order in orders])) == 20
        assert all(sum(row.entries.values()) == 20 for row in Bucket.objects.all())

    def test_what_was_no_event_is_given_back(self, transactional_db):
        counter = self.counter(Window(60, 1))
        for _ in range(3):
            buckets.give_back(buckets.take([counter]))
        buckets.take([counter])
        buckets.give_back(buckets.Taken((self.counter(Window(60, 1), subject="nobody"),), 0.0))

    def test_a_large_limit_is_counted_in_few_slots_and_never_exceeded(self, transactional_db, clock):
        counter = self.counter(Window(3600, 300))
        began = time.time()
        for _ in range(300):
            buckets.take([counter])
            clock.shift(5)
        with pytest.raises(Full) as full:
            buckets.take([counter])
        assert len(Bucket.objects.get().entries) <= 62
        left = began + 3600 - time.time()  # until the first of them leaves; its slot is a minute long
        assert left - 2 <= full.value.retry_after <= left + 62
        clock.shift(full.value.retry_after)
        buckets.take([counter])

    def test_nobody_reads_a_number_or_an_address_there(self, front_end, login):
        front_end(address="203.0.113.77").ask()
        rows = repr(list(Bucket.objects.values_list()))
        assert "5550123" not in rows
        assert "203.0.113" not in rows

    def test_a_new_secret_key_announced_by_a_fallback_begins_no_limit_anew(self, front_end, login, settings):
        front_end().ask()
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = "a new one"
        waits(front_end().ask())

    def test_however_many_are_idle_none_is_locked_for_long(self, transactional_db, monkeypatch):
        Bucket.objects.bulk_create(Bucket(key=f"{n:064}", kind="sends", idle_at=1.0) for n in range(2_500))
        with CaptureQueriesContext(connection) as queries:
            assert purge() == 2_500
        deletions = [query for query in queries if query["sql"].startswith("DELETE FROM")]
        assert len(deletions) >= 3
        assert not Bucket.objects.exists()

    def test_idle_ones_are_purged(self, front_end, login, clock):
        front_end().ask()
        assert Bucket.objects.count() == 5
        purge()
        assert Bucket.objects.count() == 5
        clock.shift(timedelta(days=2))
        purge()
        assert Bucket.objects.count() == 0
