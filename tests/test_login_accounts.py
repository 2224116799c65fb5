"""Whose account it is: registering, logging in, adding, changing and removing a number, numbers that changed hands."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from asgiref.sync import async_to_sync
from django.contrib.auth import SESSION_KEY, aauthenticate, authenticate, get_user_model
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.db import DataError, IntegrityError, OperationalError, connection, connections
from django.db.models.signals import pre_delete, pre_save
from django.http import HttpResponse
from django.utils import timezone

from login_mobile import signals
from login_mobile.api import (
    can_send_notice,
    finish_registration,
    lift_limits,
    log_in,
    remember_device,
    verify_code,
    withdraw_number,
)
from login_mobile.backends import MobileBackend
from login_mobile.choices import ChallengeState, Outcome, RecycledPolicy
from login_mobile.exceptions import Refusal, UnusableFactory
from login_mobile.flows import entering, numbers
from login_mobile.flows.entering import Verified
from login_mobile.models import Challenge, MobileLogin, MobileNumber, Pause, ReviewNumber
from sms_services.models import SandboxMessage, SandboxSms, SmsMessage, SmsTemplate
from tests.login_under_test import (
    GENEROUS,
    NUMBER,
    OTHER,
    FrontEnd,
    a_login,
    a_user,
    at_once,
    codes_sent,
    error,
    just_before,
    newest,
    wrong,
)
from tests.services_under_test import all_rows

pytest_plugins = ["tests.login_under_test"]
pytestmark = pytest.mark.databases

THIRD = "+12065550125"


@pytest.fixture
def clock() -> Any:
    with time_machine.travel(timezone.now(), tick=True) as traveller:
        yield traveller


@pytest.fixture
def heard() -> Any:
    """What our signals said: ``(name, values)``."""
    said: list[tuple[str, dict[str, Any]]] = []
    names = [name for name, value in vars(signals).items() if isinstance(value, signals.Signal)]
    receivers = []
    for name in names:

        def receive(name: str = name, **values: Any) -> None:
            said.append((name, values))

        getattr(signals, name).connect(receive, weak=False)
        receivers.append((name, receive))
    yield said
    for name, receive in receivers:
        getattr(signals, name).disconnect(receive)


NUMBERS = MobileNumber._meta.db_table


def proved(client: FrontEnd, phone: str, path: str = "number") -> Any:
    """Ask for a code for a number of one's own, and enter it."""
    challenge = client.post(f"{path}/request", {"phone": phone} if path == "number" else {}).json()["challenge"]
    client.work()
    return client.post(f"{path}/verify", {"challenge": challenge, "code": codes_sent(phone)[-1]})


class TestRegistering:
    def test_an_unknown_number_makes_a_user_with_nothing_but_a_number(self, front_end, login, heard):
        client = front_end()
        answer = client.log_in()
        user = User.objects.get()
        assert answer.json() == {"user_id": user.pk, "created": True}
        assert client.user_id == user.pk
        assert (user.is_staff, user.is_superuser, user.is_active) == (False, False, True)
        assert not user.has_usable_password()
        assert "5550123" not in user.username  # others see it sooner or later
        assert user.mobile_number.number == NUMBER
        assert newest().outcome == Outcome.REGISTERED
        assert [name for name, _values in heard] == ["code_requested", "number_bound", "mobile_login_succeeded"]
        assert heard[-1][1]["created"] is True
        assert heard[-1][1]["user"] == user

    def test_and_logs_the_same_user_in_the_next_time(self, front_end, login, clock):
        first = front_end().log_in().json()
        clock.shift(61)
        assert front_end().log_in().json() == {"user_id": first["user_id"], "created": False}
        assert newest().outcome == Outcome.LOGGED_IN

    def test_switched_off_it_lets_in_whoever_is_known(self, front_end):
        a_login(allow_registration=False)
        user = a_user(NUMBER)
        assert front_end().log_in().json() == {"user_id": user.pk, "created": False}
        front_end().ask(OTHER)
        assert codes_sent(OTHER) == []

    def test_switched_off_between_request_and_code_it_makes_nobody(self, front_end, login):
        client = front_end()
        challenge = client.challenge()
        login.allow_registration = False
        login.save()
        assert error(client.verify(challenge, codes_sent(NUMBER)[0])) == (403, "not_allowed")
        assert not User.objects.exists()

    def test_the_user_is_made_by_a_replaceable_factory(self, front_end, login, settings):
        settings.LOGIN_MOBILE = {"USER_FACTORY": f"{__name__}.our_factory"}
        front_end().log_in()
        assert User.objects.get().email == f"{NUMBER}@example.com"

    def test_a_factory_that_breaks_a_constraint_is_said_to(self, front_end, login, settings):
        """The database's own words may hold the number."""
        settings.LOGIN_MOBILE = {"USER_FACTORY": f"{__name__}.name_sake"}
        a_user(username="former")
        with pytest.raises(UnusableFactory, match="the database does not take") as failed:
            front_end().log_in()
        assert failed.value.__suppress_context__
        assert not MobileNumber.objects.exists()
        assert newest().outcome == Outcome.REFUSED

    @pytest.mark.parametrize(("factory", "raised"), [("too_long", UnusableFactory), ("failing_factory", KeyError)])
    def test_a_code_whose_user_cannot_be_made_is_refused(self, front_end, login, settings, factory, raised):
        settings.LOGIN_MOBILE = {"USER_FACTORY": f"{__name__}.{factory}"}
        with pytest.raises(raised) as failed:
            front_end().log_in()
        assert NUMBER not in str(failed.value)
        assert failed.value.__suppress_context__ == (raised is UnusableFactory)
        assert (newest().state, newest().outcome) == (ChallengeState.USED, Outcome.REFUSED)
        assert not User.objects.exists()

    @pytest.mark.parametrize("factory", ["staff_factory", "superuser_factory", "unsaved_factory"])
    def test_a_factory_that_makes_staff_or_nobody_is_refused(self, front_end, login, settings, factory):
        settings.LOGIN_MOBILE = {"USER_FACTORY": f"{__name__}.{factory}"}
        client = front_end(raise_request_exception=False)
        assert client.log_in().status_code == 500
        assert not User.objects.exists()
        assert client.user_id is None
        assert newest().outcome == Outcome.REFUSED


def too_long(*, number: str, **kwargs: Any) -> User:
    """SQLite would take it; the others name the value."""
    if connection.vendor == "sqlite":
        raise DataError(f"{number} is too long.")
    return User.objects.create_user(number * 20)


def failing_factory(**kwargs: Any) -> User:
    User.objects.create_user("half")
    raise KeyError("profile")


def our_factory(*, number: str, nickname: str, login: Any) -> User:
    return User.objects.create_user("ada", email=f"{number}@example.com")


def staff_factory(**kwargs: Any) -> User:
    return User.objects.create_user("ada", is_staff=True)


def superuser_factory(**kwargs: Any) -> User:
    return User.objects.create_user("ada", is_superuser=True)


def unsaved_factory(**kwargs: Any) -> User:
    return User(username="ada")


