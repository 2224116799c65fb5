"""The variables of a text, as callers give them."""

import re
from collections.abc import Iterable, Mapping

from django.utils.translation import gettext as _

from .choices import Purpose
from .conf import get_settings
from .exceptions import InvalidParams

_STORABLE = re.compile("[^\\x00\\ud800-\\udfff]*")

#: No provider takes a longer text, so no variable can be longer.
MAX_LENGTH = 1600


def checked_params(params: Mapping[str, str] | None) -> dict[str, str]:
    """A copy of the variables.

    Raises:
        InvalidParams: no mapping of strings to strings, or a value is too long for any text.
    """
    if params is None:
        return {}
    if not isinstance(params, Mapping):
        raise InvalidParams(_("Variables are a dict of strings, not %s.") % type(params).__name__)
    for name, value in params.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidParams(
                _("The variable “%(name)s” must be a string, not %(type)s. Format it as it is to be read.")
                % {"name": name, "type": type(value).__name__}
            )
        if len(value) > MAX_LENGTH:
            raise InvalidParams(
                _("The variable “%(name)s” has %(count)d characters; at most %(limit)d fit into a text.")
                % {"name": name, "count": len(value), "limit": MAX_LENGTH}
            )
        if not _STORABLE.fullmatch(value):
            raise InvalidParams(
                _("The variable “%(name)s” holds a character that no text can have (NUL, or half of a pair).")
                % {"name": name}
            )
    return dict(params)


def sensitive_names(purpose: str, names: Iterable[str]) -> set[str]:
    """Which variables are unreadable at rest: all of a one-time code's, else those that the settings name."""
    if purpose == Purpose.OTP:
        return set(names)
    return set(names) & set(get_settings().SENSITIVE_VARIABLES)
