"""Browsers that have logged in before, known by a signed cookie.

A stranger who asks for codes of a number, or enters wrong ones, uses up that number's limits. A browser that has logged
in as the number has limits of its own, so that nobody can lock the owner out. The cookie names rows of
``MobileNumber``, which end when a number changes hands: whoever had it before has no known device any more. It is set
once a number is proved, at a login or when it is added to an account, and never when a code is asked for: that sets the
same cookies whether the number is known or not.
"""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from .conf import get_settings
from .keys import subject_key
from .models import MobileNumber
from .rows import database

COOKIE = "login_mobile_device"
_SALT = "login_mobile.device"
#: How many numbers a browser is known for: those of a family.
_NUMBERS = 5


def known_device(request: HttpRequest, number: str) -> bool:
    """Whether the browser has logged in as this number and the number has not changed hands since.

    Only whoever has a cookie for this number makes it look into the database, so it tells nobody else anything.
    """
    for row_id, mark in _entries(request):
        if mark == _mark(number):
            return MobileNumber.objects.using(database()).filter(pk=row_id, number=number).exists()
    return False


def remember(request: HttpRequest, response: HttpResponse, number: MobileNumber) -> None:
    """Know this browser from now on."""
    days = get_settings().DEVICE_DAYS
    if not days:
        return
    mark = _mark(number.number)
    entries = [entry for entry in _entries(request) if entry[1] != mark][: _NUMBERS - 1]
    response.set_cookie(
        COOKIE,
        signing.dumps([[number.pk, mark], *entries], salt=_SALT),
        max_age=timedelta(days=days),
        path=settings.SESSION_COOKIE_PATH,
        domain=settings.SESSION_COOKIE_DOMAIN,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _entries(request: HttpRequest) -> list[tuple[int, str]]:
    value = request.COOKIES.get(COOKIE, "")
    if not value:
        return []
    try:
        found: Any = signing.loads(value, salt=_SALT, max_age=timedelta(days=get_settings().DEVICE_DAYS))
        return [(int(row), str(mark)) for row, mark in found]
    except (signing.BadSignature, ValueError, TypeError):
        return []


def _mark(number: str) -> str:
    """A number as it stands in the cookie, which is signed and can be read."""
    return subject_key("device", number)[:16]