class TestNicknames:
    @pytest.fixture(autouse=True)
    def _asks(self, transactional_db) -> None:
        a_login(ask_nickname=True)

    def test_it_is_asked_for_after_the_right_code_and_the_code_works_until_there_is_one(self, front_end):
        client = front_end()
        challenge = client.challenge()
        (code,) = codes_sent(NUMBER)
        assert error(client.verify(challenge, wrong(code))) == (400, "wrong_code")
        assert error(client.verify(challenge, code)) == (422, "nickname_required")
        assert not User.objects.exists()
        assert client.verify(challenge, code, nickname=" Ada ").json()["created"] is True
        assert User.objects.get().first_name == "Ada"
        assert error(client.verify(challenge, code, nickname="Ada")) == (410, "used")

    def test_given_with_the_code_it_takes_one_request(self, front_end):
        client = front_end()
        answer = client.verify(client.challenge(), codes_sent(NUMBER)[0], nickname="Ada")
        assert answer.json()["created"] is True
        assert User.objects.get().first_name == "Ada"

    @pytest.mark.parametrize(
        "nickname",
        [
            *(" ", 5, [], {}, "a" * 31, "a\x00b", "a\nb", "\u200b", "\u202eevil", "\ud800", "a" * 100_00),
            *("\u200d", "\ufe0f \u200d", "\u3164", "\u2800", "\u0301"),
        ],
    )
    def test_one_that_is_none_is_refused(self, front_end, nickname):
        client = front_end()
        challenge = client.challenge()
        assert error(client.verify(challenge, codes_sent(NUMBER)[0], nickname=nickname)) == (422, "invalid_nickname")
        assert client.verify(challenge, codes_sent(NUMBER)[0], nickname="小明 👩‍💻").status_code == 200

    def test_who_is_known_is_not_asked(self, front_end):
        a_user(NUMBER)
        assert front_end().log_in().status_code == 200

    def test_a_challenge_whose_code_was_never_right_cannot_be_finished(self, front_end, rf):
        client = front_end()
        challenge = client.challenge()
        with pytest.raises(Refusal, match="unknown_challenge"):
            finish_registration(rf.post("/"), challenge, "Ada")
        client.verify(challenge, codes_sent(NUMBER)[0])
        assert finish_registration(rf.post("/"), challenge, "Ada").created
        with pytest.raises(Refusal, match="used"):
            finish_registration(rf.post("/"), challenge, "Ada")

    def test_there_are_minutes_to_choose_one_but_not_for_ever(self, front_end, clock, rf):
        client = front_end()
        challenge = client.challenge()
        (code,) = codes_sent(NUMBER)
        clock.shift(290)
        assert error(client.verify(challenge, code)) == (422, "nickname_required")
        clock.shift(200)
        with pytest.raises(Refusal, match="nickname_required"):
            finish_registration(rf.post("/"), challenge, "")
        clock.shift(101)
        with pytest.raises(Refusal, match="expired"):
            finish_registration(rf.post("/"), challenge, "Ada")

    def test_a_code_that_was_right_can_be_entered_again_as_long_as_a_nickname_can_be_chosen(self, front_end, clock):
        client = front_end()
        challenge = client.challenge()
        (code,) = codes_sent(NUMBER)
        clock.shift(290)
        assert error(client.verify(challenge, code)) == (422, "nickname_required")
        clock.shift(200)
        assert error(client.verify(challenge, wrong(code), nickname="Ada")) == (400, "wrong_code")
        assert error(client.verify(challenge, code, nickname="")) == (422, "nickname_required")
        assert client.post("status", {"challenge": challenge}).json()["expires_in"] <= 100  # it began once
        assert client.verify(challenge, code, nickname="Ada").json()["created"] is True

    def test_but_not_for_ever(self, front_end, clock):
        client = front_end()
        challenge = client.challenge()
        (code,) = codes_sent(NUMBER)
        clock.shift(290)
        assert error(client.verify(challenge, code)) == (422, "nickname_required")
        clock.shift(301)
        assert error(client.verify(challenge, code, nickname="Ada")) == (410, "expired")
        assert not User.objects.exists()

    def test_one_that_was_not_right_in_time_never_is(self, front_end, clock):
        client = front_end()
        challenge = client.challenge()
        (code,) = codes_sent(NUMBER)
        assert error(client.verify(challenge, wrong(code))) == (400, "wrong_code")
        clock.shift(301)
        assert error(client.verify(challenge, code, nickname="Ada")) == (410, "expired")

    def test_nicknames_that_are_refused_use_up_no_attempts(self, front_end, rf):
        client = front_end()
        challenge = client.challenge()
        (code,) = codes_sent(NUMBER)
        assert error(client.verify(challenge, wrong(code))) == (400, "wrong_code")
        for nickname in ("", "\u200b", None, "a" * 31, " ", "\n"):
            assert client.verify(challenge, code, nickname=nickname).status_code == 422
            with pytest.raises(Refusal, match="nickname"):
                finish_registration(rf.post("/"), challenge, nickname)
            assert newest().attempts == 1
        assert client.verify(challenge, code, nickname="Ada").status_code == 200

    def test_wrong_codes_count_on_after_a_right_one(self, front_end):
        client = front_end()
        challenge = client.challenge()
        (code,) = codes_sent(NUMBER)
        for _ in range(4):
            assert error(client.verify(challenge, code)) == (422, "nickname_required")
            assert error(client.verify(challenge, wrong(code))) == (400, "wrong_code")
        assert error(client.verify(challenge, wrong(code))) == (410, "too_many_attempts")
        assert error(client.verify(challenge, code, nickname="Ada")) == (410, "too_many_attempts")

    def test_right_codes_at_once_give_back_what_they_took(self, front_end):
        MobileLogin.objects.update(attempts_per_code=10)
        client = front_end()
        challenge = client.challenge()
        (code,) = codes_sent(NUMBER)
        answers = at_once([lambda: front_end().verify(challenge, code)] * 6)
        assert {answer.status_code for answer in answers} == {422}
        assert (newest().attempts, newest().state) == (0, ChallengeState.PROVED)

    def test_a_right_code_gives_no_more_tries(self, front_end):
        client = front_end()
        challenge = client.challenge()
        (code,) = codes_sent(NUMBER)
        for _ in range(4):
            assert error(client.verify(challenge, wrong(code))) == (400, "wrong_code")
        assert error(client.verify(challenge, code)) == (422, "nickname_required")  # the last try, and given back
        assert error(client.verify(challenge, wrong(code))) == (410, "too_many_attempts")
        assert error(client.verify(challenge, code, nickname="Ada")) == (410, "too_many_attempts")

    @pytest.mark.parametrize("entered_again", [True, False], ids=["the code", "a nickname"])
    def test_a_newer_code_ends_one_that_was_right(self, front_end, rf, clock, entered_again):
        """Or it would log somebody in as whoever registers with the newer one."""
        a, b = front_end(), front_end(address="203.0.113.55")
        challenge = a.challenge()
        (code,) = codes_sent(NUMBER)
        assert error(a.verify(challenge, code)) == (422, "nickname_required")
        clock.shift(61)
        newer = b.challenge()
        if entered_again:
            assert error(a.verify(challenge, code, nickname="Mal")) == (410, "replaced")
        else:
            with pytest.raises(Refusal, match=r"unknown_challenge|replaced"):
                finish_registration(rf.post("/"), challenge, "Mal")
        assert b.verify(newer, codes_sent(NUMBER)[-1], nickname="Vic").json()["created"] is True
        assert a.user_id is None

    def test_an_account_made_meanwhile_ends_what_others_have_proved(self, front_end, rf, clock):
        """Also what was asked for by a browser that is known, which a stranger's newer code leaves alone."""
        a, b = front_end(), front_end(address="203.0.113.55")
        challenge = a.challenge()
        (code,) = codes_sent(NUMBER)
        Challenge.objects.update(known_device=True)
        assert error(a.verify(challenge, code)) == (422, "nickname_required")
        clock.shift(61)
        assert b.verify(b.challenge(), codes_sent(NUMBER)[-1], nickname="Vic").json()["created"] is True
        assert error(a.verify(challenge, code, nickname="Mal")) == (410, "replaced")
        assert a.user_id is None


