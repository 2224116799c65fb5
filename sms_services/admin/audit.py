"""Who revealed and exported messages, to read only."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from ..models import MessageExport, MessageReveal
from .read_only import ReadOnly


@admin.register(MessageReveal)
class MessageRevealAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("revealed_at", "username", "message_link")
    search_fields = ("username",)
    show_full_result_count = False
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


@admin.register(MessageExport)
class MessageExportAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("exported_at", "username", "revealed", "rows", "chosen")
    list_filter = ("revealed",)
    search_fields = ("username",)
    show_full_result_count = False
    fields = ("exported_at", "username", "user", "revealed", "rows", "chosen")

    @admin.display(description=_("filters"))
    def chosen(self, export: MessageExport) -> str:
        return ", ".join(f"{name}: {value}" for name, value in sorted(export.filters.items())) or "-"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("chosen",)
