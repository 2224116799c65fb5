"""The variables of a text, as callers give them."""

from collections.abc import Iterable, Mapping

from .choices import Purpose
from .conf import get_settings
from .exceptions import InvalidParams

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
        raise InvalidParams(f"Variables are a dict of strings, not {type(params).__name__}.")
    for name, value in params.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidParams(
                f"The variable {name!r} must be a string, not {type(value).__name__}. Format it as it is to be read."
            )
        if len(value) > MAX_LENGTH:
            raise InvalidParams(
                f"The variable {name!r} has {len(value)} characters; at most {MAX_LENGTH} fit into a text."
            )
    return dict(params)


def sensitive_names(purpose: str, names: Iterable[str]) -> set[str]:
    """Which variables are unreadable at rest: all of a one-time code's, else those that the settings name."""
    if purpose == Purpose.OTP:
        return set(names)
    return set(names) & set(get_settings().SENSITIVE_VARIABLES)
