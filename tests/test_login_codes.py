"""Codes: made, kept, entered, compared, used up. And: for whom and for what they are good."""

from __future__ import annotations

import hashlib
import hmac
import re
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from login_mobile import api, keys
from login_mobile.choices import ChallengeState, Purpose, Sending
from login_mobile.codes import parse_code
from login_mobile.exceptions import OpenTransaction, Refusal
from login_mobile.flows import entering, sending
from login_mobile.flows.digests import code_digests
from login_mobile.flows.sending import send
from login_mobile.json.urls import urlpatterns
from login_mobile.keys import new_code, one_of
from login_mobile.models import Challenge, MobileLogin, MobileNumber
from sms_services.models import SmsMessage
from tests.login_under_test import (
    GENEROUS,
    NUMBER,
    OTHER,
    FrontEnd,
    a_login,
    a_user,
    chinese,
    codes_sent,
    error,
    newest,
    number,
    wrong,
)

pytest_plugins = ["tests.login_under_test"]

#: What JSON can hold in the place of a string.
NO_STRINGS: list[Any] = [None, 5, 123456, 123456.0, True, [], ["1", "2", "3", "4", "5", "6"], {}]


@pytest.fixture
def clock() -> Any:
    with time_machine.travel(timezone.now(), tick=True) as traveller:
        yield traveller


class TestMaking:
    def test_six_digits_from_a_cryptographic_source(self, monkeypatch):
        asked = []

        def choose(alphabet: str) -> str:
            asked.append(alphabet)
            return "0"

        monkeypatch.setattr(keys.secrets, "choice", choose)
        assert new_code(6) == "000000"  # a string: leading zeros count
        assert asked == ["0123456789"] * 6

    def test_all_digits_come_at_all_places(self):
        codes = [new_code(6) for _ in range(2000)]
        assert all(re.fullmatch(r"[0-9]{6}", code) for code in codes)
        for place in range(6):
            assert len({code[place] for code in codes}) == 10
        assert len(set(codes)) > 1900

    def test_a_code_with_leading_zeros_is_sent_and_compared_as_it_is(self, front_end, login, monkeypatch):
        monkeypatch.setattr("login_mobile.flows.sending.new_code", lambda length: "007042")
        client = front_end()
        challenge = client.challenge()
        assert codes_sent(NUMBER) == ["007042"]
        short = client.verify(challenge, "7042")
        assert error(short) == (400, "malformed_code")
        assert short.json()["error"]["message"] == "The code has 6 digits."
        assert "digits only" in client.verify(challenge, "7O42").json()["error"]["message"]
        assert error(client.verify(challenge, 7042)) == (400, "malformed")
        assert client.verify(challenge, "007042").status_code == 200

    def test_longer_codes_where_an_admin_wants_them(self, front_end):
        a_login(code_length=8)
        client = front_end()
        challenge = client.challenge()
        (code,) = codes_sent(NUMBER)
        assert len(code) == 8
        assert client.verify(challenge, code).status_code == 200

    def test_the_text_says_how_long_it_is_valid(self, front_end):
        a_login(code_minutes=7)
        front_end().ask()
        assert SmsMessage.objects.get().template.text.endswith("${minutes} minutes.")
        from sms_services.models import SandboxMessage

        assert SandboxMessage.objects.get().text.reveal().endswith("It is valid for 7 minutes.")

    def test_a_template_without_minutes_gets_none(self, front_end):
        login = a_login()
        login.template.text = "${code} is your code."
        login.template.save()
        assert front_end().log_in().status_code == 200


