"""Views that only a POST may ask for."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST


def posted(view: Callable[..., HttpResponse], page: str) -> Callable[..., HttpResponse]:
    """The view for a POST. A GET, as of an address that is loaded again, changes nothing and leads to ``page``.

    Args:
        page: the name of a URL that takes the same arguments by position.
    """
    by_post = require_POST(view)

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method in ("GET", "HEAD"):
            return HttpResponseRedirect(reverse(page, args=[*args, *kwargs.values()]))
        return by_post(request, *args, **kwargs)

    return answer
