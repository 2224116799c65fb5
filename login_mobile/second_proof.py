"""Numbers are handed on: after months without a login, a number alone does not open its account."""

from typing import Any

from django.http import HttpRequest

from .devices import known_device
from .models import MobileNumber


def has_second_proof(request: HttpRequest, user: Any, number: MobileNumber) -> bool:
    """Whether somebody has another proof that an account is theirs: the setting ``SECOND_PROOF`` replaces this.

    Who is logged in as the user, by whatever backend, has one; so has a browser that logged in as this number before
    (a cookie that whoever has the number now does not have).
    """
    current = getattr(request, "user", None)
    if current is not None and current.is_authenticated and current.pk == user.pk:
        return True
    return known_device(request, number.number)
