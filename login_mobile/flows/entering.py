"""After a right code: whose number it is, who is made, and who gets in."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth import SESSION_KEY, authenticate
from django.contrib.auth import login as start_session
from django.db import DataError, IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.module_loading import import_string

from ..choices import Outcome, RecycledPolicy
from ..conf import get_settings
from ..devices import remember
from ..exceptions import ErrorCode, Refusal, UnusableFactory
from ..models import Challenge, MobileLogin, MobileNumber, ReviewNumber
from ..rows import challenges, database, delete_unchanged, number_row
from ..signals import mobile_login_refused, mobile_login_succeeded, number_bound, number_removed
from ..users import checked_nickname, make_user
from .proving import Proof, dead
from .sending import review_number


@dataclass(frozen=True)
class Verified:
    """Somebody has proved to have the number of this user, and may be let in.

    Attributes:
        user: who it is.
        created: whether the user was made just now.
        number: the user's number; that of a review account is not stored, as nobody has proved to have it.
        login: the configuration by which it was proved.
    """

    user: Any
    created: bool
    number: MobileNumber = field(repr=False)
    login: MobileLogin
    is_review: bool = False


def enter(request: HttpRequest, proof: Proof, nickname: object) -> Verified:
    """Find or make the user of a proved number, and use the code up.

    The code is used up in a statement of its own, before anything else is written: if what follows fails, it stays
    used, and a new one has to be asked for.

    Raises:
        Refusal: ``nickname_required`` or ``invalid_nickname`` (the challenge stays proved); ``not_allowed``,
            ``second_proof_required``, ``used``, ``expired``.
        UnusableFactory: the new user cannot be saved. The number stays whose it was.
    """
    if proof.is_review:
        return _let_reviewer_in(request, proof, nickname)
    row = number_row(proof.challenge.phone_number)
    if row is not None and _is_recycled(request, proof, row):
        if proof.login.recycled_policy == RecycledPolicy.SECOND_PROOF:
            _use(proof)
            raise _refused(request, proof, row.user, ErrorCode.SECOND_PROOF_REQUIRED)
        return _register(request, proof, nickname, instead_of=row)
    if row is not None:
        _use(proof)
        return _let_in(request, proof, row)
    return _register(request, proof, nickname)


def log_in(request: HttpRequest, verified: Verified) -> None:
    """Make the session the user's: its key is rotated, also if it was theirs before; another user's is flushed first.

    Raises:
        Refusal: ``not_allowed``: a backend refuses the user.
    """
    user = authenticate(request, mobile_proof=verified)
    if user is None:
        raise Refusal(ErrorCode.NOT_ALLOWED)
    if SESSION_KEY in request.session:  # Django rotates the key of an anonymous session only
        request.session.cycle_key()
    start_session(request, user)


def remember_device(request: HttpRequest, response: HttpResponse, proved: Verified | MobileNumber) -> None:
    """Know this browser when the same number logs in again: strangers cannot lock it out then.

    Args:
        proved: what ``verify_code`` or ``confirm_number`` has returned.
    """
    if isinstance(proved, MobileNumber):
        remember(request, response, proved)
    elif not proved.is_review:
        remember(request, response, proved.number)


def end_claims(number: str) -> None:
    """A number was proved for the first time: what others had begun with it is over."""
    challenges().filter(phone_number=number).replace()


def set_outcome(challenge: Challenge, outcome: Outcome) -> None:
    challenges().filter(pk=challenge.pk).update(outcome=outcome)


def _use(proof: Proof) -> None:
    if not challenges().filter(pk=proof.challenge.pk).use(timezone.now()):
        raise dead(proof.challenge)


def _is_recycled(request: HttpRequest, proof: Proof, row: MobileNumber) -> bool:
    if not row.is_stale(proof.login.recycled_after_days, timezone.now()):
        return False
    return not import_string(get_settings().SECOND_PROOF)(request, row.user, row)


def _let_in(request: HttpRequest, proof: Proof, row: MobileNumber) -> Verified:
    """The user of a number that was known before."""
    verified = Verified(row.user, created=False, number=row, login=proof.login)
    _check_backends(request, proof, verified)
    rows = MobileNumber.objects.using(database()).filter(pk=row.pk, number=row.number, user_id=row.user_id)
    if not rows.update(last_used_at=timezone.now()):  # removed or changed meanwhile
        raise _refused(request, proof, row.user, ErrorCode.NOT_ALLOWED)
    return _welcome(request, proof, verified)


def _let_reviewer_in(request: HttpRequest, proof: Proof, nickname: object) -> Verified:
    """The account of a review number, whether or not people may register: an admin has allowed this one."""
    review = review_number(proof.challenge)
    if review is None:  # its time is over, or somebody has proved to have the number meanwhile
        _use(proof)
        raise _refused(request, proof, None, ErrorCode.NOT_ALLOWED)
    # Whoever has proved a number for the account has ended the link (``numbers``): the next reviewer gets a new one.
    created = review.user_id is None
    user: Any = review.user
    name = _nickname(proof, nickname) if created else ""
    _use(proof)
    if created:
        try:
            with _making_a_user(proof):
                user = make_user(review.number, name, proof.login)
                rows = ReviewNumber.objects.using(database()).filter(pk=review.pk, user=None)
                if not rows.update(user=user):  # another code was faster: it is its account
                    transaction.set_rollback(True, using=database())
                    created = False
        except IntegrityError:
            raise _factory_failed(proof) from None
        if not created:
            user = _account_of(review)
            if user is None:  # deleted meanwhile, or somebody in it has proved a number
                raise _refused(request, proof, None, ErrorCode.NOT_ALLOWED)
    number = MobileNumber(user_id=user.pk, number=review.number)
    verified = Verified(user, created=created, number=number, login=proof.login, is_review=True)
    _check_backends(request, proof, verified)
    return _welcome(request, proof, verified)


def _account_of(review: ReviewNumber) -> Any:
    row = ReviewNumber.objects.using(database()).select_related("user").filter(pk=review.pk).first()
    return row and row.user


def _check_backends(request: HttpRequest, proof: Proof, verified: Verified) -> None:
    """The backends are asked before anybody is told of a success."""
    if authenticate(request, mobile_proof=verified) is None:
        raise _refused(request, proof, verified.user, ErrorCode.NOT_ALLOWED)


def _register(
    request: HttpRequest, proof: Proof, nickname: object, *, instead_of: MobileNumber | None = None
) -> Verified:
    if not proof.login.allow_registration:
        _use(proof)
        raise _refused(request, proof, None, ErrorCode.NOT_ALLOWED)
    name = _nickname(proof, nickname)
    _use(proof)
    try:
        with _making_a_user(proof):
            if instead_of is not None:
                _detach(instead_of)
            user = make_user(proof.challenge.phone_number, name, proof.login)
            row = MobileNumber(user=user, number=proof.challenge.phone_number)
            row.save(using=database(), force_insert=True)
    except IntegrityError:
        # Somebody else who has the number was faster, with a code of their own: it is their account now.
        winner = number_row(proof.challenge.phone_number)
        if winner is None or _is_recycled(request, proof, winner):
            raise _factory_failed(proof) from None  # nobody was
        return _let_in(request, proof, winner)
    end_claims(row.number)
    if instead_of is not None:
        number_removed.send_robust(
            MobileNumber, login=proof.login, user=instead_of.user, number=row.number, reason="recycled"
        )
    number_bound.send_robust(MobileNumber, login=proof.login, user=user, number=row.number)
    verified = Verified(user, created=True, number=row, login=proof.login)
    _check_backends(request, proof, verified)
    return _welcome(request, proof, verified)


@contextmanager
def _making_a_user(proof: Proof) -> Iterator[None]:
    """All that is written for a new user, or nothing: then the code has let nobody in, and its row says so.

    ``IntegrityError`` is the caller's: somebody else may have been faster.
    """
    try:
        with transaction.atomic(using=database()):
            yield
    except IntegrityError:
        raise
    except DataError:
        raise _factory_failed(proof) from None
    except Exception:
        set_outcome(proof.challenge, Outcome.REFUSED)
        raise


def _factory_failed(proof: Proof) -> UnusableFactory:
    """In the place of the database's own words, which may hold the number."""
    set_outcome(proof.challenge, Outcome.REFUSED)
    return UnusableFactory("The user factory makes users that the database does not take.")


