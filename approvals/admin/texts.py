"""The texts about nodes: what was handed over or skipped, and what could not be sent and why, to send it again."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sms_services.admin.read_only import ReadOnly

from ..choices import TextState
from ..models import NodeText
from ..texting import is_outdated, send_again
from .showing import EMPTY, cell, moment

MANAGE = "approvals.manage_request"


@admin.register(NodeText)
class NodeTextAdmin(ReadOnly, admin.ModelAdmin):
    change_list_template = "admin/approvals/cards.html"
    list_display = ("created", "about", "step", "reason", "state", "outcome")
    list_display_links = ("created",)
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
        "step",
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
        css = {"all": ("sms_services/cards.css", "approvals/admin.css")}

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("request__process_version")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.send_again_view)
        return [path("<int:pk>/send-again/", view, name="approvals_nodetext_send_again"), *super().get_urls()]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        text = kwargs.get("obj")
        context["may_send_again"] = text is not None and self._may_send_again(request, text)
        return super().render_change_form(request, context, *args, **kwargs)

    def send_again_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Only POST sends: whoever opens the link gets the page of the text."""
        text = self.get_object(request, str(pk))
        if not self.has_view_permission(request, text) or not request.user.has_perm(MANAGE):
            raise PermissionDenied
        if text is None:
            raise Http404
        if request.method == "POST":
            self._send_again(request, text)
        return HttpResponseRedirect(reverse("admin:approvals_nodetext_change", args=[pk]))

    def _may_send_again(self, request: HttpRequest, text: NodeText) -> bool:
        """Not where service or template is gone: the same would fail again."""
        failed = text.state == TextState.FAILED and text.sms_service_id and text.sms_template_id
        return (
            bool(failed)
            and not is_outdated(text)
            and request.user.has_perm(MANAGE)
            and text.recipients.filter(handled=False).exists()
        )

    def _send_again(self, request: HttpRequest, text: NodeText) -> None:
        if is_outdated(text) or not send_again(text.pk):
            messages.info(request, _("There is nothing to send again."))
            return
        self.log_change(request, text, _("Sent again."))
        text.refresh_from_db()
        if text.state == TextState.FAILED:
            messages.error(request, text.problem)
        elif text.state == TextState.SKIPPED:
            messages.info(request, _("All were done already: nothing was sent."))
        else:
            messages.success(request, _("It was handed over once more."))

    @admin.display(description=gettext_lazy("created"))
    def created(self, text: NodeText) -> SafeString:
        return moment(text.created_at)

    @admin.display(description=gettext_lazy("request"))
    def about(self, text: NodeText) -> str:
        """The request; of another engine, its process."""
        return text.request.title if text.request else text.process_title

    @admin.display(description=gettext_lazy("step"))
    def step(self, text: NodeText) -> str:
        """Its title as it was at the submission; of other engines only the key is known."""
        nodes = text.request.definition.nodes if text.request else ()
        return next((node.title for node in nodes if node.key == text.node_key), text.node_key)

    @admin.display(description=gettext_lazy("details"))
    def outcome(self, text: NodeText) -> SafeString:
        """Why nothing could be sent, or the notification that sends it."""
        return cell(text.problem or (self.followed(text) if text.notification_id else ""))

    @admin.display(description=gettext_lazy("notification"))
    def followed(self, text: NodeText) -> SafeString | str:
        if text.notification_id is None:
            return EMPTY
        url = reverse("admin:notifications_notification_change", args=[text.notification_id])
        return format_html('<a href="{}">{}</a>', url, _("How far it is"))
