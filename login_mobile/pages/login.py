"""Logging in and registering: the number, the code, and a nickname where one is wanted; and logging out."""

from typing import Any

from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth import logout as end_session
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_safe

from sms_services.phone_numbers import international

from ..api import (
    Verified,
    code_status,
    finish_registration,
    get_login,
    log_in,
    remember_device,
    request_code,
    verify_code,
)
from ..choices import ChallengeState
from ..exceptions import ErrorCode, Refusal
from ..forms import NicknameForm, PhoneForm
from ..models import MobileLogin
from ..numbers import number_of
from .codes import Way, code_page
from .notices import Notice, answer
from .pending import LOGIN, Pending, after_login, forget, given_next, keep_config
from .protection import page

#: Refusals that are about the number, and stand at its field.
OF_THE_NUMBER = frozenset({ErrorCode.INVALID_PHONE, ErrorCode.NOT_MOBILE, ErrorCode.REGION_NOT_ALLOWED})
_OF_THE_NICKNAME = frozenset({ErrorCode.NICKNAME_REQUIRED, ErrorCode.INVALID_NICKNAME})


@page
@require_http_methods(["GET", "HEAD", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    """Ask for the number.

    In the address, ``config`` names a login, ``next`` says where to go afterwards, and ``change`` keeps the number.
    """
    given = request.POST if request.method == "POST" else request.GET
    next_url, key = given_next(request), given.get("config", "")
    if request.user.is_authenticated and request.method != "POST":
        if key:
            keep_config(request, get_login(key).key)
        # A page that has sent somebody here who is logged in would do so again, be it the project's first one.
        return HttpResponseRedirect(_account(next_url) if "next" in given else after_login(request, ""))
    config = get_login(key or None)
    if request.method != "POST":
        form = PhoneForm(config.regions, initial=_kept_number(request) if "change" in request.GET else None)
        return _show(request, config, form, next_url, key)
    form = PhoneForm(config.regions, request.POST)
    if not form.is_valid():
        return _show(request, config, form, next_url, key, Refusal(ErrorCode.INVALID_PHONE))
    try:
        asked = request_code(request, form.cleaned_data["phone"], region=form.cleaned_data["region"], login=config)
    except Refusal as refusal:
        if refusal.code in OF_THE_NUMBER:
            form.refuse("phone", refusal.message)
        return _show(request, config, form, next_url, key, refusal)
    next_url = next_url or _kept_next(request)
    Pending(asked.token, next_url, key, promised=config.allow_registration).keep(request, LOGIN)
    return HttpResponseRedirect(reverse("login_mobile:code"))


@page
@require_http_methods(["GET", "HEAD", "POST"])
def code(request: HttpRequest) -> HttpResponse:
    """Ask for the code; right, it logs in."""
    if _lacks_nickname(request):
        return HttpResponseRedirect(reverse("login_mobile:nickname"))
    return code_page(request, WAY)


@page
@require_http_methods(["GET", "HEAD", "POST"])
def nickname(request: HttpRequest) -> HttpResponse:
    """Ask a new user for a name, after the code was right."""
    pending = Pending.of(request, LOGIN)
    if pending is None or not _lacks_nickname(request):
        return HttpResponseRedirect(reverse("login_mobile:code" if pending else "login_mobile:login"))
    if request.method != "POST":
        return answer(request, "nickname.html", {"form": NicknameForm()})
    form = NicknameForm(request.POST)
    refusal = Refusal(ErrorCode.NICKNAME_REQUIRED)
    if form.is_valid():
        try:
            return _let_in(request, pending, finish_registration(request, pending.token, form.cleaned_data["nickname"]))
        except Refusal as refused:
            if refused.code not in _OF_THE_NICKNAME:
                forget(request, LOGIN)
                raise
            form.refuse("nickname", refused.message)
            refusal = refused
    return answer(request, "nickname.html", {"form": form}, refusal)


@page
@require_http_methods(["GET", "HEAD", "POST"])
def logout(request: HttpRequest) -> HttpResponse:
    """End the session; by POST only, as any link could have led here."""
    if request.method != "POST":
        return HttpResponseRedirect(reverse("login_mobile:account"))
    end_session(request)
    return HttpResponseRedirect(reverse("login_mobile:logged_out"))


@page
@require_safe
def logged_out(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return HttpResponseRedirect(reverse("login_mobile:account"))
    return answer(request, "logged_out.html", {})


def _account(next_url: str) -> str:
    """The page of the account, with a link to go on."""
    account = reverse("login_mobile:account")
    return f"{account}?{urlencode({REDIRECT_FIELD_NAME: next_url})}" if next_url else account


def _enter(request: HttpRequest, pending: Pending, code: str) -> HttpResponse:
    try:
        verified = verify_code(request, pending.token, code)
    except Refusal as refusal:
        if refusal.code == ErrorCode.NICKNAME_REQUIRED:
            request.session.cycle_key()  # it is worth an account now: nobody else may know its key
            return HttpResponseRedirect(reverse("login_mobile:nickname"))
        raise
    return _let_in(request, pending, verified)


def _let_in(request: HttpRequest, pending: Pending, verified: Verified) -> HttpResponse:
    log_in(request, verified)
    forget(request, LOGIN)
    keep_config(request, pending.config)
    response = HttpResponseRedirect(after_login(request, pending.next))
    remember_device(request, response, verified)
    return response


WAY = Way(
    LOGIN,
    start="login_mobile:login",
    code="login_mobile:code",
    changes_number=True,
    enter=_enter,
)


def _lacks_nickname(request: HttpRequest) -> bool:
    """Whether the code was right already. It is not asked for again then."""
    pending = Pending.of(request, LOGIN)
    if pending is None:
        return False
    try:
        status = code_status(request, pending.token)
    except Refusal:
        return False
    return status.state == ChallengeState.PROVED and bool(status.expires_in)


def kept_number(request: HttpRequest, way: str) -> dict[str, str] | None:
    """The number of the code that was asked for, to be corrected instead of entered again."""
    pending = Pending.of(request, way)
    if pending is None:
        return None
    try:
        number = number_of(code_status(request, pending.token).phone_number)
    except Refusal:
        return None
    return {"phone": international(number.e164), "region": number.country}


def _kept_number(request: HttpRequest) -> dict[str, str] | None:
    return kept_number(request, LOGIN)


def _kept_next(request: HttpRequest) -> str:
    pending = Pending.of(request, LOGIN)
    return pending.next if pending else ""


def _show(
    request: HttpRequest,
    config: MobileLogin,
    form: PhoneForm,
    next_url: str,
    key: str,
    refusal: Refusal | None = None,
) -> HttpResponse:
    context: dict[str, Any] = {
        "form": form,
        "registration": config.allow_registration,
        "next": next_url,
        "config": key,
        "notice": Notice.of(refusal) if refusal and not form.errors else None,
        "has_code": bool(refusal and refusal.retry_after and Pending.of(request, LOGIN)),
    }
    return answer(request, "login.html", context, refusal)
