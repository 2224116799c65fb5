"""Keeps codes, numbers and passwords off the exception pages, with DEBUG on as well."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.views.debug import SafeExceptionReporterFilter
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

View = Callable[..., HttpResponseBase]


class AlwaysActiveFilter(SafeExceptionReporterFilter):
    """Django's own filter hides nothing while DEBUG is on."""

    def is_active(self, request: HttpRequest | None) -> bool:
        return True


def private(view: View) -> View:
    """For a view: hide all its local variables, those of whatever it calls, and all that was posted."""
    hidden = sensitive_post_parameters()(sensitive_variables()(view))

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        request.exception_reporter_filter = AlwaysActiveFilter()
        return hidden(request, *args, **kwargs)

    return wrapped
