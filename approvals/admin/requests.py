"""Requests in admin, to look at: where each stands, its tasks and its history. Acting is what the inbox is for."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from sms_services.admin.read_only import ReadOnly

from ..models import Event, Request, Task


class PausedFilter(admin.SimpleListFilter):
    title = _("waits for an administrator")
    parameter_name = "paused"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("Yes"))]

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        return rows.paused() if self.value() else rows


class TaskInline(ReadOnly, admin.TabularInline):
    model = Task
    fk_name = "request"
    fields = ("visit", "user_name", "status", "handled_by", "pending_at", "closed_at")
    readonly_fields = fields
    ordering = ("pk",)
    can_delete = False
    extra = 0

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("visit", "handled_by")


class EventInline(ReadOnly, admin.TabularInline):
    model = Event
    fk_name = "request"
    fields = ("at", "kind", "actor_name", "step", "about", "comment")
    readonly_fields = fields
    can_delete = False
    extra = 0

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("visit")

    @admin.display(description=_("step"))
    def step(self, event: Event) -> str:
        return str(event.visit) if event.visit else "-"

    @admin.display(description=_("about"))
    def about(self, event: Event) -> str:
        return ", ".join(str(other.get("name", "")) for other in event.others) or "-"


@admin.register(Request)
class RequestAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("title", "process", "initiator_name", "status", "created_at", "finished_at")
    list_filter = ("status", PausedFilter, "process")
    list_select_related = ("process",)
    list_per_page = 50
    search_fields = ("title", "initiator_name")
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    fields = (
        "title",
        "process",
        "status",
        "initiator_name",
        "about",
        "data",
        "round",
        "created_at",
        "finished_at",
        "page",
    )
    readonly_fields = fields
    inlines = (TaskInline, EventInline)

    class Media:
        css = {"all": ("approvals/admin.css",)}

    @admin.display(description=_("subject"))
    def about(self, request: Request) -> str:
        return str(request.subject or "-")

    @admin.display(description=_("page"))
    def page(self, request: Request) -> SafeString | str:
        try:
            url = reverse("approvals:request", args=[request.pk])
        except NoReverseMatch:
            return "-"
        return format_html('<a href="{}">{}</a>', url, _("Open the request, to act on it"))


@admin.register(Task)
class TaskAdmin(ReadOnly, admin.ModelAdmin):
    """Who has to do what."""

    list_display = ("request", "visit", "user_name", "status", "pending_at", "closed_at")
    list_display_links = ("request",)
    list_filter = ("status",)
    list_select_related = ("request", "visit")
    list_per_page = 50
    search_fields = ("user_name", "request__title")
    ordering = ("-pk",)
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    fields = (
        "request",
        "visit",
        "user_name",
        "status",
        "handled_by",
        "transferred_from",
        "created_at",
        "pending_at",
        "closed_at",
    )
    readonly_fields = fields


@admin.register(Event)
class EventAdmin(ReadOnly, admin.ModelAdmin):
    """The history of all requests, newest first."""

    list_display = ("at", "request", "kind", "actor_name", "comment")
    list_display_links = ("at",)
    list_filter = ("kind",)
    list_select_related = ("request",)
    list_per_page = 50
    search_fields = ("actor_name", "request__title")
    ordering = ("-pk",)
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    fields = ("at", "request", "visit", "kind", "actor_name", "comment", "others", "details", "uid")
    readonly_fields = fields
