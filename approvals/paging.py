"""Pages of lists that are newest first, by the position of their rows: the last one costs what the first one does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

SIZE = 25
OLDER, NEWER = "before", "after"


@dataclass(frozen=True)
class Page:
    """The rows, and the query strings of the pages around them; empty: there is none."""

    rows: Sequence[Any]
    newest: str = ""
    newer: str = ""
    older: str = ""


def page_of(rows: "QuerySet[Any]", request: HttpRequest, size: int = SIZE) -> Page:
    """The page that the request's ``before`` or ``after`` asks for; without them, the newest."""
    before, after = parsed_id(request.GET.get(OLDER, "")), parsed_id(request.GET.get(NEWER, ""))
    found = list(rows.filter(pk__gt=after).order_by("pk")[: size + 1]) if after is not None else []
    if found:
        shown, has_newer, has_older = found[:size][::-1], len(found) > size, True
    else:  # also where nothing is newer
        if before is not None:
            rows = rows.filter(pk__lt=before)
        found = list(rows.order_by("-pk")[: size + 1])
        shown, has_newer, has_older = found[:size], before is not None, len(found) > size
    return Page(
        shown,
        newest=_query_string(request) if has_newer else "",
        newer=_query_string(request, NEWER, shown[0].pk) if has_newer and shown else "",
        older=_query_string(request, OLDER, shown[-1].pk) if has_older and shown else "",
    )


def parsed_id(text: str) -> int | None:
    """A primary key of ours; ``None`` if it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def _query_string(request: HttpRequest, name: str = "", position: Any = None) -> str:
    """The request's own without a position, or with this one."""
    query = request.GET.copy()
    for other in (OLDER, NEWER):
        query.pop(other, None)
    if name:
        query[name] = str(position)
    return f"?{query.urlencode()}"
