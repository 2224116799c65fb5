"""The log: what was sent and how it went, to read only. Numbers and texts are masked on every page.

Its list, its filters, its search, and what can be done with messages are modules of their own.
"""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import prefetch_related_objects
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..advice import advice_for
from ..error_pages import hide_variables, private_post
from ..models import SmsAttempt, SmsMessage
from ..models.messages import SmsMessageQuerySet
from ..phone_numbers import mask
from ..placeholders import placeholder_names
from .changelist import MessageChangeList
from .export import EXPORT, Exports
from .filters import FailedTryFilter, ServiceFilter, TemplateFilter
from .read_only import ReadOnly
from .retry import RETRY, Retries, link_to, may_be_retried, retries_of_each, retry_of, why_not
from .reveal import Reveals, refuse_unless
from .search import REVEAL, Search, Searches, without_unreadable_search
from .times import exactly

#: What may stand in the list's query string. Django would allow any lookup of any field, such as
#: ``phone_number__startswith``, by which numbers and texts could be guessed.
_LOOKUPS = frozenset(
    {
        "status__exact",
        "error_kind__exact",
        "purpose__exact",
        ServiceFilter.parameter_name,
        TemplateFilter.parameter_name,
        FailedTryFilter.parameter_name,
    }
)
_TIMES = ("created_exactly", "not_before", "not_after", "tried", "sent")
#: Lines of a message's page that are left out while their fields are empty.
_OFTEN_EMPTY = {
    "skip_reason": "skip_reason",
    "advice": "error_kind",
    "retry_of_link": "retry_of_id",
    "template_code": "template_code",
    "not_before": "due_at",
    "not_after": "expires_at",
    "tried": "claimed_at",
    "sent": "sent_at",
    "error_kind": "error_kind",
    "provider_code": "provider_code",
    "provider_detail": "provider_detail",
    "provider_request_id": "provider_request_id",
}


class SmsAttemptInline(ReadOnly, admin.TabularInline):
    model = SmsAttempt
    fields = (
        "started",
        "finished",
        "outcome",
        "error_kind",
        "provider_code",
        "provider_detail",
        "provider_request_id",
    )
    readonly_fields = fields
    extra = 0

    started = exactly(SmsAttempt, "started_at")
    finished = exactly(SmsAttempt, "finished_at")