class TestKeeping:
    def test_only_a_keyed_hash_of_challenge_purpose_number_and_code_is_kept(self, front_end, login, settings):
        front_end().ask()
        (code,) = codes_sent(NUMBER)
        challenge = newest()
        key = hashlib.sha256(b"login_mobile.code" + settings.SECRET_KEY.encode()).digest()
        said = f"{challenge.pk}:{login.pk}:login:{NUMBER}:{code}"
        assert challenge.digest == hmac.new(key, said.encode(), hashlib.sha256).hexdigest()

    def test_another_challenge_purpose_number_or_code_has_another_hash(self, front_end, login):
        front_end().ask()
        challenge = newest()
        seen = {code_digests(challenge, "123456")[0], code_digests(challenge, "123457")[0]}
        for change in ({"pk": 999}, {"purpose": Purpose.BIND}, {"phone_number": OTHER}, {"login_id": 999}):
            other = Challenge.objects.get()
            for name, value in change.items():
                setattr(other, name, value)
            seen.add(code_digests(other, "123456")[0])
        assert len(seen) == 6

    def test_a_code_outlives_a_change_of_the_secret_key_through_the_fallbacks(self, front_end, login, settings):
        client = front_end()
        challenge = client.challenge()
        old = settings.SECRET_KEY
        settings.SECRET_KEY = "a new one"
        assert error(client.verify(challenge, codes_sent(NUMBER)[0])) == (400, "wrong_code")
        settings.SECRET_KEY_FALLBACKS = ["another", old]
        assert client.verify(challenge, codes_sent(NUMBER)[0]).status_code == 200

    def test_the_token_is_kept_as_a_hash_too(self, front_end, login):
        challenge = front_end().challenge()
        assert len(challenge) == 43
        assert newest().token_hash == hashlib.sha256(challenge.encode()).hexdigest()

    def test_hashes_are_compared_in_constant_time(self, monkeypatch):
        compared = []
        monkeypatch.setattr(keys, "constant_time_compare", lambda *pair: compared.append(pair) or pair[0] == pair[1])
        assert one_of("b", ["a", "b", "c"])
        assert compared == [("b", "a"), ("b", "b"), ("b", "c")]  # all of them, wherever the right one stands

    def test_no_hash_fits_nothing(self):
        assert not one_of("", ["", "a"])


class TestEntering:
    @pytest.mark.parametrize(
        "entered", ["{}", " {} ", "{0[0]} {0[1]}{0[2]}-{0[3]}{0[4]}{0[5]}", "full width"], ids=lambda form: form[:10]
    )
    def test_people_write_it_as_they_like(self, front_end, login, entered):
        client = front_end()
        challenge = client.challenge()
        (code,) = codes_sent(NUMBER)
        written = code.translate({48 + n: 0xFF10 + n for n in range(10)}) if entered == "full width" else entered
        assert client.verify(challenge, written.format(code)).status_code == 200

    @pytest.mark.parametrize(
        "entered",
        [
            "", " ", "12345", "1234567", "1234567890", "12345a",
            "١٢٣٤٥٦", "१२३४५६", "①②③④⑤⑥", "²²²²²²", "1234५6", "12345\u200b6", "123456\u0000", "\ud8001234", "+123456",
            "1" * 10_000, "0x1234", "1e5000", "-12345", "１２３４５٦",
        ],
        ids=lambda entered: repr(entered)[:14],
    )  # fmt: skip
    def test_anything_else_is_refused_before_it_is_compared_and_costs_no_attempt(self, front_end, login, entered):
        client = front_end()
        challenge = client.challenge()
        assert error(client.verify(challenge, entered)) == (400, "malformed_code")
        assert newest().attempts == 0
        assert client.verify(challenge, codes_sent(NUMBER)[0]).status_code == 200

    @pytest.mark.parametrize("entered", ["12345", "1234567890", "1" * 21, "12-34 56-78-90"])
    def test_one_of_another_length_is_told_how_many_digits_it_has(self, front_end, login, entered):
        client = front_end()
        answer = client.verify(client.challenge(), entered)
        assert error(answer) == (400, "malformed_code")
        assert answer.json()["error"]["message"] == "The code has 6 digits."
        assert newest().attempts == 0

    @pytest.mark.parametrize("given", NO_STRINGS, ids=repr)
    def test_what_is_no_string_is_no_request(self, front_end, login, given):
        client = front_end()
        challenge = client.challenge()
        for name in ("challenge", "code"):
            answer = client.post("verify", {"challenge": challenge, "code": "123456", name: given})
            assert error(answer) == (400, "malformed")
            assert answer.json()["error"]["message"] == f"“{name}” must be given as a string."
        assert newest().attempts == 0
        with pytest.raises(Refusal, match="malformed_code"):
            parse_code(given, 6)

    @pytest.mark.parametrize(
        ("path", "missing"),
        [
            ("request", "phone"), ("resend", "challenge"), ("verify", "challenge"), ("status", "challenge"),
            ("number/request", "phone"), ("number/verify", "challenge"), ("reauthenticate/verify", "challenge"),
        ],
    )  # fmt: skip
    def test_what_lacks_something_is_no_request(self, front_end, login, path, missing):
        client = front_end()
        client.log_in()
        answer = client.post(path)
        assert error(answer) == (400, "malformed")
        assert answer.json()["error"]["message"] == f"“{missing}” must be given as a string."

    def test_a_region_may_be_left_out_and_is_a_string_if_it_is_there(self, front_end, login):
        client = front_end()
        for region in (5, True, ["US"], {}):
            assert error(client.ask("206 555 0123", region=region)) == (400, "malformed")
        assert error(client.ask("206 555 0123", region="FR")) == (400, "region_not_allowed")
        assert client.ask("206 555 0123", region=None).status_code == 202

    def test_malformed_requests_are_not_counted_as_they_compare_nothing(self, front_end):
        a_login(address_verifications=3)
        client = front_end()
        challenge = client.challenge()
        for body in ({}, {"challenge": challenge}, {"challenge": challenge, "code": 123456}, {"code": "123456"}):
            assert error(client.post("verify", body)) == (400, "malformed")
        for _ in range(3):  # what is a string is counted, whether it is compared or not
            assert error(client.verify(challenge, "12345a")) == (400, "malformed_code")
        assert error(client.verify(challenge, codes_sent(NUMBER)[0])) == (429, "throttled")

    def test_an_entered_code_does_not_show_itself(self):
        entered = parse_code("904417", 6)
        assert "904417" not in repr(entered) + str(entered) + f"{entered!s}"

    @pytest.mark.parametrize("token", ["", "A" * 43, "A" * 42, "\u0000" * 43, "\ud800" * 43, "é" * 43])
    def test_a_token_that_is_none_is_refused(self, front_end, login, token):
        for path in ("verify", "resend", "status"):
            answer = front_end().post(path, {"challenge": token, "code": "123456"})
            assert error(answer) == (404, "unknown_challenge")


