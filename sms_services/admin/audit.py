"""Who revealed and exported messages, to read only."""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from ..choices import ErrorKind, MessageStatus, Outcome, Purpose
from ..models import MessageExport, MessageReveal
from .counting import CountsWhatIsFound
from .filters import FailedTryFilter, ServiceFilter, TemplateFilter
from .read_only import ReadOnly

#: The list's parameters: what they are called, and their values where these are not what people read.
_FILTERS: Mapping[str, tuple[Any, Mapping[str, Any]]] = {
    "q": (_("search"), {}),
    "created": (_("created"), {}),
    "status__exact": (_("status"), dict(MessageStatus.choices)),
    "error_kind__exact": (_("kind of error"), dict(ErrorKind.choices)),
    "purpose__exact": (_("purpose"), dict(Purpose.choices)),
    FailedTryFilter.parameter_name: (FailedTryFilter.title, dict(Outcome.choices)),
    ServiceFilter.parameter_name: (ServiceFilter.title, {}),
    TemplateFilter.parameter_name: (TemplateFilter.title, {}),
}


@admin.register(MessageReveal)
class MessageRevealAdmin(CountsWhatIsFound, ReadOnly, admin.ModelAdmin):
    list_display = ("revealed_at", "username", "message_link")
    search_fields = ("username",)
    fields = ("revealed_at", "username", "user", "message_link")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("user")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """A message's number in this log, or a person's name."""
        if search_term.isdecimal() and len(search_term) <= 18:
            return queryset.filter(message_id=int(search_term)), False
        return super().get_search_results(request, queryset, search_term)

    @admin.display(description=_("message"))
    def message_link(self, reveal: MessageReveal) -> str:
        url = reverse("admin:sms_services_smsmessage_change", args=[reveal.message_id])
        return format_html('<a href="{}">{}</a>', url, reveal.message_id)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("message_link",)


class _RevealedFilter(admin.BooleanFieldListFilter):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = _("numbers and texts")


@admin.register(MessageExport)
class MessageExportAdmin(CountsWhatIsFound, ReadOnly, admin.ModelAdmin):
    list_display = ("exported_at", "username", "unmasked", "rows", "chosen")
    list_filter = (("revealed", _RevealedFilter),)
    search_fields = ("username",)
    fields = ("exported_at", "username", "user", "revealed", "rows", "chosen")

    class Media:
        css = {"all": ("sms_services/admin.css",)}

    @admin.display(description=_("unmasked"), boolean=True)
    def unmasked(self, export: MessageExport) -> bool:
        return export.revealed

    @admin.display(description=_("filters"))
    def chosen(self, export: MessageExport) -> str:
        lines = (_spelled(name, value) for name, value in sorted(export.filters.items()))
        return format_html_join("", '<div class="sms-filter-line">{}: {}</div>', lines) or "-"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("chosen",)


def _spelled(parameter: str, value: str) -> tuple[Any, Any]:
    """A parameter of the list's address and its value, as the list's filters call them."""
    title, words = _FILTERS.get(parameter, (parameter, {}))
    return capfirst(title), words.get(value, value)
