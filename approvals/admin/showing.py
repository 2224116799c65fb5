"""Values as people read them: JSON with a row for each name, instead of braces and quotes; the cells of lists."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
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


def cell(value: Any, words: Any = "") -> SafeString:
    """A cell of a list; a phone, which shows no headings, leaves empty ones out and says the words before others."""
    if value in (None, ""):
        return format_html('<span class="approvals-nothing">{}</span>', EMPTY)
    before = format_html('<span class="approvals-narrow">{} </span>', words) if words else ""
    return format_html("{}{}", before, value)


def moment(at: datetime | None, words: Any = "") -> SafeString:
    """A cell with date and time, which break nowhere else."""
    if at is None:
        return cell(None)
    parts = ((date_format(timezone.localtime(at), form),) for form in ("DATE_FORMAT", "TIME_FORMAT"))
    return cell(format_html_join(" ", '<span class="approvals-whole">{}</span>', parts), words)


def _each(values: Sequence[Any]) -> list[tuple[SafeString | str]]:
    return [(shown(value),) for value in values]
