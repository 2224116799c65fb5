"""What all pages have in common: nothing is cached, counted in a transaction, or shown by an exception page; and who
posts a page that has grown old is told what to do, instead of Django's words for programmers.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import global_settings, settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.decorators import decorator_from_middleware
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from ..exceptions import ErrorCode, Refusal
from ..privacy import private
from ..transactions import outside_transactions
from .notices import BEGIN_ANEW, refusal_page
from .pending import given_next

Page = Callable[..., HttpResponse]
_TOO_OLD = _(
    "This page was open for too long, or somebody has logged in meanwhile, or your browser keeps no cookies. "
    "Please begin anew."
)


class _Csrf(CsrfViewMiddleware):
    """Django's check, with an answer in our words, unless the project has a view of its own for that."""

    def _reject(self, request: HttpRequest, reason: str) -> HttpResponse:
        response: HttpResponse = super()._reject(request, reason)  # type: ignore[misc] # with its line in the log
        if settings.CSRF_FAILURE_VIEW != global_settings.CSRF_FAILURE_VIEW:
            return response
        refusal = Refusal(ErrorCode.CSRF, message=_TOO_OLD)
        return refusal_page(request, refusal, back=_anew(request), back_label=BEGIN_ANEW)


def _anew(request: HttpRequest) -> str:
    """The same page, by the same configuration, and leading to the same place."""
    given = {"config": request.POST.get("config", ""), REDIRECT_FIELD_NAME: given_next(request)}
    query = urlencode({name: value for name, value in given.items() if value})
    return f"{request.path}?{query}" if query else request.path


def page(view: Page) -> Page:
    """Make a page of a view. A refusal that it does not show itself becomes a page of its own."""

    @wraps(view)
    def with_refusals(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            response = view(request, *args, **kwargs)
        except Refusal as refusal:
            response = refusal_page(request, refusal)
        # No other site learns from which page somebody came.
        response.headers.setdefault("Referrer-Policy", "same-origin")
        return response

    # Django's LoginRequiredMiddleware leaves our pages alone: those of an account look after themselves.
    checked = private(decorator_from_middleware(_Csrf)(with_refusals))
    # Exempt from the check of the project's own middleware, whose answer would be Django's.
    view_for_all = login_not_required(csrf_exempt(checked))
    return outside_transactions(never_cache(view_for_all))  # type: ignore[return-value]