def _detach(row: MobileNumber) -> None:
    """Take the number from an account, unless somebody has used it meanwhile: then its unique number says so."""
    delete_unchanged(MobileNumber.objects.using(database()).filter(pk=row.pk, last_used_at=row.last_used_at))


def _nickname(proof: Proof, nickname: object) -> str:
    """What was given; if something is wanted that was not, the challenge waits for it."""
    if not proof.login.ask_nickname:
        return ""
    try:
        if nickname is None or nickname == "":
            raise Refusal(ErrorCode.NICKNAME_REQUIRED)
        return checked_nickname(nickname)
    except Refusal:
        if not challenges().filter(pk=proof.challenge.pk).prove(timezone.now(), spent=proof.spent):
            raise dead(proof.challenge) from None
        raise


def _welcome(request: HttpRequest, proof: Proof, verified: Verified) -> Verified:
    set_outcome(proof.challenge, Outcome.REGISTERED if verified.created else Outcome.LOGGED_IN)
    mobile_login_succeeded.send_robust(
        MobileLogin, login=proof.login, user=verified.user, created=verified.created, request=request
    )
    return verified


def _refused(request: HttpRequest, proof: Proof, user: Any, code: ErrorCode) -> Refusal:
    set_outcome(proof.challenge, Outcome.REFUSED)
    mobile_login_refused.send_robust(MobileLogin, login=proof.login, user=user, code=code, request=request)
    return Refusal(code)
