"""Refusing whoever asks too often, or for what is paused: counted by its reason for admins, and told to receivers."""

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from .. import buckets, limits, refusals
from ..choices import RefusalReason
from ..exceptions import ErrorCode, Refusal
from ..models import MobileLogin
from ..signals import request_refused

#: It is said of every number, whether or not a text has left for it.
TOO_SOON = _("A code for this number was asked for just now. Give the text a moment to arrive.")


def throttled(request: HttpRequest, login: MobileLogin, full: buckets.Full) -> Refusal:
    """The refusal of a request that found a limit reached."""
    reason = limits.reason_of(full)
    message = TOO_SOON if reason == RefusalReason.TOO_SOON else None
    return refused(request, login, Refusal(ErrorCode.THROTTLED, retry_after=full.retry_after, message=message), reason)


def refused(request: HttpRequest, login: MobileLogin, refusal: Refusal, reason: RefusalReason | None = None) -> Refusal:
    """The same refusal, counted and told. ``reason``: ``None`` where nothing can be counted."""
    if reason is not None:
        refusals.count(login, reason)
    request_refused.send_robust(
        MobileLogin, login=login, code=refusal.code, reason=reason, retry_after=refusal.retry_after, request=request
    )
    return refusal
