"""Asking for a code.

For known and unknown numbers, for inactive users and staff, the same is done here: nothing asks whose the number is.
Whether a text goes out, a worker decides (``sending``), and makes the code there too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from .. import buckets, limits
from ..addresses import client_address
from ..choices import ChallengeState, Purpose, RefusalReason
from ..conf import get_settings
from ..devices import known_device
from ..exceptions import ErrorCode, Refusal
from ..keys import new_token, token_hash
from ..models import Challenge, MobileLogin
from ..numbers import Number, number_of, parse_number
from ..rows import challenges, database
from ..signals import code_requested
from ..transactions import refuse_open_transaction
from .finding import challenge_of, get_login
from .pausing import judge_after_cap, refuse_paused
from .refusing import refused, throttled
from .sending import ring

#: A code can be asked for once more for so long.
RESENDABLE_FOR = timedelta(hours=1)


@dataclass(frozen=True)
class PendingCode:
    """A code is on its way, or would be if there were somebody to get it.

    Attributes:
        token: binds the code to whoever holds it: keep it in the session, or hand it to the client as ``challenge``.
        expires_in: seconds for which the code can be entered.
        retry_after: seconds after which another one can be asked for.
    """

    token: str = field(repr=False)
    expires_in: int
    retry_after: int


@sensitive_variables()
def request_code(
    request: HttpRequest, phone: object, *, region: object = None, login: MobileLogin | str | None = None
) -> PendingCode:
    """Ask for a code to log in or register with.

    Args:
        phone: a number in any notation; whatever is none is refused.
        region: ISO code of the country of a number that is written without one; default: the login's first.
        login: a ``MobileLogin`` or its key; default: the default one.

    Raises:
        Refusal: ``unknown_config``, ``disabled``, ``invalid_phone``, ``not_mobile``, ``region_not_allowed``,
            ``paused``, ``throttled``, ``unavailable``.
        OpenTransaction: a transaction is open.
    """
    login = get_login(login)
    return open_challenge(request, login, parse_number(phone, login, region), Purpose.LOGIN)


@sensitive_variables()
def resend_code(request: HttpRequest, token: object) -> PendingCode:
    """Ask for another code in the place of one that did not come. The old token and its code are of no use any more.

    Args:
        token: of a ``PendingCode``, whose code was not used yet. It may have expired.

    Raises:
        Refusal: as ``request_code``; and ``unknown_challenge``: it is nobody's, or another user's; ``used``;
            ``expired``: it is more than an hour old.
        OpenTransaction: a transaction is open.
    """
    challenge = challenge_of(request, token)
    if challenge.state in (ChallengeState.USED, ChallengeState.PROVED):
        raise Refusal(ErrorCode.USED)
    login, number = get_login(challenge.login), number_of(challenge.phone_number)
    if challenge.created_at < timezone.now() - RESENDABLE_FOR:
        raise Refusal(ErrorCode.EXPIRED)
    purpose = Purpose(challenge.purpose)
    # An admin may have closed a country meanwhile. The number that an account has confirms who it is all the same.
    if number.country not in login.regions and purpose != Purpose.REAUTHENTICATE:
        raise Refusal(ErrorCode.REGION_NOT_ALLOWED)
    return open_challenge(request, login, number, purpose, challenge.user)


def open_challenge(
    request: HttpRequest, login: MobileLogin, number: Number, purpose: Purpose, user: Any = None
) -> PendingCode:
    """Count, store, and leave the rest to a worker."""
    known = known_device(request, number.e164)
    count_request(request, login, number, purpose, known=known, user=user)
    token = new_token()
    challenge = _store(login, number, purpose, user, token, known)
    ring([challenge.pk])
    code_requested.send_robust(Challenge, login=login, challenge=challenge, request=request)
    return PendingCode(
        token=token,
        expires_in=login.code_minutes * 60,
        retry_after=max(buckets.wait_for([limits.sends(login, number.e164, known)]), 1),
    )


def count_request(
    request: HttpRequest, login: MobileLogin, number: Number, purpose: Purpose, *, known: bool, user: Any = None
) -> None:
    """Count that somebody asks for a code, if all limits allow it.

    Raises:
        Refusal: ``paused``, ``throttled``, ``unavailable``.
        OpenTransaction: a transaction is open.
    """
    refuse_open_transaction()
    counters = [
        limits.sends(login, number.e164, known),
        *([limits.user_sends(login, user.pk)] if user else []),
        *limits.address_sends(login, client_address(request)),
        *limits.caps(login, number, known),
    ]
    try:
        if not known:  # the pumping of strangers does not lock the owner out
            refuse_paused(login, number)
        _take(login, number, purpose, counters, known)
    except buckets.Full as full:
        raise throttled(request, login, full) from None
    except Refusal as refusal:
        reason = RefusalReason.PAUSED if refusal.code == ErrorCode.PAUSED else None
        raise refused(request, login, refusal, reason) from None


def _take(
    login: MobileLogin, number: Number, purpose: Purpose, counters: Sequence[buckets.Counter], known: bool
) -> None:
    try:
        buckets.take(counters)
    except buckets.Full as full:
        if judge_after_cap(login, number, purpose, {counter.kind for counter in full.full}) and not known:
            refuse_paused(login, number)  # to wait does not help any more: also the first one is told so
        raise


def _store(
    login: MobileLogin,
    number: Number,
    purpose: Purpose,
    user: Any,
    token: str,
    known: bool,
) -> Challenge:
    now = timezone.now()
    # The newest code wins. But a stranger's newer request does not end the code for which the owner waits at a browser
    # that has logged in before: that would be a way to lock the owner out. Nor does one user's end another's: a claim
    # that is not verified reserves nothing.
    older = challenges().filter(login=login, purpose=purpose, phone_number=number.e164, user=user)
    if not known:
        older = older.filter(known_device=False)
    with transaction.atomic(using=database()):
        older.replace()
        return challenges().create(
            login=login,
            purpose=purpose,
            phone_number=number.e164,
            country=number.country,
            prefix=number.prefix,
            user=user,
            token_hash=token_hash(token),
            known_device=known,
            code_length=login.code_length,
            attempts_allowed=login.attempts_per_code,
            created_at=now,
            expires_at=now + timedelta(minutes=login.code_minutes),
            sweep_at=now + timedelta(seconds=get_settings().REQUEUE_AFTER),
        )