@admin.register(SmsMessage)
class SmsMessageAdmin(Searches, Reveals, Retries, Exports, ReadOnly, admin.ModelAdmin):
    list_display = ("created", "masked_number", "outcome", "service_and_template", "segments")
    list_display_links = ("created", "masked_number")
    list_filter = ("status", "error_kind", FailedTryFilter, ServiceFilter, TemplateFilter, "purpose")
    list_select_related = ("service", "template")
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("provider_message_id",)
    actions = ("retry_selected",)
    inlines = (SmsAttemptInline,)
    fieldsets = (
        (None, {"fields": ("masked_number", "status_badge", "skip_reason", "advice", "retry_of_link", "retry")}),
        (
            gettext_lazy("Text"),
            {"fields": ("service", "template", "purpose", "template_code", "masked_text", "variables", "segments")},
        ),
        (
            gettext_lazy("Provider"),
            {
                "fields": (
                    "error_kind",
                    "provider_code",
                    "provider_detail",
                    "provider_message_id",
                    "provider_request_id",
                )
            },
        ),
        (gettext_lazy("Times"), {"fields": (*_TIMES, "tries")}),
    )

    class Media:
        css = {"all": ("sms_services/admin.css",)}

    created_exactly = exactly(SmsMessage, "created_at")
    not_before = exactly(SmsMessage, "due_at")
    not_after = exactly(SmsMessage, "expires_at")
    tried = exactly(SmsMessage, "claimed_at")
    sent = exactly(SmsMessage, "sent_at")

    @admin.display(description=gettext_lazy("created"))
    def created(self, message: SmsMessage) -> SafeString:
        moment = timezone.localtime(message.created_at)
        return _two_lines(date_format(moment, "DATE_FORMAT"), f"{moment:%H:%M:%S}")

    @admin.display(description=gettext_lazy("phone number"))
    def masked_number(self, message: SmsMessage) -> str:
        return mask(message.phone_number)

    @admin.display(description=gettext_lazy("status"))
    def status_badge(self, message: SmsMessage) -> SafeString:
        """The word, in a colour and with a sign of its own."""
        words = message.get_status_display()
        return format_html('<span class="sms-badge sms-badge-{}">{}</span>', message.status, words)

    @admin.display(description=gettext_lazy("status"))
    def outcome(self, message: SmsMessage) -> SafeString:
        """The status, and below it what was wrong, and whether it was sent once more or is itself a retry."""
        notes = [message.get_error_kind_display()]
        if retry := retry_of(message):
            notes.append(link_to(retry, _("retried")))
        if message.retry_of_id:
            notes.append(link_to(message.retry_of_id, _("a retry")))
        return _two_lines(
            self.status_badge(message), format_html_join(" · ", "{}", ((note,) for note in notes if note))
        )

    @admin.display(description=gettext_lazy("service and template"))
    def service_and_template(self, message: SmsMessage) -> SafeString:
        return _two_lines(message.service.name, message.template or message.template_code)

    @admin.display(description=gettext_lazy("what to do"))
    def advice(self, message: SmsMessage) -> Any:
        return advice_for(message) or "-"

    @admin.display(description=gettext_lazy("text"))
    def masked_text(self, message: SmsMessage) -> str:
        return _("Hidden") if message.text else "-"

    @admin.display(description=gettext_lazy("variables"))
    def variables(self, message: SmsMessage) -> Any:
        """Their names, and what became of their values."""
        wiped = message.wiped_names
        names = dict.fromkeys([*placeholder_names(message.text), *message.params, *message.hidden_names])
        lines = [(name, _("wiped") if name in wiped else _("hidden")) for name in names]
        return format_html_join("", "<div><code>{}</code> {}</div>", lines) or "-"

    @admin.display(description=gettext_lazy("retry of"))
    def retry_of_link(self, message: SmsMessage) -> Any:
        return link_to(message.retry_of) if message.retry_of else "-"

    @admin.display(description=gettext_lazy("retry"))
    def retry(self, message: SmsMessage) -> str:
        return why_not(message)

    def get_fieldsets(self, request: HttpRequest, obj: SmsMessage | None = None) -> Any:
        """Without the lines that most messages leave empty."""
        fieldsets = super().get_fieldsets(request, obj)
        empty = {line for line, field in _OFTEN_EMPTY.items() if obj is not None and not getattr(obj, field)}
        if obj is not None and not why_not(obj):
            empty.add("retry")
        return [
            (name, {**options, "fields": [line for line in options["fields"] if line not in empty]})
            for name, options in fieldsets
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        lines = ("masked_number", "status_badge", "advice", "masked_text", "variables", "retry_of_link", "retry")
        return (*lines, *_TIMES)

    def get_queryset(self, request: HttpRequest) -> Any:
        hide_variables(request)  # also of pages that are Django's own: the history, a field that completes
        return super().get_queryset(request)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> SmsMessage | None:
        message: SmsMessage | None = super().get_object(request, object_id, from_field)
        if message is not None:
            prefetch_related_objects([message], retries_of_each())
        return message

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[MessageChangeList]:
        return MessageChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[SmsMessageQuerySet, bool]:
        search = Search.at(request, search_term)
        return (search.apply(queryset) if search else queryset.none()), False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup in _LOOKUPS

    def message_for(self, request: HttpRequest, pk: int, permission: str) -> SmsMessage:
        """The message of a page that needs this permission beside that to view."""
        refuse_unless(request, permission)
        message = self.get_object(request, str(pk))
        if not self.has_view_permission(request, message):
            raise PermissionDenied
        if message is None:
            raise Http404
        return message

    @private_post()
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if elsewhere := without_unreadable_search(request):
            return elsewhere
        may_export = request.user.has_perm(EXPORT)
        context = {"may_export": may_export, "may_export_revealed": may_export and request.user.has_perm(REVEAL)}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        message = kwargs.get("obj")
        if message is not None:
            context["may_reveal"] = request.user.has_perm(REVEAL)
            context["may_retry"] = request.user.has_perm(RETRY) and may_be_retried(message)
        return super().render_change_form(request, context, *args, **kwargs)


def _two_lines(first: Any, second: Any) -> SafeString:
    """For a cell of the list, which has no room for as many columns as a message has fields."""
    return format_html('{}<div class="sms-second">{}</div>', first, second) if second else format_html("{}", first)