class TestLife:
    def test_five_minutes(self, front_end, login, clock):
        client = front_end()
        asked = client.ask().json()
        assert asked["expires_in"] == 300
        clock.shift(301)
        assert error(client.verify(asked["challenge"], codes_sent(NUMBER)[0])) == (410, "expired")

    def test_as_long_as_it_lives_it_works(self, front_end, login, clock):
        client = front_end()
        challenge = client.challenge()
        clock.shift(290)
        assert client.verify(challenge, codes_sent(NUMBER)[0]).status_code == 200

    def test_the_clock_is_compared_in_the_update_itself(self, front_end, login, clock):
        """It expires between the look at the row and the attempt."""
        challenge = front_end().challenge()
        now = timezone.now()
        row = Challenge.objects.filter(token_hash=keys.token_hash(challenge))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert row.count_attempt(now) == 1
            assert row.count_attempt(now.replace(year=now.year + 1)) == 0
            assert row.use(now.replace(year=now.year + 1)) == 0
        assert all(query["sql"].startswith("UPDATE") and "expires_at" in query["sql"] for query in queries)

    def test_the_newest_code_wins(self, front_end, login, clock):
        ada, elsewhere = front_end(), front_end(address="203.0.113.8")
        old = ada.challenge()
        clock.shift(61)
        new = elsewhere.challenge()
        first, second = codes_sent(NUMBER)
        assert error(ada.verify(old, first)) == (410, "replaced")
        assert error(ada.verify(old, second)) == (410, "replaced")
        assert elsewhere.verify(new, second).status_code == 200

    def test_a_resent_code_takes_the_place_of_the_old_one(self, front_end, login, clock):
        client = front_end()
        old = client.challenge()
        early = client.post("resend", {"challenge": old})
        assert error(early) == (429, "throttled")
        clock.shift(61)
        new = client.post("resend", {"challenge": old}).json()["challenge"]
        client.work()
        first, second = codes_sent(NUMBER)
        assert error(client.verify(old, first)) == (410, "replaced")
        assert client.verify(new, second).status_code == 200
        clock.shift(61)
        assert error(client.post("resend", {"challenge": new})) == (410, "used")

    def test_an_expired_one_can_be_resent(self, front_end, login, clock):
        client = front_end()
        challenge = client.challenge()
        clock.shift(400)
        assert client.post("resend", {"challenge": challenge}).status_code == 202


