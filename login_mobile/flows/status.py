"""How a code stands, for the page on which it is entered."""

import math
from dataclasses import dataclass, field
from datetime import timedelta

from django.http import HttpRequest
from django.utils import timezone

from sms_services.choices import MessageStatus

from .. import buckets, limits
from ..choices import ChallengeState, Purpose, Sending
from ..conf import get_settings
from ..devices import known_device
from ..models import Challenge
from .finding import challenge_of

#: In doubt counts too: whoever waits for a text whose request has timed out mostly waits in vain.
_NOT_ARRIVED = (MessageStatus.FAILED, MessageStatus.UNDELIVERED, MessageStatus.UNKNOWN, MessageStatus.SKIPPED)


@dataclass(frozen=True)
class CodeStatus:
    """What may be told to whoever asked for a code.

    Attributes:
        phone_number: to which it went, E.164. The page may show it to whoever entered it.
        purpose: a ``Purpose``.
        state: a ``ChallengeState``.
        code_length: how many digits it has.
        expires_in: seconds for which it can be entered; 0: it has expired.
        retry_after: seconds after which another one can be asked for; 0: now.
        attempts_left: how often it can be entered.
        trouble: texts do not leave at the moment, as it seems. It says nothing about whether the number is known.
    """

    phone_number: str = field(repr=False)
    purpose: str
    state: str
    code_length: int
    expires_in: int
    retry_after: int
    attempts_left: int
    trouble: bool


def code_status(request: HttpRequest, token: object) -> CodeStatus:
    """How the code of a ``PendingCode`` stands. Counts nothing, and changes nothing.

    Raises:
        Refusal: ``unknown_challenge``.
    """
    challenge = challenge_of(request, token)
    known = known_device(request, challenge.phone_number)
    return CodeStatus(
        phone_number=challenge.phone_number,
        purpose=challenge.purpose,
        state=challenge.state,
        code_length=challenge.code_length,
        expires_in=math.ceil(challenge.expires_in.total_seconds()),
        retry_after=buckets.wait_for([limits.sends(challenge.login, challenge.phone_number, known)]),
        attempts_left=challenge.attempts_left,
        trouble=_trouble(challenge),
    )


def _trouble(challenge: Challenge) -> bool:
    """Whether texts do not leave.

    Where everybody gets a text, this one's fate can be told. Where only known numbers do, the fate of any text would
    tell that some number is known, that of another number too: whoever asks for two numbers would learn of one by the
    other. There it is told only that an admin has switched the service off.
    """
    if challenge.purpose != Purpose.LOGIN or challenge.login.allow_registration:
        return challenge.state == ChallengeState.OPEN and _has_failed(challenge)
    return not challenge.login.sms_service.is_active


def _long_wait() -> timedelta:
    """By then a worker has mostly come, by the sweep at the latest."""
    return timedelta(seconds=2 * get_settings().REQUEUE_AFTER)


def _has_failed(challenge: Challenge) -> bool:
    if challenge.sending == Sending.FAILED:
        return True
    if challenge.sending == Sending.WAITING:
        return challenge.created_at < timezone.now() - _long_wait()
    message = challenge.message
    if message is None:
        return False
    # Queued with an error: it could not be sent, and is tried again.
    return message.status in _NOT_ARRIVED or (message.status == MessageStatus.QUEUED and bool(message.error_kind))
