"""SMS pumping: texts asked for by the hundred, to numbers of whoever earns on them."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from login_mobile import signals
from login_mobile.api import resume
from login_mobile.choices import PauseReason, PauseScope
from login_mobile.models import Challenge, MobileLogin, Pause
from login_mobile.sweeping import sweep
from sms_services.models import SandboxMessage, SandboxSms, SmsMessage
from tests.login_under_test import GENEROUS, FrontEnd, a_login, a_user, at_once, codes_sent, error, number

pytest_plugins = ["tests.login_under_test"]

PREFIX = "+861381234"
DAY = 86_400


def attacked(n: int) -> str:
    """A number of the attacked prefix."""
    return f"{PREFIX}{n:04}"


@pytest.fixture
def clock() -> Any:
    with time_machine.travel(timezone.now(), tick=True) as traveller:
        yield traveller


@pytest.fixture
def suspected() -> Any:
    pauses: list[Pause] = []

    def hear(pause: Pause, **kwargs: Any) -> None:
        pauses.append(pause)

    signals.pumping_suspected.connect(hear)
    yield pauses
    signals.pumping_suspected.disconnect(hear)


def left(ago: timedelta, **which: Any) -> None:
    """Codes were asked for so long ago, and those that have left did so then."""
    challenges = Challenge.objects.filter(**which)
    SmsMessage.objects.filter(pk__in=challenges.values("message"), claimed_at__isnull=False).update(
        claimed_at=timezone.now() - ago
    )
    challenges.update(created_at=timezone.now() - ago)


@pytest.mark.databases
@pytest.mark.parametrize("count", [150, pytest.param(500, marks=pytest.mark.soak)])
def test_numbers_of_a_prefix_from_as_many_addresses_at_once(front_end, client, suspected, count):
    attack(front_end, client, suspected, count, at_a_time=25)


def test_500_numbers_of_a_prefix_from_500_addresses(front_end, client, suspected):
    attack(front_end, client, suspected, 500, at_a_time=1)


def attack(front_end, client, suspected, count, at_a_time):
    """It stops at the prefix's cap, pauses the prefix, can be seen, and logins elsewhere go on."""
    a_login(cap_per_prefix=50)
    attackers = [front_end(address=f"198.{51 + n // 250}.{n % 250}.7") for n in range(count)]
    calls = [lambda n=n: attackers[n].post("request", {"phone": attacked(n)}) for n in range(count)]
    answers = []
    for start in range(0, count, at_a_time):
        some = calls[start : start + at_a_time]
        answers += at_once(some) if len(some) > 1 else [some[0]()]
    attackers[0].work()

    assert sum(answer.status_code == 202 for answer in answers) == SandboxMessage.objects.count() == 50
    refused = {error(answer) for answer in answers if answer.status_code != 202}
    assert (403, "paused") in refused
    assert refused <= {(403, "paused"), (429, "throttled")}

    pause = Pause.objects.get()
    assert (pause.scope, pause.value, pause.reason) == (PauseScope.PREFIX, PREFIX, PauseReason.CAP)
    assert pause.used == 0
    assert pause.sent == 30  # the newest ones, by which a prefix is judged
    assert suspected == [pause]

    admin = a_user(username="admin", is_staff=True)
    admin.user_permissions.set(Permission.objects.filter(codename__in=["view_pause"]))
    client.force_login(admin)
    assert PREFIX in client.get(reverse("admin:login_mobile_pause_changelist")).content.decode()

    assert front_end().log_in(number(1)).status_code == 200  # another country
    elsewhere = "+8613900000001"
    assert front_end().log_in(elsewhere).status_code == 200  # another prefix


