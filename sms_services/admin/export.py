"""The filtered log as a CSV file, written while it is read: a page of rows at a time is all that is in memory.

A cell that a spreadsheet would take for a formula gets an apostrophe in front, by which spreadsheets take it for text;
every phone number does. ``docs/csv-export.md`` says how a program takes it away again.
"""

import csv
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect, StreamingHttpResponse
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache

from ..error_pages import private_post
from ..keyset import Position
from ..models import MessageExport, SmsMessage, SmsService, SmsTemplate
from ..models.messages import SmsMessageQuerySet
from ..phone_numbers import mask
from .changelist import MessageChangeList
from .posting import posted
from .reveal import refuse_unless
from .search import REVEAL, to_list, without_unreadable_search

EXPORT = "sms_services.export_smsmessage"
#: Rows that are read at once. A server-side cursor would keep a transaction, or a copy of the log, open for as long as
#: the download takes, and MariaDB's client would hold all rows.
PAGE = 2_000
#: A spreadsheet takes a cell that begins with one of these for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

#: What no file has in it, it does not read.
_NOT_EXPORTED = ("sensitive_params", "claim", "account", "due_at", "expires_at", "claimed_at", "sweep_at")

Column = Callable[[SmsMessage], Any]

COLUMNS: Mapping[str, Column] = {
    "id": lambda message: message.pk,
    "created": lambda message: _time(message.created_at),
    "sent": lambda message: _time(message.sent_at),
    "phone_number": lambda message: mask(message.phone_number),
    "status": lambda message: message.status,
    "error_kind": lambda message: message.error_kind,
    "skip_reason": lambda message: message.skip_reason,
    "service": lambda message: message.service_id,
    "template": lambda message: message.template_id,
    "template_code": lambda message: message.template_code,
    "purpose": lambda message: message.purpose,
    "segments": lambda message: message.segments,
    "tries": lambda message: message.tries,
    "provider_code": lambda message: message.provider_code,
    "provider_detail": lambda message: message.provider_detail,
    "provider_message_id": lambda message: message.provider_message_id,
    "provider_request_id": lambda message: message.provider_request_id,
    "retry_of": lambda message: message.retry_of_id,
}
REVEALED_COLUMNS: Mapping[str, Column] = {
    **COLUMNS,
    "phone_number": lambda message: message.phone_number,
    "text": lambda message: message.readable_text(),
    "variables": lambda message: "; ".join(f"{name}={value}" for name, value in sorted(message.params.items())),
}


class Exports:
    """For the log's admin: the file of what the list shows, masked or, for those who may reveal, not."""

    def get_urls(self) -> list[Any]:
        acting = posted(self.export_view, "admin:sms_services_smsmessage_changelist")
        view = never_cache(self.admin_site.admin_view(acting))  # type: ignore[attr-defined]
        urls: list[Any] = super().get_urls()  # type: ignore[misc]
        return [path("export/", view, name="sms_services_smsmessage_export"), *urls]

    @private_post()
    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """The filters are the list's, in the query string; ``revealed`` in the form asks for numbers and texts."""
        refuse_unless(request, EXPORT)
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        revealed = "revealed" in request.POST
        if revealed:
            refuse_unless(request, REVEAL)
        if elsewhere := without_unreadable_search(request):
            return elsewhere
        try:
            changelist: MessageChangeList = self.get_changelist_instance(request)  # type: ignore[attr-defined]
        except IncorrectLookupParameters:
            return HttpResponseRedirect(reverse("admin:sms_services_smsmessage_changelist"))
        if changelist.search.problem:  # which the list says; a file without a line would say that there is nothing
            return to_list(request.GET)
        record = MessageExport.objects.create(
            user_id=request.user.pk,
            username=request.user.get_username(),
            revealed=revealed,
            filters=_filters(changelist),
        )
        lines = _lines(changelist.queryset, REVEALED_COLUMNS if revealed else COLUMNS, record)
        response = StreamingHttpResponse(
            _AsAskedFor(lines) if isinstance(request, ASGIRequest) else lines, content_type="text/csv; charset=utf-8"
        )
        name = f"sms-messages-{timezone.localtime():%Y-%m-%d-%H%M}.csv"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        return response


def _filters(changelist: MessageChangeList) -> dict[str, str]:
    """The filters as they were chosen: a number masked, services and templates by key, which outlives the row."""
    shown = {name: str(values[-1]) for name, values in changelist.filter_params.items() if name != "q"}
    for name, keys in _keys().items():
        if name in shown and shown[name].isdecimal():
            shown[name] = keys.get(int(shown[name]), shown[name])
    if str(changelist.search):
        shown["q"] = str(changelist.search)
    return shown


def _lines(
    messages: SmsMessageQuerySet, columns: Mapping[str, Column], record: MessageExport
) -> Generator[str, None, None]:
    writer = csv.writer(_Echo(), quoting=csv.QUOTE_ALL)
    keys = _keys()
    rows = 0
    try:
        yield "\ufeff"  # by which Excel knows UTF-8
        yield writer.writerow(columns)
        for page in _pages(messages):
            cells = ({name: value(message) for name, value in columns.items()} for message in page)
            yield "".join(
                writer.writerow(
                    _cell(keys[name].get(value, "") if name in keys else value) for name, value in row.items()
                )
                for row in cells
            )
            rows += len(page)
    finally:  # also when the browser hangs up
        MessageExport.objects.filter(pk=record.pk).update(rows=rows)


class _AsAskedFor:
    """The same under ASGI, where Django would read all of an ordinary iterator before the first byte leaves.

    ``close`` is what Django calls at the end, also of a browser that hung up, in the thread of the request. What an
    async generator has in its ``finally`` would run in the event loop instead, whenever its garbage is collected.
    """

    def __init__(self, lines: Generator[str, None, None]) -> None:
        self._lines = lines
        self.close = lines.close

    async def __aiter__(self) -> AsyncIterator[str]:
        following = sync_to_async(lambda: next(self._lines, None))
        while (piece := await following()) is not None:
            yield piece


def _keys() -> Mapping[str, Mapping[int, str]]:
    """The keys of services and templates by primary key: read once instead of with every message."""
    return {
        "service": dict(SmsService.objects.non_polymorphic().values_list("pk", "key")),
        "template": dict(SmsTemplate.objects.values_list("pk", "key")),
    }


def _pages(messages: SmsMessageQuerySet) -> Iterator[Sequence[SmsMessage]]:
    messages = messages.select_related(None).defer(*_NOT_EXPORTED)
    page = list(messages[:PAGE])
    while page:
        yield page
        last = page[-1]
        page = list(messages.older_than(Position(last.created_at, last.pk))[:PAGE])


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _time(moment: Any) -> str:
    return moment.isoformat(timespec="seconds") if moment else ""


class _Echo:
    """A file for ``csv.writer`` that gives the line back instead of keeping it."""

    def write(self, line: str) -> str:
        return line
