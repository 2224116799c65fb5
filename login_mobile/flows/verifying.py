"""Logging in or registering with a code."""

from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from ..choices import ChallengeState, Purpose, Sending
from ..exceptions import ErrorCode, Refusal
from ..models import MobileLogin
from ..transactions import refuse_open_transaction
from .entering import Verified, enter
from .finding import challenge_of, get_login
from .proving import Proof, prove

_LOGIN = frozenset({Purpose.LOGIN})


@sensitive_variables("code")
def verify_code(
    request: HttpRequest,
    token: object,
    code: object,
    *,
    nickname: object = None,
    login: MobileLogin | str | None = None,
) -> Verified:
    """Compare a code that was asked for with ``request_code``; find its user, or make one.

    Nobody is logged in by this: call ``log_in``, or hand out a token of your own.

    Args:
        token: of the ``PendingCode``.
        code: as it was entered.
        nickname: of a new user, where the login asks for one. Without it the challenge stays proved, for
            five minutes at least: call this again with the same code, which costs no attempt, or
            ``finish_registration`` without.
        login: the configuration that must have asked for the code; default: any.

    Raises:
        Refusal: ``throttled``, ``unavailable``, ``unknown_challenge``, ``disabled``, ``malformed_code``,
            ``wrong_code``, ``expired``, ``replaced``, ``used``, ``too_many_attempts``; and after a right code only
            ``nickname_required``, ``invalid_nickname``, ``not_allowed``, ``second_proof_required``.
        OpenTransaction: a transaction is open.
    """
    return enter(request, prove(request, token, code, _LOGIN, login), nickname)


def finish_registration(request: HttpRequest, token: object, nickname: object) -> Verified:
    """Register with a code that was right already, once there is a nickname: so no page has to keep the code.

    Raises:
        Refusal: as ``verify_code`` after a right code; ``unknown_challenge``: no code was right for this token.
        OpenTransaction: a transaction is open.
    """
    refuse_open_transaction()
    challenge = challenge_of(request, token)
    login = get_login(challenge.login)
    if challenge.purpose != Purpose.LOGIN or challenge.state not in (ChallengeState.PROVED, ChallengeState.USED):
        raise Refusal(ErrorCode.UNKNOWN_CHALLENGE)
    proof = Proof(challenge, login, is_review=challenge.sending == Sending.REVIEW, spent=0)
    return enter(request, proof, nickname)