class TestAttempts:
    def test_the_sixth_is_refused_even_if_it_is_right(self, front_end, login):
        client = front_end()
        challenge = client.challenge()
        (code,) = codes_sent(NUMBER)
        for left in (4, 3, 2, 1):
            assert error(client.verify(challenge, wrong(code))) == (400, "wrong_code")
            assert client.post("status", {"challenge": challenge}).json()["attempts_left"] == left
        assert error(client.verify(challenge, wrong(code))) == (410, "too_many_attempts")
        assert error(client.verify(challenge, code)) == (410, "too_many_attempts")
        assert client.user_id is None

    def test_as_many_as_an_admin_allows(self, front_end):
        a_login(attempts_per_code=1)
        client = front_end()
        challenge = client.challenge()
        assert error(client.verify(challenge, wrong(codes_sent(NUMBER)[0]))) == (410, "too_many_attempts")

    def test_whatever_counts_refuses_a_transaction_that_could_take_the_count_back(self, front_end, login, rf):
        challenge = front_end().challenge()
        request = rf.post("/")
        calls: list[Callable[[], object]] = [
            lambda: api.request_code(request, OTHER),
            lambda: api.verify_code(request, challenge, "123456"),
            lambda: api.resend_code(request, challenge),
            lambda: api.finish_registration(request, challenge, "Ada"),
        ]
        for call in calls:
            with transaction.atomic(), pytest.raises(OpenTransaction, match="ATOMIC_REQUESTS"):
                call()
        assert newest().attempts == 0

    def test_a_code_that_was_not_sent_fits_nothing(self, front_end):
        a_login(allow_registration=False)
        client = front_end()
        challenge = client.challenge()
        assert newest().digest == ""
        assert error(client.verify(challenge, "000000")) == (400, "wrong_code")


class TestSingleUse:
    def test_it_works_once(self, front_end, login):
        first, second = front_end(), front_end()
        challenge = first.challenge()
        (code,) = codes_sent(NUMBER)
        assert first.verify(challenge, code).status_code == 200
        assert error(second.verify(challenge, code)) == (410, "used")
        assert second.user_id is None

    def test_whoever_changes_no_row_does_not_get_in(self, front_end, login, monkeypatch):
        """Between the comparison and the use, somebody else has used it."""
        from login_mobile.flows import entering

        compared = entering.number_row

        def used_meanwhile(number: str) -> Any:
            Challenge.objects.update(state=ChallengeState.USED)
            return compared(number)

        client = front_end()
        challenge = client.challenge()
        monkeypatch.setattr(entering, "number_row", used_meanwhile)
        assert error(client.verify(challenge, codes_sent(NUMBER)[0])) == (410, "used")
        assert client.user_id is None

    def test_it_stays_used_if_what_follows_fails(self, front_end, login, settings, monkeypatch):
        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
        settings.LOGIN_MOBILE = {"USER_FACTORY": f"{__name__}.failing_factory"}
        client = front_end(raise_request_exception=False)
        challenge = client.challenge()
        (code,) = codes_sent(NUMBER)
        assert client.verify(challenge, code).status_code == 500
        settings.LOGIN_MOBILE = {}
        assert error(client.verify(challenge, code)) == (410, "used")


def failing_factory(**kwargs: Any) -> Any:
    raise RuntimeError("The host's own mistake.")


