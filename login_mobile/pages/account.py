"""The number of a logged-in user: add it, change it, remove it; and confirming who it is, which these ask for."""

from typing import Any

from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_safe

from sms_services.phone_numbers import mask

from ..api import (
    can_send_notice,
    confirm_number,
    confirm_reauthentication,
    get_login,
    reauthenticate_with_password,
    recently_authenticated,
    remember_device,
    remove_number,
    request_number,
    request_reauthentication,
)
from ..exceptions import ErrorCode, Refusal
from ..forms import PasswordForm, PhoneForm
from ..models import MobileLogin, MobileNumber
from ..rows import database
from .codes import Way, code_page
from .login import OF_THE_NUMBER, kept_number
from .notices import Notice, answer
from .pending import IDENTITY, NUMBER, Pending, after_login, forget, given_next, keep_config, kept_config, safe_next
from .protection import Page, page

_NEWS = "login_mobile_news"
_SAYINGS = {
    "added": Notice("good", _("Your number is confirmed.")),
    "changed": Notice("good", _("Your number was changed.")),
    "removed": Notice("good", _("Your number was removed. It gets a text about that.")),
    "removed_untold": Notice("good", _("Your number was removed.")),
}


def account_page(view: Page) -> Page:
    """A page of a logged-in user; others log in first, and who is not sure to be there confirms it."""

    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return _redirect("login", request)
        try:
            _take_config(request)
            return view(request, *args, **kwargs)
        except Refusal as refusal:
            if refusal.code == ErrorCode.REAUTHENTICATION_REQUIRED:
                return _redirect("confirm", request)
            raise

    guarded.__name__ = view.__name__
    return page(guarded)


@account_page
@require_safe
def account(request: HttpRequest) -> HttpResponse:
    """Whose account it is, its number, and what can be done with it."""
    number = _number(request)
    context = {
        "nickname": _nickname(request),
        "mobile_number": number,
        "masked_number": mask(number.number) if number else "",
        "notice": _SAYINGS.get(request.session.pop(_NEWS, "")),
        "no_way_back": number is None and not _has_password(request),
        "continue_url": _onward(request),
    }
    return answer(request, "account.html", context)


@account_page
@require_http_methods(["GET", "HEAD", "POST"])
def number(request: HttpRequest) -> HttpResponse:
    """Ask for a number to add, or to put in the place of the old one."""
    _require_recent(request)
    config = get_login(kept_config(request))
    form = PhoneForm(config.regions, initial=kept_number(request, NUMBER) if "change" in request.GET else None)
    notice = refusal = None
    if request.method == "POST":
        form = PhoneForm(config.regions, request.POST)
        refusal = Refusal(ErrorCode.INVALID_PHONE)
        if form.is_valid():
            try:
                asked = request_number(
                    request, form.cleaned_data["phone"], region=form.cleaned_data["region"], login=config
                )
            except Refusal as refused:
                refusal = refused
            else:
                Pending(asked.token, config=kept_config(request) or "").keep(request, NUMBER)
                return HttpResponseRedirect(reverse("login_mobile:number_code"))
            if refusal.code in OF_THE_NUMBER or refusal.code == ErrorCode.ALREADY_BOUND:
                form.refuse("phone", refusal.message)
            elif refusal.code == ErrorCode.REAUTHENTICATION_REQUIRED:
                raise refusal
            else:
                notice = Notice.of(refusal)
    has_number = _number(request) is not None
    context = {
        "form": form,
        "notice": notice,
        "has_number": has_number,
        "old_is_told": has_number and can_send_notice(),
    }
    return answer(request, "number.html", context, refusal)


@account_page
@require_http_methods(["GET", "HEAD", "POST"])
def number_code(request: HttpRequest) -> HttpResponse:
    return code_page(request, NUMBER_WAY)


@account_page
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest) -> HttpResponse:
    """Ask once more, then take the number from the account."""
    _require_recent(request)
    number = _number(request)
    if number is None:
        return HttpResponseRedirect(reverse("login_mobile:account"))
    if request.method == "POST":
        told = remove_number(request, login=kept_config(request))
        request.session[_NEWS] = "removed" if told else "removed_untold"
        return HttpResponseRedirect(reverse("login_mobile:account"))
    context = {
        "masked_number": mask(number.number),
        "has_password": _has_password(request),
        "is_told": can_send_notice(),
    }
    return answer(request, "remove.html", context)


