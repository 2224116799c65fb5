"""Lists that grow with every login: pages by position, newest first, and no count of all rows."""

from collections.abc import Sequence
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.http import HttpRequest
from django.utils.functional import Promise

from sms_services.admin.counting import FoundRows
from sms_services.keyset import Position, is_after, is_before

from .privacy import FOUND

BEFORE, AFTER = "before", "after"


class SaysWhenEmpty:
    """For a model's admin: ``when_empty`` is what its list says before there is anything in it."""

    change_list_template: Any = "admin/login_mobile/change_list.html"
    when_empty: str | Promise

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        context = {"when_empty": self.when_empty, **(extra_context or {})}
        return super().changelist_view(request, context)  # type: ignore[misc]


class FoundByNumber(FoundRows):
    """A list whose address may hold an encrypted number. The admin reads it; it is no field to filter by."""

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        remaining: dict[str, Any] = super().get_filters_params(params)
        remaining.pop(FOUND, None)
        return remaining


class NewestFirst(FoundByNumber):
    """The rows of one page, with links ``newest``, ``newer`` and ``older`` (empty: there is none)."""

    newest = newer = older = ""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> Any:
        if not hasattr(self, "position"):
            self.position = {name: self.params[name] for name in (BEFORE, AFTER) if name in self.params}
            for name in (BEFORE, AFTER):
                self.params.pop(name, None)
                self.filter_params.pop(name, None)
        return super().get_queryset(request, exclude_parameters)

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        remaining: dict[str, Any] = super().get_filters_params(params)
        return {name: value for name, value in remaining.items() if name not in (BEFORE, AFTER)}

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        return ["-created_at", "-pk"]

    def get_results(self, request: HttpRequest) -> None:
        rows, has_newer, has_older = self._page()
        if has_newer:
            self.newest = self.get_query_string() or "?"
            self.newer = self._link(AFTER, rows[0]) if rows else ""
        if has_older:
            self.older = self._link(BEFORE, rows[-1])
        self.result_list = rows
        self.result_count = self.full_result_count = len(rows)
        self.show_full_result_count = self.multi_page = self.can_show_all = False
        self.show_admin_actions = bool(rows)
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)

    def _page(self) -> tuple[Sequence[Any], bool, bool]:
        """The rows, and whether there are newer and older ones."""
        size = self.list_per_page
        if AFTER in self.position:
            there = _parsed(self.position[AFTER])
            newer = self.queryset.filter(is_after(there), created_at__gte=there.created_at)
            rows = list(newer.order_by("created_at", "pk")[: size + 1])
            return rows[:size][::-1], len(rows) > size, True
        rows = self.queryset
        if BEFORE in self.position:
            there = _parsed(self.position[BEFORE])
            rows = rows.filter(is_before(there), created_at__lte=there.created_at)
        rows = list(rows[: size + 1])
        return rows[:size], BEFORE in self.position, len(rows) > size

    def _link(self, name: str, row: Any) -> str:
        return self.get_query_string({name: str(Position(row.created_at, row.pk))})


def _parsed(position: str) -> Position:
    try:
        return Position.parse(position)
    except ValueError as error:
        raise IncorrectLookupParameters(error) from error