class TestPauses:
    def use(self, share: float, *, fields: dict[str, Any] | None = None) -> None:
        """Let part of the codes so far be used, and all of them be old enough to be judged."""
        ids = list(Challenge.objects.order_by("?").values_list("pk", flat=True))
        Challenge.objects.filter(pk__in=ids[: round(len(ids) * share)]).update(state="used")
        Challenge.objects.update(**(fields or {}))
        left(timedelta(minutes=3))

    def ask(self, front_end: Any, numbers: list[str]) -> list[int]:
        return [front_end(address=f"203.0.{n}.7").ask(phone).status_code for n, phone in enumerate(numbers)]

    def test_a_prefix_of_whose_codes_few_are_used_pauses_itself_before_its_cap(self, front_end, suspected):
        a_login(**{**GENEROUS, "pause_prefix_after": 10})
        assert self.ask(front_end, [attacked(n) for n in range(10)]) == [202] * 10
        self.use(0.0)
        sent = SandboxMessage.objects.count()
        # With the next one they are judged, in the worker; whoever comes after it is refused.
        assert self.ask(front_end, [attacked(n) for n in range(20, 23)]) == [202, 403, 403]
        assert SandboxMessage.objects.count() == sent + 1
        assert [(pause.reason, pause.sent, pause.used) for pause in suspected] == [("unused", 10, 0)]

    def test_a_country_does_too(self, front_end, suspected):
        a_login(**{**GENEROUS, "pause_country_after": 10})
        assert self.ask(front_end, [f"+86138{n:04}0000" for n in range(10)]) == [202] * 10
        self.use(0.0)
        assert self.ask(front_end, ["+8613900000000", "+8613900010000"]) == [202, 403]
        assert [(pause.scope, pause.value) for pause in suspected] == [("country", "CN")]
        assert self.ask(front_end, ["+12065550123"]) == [202]

    @pytest.mark.parametrize(("share", "pauses"), [(0.0, 1), (0.05, 1), (0.1, 0), (0.5, 0), (1.0, 0)])
    def test_the_share_of_used_codes_decides(self, front_end, suspected, share, pauses):
        a_login(**{**GENEROUS, "pause_prefix_after": 20})
        self.ask(front_end, [attacked(n) for n in range(20)])
        self.use(share)
        self.ask(front_end, [attacked(99)])
        assert len(suspected) == pauses

    def test_codes_of_just_now_are_no_sign(self, front_end, suspected):
        a_login(**{**GENEROUS, "pause_prefix_after": 10})
        assert self.ask(front_end, [attacked(n) for n in range(15)]) == [202] * 15
        assert suspected == []

    def test_nor_are_codes_of_yesterday(self, front_end, suspected):
        a_login(**{**GENEROUS, "pause_prefix_after": 10})
        self.ask(front_end, [attacked(n) for n in range(10)])
        left(timedelta(days=1, minutes=1))
        self.ask(front_end, [attacked(99)])
        assert suspected == []

    def test_good_codes_of_the_morning_do_not_hide_an_attack(self, front_end, suspected):
        a_login(**{**GENEROUS, "pause_prefix_after": 10})
        self.ask(front_end, [attacked(n) for n in range(30)])
        self.use(1.0)
        left(timedelta(hours=3))
        self.ask(front_end, [attacked(n) for n in range(100, 110)])
        left(timedelta(minutes=3), state="open")
        self.ask(front_end, [attacked(200)])
        assert len(suspected) == 1

    @pytest.mark.parametrize(
        "outage",
        ["deactivated", "no worker", "refused", "in doubt", "late worker", "later worker", "expired", "tried again"],
    )
    def test_in_an_outage_nobody_can_use_a_code(self, front_end, suspected, outage):
        """That is no attack: nobody would be let in afterwards, until an admin resumes it."""
        a_login(**{**GENEROUS, "pause_prefix_after": 10, "cap_per_prefix": 11})
        clients = [front_end(address=f"203.0.{n}.7") for n in range(10)]
        if outage == "deactivated":
            SandboxSms.objects.update(is_active=False)
        for n, client in enumerate(clients):
            assert client.post("request", {"phone": attacked(n)}).status_code == 202
        if outage in ("deactivated", "refused", "in doubt"):
            clients[0].work()
        if outage in ("refused", "in doubt"):
            SmsMessage.objects.update(status="failed" if outage == "refused" else "unknown")
        if outage == "tried again":
            clients[0].work()
            SmsMessage.objects.update(status="queued", error_kind="transient")
        left(timedelta(minutes=3))
        if outage in ("late worker", "later worker"):
            clients[0].work()
        if outage == "later worker":  # so late that nobody waits any more
            SmsMessage.objects.update(claimed_at=timezone.now() - timedelta(minutes=2, seconds=1))
            Challenge.objects.update(created_at=timezone.now() - timedelta(minutes=6))
        if outage == "expired":
            Challenge.objects.update(expires_at=timezone.now(), sweep_at=timezone.now())
            sweep()
        SandboxSms.objects.update(is_active=True)
        # One more is judged, the next one has reached the cap.
        assert self.ask(front_end, [attacked(n) for n in range(20, 22)]) == [202, 429]
        assert suspected == []

    def test_what_the_provider_took_has_left_also_if_no_phone_got_it(self, front_end, suspected):
        """Numbers that are made up get nothing either."""
        a_login(**{**GENEROUS, "pause_prefix_after": 10})
        self.ask(front_end, [attacked(n) for n in range(10)])
        SmsMessage.objects.update(status="undelivered")
        self.use(0.0)
        self.ask(front_end, [attacked(99)])
        assert len(suspected) == 1

    @pytest.mark.parametrize("state", ["waiting", "tried again"])
    def test_nor_in_one_that_goes_on(self, front_end, suspected, state):
        """Those who have asked just now are no rush where those before them have got nothing either."""
        a_login(**{**GENEROUS, "cap_per_prefix": 16})
        clients = [front_end(address=f"203.0.{n}.7") for n in range(17)]
        answers = [client.post("request", {"phone": attacked(n)}).status_code for n, client in enumerate(clients[:16])]
        assert answers == [202] * 16
        if state == "tried again":
            clients[0].work()
            SmsMessage.objects.update(status="queued", error_kind="transient")
        old = Challenge.objects.order_by("pk")[:10].values("pk")
        Challenge.objects.filter(pk__in=list(old.values_list("pk", flat=True))).update(
            created_at=timezone.now() - timedelta(minutes=3)
        )
        assert clients[16].post("request", {"phone": attacked(99)}).status_code == 429
        assert suspected == []

    def test_an_attack_whose_codes_have_just_left_is_seen_when_they_could_have_been_used(
        self, front_end, suspected, clock
    ):
        a_login(**{**GENEROUS, "cap_per_prefix": 10})
        assert self.ask(front_end, [attacked(n) for n in range(10)]) == [202] * 10
        SmsMessage.objects.update(claimed_at=timezone.now())
        Challenge.objects.update(created_at=timezone.now() - timedelta(seconds=125))
        assert self.ask(front_end, [attacked(99)]) == [429]
        clock.shift(121)
        assert self.ask(front_end, [attacked(99)]) == [403]
        assert len(suspected) == 1

    def test_where_only_accounts_get_codes_a_pause_does_not_tell_that_a_number_has_one(self, front_end, suspected):
        a_login(**{**GENEROUS, "cap_per_prefix": 10, "pause_prefix_after": 10, "allow_registration": False})
        for n in range(5):
            a_user(attacked(n))
        self.ask(front_end, [attacked(n) for n in range(10)])
        left(timedelta(minutes=3))
        assert self.ask(front_end, [attacked(99)]) == [429]
        assert suspected == []

    def test_nor_does_anybody_look_for_codes_to_judge_there(self, front_end):
        """Each code to log in would read those of the whole day, of which none is judged."""
        a_login(**{**GENEROUS, "cap_per_prefix": 2, "pause_prefix_after": 10, "allow_registration": False})
        a_user(attacked(1))
        client = front_end()
        for n in range(2):
            assert client.post("request", {"phone": attacked(n)}).status_code == 202
        with CaptureQueriesContext(connection) as queries:
            client.work()
        assert not [query["sql"] for query in queries if "login_mobile_pause" in query["sql"]]
        assert len(codes_sent(attacked(1))) == 1
        with CaptureQueriesContext(connection) as queries:
            assert client.post("request", {"phone": attacked(2)}).status_code == 429
        assert not [query["sql"] for query in queries if "login_mobile_challenge" in query["sql"]]

    def test_codes_to_add_numbers_are_judged_there_too(self, front_end, suspected):
        a_login(**{**GENEROUS, "pause_prefix_after": 10, "allow_registration": False})
        for n in range(11):
            client = front_end()
            client.client.force_login(a_user())
            assert client.post("number/request", {"phone": attacked(n)}).status_code == 202
            client.work()
            left(timedelta(minutes=3))
        assert [(pause.reason, pause.sent, pause.used) for pause in suspected] == [("unused", 10, 0)]

    def test_a_rush_of_people_who_use_their_codes_is_only_throttled_at_the_cap(self, front_end, suspected):
        a_login(cap_per_prefix=10)
        self.ask(front_end, [attacked(n) for n in range(10)])
        Challenge.objects.update(state="used")
        assert self.ask(front_end, [attacked(99)]) == [429]
        assert suspected == []

    def test_codes_of_just_now_do_not_hide_those_that_were_used_before(self, front_end, suspected):
        """Nobody can have entered the newest ones yet, of which there are enough to be judged alone."""
        a_login(**{**GENEROUS, "cap_per_prefix": 20, "pause_prefix_after": 10})
        self.ask(front_end, [attacked(n) for n in range(10)])
        self.use(0.9)
        self.ask(front_end, [attacked(n) for n in range(10, 20)])
        assert self.ask(front_end, [attacked(99)]) == [429]
        assert suspected == []

    def test_where_few_have_had_time_to_be_used_those_of_just_now_are_judged(self, front_end, suspected):
        a_login(**{**GENEROUS, "cap_per_prefix": 20, "pause_prefix_after": 10})
        self.ask(front_end, [attacked(n) for n in range(4)])
        self.use(1.0)
        self.ask(front_end, [attacked(n) for n in range(4, 20)])
        assert self.ask(front_end, [attacked(99)]) == [403]
        assert [(pause.reason, pause.sent, pause.used) for pause in suspected] == [("cap", 10, 0)]

    def test_texts_that_were_not_sent_are_none_that_are_not_used(self, front_end, suspected):
        a_login(**{**GENEROUS, "cap_per_prefix": 10, "allow_registration": False})
        self.ask(front_end, [attacked(n) for n in range(10)])
        assert self.ask(front_end, [attacked(99)]) == [429]
        assert suspected == []

    def test_it_can_be_switched_off(self, front_end, suspected):
        a_login(**{**GENEROUS, "cap_per_prefix": 10, "pause_prefix_after": 10, "pause_below_percent": 0})
        self.ask(front_end, [attacked(n) for n in range(10)])
        self.use(0.0)
        assert self.ask(front_end, [attacked(99)]) == [429]
        assert suspected == []

    def test_an_admin_resumes_it_and_the_cap_begins_anew(self, front_end, suspected, clock):
        a_login(cap_per_prefix=10)
        assert self.ask(front_end, [attacked(n) for n in range(12)]) == [202] * 10 + [403, 403]
        admin = a_user(username="admin")
        (pause,) = suspected
        assert resume(pause, admin)
        assert not resume(pause, admin)
        pause.refresh_from_db()
        assert pause.resumed_by == admin
        clock.shift(1)
        # What was before is forgiven. What goes on as before is not.
        assert self.ask(front_end, [attacked(n) for n in range(100, 112)]) == [202] * 10 + [403, 403]
        assert len(suspected) == 2

    @pytest.mark.parametrize(
        ("cap", "scope", "value", "logged"),
        [
            ("cap_per_prefix", PauseScope.PREFIX, PREFIX, "scope=prefix value=+86138****"),
            ("cap_per_country", PauseScope.COUNTRY, "CN", "scope=country value=CN"),
        ],
    )
    def test_so_do_those_of_the_known_browsers_whose_codes_are_not_used(
        self, front_end, suspected, clock, caplog, cap, scope, value, logged
    ):
        """No pause keeps them out; their caps do. Somebody hears of it, and can do something about it."""
        a_login(**{**GENEROUS, cap: 2, "pause_below_percent": 100})
        known = front_end()
        for n in range(2):
            assert known.log_in(attacked(n)).status_code == 200
        clock.shift(61)
        assert [known.ask(attacked(n)).status_code for n in range(2)] == [202, 202]
        clock.shift(121)
        assert suspected == []
        assert "login.cap_reached" not in caplog.text
        assert known.ask(attacked(0)).status_code == 429
        assert [(pause.scope, pause.value, pause.reason) for pause in suspected] == [(scope, value, "cap")]
        (line,) = [record.getMessage() for record in caplog.records if "login.cap_reached" in record.getMessage()]
        assert f"login=main {logged}" in line
        assert resume(suspected[0])
        assert known.ask(attacked(0)).status_code == 202

    def test_however_many_are_refused_at_a_cap_it_is_judged_once_in_two_minutes_and_logged_once_an_hour(
        self, front_end, clock, caplog
    ):
        a_login(**{**GENEROUS, "cap_per_prefix": 1, "cap_per_country": 1, "pause_below_percent": 100, "send_pause": 30})
        known = front_end()
        assert known.log_in(attacked(0)).status_code == 200
        clock.shift(61)

        def reached() -> int:
            return sum("login.cap_reached" in record.getMessage() for record in caplog.records)

        def is_judged() -> bool:
            with CaptureQueriesContext(connection) as queries:
                assert known.ask(attacked(0)).status_code == 429
            return any("login_mobile_pause" in query["sql"] for query in queries)

        assert [known.ask(attacked(0)).status_code for _ in range(2)] == [202, 429]
        assert reached() == 2  # of the prefix, and of the country
        assert not is_judged()
        clock.shift(121)
        assert is_judged()
        assert not is_judged()
        clock.shift(3419)
        assert is_judged()
        assert reached() == 2
        clock.shift(61)
        assert known.ask(attacked(0)).status_code == 429
        assert reached() == 4

    def test_that_strangers_reach_theirs_does_not_say_that_known_browsers_have(self, front_end, suspected, caplog):
        a_login(cap_per_prefix=1)
        self.ask(front_end, [attacked(n) for n in range(2)])
        assert len(suspected) == 1
        assert "login.cap_reached" not in caplog.text

    def test_a_pause_is_of_one_login(self, front_end, suspected):
        a_login(cap_per_prefix=10)
        a_login(key="second", name="Second", is_default=False)
        self.ask(front_end, [attacked(n) for n in range(12)])
        assert len(suspected) == 1
        assert front_end().ask(attacked(500), config="second").status_code == 202

    def test_many_who_see_it_at_once_make_one_pause(self, broker, transactional_db, suspected):
        a_login(cap_per_prefix=10)
        clients = [FrontEnd(lambda: 0, address=f"203.0.{n}.7") for n in range(30)]
        for n in range(10):
            clients[n].ask(attacked(n))
        at_once([lambda n=n: clients[n].ask(attacked(n)) for n in range(10, 30)])
        assert len(suspected) == Pause.objects.count() == 1

    def test_codes_that_leave_after_it_do_not_write_it_again(self, front_end, suspected):
        a_login(**{**GENEROUS, "pause_prefix_after": 10})
        clients = [front_end(address=f"203.0.{n}.7") for n in range(13)]
        for n in range(10):
            clients[n].ask(attacked(n))
        left(timedelta(minutes=3))
        for n in range(10, 13):
            assert clients[n].post("request", {"phone": attacked(n)}).status_code == 202
        with CaptureQueriesContext(connection) as queries:
            clients[0].work()
        assert len(suspected) == 1
        assert sum(bool(re.match(r"INSERT INTO .login_mobile_pause\b", query["sql"])) for query in queries) == 1
        assert [len(codes_sent(attacked(n))) for n in range(13)] == [1] * 13

    def test_nothing_but_the_prefix_is_told_to_the_log(self, front_end, caplog):
        a_login(cap_per_prefix=1)
        self.ask(front_end, [attacked(n) for n in range(3)])
        (line,) = [record.getMessage() for record in caplog.records if "login.paused" in record.getMessage()]
        assert PREFIX not in line
        assert "value=+86138****" in line


