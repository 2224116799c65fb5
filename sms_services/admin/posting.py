"""Addresses of the admin that act. The address bar shows one while its answer is a page, so people come back to it."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods


def posted(view: Callable[..., HttpResponseBase], page: str) -> Callable[..., HttpResponseBase]:
    """A view that acts on a POST; a GET changes nothing and leads to a page that has the same arguments.

    Args:
        page: the name of its address, such as ``admin:sms_services_smsmessage_change``.
    """

    @require_http_methods(["GET", "HEAD", "POST"])
    @wraps(view)
    def acting(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
        if request.method == "POST":
            return view(request, **arguments)
        site = request.resolver_match.namespace if request.resolver_match else None
        url = reverse(page, args=list(arguments.values()), current_app=site)
        query = request.GET.urlencode()
        return HttpResponseRedirect(f"{url}?{query}" if query else url)

    return acting
