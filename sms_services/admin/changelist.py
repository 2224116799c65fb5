"""The log's list: pages by position, a count that stops, and no ordering but the newest first.

Django's own list counts all rows of a filter and skips those of all earlier pages; both read the whole table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.http import HttpRequest

from ..keyset import Position
from ..models import SmsMessage
from ..models.messages import SmsMessageQuerySet
from .dates import Choice, DrillDown, Period, days_with_messages
from .retry import retries_of_each
from .search import POSITIONS, REVEAL, Search, search_help

DATE = "created"
BEFORE, AFTER, END = POSITIONS
#: Counting stops here. Beyond it, the list says that there are more.
MOST_COUNTED = 10_000
#: What the list does not show, it does not read.
_NOT_LISTED = ("text", "params", "sensitive_params", "hidden_names", "provider_detail")


@dataclass(frozen=True)
class Pages:
    """Where this page is: links to the others (empty: there is none), and how many messages there are in all."""

    newest: str
    newer: str
    older: str
    oldest: str
    count: int
    more_than_counted: bool


class MessageChangeList(ChangeList):
    """The rows of one page, with ``pages``, ``dates`` and ``search`` for the templates."""

    queryset: SmsMessageQuerySet
    _position: Mapping[str, str]

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> SmsMessageQuerySet:
        if not hasattr(self, "_position"):
            self._forget_empty_parameters()
            self._position = {name: self.params.pop(name) for name in POSITIONS if name in self.params}
            for name in POSITIONS:
                self.filter_params.pop(name, None)
            self.search = Search.at(request, self.query) or Search()
            self.search_help_text = search_help(may_reveal=request.user.has_perm(REVEAL))
        try:
            self.period = Period.parse(self.params.get(DATE, ""))
        except (ValueError, TypeError, OverflowError) as error:
            raise IncorrectLookupParameters(error) from error
        messages = self.period.apply(cast(SmsMessageQuerySet, super().get_queryset(request, exclude_parameters)))
        self.has_active_filters = bool(self.has_active_filters or self.period.year)
        self.clear_all_filters_qs = self.get_query_string(remove=[DATE, *self.get_filters_params()])
        return messages

    def _forget_empty_parameters(self) -> None:
        """A field to choose from sends an empty value for “All”, which is the same as no parameter."""
        for name in [name for name, value in self.params.items() if not value]:
            del self.params[name], self.filter_params[name]

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        remaining: dict[str, Any] = super().get_filters_params(params)
        return {name: value for name, value in remaining.items() if name not in (DATE, *POSITIONS)}

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        return ["-created_at", "-pk"]

    def get_results(self, request: HttpRequest) -> None:
        rows, has_newer, has_older = self._page()
        count = len(rows)
        if has_newer or has_older:
            count = self.queryset[: MOST_COUNTED + 1].count()
        self.pages = Pages(
            newest=self.get_query_string() if has_newer else "",
            newer=self._link(AFTER, rows[0] if rows else None) if has_newer else "",
            older=self._link(BEFORE, rows[-1] if rows else None) if has_older else "",
            oldest=self.get_query_string({END: 1}) if has_older else "",
            count=min(count, MOST_COUNTED),
            more_than_counted=count > MOST_COUNTED,
        )
        self.without_search = self.get_query_string(remove=[SEARCH_VAR])
        self.dates = self._drill_down()
        self.result_list = rows
        # For Django's templates this page is all there is: ours show what is beyond it.
        self.result_count = self.full_result_count = len(rows)
        self.show_full_result_count = self.multi_page = self.can_show_all = False
        self.show_admin_actions = bool(rows)
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)

    def _page(self) -> tuple[Sequence[SmsMessage], bool, bool]:
        """The rows, and whether there are newer and older ones."""
        messages = self.queryset.defer(*_NOT_LISTED).prefetch_related(retries_of_each())
        size = self.list_per_page
        if before := self._position.get(BEFORE):
            rows = list(messages.older_than(_parsed(before))[: size + 1])
            return rows[:size], True, len(rows) > size
        if END in self._position or AFTER in self._position:
            messages = messages.oldest_first()
            after = self._position.get(AFTER)
            if after:
                messages = messages.newer_than(_parsed(after))
            rows = list(messages[: size + 1])
            return rows[:size][::-1], len(rows) > size, bool(after)
        rows = list(messages[: size + 1])
        return rows[:size], False, len(rows) > size

    def _link(self, name: str, message: SmsMessage | None) -> str:
        if message is None:
            return ""
        return self.get_query_string({name: str(Position(message.created_at, message.pk))})

    def _drill_down(self) -> DrillDown | None:
        days = days_with_messages()
        if days is None:
            return None
        inner = self.period.inner(*days)
        while len(inner) == 1 and not inner[0].day:  # nothing to choose: go on to what is inside
            inner = inner[0].inner(*days)
        back = [Choice(outer.label, self._period_link(outer)) for outer in self.period.outer]
        here = self.period.label if self.period.year else ""
        return DrillDown(back, here, [Choice(period.label, self._period_link(period)) for period in inner])

    def _period_link(self, period: Period) -> str:
        return self.get_query_string({DATE: str(period) or None})


def _parsed(position: str) -> Position:
    try:
        return Position.parse(position)
    except ValueError as error:
        raise IncorrectLookupParameters(error) from error