class TestNumbersThatCost:
    """A country list, by the country that the digits say; and mobile numbers only."""

    @pytest.mark.parametrize(
        ("phone", "refusal"),
        [
            ("+18765550123", "region_not_allowed"),  # Jamaica, though it begins with +1
            ("+12423591234", "region_not_allowed"),  # the Bahamas
            ("+14165550123", "region_not_allowed"),  # Canada
            ("+19002345678", "not_mobile"),  # premium, and “valid”
            ("+18002345678", "not_mobile"),  # toll-free
            ("+861012345678", "not_mobile"),  # a line in Beijing
            ("+447400123456", "region_not_allowed"),
        ],
    )
    def test_they_get_nothing(self, front_end, login, phone, refusal):
        assert error(front_end().ask(phone)) == (400, refusal)
        assert not Challenge.objects.exists()
        assert codes_sent(phone) == []

    def test_the_default_is_the_projects_default_region_only(self, transactional_db):
        assert MobileLogin().regions == ["US"]

    def test_a_country_that_is_not_on_the_list_cannot_be_chosen(self, front_end, login):
        assert error(front_end().ask("7400 123456", region="GB")) == (400, "region_not_allowed")
        assert error(front_end().ask("2065550123", region="us")) == (400, "region_not_allowed")
        for region in ("XX", "\u0000", "USA"):
            assert error(front_end().ask("2065550123", region=region)) == (400, "region_not_allowed")
        for region in (5, [], {"a": 1}, True):
            assert error(front_end().ask("2065550123", region=region)) == (400, "malformed")


def test_the_endpoints_say_the_same_in_chinese(front_end, login):
    answer = front_end(HTTP_ACCEPT_LANGUAGE="zh-hans").ask("+18765550123")
    assert error(answer) == (400, "region_not_allowed")
    assert json.loads(answer.content)["error"]["message"]