class TestWhoIsNotLetIn:
    @pytest.mark.parametrize("fields", [{"is_active": False}, {"is_staff": True}, {"is_superuser": True}], ids=repr)
    def test_a_generic_refusal_after_a_right_code_only(self, front_end, login, heard, fields):
        user = a_user(NUMBER, **fields)
        client = front_end()
        challenge = client.challenge()
        (code,) = codes_sent(NUMBER)
        assert error(client.verify(challenge, wrong(code))) == (400, "wrong_code")
        answer = client.verify(challenge, code)
        assert error(answer) == (403, "not_allowed")
        assert "staff" not in answer.content.decode()
        assert "active" not in answer.content.decode()
        assert client.user_id is None
        assert error(client.verify(challenge, code)) == (410, "used")
        assert "login_mobile_device" not in client.client.cookies
        name, values = heard[-1]
        assert (name, values["user"], values["code"]) == ("mobile_login_refused", user, "not_allowed")

    def test_staff_get_in_where_an_admin_allows_it(self, front_end):
        a_login(allow_staff=True)
        user = a_user(NUMBER, is_staff=True)
        client = front_end()
        assert client.log_in().status_code == 200
        assert client.user_id == user.pk

    def test_inactive_staff_do_not(self, front_end):
        a_login(allow_staff=True)
        a_user(NUMBER, is_staff=True, is_active=False)
        assert error(front_end().log_in()) == (403, "not_allowed")


class TestBackend:
    def test_it_takes_a_proof_and_nothing_that_a_form_could_hold(self, front_end, login, rf):
        user = a_user(NUMBER)
        proof = Verified(user, created=False, number=user.mobile_number, login=login)
        assert authenticate(rf.post("/"), mobile_proof=proof) == user
        for forged in (NUMBER, user.pk, {"user": user}, True, None, user):
            assert authenticate(rf.post("/"), mobile_proof=forged) is None
        assert authenticate(rf.post("/"), username=user.username, password="") is None

    def test_user_can_authenticate_of_a_subclass_is_honoured(self, front_end, login, settings, heard):
        settings.AUTHENTICATION_BACKENDS = [f"{__name__}.OnlyAda", "django.contrib.auth.backends.ModelBackend"]
        a_user(NUMBER, username="mallory")
        a_user(OTHER, username="ada")
        assert error(front_end().log_in(NUMBER)) == (403, "not_allowed")
        assert newest().outcome == Outcome.REFUSED
        said = [name for name, _ in heard]
        assert "mobile_login_refused" in said
        assert "mobile_login_succeeded" not in said
        assert front_end().log_in(OTHER).status_code == 200

    @pytest.mark.parametrize("issuer", ["", f"{__name__}.issue"], ids=["a session", "a token"])
    def test_somebody_new_is_told_of_as_refused_only(self, front_end, login, settings, heard, issuer):
        settings.AUTHENTICATION_BACKENDS = [f"{__name__}.OnlyAda"]
        settings.LOGIN_MOBILE = {"TOKEN_ISSUER": issuer}
        client = front_end()
        assert error(client.log_in()) == (403, "not_allowed")
        assert client.user_id is None
        assert newest().outcome == Outcome.REFUSED
        said = [name for name, _ in heard]
        assert "mobile_login_refused" in said
        assert "mobile_login_succeeded" not in said

    def test_nor_by_async_code(self, login, settings):
        settings.AUTHENTICATION_BACKENDS = ["login_mobile.backends.MobileBackend"]
        user = a_user(NUMBER, username="ada", password="secret", is_superuser=True)
        MobileLogin.objects.update(allow_staff=True)
        assert async_to_sync(aauthenticate)(username="ada", password="secret") is None
        assert async_to_sync(MobileBackend().ahas_perm)(user, "auth.add_user") is False
        assert async_to_sync(MobileBackend().aget_user)(user.pk) == user

    @pytest.mark.parametrize("changes", [{"is_active": False}, {"is_staff": True}, {"is_superuser": True}])
    def test_a_session_ends_with_the_right_to_begin_one(self, front_end, login, changes):
        client = front_end()
        assert client.log_in().status_code == 200
        User.objects.update(**changes)
        assert client.client.get("/login/account/").status_code == 302
        if "is_active" not in changes:
            # The kill switch does not lock out who throws it: who is logged in stays so.
            MobileLogin.objects.update(allow_staff=True, is_active=False)
            assert client.client.get("/login/account/").status_code == 200

    def test_passwords_go_on_working_beside_it(self, login, client):
        a_user(NUMBER, username="ada", password="secret")
        assert client.login(username="ada", password="secret")

    def test_it_grants_no_permissions(self):
        superuser = User(is_superuser=True)
        assert not MobileBackend().has_perm(superuser, "auth.add_user")
        assert MobileBackend().get_all_permissions(superuser) == set()

    def test_the_proof_does_not_show_the_number(self, login):
        user = a_user(NUMBER)
        assert "5550123" not in repr(Verified(user, created=False, number=user.mobile_number, login=login))


class OnlyAda(MobileBackend):
    def user_can_authenticate(self, user: Any) -> bool:
        return user.username == "ada"


class TestSessions:
    def test_the_key_is_rotated(self, front_end, login):
        client = front_end()
        session = client.client.session
        session["basket"] = "A-17"
        session.save()
        client.client.cookies["sessionid"] = session.session_key
        before = session.session_key
        client.log_in()
        assert client.client.session.session_key != before
        assert client.client.session["basket"] == "A-17"  # an anonymous session goes on

    def test_also_when_the_same_user_logs_in_again(self, front_end, login, clock):
        client = front_end()
        client.log_in()
        before = client.client.session
        clock.shift(61)
        assert client.log_in().json() == {"user_id": client.user_id, "created": False}
        assert client.client.session.session_key != before.session_key
        assert not before.exists(before.session_key)

    def test_another_users_session_is_flushed_first(self, front_end, login):
        client = front_end()
        client.client.force_login(a_user())
        session = client.client.session
        session["secret"] = "of the other user"
        session.save()
        client.log_in()
        assert "secret" not in client.client.session
        assert client.user_id == MobileNumber.objects.get().user_id

    def test_a_receiver_of_djangos_that_fails_leaves_the_code_used(self, front_end, login):
        def fail(**kwargs: Any) -> None:
            raise RuntimeError

        client = front_end(raise_request_exception=False)
        challenge = client.challenge()
        (code,) = codes_sent(NUMBER)
        user_logged_in.connect(fail)
        assert client.verify(challenge, code).status_code == 500
        user_logged_in.disconnect(fail)
        assert client.user_id is None
        assert error(client.verify(challenge, code)) == (410, "used")

    def test_a_token_issuer_takes_the_place_of_the_session(self, front_end, login, settings):
        settings.LOGIN_MOBILE = {"TOKEN_ISSUER": f"{__name__}.issue"}
        client = front_end(enforce_csrf_checks=True)  # no cookie authenticates, so none is forged
        answer = client.log_in()
        assert answer.json() == {"token": f"token of {User.objects.get().pk}", "new": True}
        assert SESSION_KEY not in client.client.session
        assert "sessionid" not in answer.cookies
        client.client.cookies["sessionid"] = "something"
        assert error(client.ask(OTHER)) == (403, "csrf")

    def test_a_token_is_not_issued_to_whom_a_backend_refuses(self, front_end, login, settings):
        settings.LOGIN_MOBILE = {"TOKEN_ISSUER": f"{__name__}.issue"}
        a_user(NUMBER, is_active=False)
        assert error(front_end().log_in()) == (403, "not_allowed")

    def test_the_device_is_remembered_for_the_browser_only(self, front_end, login, settings):
        settings.SESSION_COOKIE_SECURE = True
        morsel = front_end().log_in().cookies["login_mobile_device"]
        assert (morsel["httponly"], morsel["secure"], morsel["samesite"]) == (True, True, "Lax")
        assert "5550123" not in morsel.value


def issue(request: Any, verified: Verified) -> dict[str, Any]:
    return {"token": f"token of {verified.user.pk}", "new": verified.created}


