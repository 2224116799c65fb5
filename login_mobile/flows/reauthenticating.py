"""Who adds, changes or removes a number has logged in just now, or confirms who it is: by password, or by a code to the
number that the account has. A session that was left open somewhere is not enough.
"""

import time
from typing import Any, TypeGuard

from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from .. import buckets, limits
from ..choices import Outcome, Purpose
from ..conf import get_settings
from ..exceptions import ErrorCode, Refusal
from ..models import MobileLogin, MobileNumber
from ..numbers import number_of
from ..rows import challenges, database
from ..transactions import refuse_open_transaction
from .entering import set_outcome
from .finding import get_login
from .proving import dead, prove
from .requesting import PendingCode, open_challenge

#: When the session's user was last sure to be there, and who that was.
SESSION_KEY = "login_mobile_confirmed"
_PURPOSES = frozenset({Purpose.REAUTHENTICATE})


def recently_authenticated(request: HttpRequest) -> bool:
    """Whether the session's user logged in, or confirmed who they are, within ``REAUTHENTICATE_AFTER`` seconds."""
    stamp = request.session.get(SESSION_KEY) if hasattr(request, "session") else None
    if not isinstance(stamp, list) or len(stamp) != 2 or stamp[1] != str(request.user.pk):
        return False
    return 0 <= time.time() - stamp[0] < get_settings().REAUTHENTICATE_AFTER


def request_reauthentication(request: HttpRequest, *, login: MobileLogin | str | None = None) -> PendingCode:
    """Ask for a code to the number of ``request.user``, to confirm who it is.

    Raises:
        Refusal: as ``request_code``; and ``not_authenticated``, ``no_number``.
        OpenTransaction: a transaction is open.
    """
    user = current_user(request)
    row = MobileNumber.objects.using(database()).filter(user=user).first()
    if row is None:
        raise Refusal(ErrorCode.NO_NUMBER)
    return open_challenge(request, get_login(login), number_of(row.number), Purpose.REAUTHENTICATE, user)


@sensitive_variables("code")
def confirm_reauthentication(request: HttpRequest, token: object, code: object) -> None:
    """Compare the code of ``request_reauthentication``.

    Raises:
        Refusal: as ``verify_code`` before a right code; and ``not_authenticated``, ``no_number``: the account has
            another number by now.
        OpenTransaction: a transaction is open.
    """
    user = current_user(request)
    proof = prove(request, token, code, _PURPOSES)
    if not challenges().filter(pk=proof.challenge.pk).use(timezone.now()):
        raise dead(proof.challenge)
    rows = MobileNumber.objects.using(database()).filter(user=user, number=proof.challenge.phone_number)
    if not rows.update(last_used_at=timezone.now()):
        set_outcome(proof.challenge, Outcome.REFUSED)
        raise Refusal(ErrorCode.NO_NUMBER)
    set_outcome(proof.challenge, Outcome.REAUTHENTICATED)
    _stamp(request, user)


@sensitive_variables("password")
def reauthenticate_with_password(request: HttpRequest, password: object) -> None:
    """Confirm who it is by the account's password. Tries are limited per user.

    Raises:
        Refusal: ``not_authenticated``, ``wrong_password``, ``throttled``, ``unavailable``.
        OpenTransaction: a transaction is open.
    """
    refuse_open_transaction()
    user = current_user(request)
    try:
        taken = buckets.take([limits.passwords(user.pk)])
    except buckets.Full as full:
        raise Refusal(ErrorCode.THROTTLED, retry_after=full.retry_after) from None
    if not _is_password(password) or not user.check_password(password):
        raise Refusal(ErrorCode.WRONG_PASSWORD)
    buckets.give_back(taken)
    _stamp(request, user)


@sensitive_variables()
def _is_password(password: object) -> TypeGuard[str]:
    """Whether a hasher can read it: half of a surrogate pair, which JSON may hold, is no text."""
    if not isinstance(password, str) or len(password) > 4096:
        return False
    try:
        password.encode()
    except UnicodeEncodeError:
        return False
    return True


def current_user(request: HttpRequest) -> Any:
    """Who is logged in.

    Raises:
        Refusal: ``not_authenticated``.
    """
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        raise Refusal(ErrorCode.NOT_AUTHENTICATED)
    return user


def require_recent(request: HttpRequest) -> Any:
    """Who is logged in, and was sure to be there lately.

    Raises:
        Refusal: ``not_authenticated`` or ``reauthentication_required``.
    """
    user = current_user(request)
    if not recently_authenticated(request):
        raise Refusal(ErrorCode.REAUTHENTICATION_REQUIRED)
    return user


def stamp_login(sender: Any, request: HttpRequest | None = None, user: Any = None, **kwargs: Any) -> None:
    """Whatever backend it was by: a login has just proved who it is."""
    if request is not None and user is not None:
        _stamp(request, user)


def _stamp(request: HttpRequest, user: Any) -> None:
    if hasattr(request, "session"):
        request.session[SESSION_KEY] = [time.time(), str(user.pk)]


user_logged_in.connect(stamp_login, dispatch_uid="login_mobile.stamp_login")
