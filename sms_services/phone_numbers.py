"""Phone numbers: any notation in, E.164 inside, masked wherever a person or a log sees them.

The library is imported at its first use: it would be a tenth of what our apps add to the start of a process.
"""

import re
import unicodedata

from django.utils.translation import gettext as _

from .conf import get_settings
from .exceptions import InvalidPhoneNumber

MAX_LENGTH = 40
_ALLOWED = re.compile(r"\(?\+?[0-9 ().\-/\u2010-\u2015\u2212]+", re.ASCII)


def normalize(raw: str, *, region: str | None = None) -> str:
    """Read a phone number in any usual notation and return it in E.164 (``+12065550100``).

    Digits of any script count; letters, extensions and invisible characters are refused.

    Args:
        raw: the number as somebody wrote it.
        region: ISO 3166 code of the country of numbers without a country code; default: the setting
            ``DEFAULT_REGION``.

    Raises:
        InvalidPhoneNumber: it cannot be read, or is no valid number. The message does not repeat it.
    """
    import phonenumbers

    if not isinstance(raw, str):
        raise InvalidPhoneNumber(_("A phone number must be a string, not %s.") % type(raw).__name__)
    if not raw.strip():
        raise InvalidPhoneNumber(_("Enter a phone number."))
    if len(raw) > MAX_LENGTH:
        raise InvalidPhoneNumber(_("This is too long for a phone number."))
    folded = _fold_digits(raw.strip())
    if not _ALLOWED.fullmatch(folded):
        raise InvalidPhoneNumber(
            _(
                "A phone number has only digits, spaces, dots, dashes and brackets, and may begin with a plus. If it "
                "was copied, type it: it may hold a sign that is not seen."
            )
        )
    region = get_settings().DEFAULT_REGION if region is None else region
    try:
        number = phonenumbers.parse(folded, region or None)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_valid_number(number):
        if folded.startswith("+"):
            raise InvalidPhoneNumber(_("This is not a valid phone number."))
        raise InvalidPhoneNumber(
            _("This is not a valid phone number. Write it with plus and country code, as in +1 206 555 0100.")
        )
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def mask(phone_number: str) -> str:
    """Show a number's country, first three and last four digits: ``+86 138****8000``.

    Whatever is no readable number becomes ``****``.
    """
    import phonenumbers

    try:
        number = phonenumbers.parse(phone_number, None)
    except phonenumbers.NumberParseException:
        return "****"
    national = phonenumbers.national_significant_number(number)
    if len(national) < 9:
        return f"+{number.country_code} ****{national[-2:]}"
    return f"+{number.country_code} {national[:3]}****{national[-4:]}"


def international(phone_number: str) -> str:
    """An E.164 number as people write it: ``+1 206-555-0100``. Whatever is no readable number stays as it is."""
    import phonenumbers

    try:
        number = phonenumbers.parse(phone_number, None)
    except phonenumbers.NumberParseException:
        return phone_number
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def notation_help() -> str:
    """For fields that take a number: which country one without a country code is read in."""
    import phonenumbers

    region = get_settings().DEFAULT_REGION
    if not region:
        return _("Any notation of a number will do, with its country code: +1 206 555 0100.")
    country = {"region": region, "code": phonenumbers.country_code_for_region(region)}
    words = _("Any notation of a number will do; one without a country code is taken for %(region)s (+%(code)d).")
    return words % country


def country_code(phone_number: str) -> int:
    """The country calling code of an E.164 number."""
    import phonenumbers

    return phonenumbers.parse(phone_number, None).country_code or 0


def is_mainland_china(phone_number: str) -> bool:
    """Whether an E.164 number belongs to mainland China (+86; Hong Kong, Macau and Taiwan have their own)."""
    return phone_number.startswith("+86")


def _fold_digits(text: str) -> str:
    """Full-width signs to plain ones, digits of every script to 0-9, odd spaces to a space."""
    if text.isascii():
        return text
    return "".join(_fold(character) for character in unicodedata.normalize("NFKC", text))


def _fold(character: str) -> str:
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    return " " if unicodedata.category(character) == "Zs" else character
