"""Pages by position for lists that may have a million rows: the last one costs what the first one does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

Row = TypeVar("Row")
Other = TypeVar("Other")

AFTER, BEFORE = "after", "before"


@dataclass(frozen=True)
class Page(Generic[Row]):
    """The rows, and the query strings of the pages around them; empty: there is none."""

    rows: Sequence[Row]
    first: str = ""
    previous: str = ""
    next: str = ""
    too_many: bool = False

    def showing(self, rows: Sequence[Other], *, too_many: bool = False) -> "Page[Other]":
        """The same page of what its rows stand for."""
        return replace(self, rows=rows, too_many=too_many)  # type: ignore[arg-type, return-value]


def page_of_keys(rows: "QuerySet[Any, Any]", field: str, request: HttpRequest, *, size: int) -> Page[Any]:
    """One page of users' primary keys, in their order. The position is in the request's ``after`` or ``before``.

    Args:
        rows: values of ``field``, which is the key.
    """
    after, before = parsed_key(request.GET.get(AFTER, "")), parsed_key(request.GET.get(BEFORE, ""))
    if before is not None:
        found = list(rows.filter(**{f"{field}__lt": before}).order_by(f"-{field}")[: size + 1])
        shown, has_previous, has_next = found[:size][::-1], len(found) > size, True
    else:
        if after is not None:
            rows = rows.filter(**{f"{field}__gt": after})
        found = list(rows.order_by(field)[: size + 1])
        shown, has_previous, has_next = found[:size], after is not None, len(found) > size
    return page_links(shown, request, has_previous=has_previous, has_next=has_next, key=str)


def page_links(
    rows: Sequence[Any], request: HttpRequest, *, has_previous: bool, has_next: bool, key: Callable[[Any], Any]
) -> Page[Any]:
    """Rows with the links to what is around them. ``key`` is the position of a row."""
    return Page(
        rows,
        first=_query_string(request) if has_previous else "",
        previous=_query_string(request, BEFORE, key(rows[0])) if has_previous and rows else "",
        next=_query_string(request, AFTER, key(rows[-1])) if has_next and rows else "",
    )


def parsed_key(text: str) -> Any:
    """A user's primary key from a query string or a form; ``None`` if it is none."""
    key = get_user_model()._meta.pk
    try:
        value = key.to_python(text) if text else None
        key.run_validators(value) if value is not None else None
    except (ValidationError, TypeError, ValueError):
        return None
    return value


def parsed_id(text: str) -> int | None:
    """A primary key of ours."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def _query_string(request: HttpRequest, name: str = "", position: Any = None) -> str:
    """The request's own without a position, or with this one."""
    query = request.GET.copy()
    for other in (AFTER, BEFORE):
        query.pop(other, None)
    if name:
        query[name] = str(position)
    return f"?{query.urlencode()}"
