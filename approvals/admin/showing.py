"""JSON as people read it: a row for each name, instead of braces and quotes."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

EMPTY = "-"


def shown(value: Any) -> SafeString | str:
    """What JSON can hold, as HTML; names stay as whoever submitted them wrote them."""
    if isinstance(value, Mapping) and value:
        rows = ((name, shown(each)) for name, each in value.items())
        return format_html('<dl class="approvals-data">{}</dl>', format_html_join("", "<dt>{}</dt><dd>{}</dd>", rows))
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return format_html('<ul class="approvals-data">{}</ul>', format_html_join("", "<li>{}</li>", _each(value)))
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    return EMPTY if value in (None, "", {}, []) else str(value)


def _each(values: Sequence[Any]) -> list[tuple[SafeString | str]]:
    return [(shown(value),) for value in values]