class TestBinding:
    """A code is good for whoever asked for it, for what they asked for, and for nothing else."""

    def test_without_the_token_it_is_worth_nothing(self, front_end, login):
        ada, mallory = front_end(), front_end(address="198.51.100.9")
        ada.challenge()
        (code,) = codes_sent(NUMBER)
        for other in (OTHER, "+12065550125"):  # of two codes, one at least is another one
            mine = mallory.challenge(other)
            if code not in codes_sent(other):
                break
        assert error(mallory.verify(mine, code)) == (400, "wrong_code")

    def test_the_configuration_that_is_named_is_read_once(self, front_end, login):
        """And once more as that of the code: it may have been switched off since the code was asked for."""
        client = front_end()
        challenge = client.challenge()
        with CaptureQueriesContext(connection) as queries:
            assert client.verify(challenge, codes_sent(NUMBER)[-1], config="main").status_code == 200
        assert sum(bool(re.search(r"FROM .login_mobile_mobilelogin\b", query["sql"])) for query in queries) == 2

    def test_another_configuration_does_not_take_it(self, front_end, login):
        a_login(key="second", name="Second", is_default=False)
        client = front_end()
        challenge = client.challenge()
        (code,) = codes_sent(NUMBER)
        assert error(client.verify(challenge, code, config="second")) == (404, "unknown_challenge")
        # Where none is named, that is the default one.
        other = client.challenge(OTHER, config="second")
        (second,) = codes_sent(OTHER)
        assert error(client.verify(other, second)) == (404, "unknown_challenge")
        assert client.verify(other, second, config="second").status_code == 200
        assert client.verify(challenge, code, config="main").status_code == 200

    @pytest.mark.parametrize("asked_for", [Purpose.LOGIN, Purpose.BIND, Purpose.CHANGE, Purpose.REAUTHENTICATE])
    def test_another_purpose_does_not_take_it(self, front_end, clock, asked_for):
        a_login(**GENEROUS)
        client = front_end()
        own = {Purpose.CHANGE: OTHER, Purpose.REAUTHENTICATE: NUMBER}.get(asked_for)
        user = a_user(own)
        client.client.force_login(user)
        body = {} if asked_for == Purpose.REAUTHENTICATE else {"phone": NUMBER}
        path = {Purpose.LOGIN: "request", Purpose.REAUTHENTICATE: "reauthenticate/request"}.get(
            asked_for, "number/request"
        )
        challenge = client.post(path, body).json()["challenge"]
        client.work()
        (code,) = codes_sent(NUMBER)
        assert newest().purpose == asked_for
        takers = {
            "verify": {Purpose.LOGIN},
            "number/verify": {Purpose.BIND, Purpose.CHANGE},
            "reauthenticate/verify": {Purpose.REAUTHENTICATE},
        }
        for taker, purposes in sorted(takers.items(), key=lambda pair: asked_for in pair[1]):
            answer = client.post(taker, {"challenge": challenge, "code": code})
            if asked_for in purposes:
                assert answer.status_code in (200, 204)
            else:
                assert error(answer) == (404, "unknown_challenge")

    def test_what_a_user_asked_for_is_that_users_alone(self, front_end, login):
        ada, mallory, nobody = front_end(), front_end(), front_end()
        ada.client.force_login(a_user())
        mallory.client.force_login(a_user())
        challenge = ada.post("number/request", {"phone": NUMBER}).json()["challenge"]
        ada.work()
        (code,) = codes_sent(NUMBER)
        assert error(mallory.post("number/verify", {"challenge": challenge, "code": code})) == (
            404,
            "unknown_challenge",
        )
        assert error(nobody.post("number/verify", {"challenge": challenge, "code": code})) == (401, "not_authenticated")
        assert error(nobody.post("status", {"challenge": challenge})) == (404, "unknown_challenge")
        assert ada.post("number/verify", {"challenge": challenge, "code": code}).status_code == 200

    def test_one_that_is_switched_off_lets_nobody_in_any_more(self, front_end, login):
        client = front_end()
        challenge = client.challenge()
        login.is_active = False
        login.save()
        assert error(client.verify(challenge, codes_sent(NUMBER)[0])) == (403, "disabled")
        assert error(client.ask(OTHER)) == (403, "disabled")


