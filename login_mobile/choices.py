"""The closed vocabularies of this app."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Purpose(models.TextChoices):
    """What a code proves a number for. A code is worth nothing for another purpose."""

    LOGIN = "login", _("Log in or register")
    BIND = "bind", _("Add a number")
    CHANGE = "change", _("Change the number")
    REAUTHENTICATE = "reauthenticate", _("Confirm who it is")


class ChallengeState(models.TextChoices):
    """Where a code stands. That it has expired, or that its attempts are used up, follows from its other fields."""

    OPEN = "open", _("Open")
    PROVED = "proved", _("Proved, not finished")  # the code was right; a nickname is still missing
    USED = "used", _("Used")
    REPLACED = "replaced", _("Replaced by a newer one")


class Sending(models.TextChoices):
    """What became of the text. Nothing of it can be told from outside."""

    WAITING = "waiting", _("Waiting for a worker")
    HANDED_OVER = "handed_over", _("Handed over")  # there is a message, which says the rest
    SUPPRESSED = "suppressed", _("Suppressed")  # nobody was to get a text
    REVIEW = "review", _("Review number")  # a fixed code, and no text
    FAILED = "failed", _("Failed")


class Outcome(models.TextChoices):
    """How a challenge ended, for people who look at figures."""

    PENDING = "", _("Not used")
    LOGGED_IN = "logged_in", _("Logged in")
    REGISTERED = "registered", _("Registered")
    BOUND = "bound", _("Number added")
    CHANGED = "changed", _("Number changed")
    REAUTHENTICATED = "reauthenticated", _("Confirmed")
    REFUSED = "refused", _("Refused after a right code")


class RecycledPolicy(models.TextChoices):
    """What a number opens that nobody has logged in with for long: carriers hand numbers on."""

    SECOND_PROOF = "second_proof", _("The old account, with a second proof only")
    NEW_ACCOUNT = "new_account", _("A new account; the number is taken from the old one")


class RefusalReason(models.TextChoices):
    """Why a request was refused before anything was sent or compared. Whoever asked is told of two only.

    These are ``TOO_SOON``, and ``PAUSED``, which is an ``ErrorCode`` of its own.
    """

    TOO_SOON = "too_soon", _("Asked again within the pause between two codes")
    NUMBER = "number", _("Codes to one number used up")
    USER = "user", _("Codes of one user used up")
    ADDRESS = "address", _("Codes from one IP address used up")
    PREFIX = "prefix", _("Cap of a prefix reached")
    COUNTRY = "country", _("Cap of a country reached")
    DAY = "day", _("Cap of the day reached")
    PAUSED = "paused", _("Country or prefix paused")
    WRONG_CODES = "wrong_codes", _("Too many wrong codes for one number")
    ENTERED_CODES = "entered_codes", _("Too many codes entered from one IP address")


class PauseScope(models.TextChoices):
    COUNTRY = "country", _("Country")
    PREFIX = "prefix", _("Prefix")


class PauseReason(models.TextChoices):
    UNUSED = "unused", _("Codes are not being used")
    CAP = "cap", _("The cap of a day was reached, and codes are not being used")
