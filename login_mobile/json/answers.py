"""What all JSON endpoints have in common: how they are asked, and how they refuse."""

import json
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.http.request import UnreadablePostError
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from ..exceptions import ErrorCode, Refusal
from ..privacy import private
from ..tokens import token_issuer
from ..transactions import outside_transactions

Body = Mapping[str, Any]
Endpoint = Callable[[HttpRequest, Body], HttpResponseBase]

#: No request of ours is longer.
MAX_BODY = 16_384


def post_endpoint(endpoint: Endpoint) -> Callable[..., HttpResponseBase]:
    """A view that takes a JSON object by POST, answers JSON whatever happens, and counts outside transactions."""

    @private
    @wraps(endpoint)
    def view(request: HttpRequest) -> HttpResponseBase:
        try:
            if request.method != "POST":
                raise Refusal(ErrorCode.METHOD_NOT_ALLOWED)
            _check_csrf(request)
            return endpoint(request, _body(request))
        except Refusal as refusal:
            return refused(refusal)

    # The CSRF check is ours: it answers JSON. So do endpoints that want somebody who is logged in.
    return csrf_exempt(login_not_required(outside_transactions(never_cache(view))))


def refused(refusal: Refusal) -> JsonResponse:
    """``{"error": {"code", "message", "retry_after"?}}``, with the status and ``Retry-After``."""
    error: dict[str, Any] = {"code": refusal.code.value, "message": str(refusal.message)}
    if refusal.retry_after is not None:
        error["retry_after"] = refusal.retry_after
    response = JsonResponse({"error": error}, status=refusal.status)
    if refusal.retry_after is not None:
        response["Retry-After"] = str(refusal.retry_after)
    if refusal.code == ErrorCode.METHOD_NOT_ALLOWED:
        response["Allow"] = "POST"
    return response


def _body(request: HttpRequest) -> Body:
    """The JSON object of a request.

    Only what says that it is JSON is read: a form on somebody else's page cannot say so.
    """
    if request.content_type != "application/json":
        raise Refusal(ErrorCode.MALFORMED)
    try:
        raw = request.body
        body = json.loads(raw) if len(raw) <= MAX_BODY else None
    except (ValueError, RecursionError, RequestDataTooBig, UnreadablePostError):
        body = None
    if not isinstance(body, dict):
        raise Refusal(ErrorCode.MALFORMED)
    return body


def text(body: Body, name: str) -> str:
    """A string that a request must have.

    Raises:
        Refusal: ``malformed``. Nothing is compared or counted then.
    """
    value = body.get(name)
    if not isinstance(value, str):
        raise Refusal(ErrorCode.MALFORMED, message=_("“%(name)s” must be given as a string.") % {"name": name})
    return value


def optional_text(body: Body, name: str) -> str | None:
    """A string that a request may have. ``null`` is as good as nothing."""
    return None if body.get(name) is None else text(body, name)


class _CsrfCheck(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason


def _check_csrf(request: HttpRequest) -> None:
    """Wherever cookies authenticate, which is everywhere unless tokens are handed out and there is no session.

    Also before anybody is logged in: else another site could log its visitors in as somebody else.
    """
    if token_issuer() is not None and settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return
    check = _CsrfCheck(_not_called)
    check.process_request(request)
    if check.process_view(request, _not_called, (), {}):
        raise Refusal(ErrorCode.CSRF)


def _not_called(request: HttpRequest) -> HttpResponse:
    """The middleware wants a view, whose marks it looks at; ours has none."""
    return HttpResponse()