class TestBinding:
    @pytest.fixture
    def ada(self, front_end, login) -> FrontEnd:
        client = front_end()
        client.client.force_login(a_user(username="ada"))
        return client

    def test_a_number_is_added_to_the_account(self, ada, heard):
        assert proved(ada, NUMBER).json() == {"phone": NUMBER}
        assert User.objects.get().mobile_number.number == NUMBER
        assert [name for name, _values in heard][-1] == "number_bound"
        assert newest().outcome == Outcome.BOUND

    def test_and_opens_it_from_then_on(self, ada, front_end, clock):
        proved(ada, NUMBER)
        clock.shift(61)
        assert front_end().log_in().json() == {"user_id": User.objects.get().pk, "created": False}

    def test_that_somebody_else_has_it_is_told_after_the_right_code_only(self, ada, heard):
        a_user(NUMBER, username="owner")
        challenge = ada.post("number/request", {"phone": NUMBER}).json()["challenge"]
        ada.work()
        (code,) = codes_sent(NUMBER)
        assert error(ada.post("number/verify", {"challenge": challenge, "code": wrong(code)})) == (400, "wrong_code")
        taken = ada.post("number/verify", {"challenge": challenge, "code": code})
        assert error(taken) == (409, "number_taken")
        assert MobileNumber.objects.get().user.username == "owner"
        assert error(ada.post("number/verify", {"challenge": challenge, "code": code})) == (410, "used")

    def test_a_code_to_add_a_number_changes_none(self, ada):
        """Its account has one by now: that would want a notice to it, and a code that was asked for to change it."""
        first = ada.post("number/request", {"phone": OTHER}).json()["challenge"]
        ada.work()
        assert proved(ada, THIRD).status_code == 200
        answer = ada.post("number/verify", {"challenge": first, "code": codes_sent(OTHER)[-1]})
        assert error(answer) == (409, "number_changed")
        assert MobileNumber.objects.get().number == THIRD

    def test_claims_that_are_not_verified_reserve_nothing(self, ada, front_end):
        """Mallory has asked for a code to Ada's number. It keeps Ada from nothing, and is over once she has it."""
        mallory = front_end()
        mallory.client.force_login(a_user(username="mallory"))
        claim = mallory.post("number/request", {"phone": NUMBER}).json()["challenge"]
        mallory.work()
        lift_limits(NUMBER)
        assert proved(ada, NUMBER).status_code == 200
        late = mallory.post("number/verify", {"challenge": claim, "code": codes_sent(NUMBER)[0]})
        assert error(late) == (410, "replaced")
        assert MobileNumber.objects.get().user.username == "ada"

    def test_a_strangers_later_claim_does_not_end_ones_own(self, ada, front_end):
        claim = ada.post("number/request", {"phone": NUMBER}).json()["challenge"]
        ada.work()
        lift_limits(NUMBER)
        mallory = front_end()
        mallory.client.force_login(a_user(username="mallory"))
        assert mallory.post("number/request", {"phone": NUMBER}).status_code == 202
        answer = ada.post("number/verify", {"challenge": claim, "code": codes_sent(NUMBER)[0]})
        assert answer.json() == {"phone": NUMBER}

    def test_a_first_verification_ends_what_others_had_begun(self, ada, front_end):
        claim = ada.post("number/request", {"phone": NUMBER}).json()["challenge"]
        ada.work()
        lift_limits(NUMBER)
        owner = front_end()
        assert owner.log_in().json()["created"] is True
        late = ada.post("number/verify", {"challenge": claim, "code": codes_sent(NUMBER)[0]})
        assert error(late) == (410, "replaced")

    @pytest.mark.parametrize("path", ["number/request", "number/remove"])
    def test_nobody_who_is_not_logged_in(self, front_end, login, path):
        assert error(front_end().post(path, {"phone": NUMBER})) == (401, "not_authenticated")

    def test_taken_is_what_the_number_is_and_nothing_else(self, ada, monkeypatch):
        """While the code is compared, the account gets another number elsewhere; or the host's database refuses."""
        compared = numbers.number_row

        def bound_meanwhile(number: str) -> Any:
            MobileNumber.objects.get_or_create(number=OTHER, user=User.objects.get())
            return compared(number)

        challenge = ada.post("number/request", {"phone": NUMBER}).json()["challenge"]
        ada.work()
        monkeypatch.setattr(numbers, "number_row", bound_meanwhile)
        assert error(ada.post("number/verify", {"challenge": challenge, "code": codes_sent(NUMBER)[-1]})) == (
            409,
            "number_changed",
        )
        assert MobileNumber.objects.get().number == OTHER

    def test_an_error_of_the_hosts_own_is_not_taken_for_that(self, front_end, login):
        def refuse(**kwargs: Any) -> None:
            raise IntegrityError("A trigger of the host.")

        client = front_end(raise_request_exception=False)
        client.client.force_login(a_user())
        pre_save.connect(refuse, sender=MobileNumber)
        try:
            assert proved(client, NUMBER).status_code == 500
        finally:
            pre_save.disconnect(refuse, sender=MobileNumber)
        assert not MobileNumber.objects.exists()


