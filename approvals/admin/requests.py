"""Requests in admin, to look at: where each stands, its tasks and its history. Acting is what the inbox is for."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, pgettext_lazy

from sms_services.admin.counting import CountsWhatIsFound
from sms_services.admin.read_only import ReadOnly

from ..choices import EventKind, TextState, VisitStatus
from ..models import Event, Request, Task
from ..timeline import PAUSED_BECAUSE, returned_to
from .showing import EMPTY, cell, moment, shown


class PausedFilter(admin.SimpleListFilter):
    title = _("waiting")
    parameter_name = "paused"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("For an administrator"))]

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        return rows.paused() if self.value() else rows


class Rows(ReadOnly, admin.TabularInline):
    fk_name = "request"
    template = "admin/approvals/request/rows.html"
    can_delete = False
    extra = 0


class TaskInline(Rows):
    model = Task
    fields = ("visit", "user_name", "status", "handled_by", "pending_at", "closed_at")
    readonly_fields = fields
    ordering = ("pk",)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("visit", "handled_by")


class AboutOthers:
    @admin.display(description=_("about"))
    def about(self, event: Event) -> str:
        return str(_(", ")).join(str(other.get("name", "")) for other in event.others) or EMPTY


class EventInline(AboutOthers, Rows):
    model = Event
    verbose_name_plural = _("history")
    fields = ("at", "kind", "actor_name", "visit", "about", "comment")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("visit")


@admin.register(Request)
class RequestAdmin(CountsWhatIsFound, ReadOnly, admin.ModelAdmin):
    list_display = ("title", "process", "initiator_name", "state", "submitted", "finished")
    list_filter = ("status", PausedFilter, "process")
    list_select_related = ("process",)
    list_per_page = 50
    search_fields = ("title", "initiator_name")
    sortable_by = ()
    show_facets = admin.ShowFacets.NEVER
    fields = (
        "title",
        "process",
        "state",
        "initiator_name",
        "about",
        "what_was_submitted",
        "round",
        "created_at",
        "finished_at",
        "sent_texts",
        "page",
    )
    readonly_fields = fields
    inlines = (TaskInline, EventInline)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Texts only for those who may open them."""
        may_view = request.user.has_perm("approvals.view_nodetext")
        return [name for name in self.fields if may_view or name != "sent_texts"]

    def get_queryset(self, request: HttpRequest) -> Any:
        rows: Any = super().get_queryset(request)
        return rows.with_pauses()

    class Media:
        css = {"all": ("sms_services/cards.css", "approvals/admin.css")}

    @admin.display(description=_("status"))
    def state(self, request: Any) -> str:
        return str(VisitStatus.PAUSED.label if request.is_paused else request.get_status_display())

    @admin.display(description=_("submitted"))
    def submitted(self, request: Request) -> SafeString:
        return moment(request.created_at, _("Submitted:"))

    @admin.display(description=pgettext_lazy("approvals", "finished"))
    def finished(self, request: Request) -> SafeString:
        return moment(request.finished_at, _("Finished:"))

    @admin.display(description=_("subject"))
    def about(self, request: Request) -> str:
        return str(request.subject or EMPTY)

    @admin.display(description=_("data"))
    def what_was_submitted(self, request: Request) -> SafeString | str:
        return shown(request.data)

    @admin.display(description=_("texts"))
    def sent_texts(self, request: Request) -> SafeString | str:
        """How many there are, with a link to them; and to those that failed, where they can be sent again."""
        count, failed = request.texts.count(), request.texts.filter(state=TextState.FAILED).count()
        if not count:
            return EMPTY
        url = f"{reverse('admin:approvals_nodetext_changelist')}?request__id__exact={request.pk}"
        words = ngettext("%(count)d text", "%(count)d texts", count) % {"count": count}
        link = format_html('<a href="{}">{}</a>', url, words)
        if not failed:
            return link
        words = ngettext("%(count)d could not be sent", "%(count)d could not be sent", failed) % {"count": failed}
        problem = '{} · <a href="{}&amp;state__exact={}" class="approvals-bad">{}</a>'
        return format_html(problem, link, url, TextState.FAILED.value, words)

    @admin.display(description=_("page"))
    def page(self, request: Request) -> SafeString | str:
        try:
            url = reverse("approvals:request", args=[request.pk])
        except NoReverseMatch:
            return EMPTY
        return format_html('<a href="{}">{}</a>', url, _("Open the request, to act on it"))


@admin.register(Task)
class TaskAdmin(CountsWhatIsFound, ReadOnly, admin.ModelAdmin):
    """Who has to do what."""

    change_list_template = "admin/approvals/cards.html"
    list_display = ("request", "visit", "user_name", "status", "since", "ended")
    list_display_links = ("request",)
    list_filter = ("status",)
    list_select_related = ("request", "visit")
    list_per_page = 50
    search_fields = ("user_name", "request__title")
    ordering = ("-pk",)
    sortable_by = ()
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

    class Media:
        css = {"all": ("sms_services/cards.css", "approvals/admin.css")}

    @admin.display(description=_("their turn since"))
    def since(self, task: Task) -> SafeString:
        return moment(task.pending_at, _("Their turn since:"))

    @admin.display(description=_("ended"))
    def ended(self, task: Task) -> SafeString:
        return moment(task.closed_at, _("Ended:"))


@admin.register(Event)
class EventAdmin(AboutOthers, CountsWhatIsFound, ReadOnly, admin.ModelAdmin):
    """The history of all requests, newest first."""

    change_list_template = "admin/approvals/cards.html"
    list_display = ("happened", "request", "kind", "who", "said")
    list_display_links = ("happened",)
    list_filter = ("kind",)
    list_select_related = ("request",)
    list_per_page = 50
    search_fields = ("actor_name", "request__title")
    ordering = ("-pk",)
    sortable_by = ()
    show_facets = admin.ShowFacets.NEVER
    fields = ("at", "request", "visit", "kind", "actor_name", "comment", "about", "more", "event_id")
    readonly_fields = fields

    class Media:
        css = {"all": ("sms_services/cards.css", "approvals/admin.css")}

    @admin.display(description=_("when"))
    def happened(self, event: Event) -> SafeString:
        return moment(event.at)

    @admin.display(description=pgettext_lazy("approvals", "who"))
    def who(self, event: Event) -> SafeString:
        return cell(event.actor_name)

    @admin.display(description=_("comment"))
    def said(self, event: Event) -> SafeString:
        return cell(event.comment)

    @admin.display(description=_("details"))
    def more(self, event: Event) -> str:
        """Where it was returned to, or why it was paused."""
        if event.kind == EventKind.RETURNED:
            return returned_to(event)
        return str(PAUSED_BECAUSE.get(event.details.get("why", ""), EMPTY))

    @admin.display(description=_("event id"))
    def event_id(self, event: Event) -> str:
        return event.event_id
