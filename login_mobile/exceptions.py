"""What this app raises.

``Refusal`` is for the person at the page or the client of the API: it has a stable code, a translated message that says
what to do, an HTTP status and, where waiting helps, the seconds. No message holds a number or a code, and none tells
whether a number is known before its owner has proved to have it. The others are a programmer's or an admin's mistakes.
"""

from collections.abc import Mapping

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class ErrorCode(models.TextChoices):
    """Codes of refusals. They never change; their messages may."""

    MALFORMED = "malformed", _("This is not a request that can be understood.")
    METHOD_NOT_ALLOWED = "method_not_allowed", _("Use POST here.")
    CSRF = "csrf", _("The CSRF token is missing or wrong. Load the page again.")
    UNKNOWN_CONFIG = "unknown_config", _("Login by phone number is not set up here.")
    DISABLED = "disabled", _("Login by phone number is switched off. Please log in in another way.")
    INVALID_PHONE = "invalid_phone", _("This is not a valid phone number.")
    NOT_MOBILE = "not_mobile", _("This is not a mobile number. Enter one that can receive texts.")
    REGION_NOT_ALLOWED = "region_not_allowed", _("Numbers of this country cannot be used here.")
    PAUSED = "paused", _("Codes cannot be sent to numbers like this one at the moment. Please log in in another way.")
    THROTTLED = "throttled", _("There are too many requests at the moment. Please wait before you try again.")
    UNAVAILABLE = "unavailable", _("This does not work at the moment. Please try again soon.")
    UNKNOWN_CHALLENGE = "unknown_challenge", _("Please ask for a code first.")
    MALFORMED_CODE = "malformed_code", _("The code has digits only. Enter it as it stands in the text.")
    WRONG_CODE = "wrong_code", _("This code is wrong. Enter the one from the newest text.")
    EXPIRED = "expired", _("This code has expired. Please ask for a new one.")
    REPLACED = "replaced", _("There is a newer code. Enter that one, or ask for another.")
    USED = "used", _("This code has been used already. Please ask for a new one.")
    TOO_MANY_ATTEMPTS = "too_many_attempts", _("This code was entered wrongly too often. Please ask for a new one.")
    NICKNAME_REQUIRED = "nickname_required", _("Please choose a nickname.")
    INVALID_NICKNAME = "invalid_nickname", _("A nickname has 1 to 30 visible characters.")
    NOT_ALLOWED = "not_allowed", _("You cannot log in with this number. Please log in in another way.")
    SECOND_PROOF_REQUIRED = (
        "second_proof_required",
        _("Nobody has logged in with this number for long. Log in in another way, and confirm the number then."),
    )
    NOT_AUTHENTICATED = "not_authenticated", _("Please log in first.")
    REAUTHENTICATION_REQUIRED = "reauthentication_required", _("Please confirm first that it is you.")
    WRONG_PASSWORD = "wrong_password", _("This password is wrong.")
    NUMBER_TAKEN = "number_taken", _("This number belongs to another account.")
    NUMBER_CHANGED = "number_changed", _("The number of your account has changed meanwhile. Please begin anew.")
    ALREADY_BOUND = "already_bound", _("This is your number already.")
    NO_NUMBER = "no_number", _("Your account has no phone number.")


#: HTTP statuses of refusals; all others are 400. What helps a person is the code: 410 is “ask for a new one”. Only what
#: an admin has to mend is a 5xx, which Django logs as an error and mails to ``ADMINS``: a pause does what it is for.
STATUSES: Mapping[str, int] = {
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.CSRF: 403,
    ErrorCode.UNKNOWN_CONFIG: 404,
    ErrorCode.DISABLED: 403,
    ErrorCode.PAUSED: 403,
    ErrorCode.THROTTLED: 429,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.UNKNOWN_CHALLENGE: 404,
    ErrorCode.EXPIRED: 410,
    ErrorCode.REPLACED: 410,
    ErrorCode.USED: 410,
    ErrorCode.TOO_MANY_ATTEMPTS: 410,
    ErrorCode.NICKNAME_REQUIRED: 422,
    ErrorCode.INVALID_NICKNAME: 422,
    ErrorCode.NOT_ALLOWED: 403,
    ErrorCode.SECOND_PROOF_REQUIRED: 403,
    ErrorCode.NOT_AUTHENTICATED: 401,
    ErrorCode.REAUTHENTICATION_REQUIRED: 403,
    ErrorCode.NUMBER_TAKEN: 409,
    ErrorCode.NUMBER_CHANGED: 409,
    ErrorCode.ALREADY_BOUND: 409,
    ErrorCode.NO_NUMBER: 409,
}


class MobileLoginError(Exception):
    """Base of everything that this app raises."""


class Refusal(MobileLoginError):
    """Somebody asked for what they do not get.

    Attributes:
        code: an ``ErrorCode``; stable.
        message: for a person, translated when it is shown; says what to do.
        status: the HTTP status that fits.
        retry_after: whole seconds after which to try again; ``None`` where waiting does not help.
    """

    def __init__(
        self, code: ErrorCode, *, retry_after: int | None = None, message: str | Promise | None = None
    ) -> None:
        super().__init__(code.value)
        self.code = code
        self.message: str | Promise = message or code.label
        self.retry_after = retry_after

    @property
    def status(self) -> int:
        return STATUSES.get(self.code, 400)


class OpenTransaction(MobileLoginError):
    """A function that counts was called inside a transaction, whose rollback would take the count back."""


class UnusableFactory(MobileLoginError):
    """The user factory made what must not be made: a member of staff, or nothing that is or can be saved."""