@account_page
@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest) -> HttpResponse:
    """Confirm who it is: by the password, or by a code to the number of the account."""
    next_url = _next(request)
    if recently_authenticated(request):
        return HttpResponseRedirect(next_url)
    form, notice, refusal = PasswordForm(), None, None
    if request.method == "POST":
        try:
            if "password" not in request.POST:
                asked = request_reauthentication(request, login=kept_config(request))
                Pending(asked.token, next_url).keep(request, IDENTITY)
                return HttpResponseRedirect(reverse("login_mobile:confirm_code"))
            form = PasswordForm(request.POST)
            if form.is_valid():
                reauthenticate_with_password(request, form.cleaned_data["password"])
                return HttpResponseRedirect(next_url)
            refusal = Refusal(ErrorCode.WRONG_PASSWORD)
        except Refusal as refused:
            refusal = refused
            if refusal.code == ErrorCode.WRONG_PASSWORD:
                form.refuse("password", refusal.message)
            else:
                notice = Notice.of(refusal)
    number = _number(request)
    # With neither, nothing is to be confirmed by, and a log-out would end the only way in: the page says so.
    context = {
        "form": form if _has_password(request) else None,
        "masked_number": mask(number.number) if number else "",
        "notice": notice,
        "next": next_url,
    }
    return answer(request, "confirm.html", context, refusal)


@account_page
@require_http_methods(["GET", "HEAD", "POST"])
def confirm_code(request: HttpRequest) -> HttpResponse:
    return code_page(request, IDENTITY_WAY)


def _enter_number(request: HttpRequest, pending: Pending, code: str) -> HttpResponse:
    before = _number(request)
    confirmed = confirm_number(request, pending.token, code)
    forget(request, NUMBER)
    request.session[_NEWS] = "changed" if before and before.number != confirmed.number else "added"
    response = HttpResponseRedirect(reverse("login_mobile:account"))
    remember_device(request, response, confirmed)
    return response


def _enter_identity(request: HttpRequest, pending: Pending, code: str) -> HttpResponse:
    confirm_reauthentication(request, pending.token, code)
    forget(request, IDENTITY)
    return HttpResponseRedirect(safe_next(request, pending.next) or reverse("login_mobile:account"))


NUMBER_WAY = Way(
    NUMBER,
    start="login_mobile:number",
    code="login_mobile:number_code",
    changes_number=True,
    enter=_enter_number,
)
IDENTITY_WAY = Way(
    IDENTITY,
    start="login_mobile:confirm",
    code="login_mobile:confirm_code",
    changes_number=False,
    enter=_enter_identity,
)


def _take_config(request: HttpRequest) -> None:
    """Go by the configuration that the address names, else by the one that is kept: while it is in use."""
    if key := request.GET.get("config", ""):
        try:
            keep_config(request, get_login(key).key)
        except Refusal as refusal:
            if refusal.code != ErrorCode.DISABLED:
                raise
    in_use = MobileLogin.objects.using(database()).filter(is_active=True)
    if (kept := kept_config(request)) and not in_use.filter(key=kept).exists():
        keep_config(request, "")  # it was switched off or deleted meanwhile


def _require_recent(request: HttpRequest) -> None:
    if not recently_authenticated(request):
        raise Refusal(ErrorCode.REAUTHENTICATION_REQUIRED)


def _number(request: HttpRequest) -> MobileNumber | None:
    return MobileNumber.objects.using(database()).filter(user=request.user.pk).first()


def _nickname(request: HttpRequest) -> str:
    """What the person is called; empty for somebody with nothing but a user name, which a machine may have made."""
    user: Any = request.user
    return str(user.get_short_name() or "") if hasattr(user, "get_short_name") else ""


def _has_password(request: HttpRequest) -> bool:
    user: Any = request.user
    return bool(user.has_usable_password())


def _next(request: HttpRequest) -> str:
    return given_next(request) or reverse("login_mobile:account")


def _onward(request: HttpRequest) -> str:
    """Where to go on from the page of the account, which must not be a dead end; empty: nowhere else."""
    url = after_login(request, given_next(request))
    return "" if url == reverse("login_mobile:account") else url


def _redirect(name: str, request: HttpRequest) -> HttpResponse:
    """To another page first, and back to this one. A form is not sent again: its page is."""
    back = request.path if request.method in ("GET", "HEAD") else reverse("login_mobile:account")
    query = {REDIRECT_FIELD_NAME: back}
    if key := request.GET.get("config", ""):
        query["config"] = key
    return HttpResponseRedirect(f"{reverse(f'login_mobile:{name}')}?{urlencode(query)}")
