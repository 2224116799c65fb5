"""Finding a configuration by its key, and a challenge by its token."""

import re
from typing import Any

from django.http import HttpRequest

from ..exceptions import ErrorCode, Refusal
from ..keys import token_hash
from ..models import Challenge, MobileLogin
from ..rows import challenges, database

_KEY = re.compile(r"[-A-Za-z0-9_]{1,50}")
_TOKEN = re.compile(r"[-A-Za-z0-9_]{43}")


def get_login(login: MobileLogin | str | None = None) -> MobileLogin:
    """A configuration as it is now.

    Args:
        login: a ``MobileLogin`` (read anew), its key, or ``None`` for the default one.

    Raises:
        Refusal: ``unknown_config`` or ``disabled``.
    """
    rows = MobileLogin.objects.using(database()).select_related("template")
    if isinstance(login, MobileLogin):
        found = rows.filter(pk=login.pk).first()
    elif login is None:
        found = rows.filter(is_default=True).first()
    else:
        found = rows.filter(key=login).first() if isinstance(login, str) and _KEY.fullmatch(login) else None
    if found is None:
        raise Refusal(ErrorCode.UNKNOWN_CONFIG)
    if not found.is_active:
        raise Refusal(ErrorCode.DISABLED)
    return found


def challenge_of(request: HttpRequest, token: object) -> Challenge:
    """The challenge of a token. One that was asked for by a user is that user's alone.

    Raises:
        Refusal: ``unknown_challenge``.
    """
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise Refusal(ErrorCode.UNKNOWN_CHALLENGE)
    found = challenges().select_related("login", "user").filter(token_hash=token_hash(token)).first()
    if found is None or (found.user_id is not None and found.user_id != _user_id(request)):
        raise Refusal(ErrorCode.UNKNOWN_CHALLENGE)
    return found


def _user_id(request: HttpRequest) -> Any:
    user = getattr(request, "user", None)
    return user.pk if user is not None and user.is_authenticated else None
