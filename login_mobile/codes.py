"""Codes as people enter them."""

import unicodedata

from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from .exceptions import ErrorCode, Refusal

_SEPARATORS = str.maketrans("", "", " -\u00a0\u3000")
MAX_LENGTH = 20


class EnteredCode:
    """A code that somebody entered: digits, and nothing that would show them (not on Django's debug page either)."""

    __slots__ = ("_digits",)

    def __init__(self, digits: str) -> None:
        self._digits = digits

    def reveal(self) -> str:
        return self._digits

    def __repr__(self) -> str:
        return "<EnteredCode>"


@sensitive_variables("entered", "digits")
def parse_code(entered: object, length: int) -> EnteredCode:
    """Read an entered code. Full-width digits are folded, spaces and dashes dropped; nothing else is guessed.

    Raises:
        Refusal: ``malformed_code``: it is no string of so many digits. It is not compared then, and no attempt is used.
    """
    if not isinstance(entered, str):
        raise Refusal(ErrorCode.MALFORMED_CODE)
    if len(entered) > MAX_LENGTH:
        raise _of_another_length(length)
    digits = "".join(map(_folded, entered.strip().translate(_SEPARATORS)))
    if not (digits.isascii() and digits.isdigit()):
        raise Refusal(ErrorCode.MALFORMED_CODE)
    if len(digits) != length:
        raise _of_another_length(length)
    return EnteredCode(digits)


def _of_another_length(length: int) -> Refusal:
    return Refusal(ErrorCode.MALFORMED_CODE, message=_("The code has %(count)d digits.") % {"count": length})


def _folded(character: str) -> str:
    """Full-width digits to plain ones; digits of other scripts stay, and are refused."""
    return unicodedata.normalize("NFKC", character) if "\uff10" <= character <= "\uff19" else character