class TestSending:
    def test_the_request_only_stores_and_rings(self, broker, login):
        """Nothing of the provider, the template or the number's owner is looked at while somebody waits."""
        client = FrontEnd(lambda: 0)
        assert client.ask().status_code == 202
        assert not SmsMessage.objects.exists()
        assert newest().digest == ""
        (task,) = broker.take("sms-codes")
        assert (task.name, task.args) == ("login_mobile.send_codes", [[newest().pk]])
        assert broker.take("sms") == []

    def test_however_often_the_task_comes_one_text_goes_out(self, broker, login):
        FrontEnd(broker.work).ask()
        for _ in range(3):
            send([newest().pk])
            broker.work()
        assert len(codes_sent(NUMBER)) == 1

    def test_a_lost_task_is_rung_for_again_by_the_sweep(self, broker, login, clock):
        from login_mobile.sweeping import sweep

        FrontEnd(lambda: 0).ask()
        assert len(broker.take("sms-codes")) == 1  # and lost
        sweep()
        assert broker.take("sms-codes") == []  # it may still come
        clock.shift(16)
        sweep()
        sweep()
        assert broker.work() == 1
        broker.work()
        assert len(codes_sent(NUMBER)) == 1
        clock.shift(16)
        sweep()
        assert broker.take("sms-codes") == []

    def test_a_code_that_is_replaced_before_it_is_made_is_rung_for_no_more(self, broker, login, clock):
        from login_mobile.sweeping import sweep

        client = FrontEnd(lambda: 0)
        client.ask()
        replaced = newest()
        clock.shift(61)
        client.ask()
        broker.take("sms-codes")
        clock.shift(61)
        sweep()
        replaced.refresh_from_db()
        assert (replaced.state, replaced.sending, replaced.sweep_at) == ("replaced", "suppressed", None)
        assert [task.args for task in broker.take("sms-codes")] == [[[newest().pk]]]

    @pytest.mark.parametrize("registration", [True, False])
    def test_that_no_worker_comes_is_told_where_everybody_gets_a_text(
        self, broker, transactional_db, clock, registration
    ):
        """Elsewhere one may have come, and failed for a known number only."""
        a_login(allow_registration=registration)
        client = FrontEnd(lambda: 0)
        challenge = client.ask().json()["challenge"]
        clock.shift(29)
        assert client.post("status", {"challenge": challenge}).json()["trouble"] is False
        clock.shift(2)
        assert client.post("status", {"challenge": challenge}).json()["trouble"] is registration

    def test_what_nobody_came_for_in_time_is_given_up(self, broker, login, clock):
        from login_mobile.sweeping import sweep

        FrontEnd(lambda: 0).ask()
        broker.take("sms-codes")
        clock.shift(301)
        sweep()
        assert broker.take("sms-codes") == []
        assert (newest().sending, newest().problem) == (Sending.FAILED, "expired")

    def test_a_code_is_not_texted_once_it_has_expired(self, broker, login, clock):
        """The workers made it in time and went away before it left."""
        from sms_services.delivery.sweeping import sweep

        client = FrontEnd(lambda: 0)
        challenge = client.ask().json()["challenge"]
        assert broker.work("sms-codes") == 1
        message = newest().message
        assert message.expires_at == newest().expires_at
        clock.shift(301)
        assert broker.work() == 1
        sweep()
        assert codes_sent(NUMBER) == []
        message.refresh_from_db()
        assert (message.status, message.skip_reason, message.sensitive_params) == ("skipped", "expired", "")
        assert client.post("status", {"challenge": challenge}).json()["trouble"] is True

    def test_the_broker_is_down_and_nobody_notices(self, broker, login):
        client = FrontEnd(lambda: 0)
        with broker.down():
            began = time.monotonic()
            assert client.ask().status_code == 202
            assert time.monotonic() - began < 5
        assert newest().sending == Sending.WAITING

    def test_a_worker_that_dies_before_the_commit_has_done_nothing(self, broker, login, monkeypatch):
        from login_mobile.flows import sending

        FrontEnd(lambda: 0).ask()

        def die(*args: Any, **kwargs: Any) -> Any:
            raise SystemExit

        with monkeypatch.context() as patch:
            patch.setattr(sending, "queue_message", die)
            with pytest.raises(SystemExit):
                send([newest().pk])
        assert (newest().digest, newest().sending) == ("", Sending.WAITING)
        broker.work()
        broker.work()
        assert len(codes_sent(NUMBER)) == 1

    def test_a_service_that_cannot_send_is_told_of_on_the_next_step(self, front_end, login):
        login.sms_service.is_active = False
        login.sms_service.save()
        client = front_end()
        challenge = client.challenge()
        assert client.post("status", {"challenge": challenge}).json()["trouble"] is True
        assert (newest().sending, newest().problem) == (Sending.FAILED, "InactiveService")

    def test_a_provider_that_refuses_is_told_of_and_a_resend_is_possible(self, front_end, login, clock):
        client = front_end()
        asked = client.ask("+12065550154").json()  # the sandbox's number without quota
        status = client.post("status", {"challenge": asked["challenge"]}).json()
        assert status["trouble"] is True
        assert 55 <= status["retry_after"] <= 60
        clock.shift(60)
        assert client.post("status", {"challenge": asked["challenge"]}).json()["retry_after"] == 0
        assert client.post("resend", {"challenge": asked["challenge"]}).status_code == 202

    def test_where_only_known_numbers_get_texts_trouble_tells_nothing_of_a_number(self, front_end):
        """Neither one's own text nor another's is told of: whoever asks for two would learn of one by the other."""
        login = a_login(allow_registration=False)
        failing, unknown = "+12065550154", "+12065550140"
        a_user(failing)
        client = front_end()
        tokens = {phone: client.challenge(phone) for phone in (failing, unknown)}
        told = {phone: client.post("status", {"challenge": token}).json()["trouble"] for phone, token in tokens.items()}
        assert set(told.values()) == {False}
        login.sms_service.is_active = False
        login.sms_service.save()
        told = {phone: client.post("status", {"challenge": token}).json()["trouble"] for phone, token in tokens.items()}
        assert set(told.values()) == {True}