class TestChanging:
    @pytest.fixture
    def ada(self, front_end, login) -> FrontEnd:
        a_user(NUMBER, username="ada", password="secret")
        client = front_end()
        assert client.log_in().status_code == 200
        return client

    def test_the_code_goes_to_the_new_number_and_a_notice_to_the_old_one(self, ada, heard):
        assert proved(ada, OTHER).json() == {"phone": OTHER}
        ada.work()
        assert User.objects.get().mobile_number.number == OTHER
        notice = SandboxMessage.objects.filter(phone_number=NUMBER).latest("pk").text.reveal()
        assert "no longer" in notice
        name, values = heard[-1]
        assert (name, values["old_number"], values["new_number"]) == ("number_changed", NUMBER, OTHER)
        assert newest().outcome == Outcome.CHANGED

    def test_the_notice_may_have_a_template_of_its_own(self, ada, login):
        login.notice_template = SmsTemplate.objects.create(key="notice", name="Notice", text="Somebody changed it.")
        login.save()
        proved(ada, OTHER)
        ada.work()
        assert SandboxMessage.objects.filter(phone_number=NUMBER).latest("pk").text.reveal() == "Somebody changed it."

    def test_a_notice_that_cannot_be_sent_undoes_nothing(self, ada, login):
        challenge = ada.post("number/request", {"phone": OTHER}).json()["challenge"]
        ada.work()
        login.sms_service.is_active = False
        login.sms_service.save()
        answer = ada.post("number/verify", {"challenge": challenge, "code": codes_sent(OTHER)[-1]})
        assert answer.json() == {"phone": OTHER}

    def test_the_browser_is_known_for_the_new_number(self, ada, front_end, clock):
        assert proved(ada, OTHER).status_code == 200
        clock.shift(3601)
        ada.client.cookies.pop("sessionid")
        front_end().challenge(OTHER)  # a stranger's
        assert ada.ask(OTHER).status_code == 202

    def test_the_old_number_opens_nothing_any_more(self, ada, front_end, clock):
        proved(ada, OTHER)
        clock.shift(61)
        assert front_end().log_in(NUMBER).json()["created"] is True
        assert front_end().log_in(OTHER).json() == {"user_id": ada.user_id, "created": False}

    def test_that_it_was_changed_meanwhile_is_told(self, ada):
        challenge = ada.post("number/request", {"phone": OTHER}).json()["challenge"]
        ada.work()
        # As the last step before the change, somebody looks whose the new number is.
        with just_before("SELECT", NUMBERS, "JOIN", do=lambda: MobileNumber.objects.update(number=THIRD)):
            answer = ada.post("number/verify", {"challenge": challenge, "code": codes_sent(OTHER)[-1]})
        assert error(answer) == (409, "number_changed")

    def test_that_it_was_removed_meanwhile_is_told(self, ada, clock):
        MobileNumber.objects.update(last_used_at=timezone.now() - timedelta(days=91))
        clock.shift(61)
        challenge = ada.post("number/request", {"phone": NUMBER}).json()["challenge"]
        ada.work()
        with just_before("UPDATE", NUMBERS, do=lambda: MobileNumber.objects.all().delete()):
            answer = ada.post("number/verify", {"challenge": challenge, "code": codes_sent(NUMBER)[-1]})
        assert error(answer) == (409, "number_changed")
        assert newest().outcome == Outcome.REFUSED

    def test_what_was_put_in_its_place_meanwhile_is_not_removed(self, ada):
        with just_before("UPDATE", NUMBERS, do=lambda: MobileNumber.objects.update(number=THIRD)):
            assert error(ada.post("number/remove")) == (409, "no_number")
        assert MobileNumber.objects.get().user_id == ada.user_id

    @pytest.mark.parametrize("phone", [OTHER, NUMBER])
    @pytest.mark.parametrize("act", ["remove", "withdraw"])
    def test_a_code_from_before_a_number_was_taken_away_brings_none_back(self, ada, no_pause, act, phone):
        MobileNumber.objects.update(last_used_at=timezone.now() - timedelta(days=91))
        challenge = ada.post("number/request", {"phone": phone}).json()["challenge"]
        ada.work()
        if act == "remove":
            assert ada.post("number/remove").status_code == 204
        else:
            assert withdraw_number(MobileNumber.objects.get())
        answer = ada.post("number/verify", {"challenge": challenge, "code": codes_sent(phone)[-1]})
        assert error(answer) == (410, "replaced")
        assert not MobileNumber.objects.exists()

    def test_nor_does_one_that_is_entered_at_that_moment(self, ada):
        challenge = ada.post("number/request", {"phone": OTHER}).json()["challenge"]
        ada.work()
        with just_before("SELECT", NUMBERS, do=lambda: withdraw_number(MobileNumber.objects.get())):
            answer = ada.post("number/verify", {"challenge": challenge, "code": codes_sent(OTHER)[-1]})
        assert error(answer) == (410, "replaced")
        assert not MobileNumber.objects.exists()

    @pytest.mark.parametrize("act", ["change", "remove", "withdraw"])
    def test_without_its_notice_nothing_is_changed(self, ada, act):
        """Whoever did not do it would never hear of it."""
        challenge = ada.post("number/request", {"phone": OTHER}).json()["challenge"]
        ada.work()
        texts = SmsMessage.objects.count()

        def locked() -> None:
            raise OperationalError("database is locked")

        acts = {
            "change": lambda: ada.post("number/verify", {"challenge": challenge, "code": codes_sent(OTHER)[-1]}),
            "remove": lambda: ada.post("number/remove"),
            "withdraw": lambda: withdraw_number(MobileNumber.objects.get()),
        }
        with just_before("INSERT", SmsMessage._meta.db_table, do=locked), pytest.raises(OperationalError):
            acts[act]()
        assert MobileNumber.objects.get().number == NUMBER
        assert SmsMessage.objects.count() == texts

    def test_a_session_that_was_left_open_is_not_enough(self, ada, clock):
        challenge = ada.post("number/request", {"phone": OTHER}).json()["challenge"]
        ada.work()
        (code,) = codes_sent(OTHER)
        clock.shift(601)
        wanted = (403, "reauthentication_required")
        assert error(ada.post("number/request", {"phone": THIRD})) == wanted
        assert error(ada.post("number/verify", {"challenge": challenge, "code": code})) == wanted
        assert error(ada.post("number/remove")) == wanted
        assert MobileNumber.objects.get().number == NUMBER

    @pytest.mark.parametrize("by", ["password", "code"])
    def test_whoever_confirms_who_it_is_may(self, ada, clock, by):
        clock.shift(601)
        if by == "password":
            assert ada.post("reauthenticate/verify", {"password": "secret"}).status_code == 204
        else:
            challenge = ada.post("reauthenticate/request").json()["challenge"]
            ada.work()
            body = {"challenge": challenge, "code": codes_sent(NUMBER)[-1]}
            assert ada.post("reauthenticate/verify", body).status_code == 204
        assert proved(ada, OTHER).status_code == 200

    def test_a_code_to_a_number_that_is_not_its_own_any_more_confirms_nothing(self, ada, clock):
        clock.shift(601)
        challenge = ada.post("reauthenticate/request").json()["challenge"]
        ada.work()
        MobileNumber.objects.update(number=THIRD)
        body = {"challenge": challenge, "code": codes_sent(NUMBER)[-1]}
        assert error(ada.post("reauthenticate/verify", body)) == (409, "no_number")
        assert error(ada.post("number/request", {"phone": OTHER})) == (403, "reauthentication_required")

    def test_nor_does_one_that_somebody_else_uses_meanwhile(self, ada, clock):
        clock.shift(601)
        challenge = ada.post("reauthenticate/request").json()["challenge"]
        ada.work()
        used = Challenge.objects.filter(state=ChallengeState.OPEN).update
        with just_before("UPDATE", Challenge._meta.db_table, "used_at", do=lambda: used(state=ChallengeState.USED)):
            answer = ada.post("reauthenticate/verify", {"challenge": challenge, "code": codes_sent(NUMBER)[-1]})
        assert error(answer) == (410, "used")
        assert error(ada.post("number/request", {"phone": OTHER})) == (403, "reauthentication_required")

    def test_wrong_passwords_confirm_nothing_and_are_limited(self, ada, clock):
        clock.shift(601)
        for _ in range(10):
            assert error(ada.post("reauthenticate/verify", {"password": "guess"})) == (400, "wrong_password")
        assert error(ada.post("reauthenticate/verify", {"password": "secret"})) == (429, "throttled")
        assert error(ada.post("number/request", {"phone": OTHER})) == (403, "reauthentication_required")

    @pytest.mark.parametrize("password", [None, 5, [], "", "a" * 10_000])
    def test_a_password_that_is_none_is_wrong(self, ada, password):
        assert error(ada.post("reauthenticate/verify", {"password": password})) == (400, "wrong_password")

    def test_the_confirmation_is_of_one_user(self, ada, clock):
        """It does not stay in the session for whoever logs in next; and only a login stamps it."""
        session = ada.client.session
        session["login_mobile_confirmed"] = [session["login_mobile_confirmed"][0], "999"]
        session.save()
        assert error(ada.post("number/request", {"phone": OTHER})) == (403, "reauthentication_required")

    def test_without_a_number_there_is_no_code_to_confirm_by(self, front_end, login):
        client = front_end()
        client.client.force_login(a_user())
        assert error(client.post("reauthenticate/request")) == (409, "no_number")

    def test_ones_own_number_is_no_change_and_sends_nothing(self, ada, clock):
        clock.shift(61)
        assert error(ada.post("number/request", {"phone": NUMBER})) == (409, "already_bound")
        assert Challenge.objects.count() == 1

    def test_it_is_counted_so_that_guesses_do_not_find_it_out(self, ada, login, clock):
        """The pages mask four of its digits, to whoever sits before a session that was left open too."""
        lift_limits(NUMBER)  # of the code to log in with
        for _ in range(5):
            clock.shift(61)
            assert error(ada.post("number/request", {"phone": NUMBER})) == (409, "already_bound")
        clock.shift(61)
        for phone in (OTHER, NUMBER):
            assert error(ada.post("number/request", {"phone": phone})) == (429, "throttled")

    def test_nor_do_they_where_its_numbers_are_paused(self, ada, login, clock):
        clock.shift(61)
        key = Pause.key_of(login.pk, "country", "US")
        Pause.objects.create(login=login, scope="country", value="US", active_key=key)
        for phone in (OTHER, NUMBER):
            assert error(ada.post("number/request", {"phone": phone})) == (403, "paused")

    def test_unless_nobody_has_used_it_for_long_then_that_confirms_it(self, ada, clock):
        MobileNumber.objects.update(last_used_at=timezone.now() - timedelta(days=91))
        clock.shift(61)
        assert proved(ada, NUMBER).json() == {"phone": NUMBER}
        assert not MobileNumber.objects.get().is_stale(1, timezone.now())

    def test_by_whichever_login_sends_people_to_confirm_it(self, ada, login, clock):
        """Some other one that is in use; the default one opens the account with it."""
        MobileNumber.objects.update(last_used_at=timezone.now() - timedelta(days=40))
        shop = a_login(key="shop", name="Shop", is_default=False, recycled_after_days=30, is_active=False)
        clock.shift(61)
        assert error(ada.post("number/request", {"phone": NUMBER})) == (409, "already_bound")
        MobileLogin.objects.filter(pk=shop.pk).update(is_active=True)
        clock.shift(61)
        assert proved(ada, NUMBER).json() == {"phone": NUMBER}
        assert MobileNumber.objects.get().last_used_at > timezone.now() - timedelta(minutes=1)

    def test_removing_it(self, ada, front_end, heard, clock):
        user = User.objects.get()
        assert ada.post("number/remove").status_code == 204
        ada.work()
        assert not MobileNumber.objects.exists()
        assert "no longer" in SandboxMessage.objects.filter(phone_number=NUMBER).latest("pk").text.reveal()
        assert (heard[-1][0], heard[-1][1]["reason"]) == ("number_removed", "removed")
        assert error(ada.post("number/remove")) == (409, "no_number")
        clock.shift(61)
        assert front_end().log_in().json()["user_id"] != user.pk

    def test_the_notice_goes_out_whatever_whoever_removes_it_asks_for(self, ada, login):
        """By a configuration that cannot tell it, another one does."""
        mute = SandboxSms.objects.create(key="mute", name="Mute", is_active=False)
        a_login(key="mute", name="Mute", is_default=False, sms_service=mute)
        assert error(ada.post("number/remove", {"config": "nope"})) == (404, "unknown_config")
        assert MobileNumber.objects.exists()
        assert ada.post("number/remove", {"config": "mute"}).status_code == 204
        ada.work()
        assert "no longer" in SandboxMessage.objects.filter(phone_number=NUMBER).latest("pk").text.reveal()

    @pytest.mark.parametrize(
        ("asked_for", "without", "by"),
        [
            ("asked", "", "asked"), ("", "", "default"), ("asked", "asked", "default"),
            ("", "default", "active"), ("asked", "asked default", "active"),
        ],
    )  # fmt: skip
    def test_it_goes_by_the_login_that_is_asked_for_or_the_default_or_another(self, ada, login, asked_for, without, by):
        for key in ("active", "asked", "default"):  # in the opposite order of their ids
            text = SmsTemplate.objects.create(key=f"by-{key}", name=key, text=f"By {key}.")
            service = SandboxSms.objects.create(key=f"by-{key}", name=key, is_active=key not in without.split())
            a_login(service, key=key, name=key, is_default=key == "default", notice_template=text)
        login.delete()
        assert ada.post("number/remove", {"config": asked_for} if asked_for else {}).status_code == 204
        ada.work()
        assert SandboxMessage.objects.filter(phone_number=NUMBER).latest("pk").text.reveal() == f"By {by}."

    def test_but_by_none_that_is_switched_off(self, ada, login):
        off = SandboxSms.objects.create(key="off", name="Off")
        a_login(off, key="off", name="Off", is_default=False, is_active=False)
        login.sms_service.is_active = False
        login.sms_service.save()
        assert not can_send_notice()
        assert ada.post("number/remove").status_code == 204
        ada.work()
        assert not SmsMessage.objects.filter(service=off).exists()

    def test_so_it_does_where_the_login_is_switched_off(self, ada, login):
        MobileLogin.objects.update(is_active=False)
        assert ada.post("number/remove").status_code == 204
        ada.work()
        assert "no longer" in SandboxMessage.objects.filter(phone_number=NUMBER).latest("pk").text.reveal()

    def test_a_number_that_went_with_its_account_is_no_error(self, ada):
        row = MobileNumber.objects.get()
        User.objects.all().delete()
        assert withdraw_number(row) is False

    def test_users_have_limits_of_their_own(self, front_end):
        """Somebody logged in cannot send texts to number after number, from address after address."""
        a_login(key="tight", name="Tight", is_default=False, **{**GENEROUS, "sends_per_hour": 1, "sends_per_day": 1})
        user = a_user()
        answers = []
        for n in range(3):
            client = front_end(address=f"203.0.113.{n}")
            client.client.force_login(user)
            answers.append(client.post("number/request", {"phone": f"+1206555013{n}", "config": "tight"}).status_code)
        assert answers == [202, 429, 429]
        client = front_end(address="203.0.113.9")
        client.client.force_login(user)
        wanted = {"phone": "+12065550139", "config": "tight"}
        lift_limits("+12065550130")  # for the sake of its owner, and not of whoever asked for codes to it
        assert client.post("number/request", wanted).status_code == 429
        MobileNumber.objects.create(user=user, number=NUMBER)
        lift_limits(NUMBER)
        assert client.post("number/request", wanted).status_code == 202


