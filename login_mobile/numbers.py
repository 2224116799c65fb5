"""Numbers that may log in: one identity however they are written, mobile, and of an allowed country."""

import unicodedata
from dataclasses import dataclass, field

from sms_services.exceptions import InvalidPhoneNumber
from sms_services.phone_numbers import mask, normalize

from .exceptions import ErrorCode, Refusal
from .models import MobileLogin


@dataclass(frozen=True)
class Number:
    """A number, and what limits and figures count it under."""

    e164: str = field(repr=False)
    #: ISO code of the country that its digits say: +1 876 is Jamaica.
    country: str

    @property
    def prefix(self) -> str:
        """Without the last four digits: what is bought and abused together."""
        return self.e164[:-4]

    def __str__(self) -> str:
        return mask(self.e164)


def parse_number(raw: object, login: MobileLogin, region: object = None) -> Number:
    """Read what somebody entered.

    Args:
        raw: any notation; anything but a string is refused.
        region: ISO code of the country of a number that is written without one; default: the login's first.

    Raises:
        Refusal: ``invalid_phone``, ``not_mobile`` or ``region_not_allowed``.
    """
    if not isinstance(raw, str):
        raise Refusal(ErrorCode.INVALID_PHONE)
    if region is None or region == "":
        region = login.default_region
    if not isinstance(region, str) or region not in login.regions:
        raise Refusal(ErrorCode.REGION_NOT_ALLOWED)
    number = Number(*_read(raw, region))
    # First the country, which a person may have got wrong; what kind of number it is, nobody needs to know abroad.
    if number.country not in login.regions:
        raise Refusal(ErrorCode.REGION_NOT_ALLOWED)
    if not _is_mobile(number.e164):
        raise Refusal(ErrorCode.NOT_MOBILE)
    return number


def number_of(e164: str) -> Number:
    """A number that was read before."""
    return Number(e164, _country(e164))


def _is_mobile(e164: str) -> bool:
    """Whether it is, or may be: North American numbers do not tell."""
    from phonenumbers import PhoneNumberType, number_type, parse

    return number_type(parse(e164)) in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)


def _country(e164: str) -> str:
    from phonenumbers import parse, region_code_for_number

    return region_code_for_number(parse(e164)) or ""


def _read(raw: str, region: str) -> tuple[str, str]:
    try:
        e164 = normalize(raw, region=region)
    except InvalidPhoneNumber as error:
        e164 = _with_international_prefix(raw, region)
        if not e164:
            raise Refusal(ErrorCode.INVALID_PHONE, message=str(error)) from None
    return e164, _country(e164)


def _with_international_prefix(raw: str, region: str) -> str:
    """``0086 138 …`` also where not 00 but another prefix is dialled (011 in North America). Empty: it is none."""
    # Folded first, as ``normalize`` does: what it takes for a digit must not get lost here.
    folded = unicodedata.normalize("NFKC", raw)
    digits = "".join(str(int(character)) for character in folded if character.isdecimal())
    if not digits.startswith("00") or raw.strip().startswith(("+", "＋")):
        return ""
    try:
        normalize(raw.replace(" ", ""), region="IT")  # the same signs are refused; Italy keeps zeros and dials 00
        return normalize(f"+{digits[2:]}", region=region)
    except InvalidPhoneNumber:
        return ""
