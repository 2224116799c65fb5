"""The hash of a code: good for one challenge, its purpose and its number, and worth nothing without SECRET_KEY."""

from django.views.decorators.debug import sensitive_variables

from ..keys import digests
from ..models import Challenge

_SALT = "login_mobile.code"


@sensitive_variables("code")
def code_digests(challenge: Challenge, code: str) -> list[str]:
    """With each configured key, the current one first. No part can hold a colon, so no two inputs are alike."""
    return digests(_SALT, f"{challenge.pk}:{challenge.login_id}:{challenge.purpose}:{challenge.phone_number}:{code}")