class TestEnumeration:
    """Known, unknown, inactive and staff numbers: nothing tells them apart before a right code."""

    KINDS = ("known", "unknown", "inactive", "staff")

    def numbers(self, count: int, start: int = 0) -> dict[str, list[str]]:
        """Numbers of each kind."""
        made: dict[str, list[str]] = {}
        for index, kind in enumerate(self.KINDS):
            made[kind] = [chinese(start + index * count + n) for n in range(count)]
            for phone in made[kind] if kind != "unknown" else ():
                a_user(phone, username=f"{kind}{phone}", is_active=kind != "inactive", is_staff=kind == "staff")
        return made

    def seen(self, answer: Any) -> Any:
        """An answer, with what is random in it replaced."""
        body = re.sub(r'"challenge": "[-\w]{43}"', '"challenge": "…"', answer.content.decode())
        headers = {name: value for name, value in answer.headers.items() if name != "Expires"}
        cookies = sorted((name, morsel["path"], morsel["max-age"]) for name, morsel in answer.cookies.items())
        return answer.status_code, body, headers, cookies

    @pytest.mark.parametrize("registration", [True, False], ids=["registration", "no registration"])
    def test_same_status_body_headers_and_cookies_throttled_or_not(self, front_end, registration):
        a_login(**{**GENEROUS, "allow_registration": registration})
        numbers = self.numbers(1)
        seen: dict[str, list[Any]] = {}
        with time_machine.travel(timezone.now(), tick=False) as clock:
            for kind, (phone,) in numbers.items():
                client = front_end()
                answers = [client.ask(phone), client.ask(phone)]
                challenge = answers[0].json()["challenge"]
                answers += [
                    client.post("resend", {"challenge": challenge}),
                    client.post("status", {"challenge": challenge}),
                ]
                codes = codes_sent(phone)
                guess = wrong(codes[0]) if codes else "123456"
                answers += [client.verify(challenge, guess) for _ in range(7)]
                clock.shift(61)
                answers.append(client.post("resend", {"challenge": challenge}))
                clock.shift(-61)
                seen[kind] = [self.seen(answer) for answer in answers]
        statuses = [answer[0] for answer in seen["known"]]
        assert statuses == [202, 429, 429, 200, 400, 400, 400, 400, 410, 410, 410, 202]
        for kind in self.KINDS:
            assert seen[kind] == seen["known"], kind

    def test_the_same_statements_are_made(self, broker, transactional_db):
        a_login(**GENEROUS)
        client = FrontEnd(lambda: 0)
        client.ask(chinese(9000))  # what is cached is cached
        made = {}
        for kind, (phone,) in self.numbers(1).items():
            with CaptureQueriesContext(connection) as queries:
                assert client.ask(phone).status_code == 202
            made[kind] = [re.sub(r"'[^']*'|\d[\d.]*(e[+-]?\d+)?", "?", query["sql"]) for query in queries]
        for kind in self.KINDS:
            assert made[kind] == made["known"], kind

    def test_medians_of_two_hundred_requests_each_are_within_five_per_cent(self, broker, transactional_db):
        """Interleaved. Other processes on this machine disturb the clock more than the processor's time, so either may
        show it, in one of three chances: what differs by design differs in both, every time.
        """
        a_login(**{**GENEROUS, "pause_below_percent": 0, "cap_per_country": 10_000})
        client = FrontEnd(lambda: 0)
        spreads = []
        for chance in range(3):
            spreads.append(self.spreads(client, self.numbers(200, start=chance * 1000)))
            if min(spreads[-1]) <= 1.05:
                return
        pytest.fail(f"The medians are apart: {spreads}")

    def spreads(self, client: FrontEnd, numbers: dict[str, list[str]]) -> tuple[float, float]:
        """How far the slowest kind's median is from the fastest one's: by the clock, and in the processor's time."""
        times: dict[str, list[tuple[float, float]]] = {kind: [] for kind in self.KINDS}
        for turn in range(200):
            for kind in (*self.KINDS[turn % 4 :], *self.KINDS[: turn % 4]):
                began = time.perf_counter(), time.process_time()
                answer = client.post("request", {"phone": numbers[kind][turn], "region": "CN"})
                times[kind].append((time.perf_counter() - began[0], time.process_time() - began[1]))
                assert answer.status_code == 202
        medians = [[statistics.median(values) for values in zip(*kind, strict=True)] for kind in times.values()]
        clock, processor = ([kind[n] for kind in medians] for n in range(2))
        return max(clock) / min(clock), max(processor) / min(processor)

    def test_a_user_is_made_only_after_a_right_code(self, front_end, login):
        from django.contrib.auth.models import User

        client = front_end()
        challenge = client.challenge()
        client.verify(challenge, wrong(codes_sent(NUMBER)[0]))
        assert not User.objects.exists()
        client.verify(challenge, codes_sent(NUMBER)[0])
        assert User.objects.count() == 1


