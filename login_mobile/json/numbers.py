"""A logged-in user's number, in JSON."""

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from .. import api
from .answers import Body, optional_text, post_endpoint, text
from .login import accepted


@post_endpoint
def request_number(request: HttpRequest, body: Body) -> HttpResponseBase:
    """``{phone, region?, config?}`` → 202, as for a login: a code to add this number, or to change to it."""
    phone, region = text(body, "phone"), optional_text(body, "region")
    return accepted(api.request_number(request, phone, region=region, login=body.get("config")))


@post_endpoint
def verify_number(request: HttpRequest, body: Body) -> HttpResponseBase:
    """``{challenge, code}`` → 200 ``{phone}``."""
    number = api.confirm_number(request, text(body, "challenge"), text(body, "code"))
    response = JsonResponse({"phone": number.number})
    api.remember_device(request, response, number)
    return response


@post_endpoint
def remove_number(request: HttpRequest, body: Body) -> HttpResponseBase:
    """``{}`` → 204."""
    api.remove_number(request, login=body.get("config"))
    return HttpResponse(status=204)


@post_endpoint
def request_reauthentication(request: HttpRequest, body: Body) -> HttpResponseBase:
    """``{config?}`` → 202: a code to the user's number."""
    return accepted(api.request_reauthentication(request, login=body.get("config")))


@post_endpoint
def verify_reauthentication(request: HttpRequest, body: Body) -> HttpResponseBase:
    """``{challenge, code}`` or ``{password}`` → 204."""
    if "password" in body:
        api.reauthenticate_with_password(request, body["password"])
    else:
        api.confirm_reauthentication(request, text(body, "challenge"), text(body, "code"))
    return HttpResponse(status=204)
