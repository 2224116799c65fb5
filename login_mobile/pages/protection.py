"""What all pages have in common: nothing is cached, counted in a transaction, or shown by an exception page."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect

from ..exceptions import Refusal
from ..privacy import private
from ..transactions import outside_transactions
from .notices import refusal_page

Page = Callable[..., HttpResponse]


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
    view_for_all = login_not_required(csrf_protect(private(with_refusals)))
    return outside_transactions(never_cache(view_for_all))  # type: ignore[return-value]
