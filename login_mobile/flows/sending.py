"""Making a code and handing it over, in a worker.

The worker makes the code, so no request, session, cookie or task ever holds it; whether a number is known is asked
here, where nobody can time it. One transaction writes the code's hash to the challenge, if it has none, and queues the
message in which the code is encrypted: if the worker dies before the commit nothing has happened, and the sweep starts
again; after it, ``sms_services`` looks after the message. So no challenge is sent twice, and none is forgotten.
"""

import logging
from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from sms_services.api import queue_message
from sms_services.choices import Purpose as TextPurpose
from sms_services.delivery.queueing import queue_for, start
from sms_services.exceptions import SmsError
from sms_services.logs import log

from ..choices import Purpose, Sending
from ..keys import new_code
from ..models import Challenge, MobileLogin, MobileNumber, ReviewNumber
from ..rows import challenges, database
from .digests import code_digests
from .pausing import judge


def ring(challenge_ids: Sequence[int]) -> None:
    """Have a worker send these codes, which are committed. Nobody waits for the broker; the sweep rings again."""
    from ..tasks import send_codes

    start(send_codes, [list(challenge_ids)], queue_for(TextPurpose.OTP))


def send_waiting() -> None:
    """Send all codes that wait for a worker: for tests that have none."""
    send(list(challenges().waiting(timezone.now()).values_list("pk", flat=True)))


def send(challenge_ids: Sequence[int]) -> None:
    """Send those of these codes that are still waiting for it."""
    waiting = challenges().filter(pk__in=challenge_ids).waiting(timezone.now()).select_related("login")
    for challenge in waiting.order_by("pk"):
        try:
            _send_one(challenge)
        except Exception as error:  # noqa: BLE001 - the others are sent all the same; the sweep tries this one again
            log(logging.ERROR, "login.code_stuck", challenge=challenge.pk, error=type(error).__name__)


def _send_one(challenge: Challenge) -> None:
    sending = _without_text(challenge)
    if sending is not None:
        _settle(challenge, sending)
        return
    try:
        _hand_over(challenge)
    except SmsError as error:
        log(logging.ERROR, "login.code_not_sent", challenge=challenge.pk, error=type(error).__name__, reason=error)
        _settle(challenge, Sending.FAILED, type(error).__name__)


def _without_text(challenge: Challenge) -> Sending | None:
    """Why no text is to go out; ``None``: one is."""
    login = challenge.login
    if not login.is_active:
        return Sending.SUPPRESSED
    if review_number(challenge) is not None:
        return Sending.REVIEW
    if challenge.purpose == Purpose.LOGIN and not login.allow_registration and not _is_known(challenge):
        return Sending.SUPPRESSED
    # A pause keeps requests out. What was promised before it is within the caps, and is sent.
    judge(challenge)
    return None


def review_number(challenge: Challenge) -> ReviewNumber | None:
    """The review number of a challenge; of those that asked for a login only."""
    if challenge.purpose != Purpose.LOGIN:
        return None
    if MobileNumber.objects.using(database()).filter(number=challenge.phone_number).exists():
        return None  # whoever has proved to have it gets a text, as everybody does
    # The account comes in one statement with the link to it: who proves a number ends that and all sessions at once.
    rows = ReviewNumber.objects.using(database()).select_related("user")
    return rows.filter(
        login_id=challenge.login_id, number=challenge.phone_number, valid_until__gt=timezone.now()
    ).first()


def _is_known(challenge: Challenge) -> bool:
    return MobileNumber.objects.using(database()).filter(number=challenge.phone_number).exists()


@sensitive_variables("code")
def _hand_over(challenge: Challenge) -> None:
    login = challenge.login
    code = new_code(challenge.code_length)
    with transaction.atomic(using=database()):
        mine = challenges().filter(pk=challenge.pk).waiting(timezone.now())
        if not mine.update(
            digest=code_digests(challenge, code)[0], sending=Sending.HANDED_OVER, sweep_at=None, problem=""
        ):
            return
        (message,) = queue_message(
            login.sms_service,
            challenge.phone_number,
            login.template,
            _params(login, code),
            expires_at=challenge.expires_at,
        )
        challenges().filter(pk=challenge.pk).update(message=message)


@sensitive_variables("code")
def _params(login: MobileLogin, code: str) -> dict[str, str]:
    params = {"code": code, "minutes": str(login.code_minutes)}
    return {name: value for name, value in params.items() if name in login.template.variable_names}


def _settle(challenge: Challenge, sending: Sending, problem: str = "") -> None:
    rows = challenges().filter(pk=challenge.pk, sending=Sending.WAITING)
    rows.update(sending=sending, sweep_at=None, problem=problem[:64])