class TestCrossSite:
    def test_json_wants_the_csrf_token_wherever_a_session_may_come_of_it(self, front_end, login):
        client = front_end(enforce_csrf_checks=True)
        for path in ("request", "resend", "verify", "status", "number/request", "number/verify", "number/remove"):
            assert error(client.post(path)) == (403, "csrf")
        token = client.client.get("/login/api/config/").json()["csrf_token"]
        answer = client.post("request", {"phone": NUMBER}, HTTP_X_CSRFTOKEN=token)
        assert answer.status_code == 202
        assert error(client.post("request", {"phone": OTHER}, HTTP_X_CSRFTOKEN="A" * 64)) == (403, "csrf")

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
    def test_what_a_form_elsewhere_can_send_is_not_read(self, front_end, login, content_type):
        answer = front_end().client.post("/login/api/request/", f'{{"phone": "{NUMBER}"}}', content_type=content_type)
        assert error(answer) == (400, "malformed")

    @pytest.mark.parametrize("method", ["head", "options", "put", "delete", "patch"])
    def test_nothing_but_post_does_anything(self, front_end, login, method):
        """Django asks for no token of some of these."""
        client = front_end(enforce_csrf_checks=True).client
        answer = client.generic(method.upper(), "/login/api/request/", f'{{"phone": "{NUMBER}"}}', "application/json")
        assert answer.status_code == 405
        assert not Challenge.objects.exists()

    def test_get_sends_nothing(self, front_end, login):
        answer = front_end().client.get("/login/api/request/", {"phone": NUMBER})
        assert error(answer) == (405, "method_not_allowed")
        assert answer["Allow"] == "POST"
        assert not Challenge.objects.exists()

    @pytest.mark.parametrize("path", [pattern.pattern for pattern in urlpatterns], ids=str)
    def test_whatever_is_asked_without_a_token_gets_json(self, front_end, login, path):
        client = front_end(enforce_csrf_checks=True).client
        answer = client.post(f"/login/api/{path}", "{}", content_type="application/json")
        assert error(answer) == ((405, "method_not_allowed") if str(path) == "config/" else (403, "csrf"))
        assert error(client.delete(f"/login/api/{path}")) == (405, "method_not_allowed")

    def test_nothing_is_cached(self, front_end, login):
        assert "no-store" in front_end().ask()["Cache-Control"]


def test_projects_test_their_login_with_the_outbox(sms_outbox, client):
    """Without a broker, a worker, or commits."""
    a_login()
    asked = client.post("/login/api/request/", {"phone": NUMBER}, content_type="application/json").json()
    (text,) = sms_outbox
    assert text.phone_number == NUMBER
    body = {"challenge": asked["challenge"], "code": text.params["code"]}
    assert client.post("/login/api/verify/", body, content_type="application/json").json()["created"] is True


def test_api_functions_refuse_with_data(front_end, login, rf):
    with pytest.raises(Refusal) as refusal:
        api.request_code(rf.post("/"), "nonsense")
    assert (refusal.value.code, refusal.value.status, refusal.value.retry_after) == ("invalid_phone", 400, None)


def test_a_country_that_was_closed_gets_no_second_code_either(front_end, login, clock):
    client = front_end()
    challenge = client.challenge(chinese(1))
    MobileLogin.objects.update(regions=["US"])
    clock.shift(61)
    assert error(client.post("resend", {"challenge": challenge})) == (400, "region_not_allowed")


def test_a_code_of_more_than_an_hour_ago_cannot_be_asked_for_again(front_end, login, clock):
    client = front_end()
    challenge = client.challenge()
    clock.shift(3601)
    assert error(client.post("resend", {"challenge": challenge})) == (410, "expired")


def test_a_challenge_that_cannot_be_sent_stops_no_other(front_end, login, monkeypatch):
    client = front_end()
    tokens = [client.post("request", {"phone": number(n)}).json()["challenge"] for n in (1, 2)]
    first = Challenge.objects.earliest("pk")
    real = sending._hand_over

    def fails_for_the_first(challenge):
        if challenge.pk == first.pk:
            raise ValueError
        real(challenge)

    monkeypatch.setattr(sending, "_hand_over", fails_for_the_first)
    client.work()
    assert len(tokens) == 2
    assert (codes_sent(number(1)), len(codes_sent(number(2)))) == ([], 1)


@pytest.mark.parametrize("what", ["removed", "changed"])
def test_a_number_that_is_gone_by_then_opens_nothing(front_end, login, monkeypatch, what):
    user = a_user(NUMBER)
    client = front_end()
    challenge = client.challenge()
    real = entering.number_row

    def read_and_gone(*args):
        row = real(*args)
        rows = MobileNumber.objects.filter(user=user)
        rows.delete() if what == "removed" else rows.update(number=OTHER)
        return row

    monkeypatch.setattr(entering, "number_row", read_and_gone)
    assert error(client.verify(challenge, codes_sent(NUMBER)[-1])) == (403, "not_allowed")
    assert client.user_id is None
