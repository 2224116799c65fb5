"""Tokens in the place of a session, for clients without cookies.

The setting ``TOKEN_ISSUER`` names a function ``issue(request, verified) -> dict``. What it returns is the answer of
``POST api/verify/``; no session is begun then, and requests without a session cookie need no CSRF token::

    def issue(request: HttpRequest, verified: Verified) -> dict[str, Any]:
        token, _new = Token.objects.get_or_create(user=verified.user)
        return {"user_id": verified.user.pk, "created": verified.created, "token": token.key}
"""

from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest
from django.utils.module_loading import import_string

from .conf import get_settings
from .flows.entering import Verified

Issuer = Callable[[HttpRequest, Verified], Mapping[str, Any]]


def token_issuer() -> Issuer | None:
    """What hands out tokens; ``None``: sessions are used."""
    path = get_settings().TOKEN_ISSUER
    return import_string(path) if path else None
