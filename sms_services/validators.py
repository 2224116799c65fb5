"""Checks of shape for what an admin enters, before anything is asked of a provider."""

import re

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

from .exceptions import InvalidPhoneNumber, MissingSDK
from .phone_numbers import normalize

#: Alibaba Cloud's template codes; a template's key must not look like one.
TEMPLATE_CODE = re.compile(r"SMS_\d+")

_MESSAGING_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
_SENDER_ID = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 +\-_&]{1,11}")

validate_account_sid = RegexValidator(
    r"^AC[0-9a-fA-F]{32}$",
    _("An account SID is “AC” and 32 hexadecimal digits. Copy it from the console's start page."),
)
validate_access_key = RegexValidator(
    r"^[A-Za-z0-9_.\-]{8,128}$",
    _("An access key ID has 8 to 128 letters and digits and no spaces. Copy it from the console."),
)


def validate_template_key(value: str) -> None:
    """A key that looks like a template code could not be told from one when a message is sent."""
    if TEMPLATE_CODE.fullmatch(value):
        raise ValidationError(
            _("A key must not look like a template code (SMS_123456). Enter the code below, per service."),
            code="looks_like_code",
        )


def validate_signature(value: str) -> None:
    """Alibaba Cloud's signatures: what stands between the brackets, which the platform puts around it."""
    if re.search(r"[【】\[\]]", value):
        raise ValidationError(
            _("Enter the service's signature without brackets; Alibaba Cloud puts them around it."), code="brackets"
        )


def validate_sender(value: str) -> None:
    """Twilio's senders: a number in E.164, an alphanumeric sender id, or a messaging service's SID."""
    if value.startswith("+"):
        try:
            readable = normalize(value, region="") == value
        except InvalidPhoneNumber:
            readable = False
        if readable:
            return
    elif _MESSAGING_SERVICE.fullmatch(value) or _SENDER_ID.fullmatch(value):
        return
    raise ValidationError(
        _(
            "Enter a number in E.164 (+12065550100), an alphanumeric sender ID (up to 11 letters, digits and spaces, "
            "with at least one letter), or a messaging service's SID (MG…)."
        ),
        code="sender",
    )


def validate_region(value: str) -> None:
    """An AWS region in which the installed SDK knows SNS."""
    from .providers.aws_sns import available_regions

    try:
        regions = available_regions()
    except MissingSDK as error:
        raise ValidationError(str(error), code="missing_sdk") from None
    if value not in regions:
        raise ValidationError(
            _("“%(value)s” is no AWS region with SNS. Examples: us-east-1, eu-west-1, ap-southeast-1."),
            code="region",
            params={"value": value},
        )
