"""A logged-in user adds, changes or removes a number."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib.auth import update_session_auth_hash
from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from ..choices import Outcome, Purpose, RecycledPolicy
from ..exceptions import ErrorCode, Refusal
from ..models import MobileLogin, MobileNumber, ReviewNumber
from ..numbers import parse_number
from ..rows import challenges, database, delete_unchanged, number_row
from ..signals import number_bound, number_changed, number_removed
from ..transactions import refuse_open_transaction
from .entering import end_claims, set_outcome
from .finding import get_login
from .notices import send_notice
from .proving import Proof, dead, prove
from .reauthenticating import require_recent
from .requesting import PendingCode, count_request, open_challenge

_PURPOSES = frozenset({Purpose.BIND, Purpose.CHANGE})
_Result = TypeVar("_Result")


@sensitive_variables()
def request_number(
    request: HttpRequest, phone: object, *, region: object = None, login: MobileLogin | str | None = None
) -> PendingCode:
    """Ask for a code to add a number to the account of ``request.user``, or to put it in the place of the one it has.

    Whether somebody else has the number is not told before it is proved. The number that the account has already may
    be given if nobody has logged in with it for so long that some login does not open the account with it any more:
    that confirms it.

    Raises:
        Refusal: as ``request_code``; and ``not_authenticated``, ``reauthentication_required``, ``already_bound``: it
            is the account's number, and was used lately.
        OpenTransaction: a transaction is open.
    """
    user = require_recent(request)
    login = get_login(login)
    number = parse_number(phone, login, region)
    own = _own(user)
    is_same = own is not None and own.number == number.e164
    if own is not None and is_same and _opens_everywhere(own):
        # Counted like any other number, a known browser's too: else guesses would find out what the pages mask.
        count_request(request, login, number, Purpose.BIND, known=False, user=user)
        raise Refusal(ErrorCode.ALREADY_BOUND)
    purpose = Purpose.BIND if own is None or is_same else Purpose.CHANGE
    return open_challenge(request, login, number, purpose, user)


@sensitive_variables("code")
def confirm_number(request: HttpRequest, token: object, code: object) -> MobileNumber:
    """Compare the code of ``request_number``: from now on the number is the account's.

    The old number, if there was one, gets a notice. A code that was asked for before a number was removed or withdrawn
    from the account is ``replaced``.

    Returns:
        the account's number.

    Raises:
        Refusal: as ``verify_code`` before a right code; and ``not_authenticated``, ``reauthentication_required``,
            ``number_taken``: it is somebody else's; ``number_changed``: the account has got another one meanwhile, or
            lost the one that this was to confirm.
        OpenTransaction: a transaction is open.
    """
    user = require_recent(request)
    proof = prove(request, token, code, _PURPOSES)
    own = _own(user)  # before the code is used: whoever takes the number away after this is noticed, or ends the code
    if not challenges().filter(pk=proof.challenge.pk).use(timezone.now()):
        raise dead(proof.challenge)
    if own is not None and own.number != proof.challenge.phone_number and proof.challenge.purpose == Purpose.BIND:
        set_outcome(proof.challenge, Outcome.REFUSED)
        raise Refusal(ErrorCode.NUMBER_CHANGED)
    try:
        if own is None:
            return _bind(request, proof, user)
        if own.number == proof.challenge.phone_number:
            return _confirm(proof, own)
        return _change(proof, user, own)
    except IntegrityError:
        set_outcome(proof.challenge, Outcome.REFUSED)
        if refusal := _overtaken(proof, user, own):
            raise refusal from None
        raise


def remove_number(request: HttpRequest, *, login: MobileLogin | str | None = None) -> bool:
    """Take the number from the account of ``request.user``; it gets a notice.

    Args:
        login: through what the notice goes, if that can send it.

    Returns:
        whether the notice is on its way: without any service that can send it, it is not.

    Raises:
        Refusal: ``not_authenticated``, ``reauthentication_required``, ``no_number``, ``unknown_config``.
        OpenTransaction: a transaction is open.
    """
    user = require_recent(request)
    refuse_open_transaction()
    config = _any_login(login)
    own = _own(user)
    told = None if own is None else _take_away(own, user, config, "removed")
    if told is None:
        raise Refusal(ErrorCode.NO_NUMBER)
    return told


@sensitive_variables()
def withdraw_number(row: MobileNumber) -> bool:
    """Take a number from its account, as an admin may; it gets a notice. Permission: ``delete_mobilenumber``.

    Returns:
        whether the account had it still.
    """
    try:
        user = row.user
    except ObjectDoesNotExist:  # deleted meanwhile, and the number with it
        return False
    return _take_away(row, user, _any_login(None), "withdrawn") is not None


@sensitive_variables()
def _take_away(row: MobileNumber, user: Any, login: MobileLogin | None, reason: str) -> bool | None:
    """Delete a number and queue its notice, or neither; returns whether there is a notice. ``None``: it was gone.

    What the account had begun with a number is over: no code that was asked for before brings one back.
    """
    with transaction.atomic(using=database()):
        if not delete_unchanged(MobileNumber.objects.using(database()).filter(pk=row.pk, number=row.number)):
            return None
        challenges().filter(user=user, purpose__in=_PURPOSES).replace()
        told = send_notice(login, row.number)
        facts = {"login": login, "user": user, "number": row.number, "reason": reason}
        transaction.on_commit(lambda: number_removed.send_robust(MobileNumber, **facts), using=database(), robust=True)
    return told


def _overtaken(proof: Proof, user: Any, own: MobileNumber | None) -> Refusal | None:
    """Who was faster: somebody else with this number, or the user with another one. ``None``: neither."""
    holder, now = number_row(proof.challenge.phone_number), _own(user)
    if holder is not None and holder.user_id != user.pk:
        return Refusal(ErrorCode.NUMBER_TAKEN)
    if (now and now.number) != (own and own.number):
        return Refusal(ErrorCode.NUMBER_CHANGED)
    return None


def _own(user: Any) -> MobileNumber | None:
    return MobileNumber.objects.using(database()).filter(user=user).first()


def _opens_everywhere(own: MobileNumber) -> bool:
    """Whether a number was used lately enough for every login that is in use."""
    logins = MobileLogin.objects.using(database()).filter(is_active=True)
    now = timezone.now()
    return not any(own.is_stale(days, now) for days in logins.values_list("recycled_after_days", flat=True))


def _bind(request: HttpRequest, proof: Proof, user: Any) -> MobileNumber:
    row = MobileNumber(user=user, number=proof.challenge.phone_number)

    def bind() -> bool:
        row.save(using=database(), force_insert=True)
        return _end_review(user)

    if _take(proof, bind):
        update_session_auth_hash(request, user)  # this session goes on
    set_outcome(proof.challenge, Outcome.BOUND)
    number_bound.send_robust(MobileNumber, login=proof.login, user=user, number=row.number)
    return row


def _end_review(user: Any) -> bool:
    """Whoever has proved a number for the account of a review code is its only owner from now on.

    No review code opens it again, whatever becomes of the number. A new unusable password ends the sessions of those
    who reviewed the app in it, and the password that one of them may have set.
    """
    if not ReviewNumber.objects.using(database()).filter(user=user).update(user=None):
        return False
    if hasattr(user, "set_unusable_password"):
        user.set_unusable_password()
        user.save(using=database(), update_fields=["password"])
    return True


def _confirm(proof: Proof, own: MobileNumber) -> MobileNumber:
    now = timezone.now()
    rows = MobileNumber.objects.using(database()).filter(pk=own.pk, number=own.number)
    if not rows.update(verified_at=now, last_used_at=now):
        raise IntegrityError("The number was removed or changed meanwhile.")
    set_outcome(proof.challenge, Outcome.BOUND)
    own.verified_at = own.last_used_at = now
    return own


def _change(proof: Proof, user: Any, own: MobileNumber) -> MobileNumber:
    old, now = own.number, timezone.now()
    new = proof.challenge.phone_number

    def change() -> None:
        rows = MobileNumber.objects.using(database()).filter(pk=own.pk, number=old)
        if not rows.update(number=new, verified_at=now, last_used_at=now):
            raise IntegrityError("The number was removed or changed meanwhile.")
        send_notice(proof.login, old)  # with the change, or neither

    _take(proof, change)
    set_outcome(proof.challenge, Outcome.CHANGED)
    number_changed.send_robust(MobileNumber, login=proof.login, user=user, old_number=old, new_number=new)
    own.number, own.verified_at, own.last_used_at = new, now, now
    return own


def _take(proof: Proof, write: Callable[[], _Result]) -> _Result:
    """Write a number to an account. The unique number decides between two; one unused for long may change hands."""
    number = proof.challenge.phone_number
    holder = number_row(number)
    detached = None
    with transaction.atomic(using=database()):
        if holder is not None and _may_be_detached(proof, holder):
            rows = MobileNumber.objects.using(database()).filter(pk=holder.pk, last_used_at=holder.last_used_at)
            detached = holder.user if delete_unchanged(rows) else None
        result = write()
    end_claims(number)
    if detached is not None:
        number_removed.send_robust(MobileNumber, login=proof.login, user=detached, number=number, reason="recycled")
    return result


def _may_be_detached(proof: Proof, holder: MobileNumber) -> bool:
    login = proof.login
    return login.recycled_policy == RecycledPolicy.NEW_ACCOUNT and holder.is_stale(
        login.recycled_after_days, timezone.now()
    )


def _any_login(login: MobileLogin | str | None) -> MobileLogin | None:
    """Through what a notice goes. That the login is switched off keeps nobody from removing a number."""
    try:
        return get_login(login)
    except Refusal as refusal:
        if login is not None and refusal.code == ErrorCode.UNKNOWN_CONFIG:
            raise
        return None