class TestRecycledNumbers:
    """Carriers hand numbers on. After months, a number alone does not open the old account."""

    def stale_user(self, days: int = 91) -> User:
        user = a_user(NUMBER, username="former")
        MobileNumber.objects.update(last_used_at=timezone.now() - timedelta(days=days))
        return user

    def test_up_to_the_days_it_opens_its_account(self, front_end, login):
        user = self.stale_user(days=89)
        assert front_end().log_in().json()["user_id"] == user.pk
        assert MobileNumber.objects.get().last_used_at > timezone.now() - timedelta(minutes=1)

    def test_then_it_takes_a_second_proof(self, front_end, login, heard):
        self.stale_user()
        client = front_end()
        assert error(client.log_in()) == (403, "second_proof_required")
        assert client.user_id is None
        assert heard[-1][1]["code"] == "second_proof_required"
        assert MobileNumber.objects.get().user.username == "former"

    def test_whoever_logs_in_otherwise_has_one(self, front_end, login):
        user = self.stale_user()
        client = front_end()
        client.client.force_login(user)
        assert client.log_in().json() == {"user_id": user.pk, "created": False}

    def test_somebody_elses_session_is_none(self, front_end, login):
        self.stale_user()
        client = front_end()
        client.client.force_login(a_user(username="other"))
        assert error(client.log_in()) == (403, "second_proof_required")

    def test_the_browser_that_logged_in_before_has_one(self, front_end, login, clock):
        client = front_end()
        first = client.log_in().json()["user_id"]
        client.client.cookies.pop("sessionid")
        clock.shift(timedelta(days=100))
        assert client.log_in().json()["user_id"] == first

    def test_what_counts_is_replaceable(self, front_end, login, settings):
        settings.LOGIN_MOBILE = {"SECOND_PROOF": f"{__name__}.anything_goes"}
        user = self.stale_user()
        assert front_end().log_in().json()["user_id"] == user.pk

    def test_or_it_opens_a_new_account_and_leaves_the_old_one(self, front_end, heard):
        a_login(recycled_policy=RecycledPolicy.NEW_ACCOUNT)
        former = self.stale_user()
        answer = front_end().log_in().json()
        assert answer["created"] is True
        assert answer["user_id"] != former.pk
        former = User.objects.get(pk=former.pk)  # still there, and nothing of it was merged
        assert not hasattr(former, "mobile_number")
        assert MobileNumber.objects.get().user_id == answer["user_id"]
        assert ("number_removed", "recycled") in [(name, values.get("reason")) for name, values in heard]

    def test_a_factory_that_fails_does_not_open_the_old_account(self, front_end, settings):
        """A profile with a unique number of the host's own still holds the old one exactly here."""
        a_login(recycled_policy=RecycledPolicy.NEW_ACCOUNT)
        self.stale_user()
        settings.LOGIN_MOBILE = {"USER_FACTORY": f"{__name__}.name_sake"}
        client = front_end()
        with pytest.raises(UnusableFactory) as failed:
            client.log_in()
        assert failed.value.__suppress_context__
        assert client.user_id is None
        assert MobileNumber.objects.get().user.username == "former"

    def test_who_uses_it_meanwhile_keeps_it(self, front_end, settings):
        a_login(recycled_policy=RecycledPolicy.NEW_ACCOUNT)
        former = self.stale_user()
        settings.LOGIN_MOBILE = {"SECOND_PROOF": f"{__name__}.used_meanwhile"}
        assert front_end().log_in().json() == {"user_id": former.pk, "created": False}
        assert MobileNumber.objects.get().user == former

    def test_nor_can_anybody_use_it_while_it_is_taken(self, front_end):
        """Something that listens to deletions makes Django read the rows first: they are locked before that."""
        a_login(recycled_policy=RecycledPolicy.NEW_ACCOUNT)
        former = self.stale_user()
        changed: list[int] = []
        row = former.mobile_number

        def use() -> None:
            rows = MobileNumber.objects.filter(pk=row.pk)
            changed.append(rows.update(last_used_at=timezone.now()))
            connections.close_all()

        other = threading.Thread(target=use)

        def audit(sender: Any, **kwargs: Any) -> None:
            other.start()
            other.join(0.5)

        pre_delete.connect(audit, sender=MobileNumber)
        try:
            assert front_end().log_in().json()["created"] is True
        finally:
            pre_delete.disconnect(audit, sender=MobileNumber)
        other.join()
        assert changed == [0]

    def test_without_registration_it_opens_nothing(self, front_end):
        a_login(recycled_policy=RecycledPolicy.NEW_ACCOUNT, allow_registration=False)
        self.stale_user()
        assert error(front_end().log_in()) == (403, "not_allowed")
        assert MobileNumber.objects.get().user.username == "former"

    @pytest.mark.parametrize(("policy", "status"), [("new_account", 200), ("second_proof", 409)])
    def test_a_logged_in_user_may_take_it_over_by_the_same_policy(self, front_end, policy, status):
        a_login(recycled_policy=policy)
        self.stale_user()
        client = front_end()
        client.client.force_login(a_user(username="new owner"))
        assert proved(client, NUMBER).status_code == status
        owner = MobileNumber.objects.get().user.username
        assert owner == ("new owner" if status == 200 else "former")

    def test_nor_one_that_its_owner_uses_meanwhile(self, front_end):
        a_login(recycled_policy="new_account")
        former = self.stale_user()
        client = front_end()
        client.client.force_login(a_user(username="new owner"))
        challenge = client.post("number/request", {"phone": NUMBER}).json()["challenge"]
        client.work()
        used = MobileNumber.objects.update
        with just_before("UPDATE", NUMBERS, do=lambda: used(last_used_at=timezone.now())):
            answer = client.post("number/verify", {"challenge": challenge, "code": codes_sent(NUMBER)[-1]})
        assert error(answer) == (409, "number_taken")
        assert MobileNumber.objects.get().user == former

    def test_one_in_use_is_never_taken_over(self, front_end):
        a_login(recycled_policy="new_account")
        a_user(NUMBER, username="owner")
        client = front_end()
        client.client.force_login(a_user())
        assert error(proved(client, NUMBER)) == (409, "number_taken")


