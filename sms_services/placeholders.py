"""``${name}`` placeholders: the same spelling as Alibaba Cloud's templates."""

import re
from collections.abc import Iterable, Mapping

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

NAME_LENGTH = 32
_PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MALFORMED = re.compile(r"\$\{")


def placeholder_names(text: str) -> tuple[str, ...]:
    """The names in a text, each once, in the order in which they first appear."""
    return tuple(dict.fromkeys(_PLACEHOLDER.findall(text)))


def render(text: str, params: Mapping[str, str]) -> str:
    """Fill in the placeholders; those without a value stay as they are. Values are never read as placeholders."""
    return _PLACEHOLDER.sub(lambda found: params.get(found[1], found[0]), text)


def matching_pattern(text: str, params: Mapping[str, str]) -> re.Pattern[str]:
    """A pattern that finds the rendered text, with anything in the place of missing values."""
    parts = _PLACEHOLDER.split(text)
    literals, names = parts[0::2], parts[1::2]
    pattern = re.escape(literals[0])
    for name, literal in zip(names, literals[1:], strict=True):
        pattern += (re.escape(params[name]) if name in params else ".*") + re.escape(literal)
    return re.compile(pattern, re.DOTALL)


def validate_placeholders(text: str) -> None:
    """Refuse ``${`` that begins no placeholder, and names that are too long.

    Raises:
        ValidationError: with the place that is wrong.
    """
    rest = _PLACEHOLDER.sub("\0", text)  # something has to stay, lest its two sides make a new one
    if found := _MALFORMED.search(rest):
        raise ValidationError(
            _(
                "“%(part)s” begins a placeholder that is not complete. Write ${name} with letters, digits and "
                "underscores, beginning with a letter."
            ),
            code="malformed",
            params={"part": rest[found.start() : found.start() + 12]},
        )
    validate_names(placeholder_names(text))


def validate_names(names: Iterable[str]) -> None:
    """Refuse names of variables that could not stand in a placeholder, or are too long.

    Raises:
        ValidationError: with the name that is wrong.
    """
    for name in names:
        if len(name) > NAME_LENGTH:
            raise ValidationError(
                _("The name of the variable “%(name)s” is too long; at most %(limit)d characters."),
                code="long_name",
                params={"name": name, "limit": NAME_LENGTH},
            )
        if not _NAME.fullmatch(name):
            raise ValidationError(
                _("“%(name)s” is no name of a variable: use letters, digits and underscores, beginning with a letter."),
                code="name",
                params={"name": name},
            )
