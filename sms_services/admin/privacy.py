"""Keeps what an admin types into a secret field off the exception pages, with DEBUG on as well."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import method_decorator
from django.views.debug import SafeExceptionReporterFilter
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

Response = TypeVar("Response", bound=HttpResponseBase)


class AlwaysActiveFilter(SafeExceptionReporterFilter):
    """Django's own filter hides nothing while DEBUG is on."""

    def is_active(self, request: HttpRequest | None) -> bool:
        return True


def private_post(*parameters: str) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """For an admin's method with a request: hide all local variables below it and these POST parameters."""

    def decorate(method: Callable[..., Response]) -> Callable[..., Response]:
        hidden = sensitive_variables()(method)

        @wraps(method)
        def wrapped(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
            request.exception_reporter_filter = AlwaysActiveFilter()
            view = method_decorator(sensitive_post_parameters(*parameters))(hidden)
            return view(self, request, *args, **kwargs)

        return wrapped

    return decorate