def anything_goes(request: Any, user: Any, number: Any) -> bool:
    return True


def used_meanwhile(request: Any, user: Any, number: MobileNumber) -> bool:
    """No second proof; but the owner logs in just now, elsewhere."""
    MobileNumber.objects.filter(pk=number.pk).update(last_used_at=timezone.now())
    return False


def name_sake(*, number: str, nickname: str, login: MobileLogin) -> User:
    """A factory that makes the same user name again."""
    return User.objects.create_user("former")


class TestReviewNumbers:
    """For those who review an app for a store, and cannot receive a text."""

    CODE = "428571"

    @pytest.fixture(autouse=True)
    def _review_number(self, login) -> None:
        review = ReviewNumber(login=login, number=NUMBER, valid_until=timezone.now() + timedelta(days=30))
        review.set_code(self.CODE)
        review.save()

    def test_the_fixed_code_logs_in_and_no_text_goes_out(self, front_end):
        client = front_end()
        challenge = client.challenge()
        assert not SandboxMessage.objects.exists()
        assert error(client.verify(challenge, wrong(self.CODE))) == (400, "wrong_code")
        assert client.verify(challenge, self.CODE).json()["created"] is True
        assert error(client.verify(challenge, self.CODE)) == (410, "used")

    @pytest.mark.parametrize(("factory", "raised"), [("too_long", UnusableFactory), ("failing_factory", KeyError)])
    def test_it_is_refused_where_its_user_cannot_be_made(self, front_end, settings, factory, raised):
        settings.LOGIN_MOBILE = {"USER_FACTORY": f"{__name__}.{factory}"}
        client = front_end()
        with pytest.raises(raised):
            client.verify(client.challenge(), self.CODE)
        assert (newest().state, newest().outcome) == (ChallengeState.USED, Outcome.REFUSED)
        assert not User.objects.exists()

    def test_a_session_ends_when_its_account_is_made_staff(self, front_end):
        client = front_end()
        assert client.verify(client.challenge(), self.CODE).status_code == 200
        MobileLogin.objects.update(allow_staff=True)
        assert client.client.get("/login/account/").status_code == 200
        User.objects.update(is_staff=True)
        assert client.client.get("/login/account/").status_code == 302

    def test_until_its_date(self, front_end, clock):
        challenge = front_end().challenge()
        ReviewNumber.objects.update(valid_until=timezone.now())
        assert error(front_end().verify(challenge, self.CODE)) == (400, "wrong_code")
        clock.shift(61)
        front_end().ask()
        assert len(codes_sent(NUMBER)) == 1  # a number like all others now

    def test_never_for_staff_whatever_an_admin_allows(self, front_end, login):
        login.allow_staff = True
        login.save()
        ReviewNumber.objects.update(user=a_user(is_staff=True))
        client = front_end()
        assert error(client.verify(client.challenge(), self.CODE)) == (403, "not_allowed")
        assert client.user_id is None

    def test_it_opens_no_account_of_somebody_who_has_proved_to_have_the_number(self, front_end):
        a_user(NUMBER)
        client = front_end()
        assert error(client.verify(client.challenge(), self.CODE)) == (400, "wrong_code")
        assert len(codes_sent(NUMBER)) == 1

    def test_nor_of_somebody_who_proves_it_meanwhile(self, front_end):
        client = front_end()
        challenge = client.challenge()
        user = a_user(NUMBER)
        assert client.verify(challenge, self.CODE).status_code in {400, 403}
        assert client.user_id != user.pk

    def test_the_account_that_it_made_it_opens_again(self, front_end, clock):
        client = front_end()
        assert client.verify(client.challenge(), self.CODE).json()["created"] is True
        clock.shift(61)
        again = front_end()
        assert again.verify(again.challenge(), self.CODE).json()["created"] is False

    def test_the_account_that_it_made_has_no_number_and_reserves_none(self, front_end, clock):
        reviewer = front_end()
        assert reviewer.verify(reviewer.challenge(), self.CODE).json()["created"] is True
        assert not MobileNumber.objects.exists()
        ReviewNumber.objects.update(valid_until=timezone.now())
        clock.shift(61)
        owner = front_end().log_in().json()
        assert owner["created"] is True
        assert owner["user_id"] != reviewer.user_id

    def test_nor_does_it_keep_anybody_from_adding_it(self, front_end, clock):
        reviewer = front_end()
        reviewer.verify(reviewer.challenge(), self.CODE)
        clock.shift(61)
        client = front_end()
        client.client.force_login(a_user(username="owner"))
        assert proved(client, NUMBER).status_code == 200
        assert MobileNumber.objects.get().user.username == "owner"

    def test_it_opens_no_account_that_took_another_number(self, front_end, clock):
        reviewer = front_end()
        reviewer.verify(reviewer.challenge(), self.CODE)
        assert proved(reviewer, OTHER).status_code == 200
        assert MobileNumber.objects.get().user_id == reviewer.user_id
        stranger = ReviewNumber(
            login=MobileLogin.objects.get(), number=OTHER, valid_until=timezone.now() + timedelta(days=1)
        )
        stranger.set_code(self.CODE)
        stranger.save()
        clock.shift(61)
        client = front_end()
        assert client.verify(client.challenge(OTHER), self.CODE).status_code == 400
        assert client.user_id is None

    def test_an_account_that_has_proved_a_number_since_is_its_owners_alone(self, front_end, clock):
        reviewer = front_end()
        reviewer.verify(reviewer.challenge(), self.CODE)
        assert proved(reviewer, OTHER).status_code == 200
        clock.shift(61)
        again = front_end()
        assert again.verify(again.challenge(), self.CODE).json()["created"] is True
        assert again.user_id != reviewer.user_id
        assert ReviewNumber.objects.get().user_id == again.user_id

    def test_it_stays_theirs_when_they_remove_the_number(self, front_end, clock):
        reviewer = front_end()
        reviewer.verify(reviewer.challenge(), self.CODE)
        assert proved(reviewer, OTHER).status_code == 200
        assert reviewer.post("number/remove").status_code == 204
        clock.shift(61)
        again = front_end()
        assert again.verify(again.challenge(), self.CODE).json()["created"] is True
        assert again.user_id != reviewer.user_id

    def test_and_when_somebody_else_registers_with_it_after_months(self, front_end, login, clock):
        login.recycled_policy = RecycledPolicy.NEW_ACCOUNT
        login.save()
        reviewer = front_end()
        reviewer.verify(reviewer.challenge(), self.CODE)
        former = reviewer.user_id
        assert proved(reviewer, OTHER).status_code == 200
        MobileNumber.objects.update(last_used_at=timezone.now() - timedelta(days=91))
        clock.shift(3601)
        assert front_end().log_in(OTHER).json()["created"] is True
        again = front_end()
        assert again.verify(again.challenge(), self.CODE).json()["created"] is True
        assert again.user_id != former

    def test_a_number_that_is_proved_ends_the_sessions_of_other_reviewers(self, front_end, clock):
        reviewer, other = front_end(), front_end()
        for client in (reviewer, other):
            client.verify(client.challenge(), self.CODE)
            clock.shift(61)
        account = User.objects.get()
        account.set_password("of another reviewer")
        account.save()
        for client in (reviewer, other):
            client.client.force_login(account)
        before = reviewer.client.session.session_key
        assert proved(reviewer, OTHER).status_code == 200
        assert error(other.post("number/remove")) == (401, "not_authenticated")
        assert not User.objects.get().has_usable_password()
        assert reviewer.client.session.session_key != before
        assert reviewer.post("number/remove").status_code == 204

    def test_a_session_that_a_reviewer_begins_meanwhile_ends_too(self, front_end, clock, meanwhile):
        """Found by the code just before a number was proved, the account comes with the password that it had."""
        reviewer, other = front_end(), front_end()
        reviewer.verify(reviewer.challenge(), self.CODE)
        clock.shift(61)
        challenge = other.challenge()
        answers: list[Any] = []
        meanwhile(lambda: answers.append(proved(reviewer, OTHER)))
        assert other.verify(challenge, self.CODE).json() == {"user_id": reviewer.user_id, "created": False}
        assert [answer.status_code for answer in answers] == [200]
        assert other.user_id == reviewer.user_id
        assert error(other.post("number/remove")) == (401, "not_authenticated")
        assert reviewer.post("number/remove").status_code == 204

    def test_an_account_that_nobody_reviewed_in_keeps_its_password(self, front_end):
        client = front_end()
        client.client.force_login(a_user(password="secret"))
        assert proved(client, OTHER).status_code == 200
        assert User.objects.get().check_password("secret")

    @pytest.fixture
    def meanwhile(self, monkeypatch) -> Any:
        """`meanwhile(something)`: it happens between the moment that an account is looked for, and the next one."""
        look = entering.review_number

        def set_up(something: Callable[[], object]) -> None:
            def look_and_be_slow(challenge: Challenge) -> Any:
                found = look(challenge)
                something()
                return found

            monkeypatch.setattr(entering, "review_number", look_and_be_slow)

        return set_up

    def test_of_two_reviewers_at_once_both_get_the_account_of_the_faster_one(self, front_end, meanwhile, heard):
        client = front_end()
        challenge = client.challenge()
        meanwhile(lambda: ReviewNumber.objects.update(user=a_user(username="faster")))
        answer = client.verify(challenge, self.CODE)
        account = User.objects.get()  # the one that the slower one had begun is taken back
        assert answer.json() == {"user_id": account.pk, "created": False}
        assert (account.username, client.user_id) == ("faster", account.pk)
        assert [values["created"] for name, values in heard if name == "mobile_login_succeeded"] == [False]

    def test_that_account_may_be_deleted_before_the_slower_one_gets_it(self, front_end, settings):
        settings.LOGIN_MOBILE = {"USER_FACTORY": f"{__name__}.factory_beside_a_faster_one"}
        client = front_end()
        assert error(client.verify(client.challenge(), self.CODE)) == (403, "not_allowed")
        assert newest().outcome == Outcome.REFUSED
        assert not User.objects.exists()

    def test_and_so_may_the_review_number(self, front_end, meanwhile):
        client = front_end()
        challenge = client.challenge()
        meanwhile(lambda: ReviewNumber.objects.all().delete())
        assert error(client.verify(challenge, self.CODE)) == (403, "not_allowed")
        assert not User.objects.exists()

    def test_it_works_where_people_may_not_register(self, front_end, login):
        login.allow_registration = False
        login.save()
        client = front_end()
        assert client.verify(client.challenge(), self.CODE).json()["created"] is True

    def test_still_limited(self, front_end):
        client = front_end()
        challenge = client.challenge()
        assert error(client.ask()) == (429, "throttled")
        for _ in range(5):
            client.verify(challenge, wrong(self.CODE))
        assert error(client.verify(challenge, self.CODE)) == (410, "too_many_attempts")

    def test_guesses_are_limited_as_everybodys(self, front_end):
        MobileLogin.objects.update(failures_per_hour=2, failures_per_day=2)
        client = front_end()
        challenge = client.challenge()
        for _ in range(2):
            assert error(client.verify(challenge, "000000")) == (400, "wrong_code")
        assert error(client.verify(challenge, self.CODE)) == (429, "throttled")

    def test_for_its_own_login_number_and_purpose_only(self, front_end, login):
        a_login(key="second", name="Second", is_default=False)
        front_end().ask(config="second")
        assert len(codes_sent(NUMBER)) == 1
        client = front_end()
        challenge = client.challenge(OTHER)
        assert error(client.verify(challenge, self.CODE)) == (400, "wrong_code")
        client.client.force_login(a_user())
        client.post("number/request", {"phone": NUMBER})
        assert newest().sending != "review"

    def test_the_code_is_kept_as_a_hash(self):
        assert self.CODE not in all_rows()
        assert len(ReviewNumber.objects.get().code_digest) == 64

    def test_it_survives_a_change_of_the_secret_key(self, front_end, settings):
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = "a new one"
        client = front_end()
        assert client.verify(client.challenge(), self.CODE).status_code == 200


def factory_beside_a_faster_one(**kwargs: Any) -> User:
    """There is an account as long as this transaction lasts, and none any more after it."""
    ReviewNumber.objects.update(user=User.objects.create_user("faster"))
    return User.objects.create_user("slower")


def test_a_view_of_a_host_project_remembers_who_has_confirmed_a_number(front_end, login, rf):
    number = a_user(NUMBER).mobile_number
    response = HttpResponse()
    remember_device(rf.post("/"), response, number)
    client = front_end()
    client.client.cookies.update(response.cookies)
    front_end().challenge()  # a stranger's
    assert client.ask().status_code == 202


def test_the_public_functions_do_what_the_endpoints_do(front_end, login, rf, client):
    """As a view of a host project calls them."""
    challenge = front_end().challenge()
    request = rf.post("/")
    request.session = client.session
    verified = verify_code(request, challenge, codes_sent(NUMBER)[0])
    assert (verified.created, verified.number.number, verified.login) == (True, NUMBER, login)
    assert SESSION_KEY not in request.session
    log_in(request, verified)
    assert request.session[SESSION_KEY] == str(verified.user.pk)
    assert get_user_model().objects.count() == Challenge.objects.count() == 1
