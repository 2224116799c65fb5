"""Logging in and registering, in JSON."""

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.middleware.csrf import get_token
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from .. import api
from ..exceptions import ErrorCode, Refusal
from ..flows.requesting import PendingCode
from ..tokens import token_issuer
from .answers import Body, optional_text, post_endpoint, refused, text


@csrf_exempt  # it changes nothing; and who asks by POST gets JSON, as everywhere
@login_not_required
@never_cache
def config(request: HttpRequest) -> HttpResponseBase:
    """What a front end needs to show its form, and the CSRF token for the requests that follow."""
    try:
        if request.method not in ("GET", "HEAD"):
            raise Refusal(ErrorCode.METHOD_NOT_ALLOWED, message=gettext("Use GET here."))
        login = api.get_login(request.GET.get("config"))
    except Refusal as refusal:
        response = refused(refusal)
        if refusal.code == ErrorCode.METHOD_NOT_ALLOWED:
            response["Allow"] = "GET, HEAD"
        return response
    return JsonResponse(
        {
            "config": login.key,
            "regions": login.regions,
            "default_region": login.default_region,
            "code_length": login.code_length,
            "allow_registration": login.allow_registration,
            "ask_nickname": login.ask_nickname,
            "csrf_token": get_token(request),
        }
    )


@post_endpoint
def request_code(request: HttpRequest, body: Body) -> HttpResponseBase:
    """``{phone, region?, config?}`` → 202 ``{challenge, expires_in, retry_after}``."""
    phone, region = text(body, "phone"), optional_text(body, "region")
    return accepted(api.request_code(request, phone, region=region, login=body.get("config")))


@post_endpoint
def resend(request: HttpRequest, body: Body) -> HttpResponseBase:
    """``{challenge}`` → 202 ``{challenge, expires_in, retry_after}``: the old challenge is of no use any more."""
    return accepted(api.resend_code(request, text(body, "challenge")))


@post_endpoint
def verify(request: HttpRequest, body: Body) -> HttpResponseBase:
    """``{challenge, code, nickname?, config?}`` → 200 ``{user_id, created}`` and a session, or the issuer's answer."""
    challenge, code = text(body, "challenge"), text(body, "code")
    config = api.get_login(body.get("config"))  # none named: the default one, as when a code is asked for
    verified = api.verify_code(request, challenge, code, nickname=body.get("nickname"), login=config)
    answer: dict[str, Any] = {"user_id": verified.user.pk, "created": verified.created}
    issue = token_issuer()
    if issue is None:
        api.log_in(request, verified)
    else:
        answer = dict(issue(request, verified))
    response = JsonResponse(answer, encoder=DjangoJSONEncoder)
    api.remember_device(request, response, verified)
    return response


@post_endpoint
def status(request: HttpRequest, body: Body) -> HttpResponseBase:
    """``{challenge}`` → 200 ``{state, expires_in, retry_after, attempts_left, code_length, trouble}``."""
    known = api.code_status(request, text(body, "challenge"))
    names = ("state", "expires_in", "retry_after", "attempts_left", "code_length", "trouble")
    return JsonResponse({name: getattr(known, name) for name in names})


def accepted(pending: PendingCode) -> HttpResponse:
    return JsonResponse(
        {"challenge": pending.token, "expires_in": pending.expires_in, "retry_after": pending.retry_after}, status=202
    )
