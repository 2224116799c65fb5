"""The page on which a code is entered, for whatever it is for: a login, a number, or who somebody is."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from sms_services.phone_numbers import mask

from ..api import CodeStatus, code_status, resend_code
from ..choices import ChallengeState
from ..exceptions import ErrorCode, Refusal
from ..forms import CodeForm
from .notices import ANOTHER_NUMBER, BEGIN_ANEW, NEW_CODE, TROUBLE, Notice, answer, refusal_page, waiting_time
from .pending import Pending, forget, safe_next

#: Refusals that are about what stands in the field.
_OF_THE_FIELD = frozenset({ErrorCode.MALFORMED_CODE, ErrorCode.WRONG_CODE})
#: Of the code itself: another one can be sent in its place.
_DEAD = frozenset({ErrorCode.EXPIRED, ErrorCode.REPLACED, ErrorCode.TOO_MANY_ATTEMPTS})
#: After a right code: there is nothing to be entered any more.
_FINAL = frozenset(
    {
        ErrorCode.NOT_ALLOWED,
        ErrorCode.SECOND_PROOF_REQUIRED,
        ErrorCode.NUMBER_TAKEN,
        ErrorCode.NUMBER_CHANGED,
        ErrorCode.NO_NUMBER,
    }
)
_SENT_ANEW = "login_mobile_sent_anew"


@dataclass(frozen=True)
class Way:
    """One way through the code page.

    ``name`` is that of the session's entry; ``start`` and ``code`` are names of URLs; ``changes_number``:
    one may go back and enter another number.
    """

    name: str
    start: str
    code: str
    changes_number: bool
    enter: Callable[[HttpRequest, Pending, str], HttpResponse]


def code_page(request: HttpRequest, way: Way) -> HttpResponse:
    """Ask for the code, and hand what was entered to ``way.enter``; or have another one sent."""
    pending, status = _status(request, way)
    if pending is None or status is None:
        return HttpResponseRedirect(reverse(way.start))
    shown = _Shown(request, way, pending, status)
    if request.method != "POST":
        if status.state == ChallengeState.USED:
            return _over(shown, Refusal(ErrorCode.USED))
        return shown.page(CodeForm.of(status), _news(request, status))
    if "resend" in request.POST:
        return _resend(shown)
    form = CodeForm.of(status, request.POST)
    if not form.is_valid():
        return shown.page(form, None, Refusal(ErrorCode.MALFORMED_CODE))
    try:
        return way.enter(request, pending, form.cleaned_data["code"])
    except Refusal as refusal:
        if refusal.code in _FINAL:
            forget(request, way.name)
            return _over(shown, refusal)
        if refusal.code == ErrorCode.USED:  # not forgotten: the request that used it may be ending this session
            return _over(shown, refusal)
        if refusal.code in _OF_THE_FIELD:
            form.refuse("code", refusal.message)
            return shown.page(form, None, refusal)
        return shown.page(CodeForm.of(status), Notice.of(refusal), refusal)


def _start(way: Way, **query: str) -> str:
    """The first page of a way, with those of these that are not empty."""
    given = urlencode({name: value for name, value in query.items() if value})
    return f"{reverse(way.start)}?{given}" if given else reverse(way.start)


def _status(request: HttpRequest, way: Way) -> tuple[Pending | None, CodeStatus | None]:
    pending = Pending.of(request, way.name)
    if pending is None:
        return None, None
    try:
        return pending, code_status(request, pending.token)
    except Refusal:
        forget(request, way.name)
        return None, None


def _news(request: HttpRequest, status: CodeStatus) -> Notice | None:
    sent_anew = request.session.pop(_SENT_ANEW, False)
    if problem := _problem(status):
        return Notice.of(Refusal(problem))
    if status.trouble:
        return TROUBLE
    return NEW_CODE if sent_anew else None


def _problem(status: CodeStatus) -> ErrorCode | None:
    """Why it is of no use to enter this code."""
    if status.state == ChallengeState.REPLACED:
        return ErrorCode.REPLACED
    if not status.expires_in:
        return ErrorCode.EXPIRED
    return None if status.attempts_left else ErrorCode.TOO_MANY_ATTEMPTS


@dataclass(frozen=True)
class _Shown:
    """The page of one code."""

    request: HttpRequest
    way: Way
    pending: Pending
    status: CodeStatus

    def page(self, form: CodeForm, notice: Notice | None, refusal: Refusal | None = None) -> HttpResponse:
        is_dead = _problem(self.status) is not None or (refusal is not None and refusal.code in _DEAD)
        context: dict[str, Any] = {
            "form": form,
            "notice": notice,
            "way": self.way.name,
            "is_dead": is_dead,
            "promised": self.pending.promised,
            "masked_number": mask(self.status.phone_number),
            "resend_after": self.status.retry_after,
            "resend_wait": waiting_time(self.status.retry_after),
            "change_number_url": self.way.changes_number and _start(self.way, change="1", config=self.pending.config),
        }
        return answer(self.request, "code.html", context, refusal)


def _over(shown: _Shown, refusal: Refusal) -> HttpResponse:
    """No code is sent in the place of this one; the way can be begun anew."""
    next_url = safe_next(shown.request, shown.pending.next)
    back = _start(shown.way, config=shown.pending.config, next=next_url)
    label = BEGIN_ANEW if refusal.code in (ErrorCode.USED, ErrorCode.NUMBER_CHANGED) else ANOTHER_NUMBER
    return refusal_page(shown.request, refusal, back=back, back_label=label, next_url=next_url)


def _resend(shown: _Shown) -> HttpResponse:
    """Have another code sent. Too early, the page says when."""
    request, way = shown.request, shown.way
    try:
        anew = resend_code(request, shown.pending.token)
    except Refusal as refusal:
        if refusal.code == ErrorCode.USED:
            return _over(shown, refusal)
        return shown.page(CodeForm.of(shown.status), Notice.of(refusal), refusal)
    replace(shown.pending, token=anew.token).keep(request, way.name)
    request.session[_SENT_ANEW] = True
    return HttpResponseRedirect(reverse(way.code))
