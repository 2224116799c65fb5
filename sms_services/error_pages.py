"""Keeps secrets, numbers and texts off the exception pages, with DEBUG on as well, and out of the mails to admins."""

from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import Any, TypeVar, cast

from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import method_decorator
from django.views.debug import SafeExceptionReporterFilter
from django.views.decorators.debug import sensitive_post_parameters

Response = TypeVar("Response", bound=HttpResponseBase)


class NoVariables(SafeExceptionReporterFilter):
    """Hides the values of all local variables.

    Django's own filter hides nothing while DEBUG is on, and by ``sensitive_variables`` only what is below a view: not
    what a template does, which is rendered after it.
    """

    def is_active(self, request: HttpRequest | None) -> bool:
        return True

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: FrameType) -> Any:
        return [(name, self.cleansed_substitute) for name in tb_frame.f_locals]


def hide_variables(request: HttpRequest) -> None:
    """Show no values, should this request end on an exception page."""
    cast(Any, request).exception_reporter_filter = NoVariables()


def private_post(*parameters: str) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """For an admin's method with a request: hide all local variables, and these POST parameters (none named: all)."""

    def decorate(method: Callable[..., Response]) -> Callable[..., Response]:
        @wraps(method)
        def wrapped(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
            hide_variables(request)
            view = method_decorator(sensitive_post_parameters(*parameters))(method)
            return view(self, request, *args, **kwargs)

        return wrapped

    return decorate
