"""The texts about nodes, to look at: what was handed over, what was skipped, and what could not be sent and why."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from sms_services.admin.read_only import ReadOnly

from ..models import NodeText


@admin.register(NodeText)
class NodeTextAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("created_at", "process_title", "node_key", "reason", "state", "problem", "followed")
    list_display_links = ("created_at", "process_title")
    list_filter = ("state",)
    list_per_page = 50
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    fields = (
        "created_at",
        "engine",
        "process_title",
        "process_key",
        "node_key",
        "kind",
        "reason",
        "request",
        "initiator",
        "sms_service",
        "sms_template",
        "state",
        "problem",
        "followed",
    )
    readonly_fields = fields

    class Media:
        css = {"all": ("approvals/admin.css",)}

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("request")

    @admin.display(description=_("notification"))
    def followed(self, text: NodeText) -> SafeString | str:
        if text.notification_id is None:
            return "-"
        url = reverse("admin:notifications_notification_change", args=[text.notification_id])
        return format_html('<a href="{}">{}</a>', url, _("How far it is"))
