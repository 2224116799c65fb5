"""Comparing a code: what is counted, in which order, and what is told.

1. The address's entered codes are counted, right or wrong.
2. One failure of the number is taken; so is one attempt of the challenge, by a conditional UPDATE that compares the
   clock too. Both are committed before anything is compared, so neither an error afterwards nor a thousand tries at
   once take them back.
3. The hashes are compared, in constant time. If the code was right, the number's failure is given back; and if it
   could not be used, as something else is missing, the attempt too.
4. Who uses the code up is decided by another conditional UPDATE, in ``entering`` and ``numbers``.
"""

from dataclasses import dataclass

from django.http import HttpRequest
from django.utils import timezone

from .. import buckets, limits
from ..addresses import client_address
from ..choices import ChallengeState, Purpose, Sending
from ..codes import EnteredCode, parse_code
from ..devices import known_device
from ..exceptions import ErrorCode, Refusal
from ..keys import one_of
from ..models import Challenge, MobileLogin
from ..rows import challenges
from ..signals import code_rejected
from ..transactions import refuse_open_transaction
from .digests import code_digests
from .finding import challenge_of, get_login
from .refusing import throttled
from .sending import review_number


@dataclass(frozen=True)
class Proof:
    """Somebody has proved to have the challenge's number, by ``spent`` attempts: none, if the code was right before."""

    challenge: Challenge
    login: MobileLogin
    is_review: bool = False
    spent: int = 1


def prove(
    request: HttpRequest,
    token: object,
    code: object,
    purposes: frozenset[Purpose],
    login: MobileLogin | str | None = None,
) -> Proof:
    """Compare a code.

    Args:
        purposes: what the caller accepts a code for; one for anything else is as good as none.
        login: the configuration that it must be of; ``None``: whichever asked for it.

    Raises:
        Refusal: ``throttled``, ``unavailable``, ``unknown_challenge``, ``disabled``, ``malformed_code``,
            ``wrong_code``, ``expired``, ``replaced``, ``used``, ``too_many_attempts``.
        OpenTransaction: a transaction is open.
    """
    refuse_open_transaction()
    try:
        challenge = challenge_of(request, token)
    except Refusal:
        _count_address(request, get_login(login))
        raise
    current = get_login(challenge.login)
    _count_address(request, current)
    if challenge.purpose not in purposes or not _is_by(login, current):
        raise Refusal(ErrorCode.UNKNOWN_CHALLENGE)
    entered = parse_code(code, challenge.code_length)
    failure = _take_failure(request, challenge, current)
    if not challenges().filter(pk=challenge.pk).count_attempt(timezone.now()):
        buckets.give_back(failure)  # nothing was compared
        raise dead(challenge)
    # Only now is the hash read: the worker may have written it since the challenge was found.
    challenge = challenges().select_related("login", "user").get(pk=challenge.pk)
    if not _is_right(challenge, entered):
        code_rejected.send_robust(
            Challenge, login=current, challenge=challenge, request=request, attempts_left=challenge.attempts_left
        )
        raise Refusal(ErrorCode.WRONG_CODE if challenge.attempts_left else ErrorCode.TOO_MANY_ATTEMPTS)
    buckets.give_back(failure)
    return Proof(challenge, current, is_review=challenge.sending == Sending.REVIEW)


def _is_by(login: MobileLogin | str | None, current: MobileLogin) -> bool:
    """Whether the configuration that was named is this one, which was read just now."""
    if isinstance(login, MobileLogin):
        return login.pk == current.pk
    return login is None or get_login(login).pk == current.pk


def _count_address(request: HttpRequest, login: MobileLogin) -> None:
    try:
        buckets.take(limits.address_verifications(login, client_address(request)))
    except buckets.Full as full:
        raise throttled(request, login, full) from None


def _take_failure(request: HttpRequest, challenge: Challenge, login: MobileLogin) -> buckets.Taken:
    known = known_device(request, challenge.phone_number)
    try:
        return buckets.take([limits.failures(login, challenge.phone_number, known)])
    except buckets.Full as full:
        raise throttled(request, login, full) from None


def _is_right(challenge: Challenge, entered: EnteredCode) -> bool:
    matches = one_of(challenge.digest, code_digests(challenge, entered.reveal()))
    if challenge.sending == Sending.REVIEW:
        fixed = review_number(challenge)
        return fixed is not None and fixed.has_code(entered.reveal())
    return matches


def dead(challenge: Challenge) -> Refusal:
    """Why there was no attempt to take."""
    challenge.refresh_from_db()
    if challenge.state == ChallengeState.REPLACED:
        return Refusal(ErrorCode.REPLACED)
    if challenge.state == ChallengeState.USED:
        return Refusal(ErrorCode.USED)
    if challenge.exhausted and not challenge.expired:
        return Refusal(ErrorCode.TOO_MANY_ATTEMPTS)
    return Refusal(ErrorCode.EXPIRED)
