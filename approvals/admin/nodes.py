"""A node's page: who is asked, how, and which text they get. Nodes are reached from their process's page."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Max
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from sms_services.error_pages import private_post

from ..models import Node, Process
from ..registry import predicate_choices, resolver_choices
from .choosing import ChoosesText
from .durations import duration_field
from .people import KIND_OF_FIELD, Finding, find_view, people_field
from .rules import RuleInline, registered_field
from .testing import SendsTests, may_send_test, test_url

_DURATIONS = {
    "remind_after": _("Approvers who have not acted by then are reminded, once. Empty: nobody is."),
    "escalate_after": _("What nobody has acted on by then is transferred, once. Empty: nothing is."),
}


class NodeForm(ChoosesText, Finding, forms.ModelForm):
    """A node. Its key, where none is given, counts the nodes of its process."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "sms_service" not in self.fields:  # it is only looked at
            return
        node = self.instance
        if not node.process_id:
            node.process = _process_of(self)
        self.fields["key"].required = False
        self.fields["condition"] = registered_field("condition", Node, predicate_choices(), node.condition)
        self.fields["escalate_resolver"] = registered_field(
            "escalate_resolver", Node, resolver_choices(), node.escalate_resolver
        )
        self.prepare()
        self.find()

    def clean_key(self) -> str:
        key: str = self.cleaned_data["key"]
        if key or self.instance.process_id is None:
            return key
        taken = set(Node.objects.filter(process=self.instance.process_id).values_list("key", flat=True))
        number = len(taken) + 1
        while f"step-{number}" in taken:
            number += 1
        return f"step-{number}"


@admin.register(Node)
class NodeAdmin(SendsTests, admin.ModelAdmin):
    form = NodeForm
    inlines = (RuleInline,)
    list_display = ("title", "process", "position", "kind")
    list_select_related = ("process",)
    search_fields = ("title", "key")
    ordering = ("process", "position", "pk")
    change_form_template = "admin/approvals/node/change_form.html"
    fieldsets = (
        (_("Step"), {"fields": ("process", "title", "key", "kind", "mode", "condition")}),
        (pgettext_lazy("approvals", "Text"), {"fields": ("sms_service", "sms_template")}),
        (_("Special cases"), {"fields": ("nobody_found", "initiator_policy", "repeat_policy")}),
        (
            _("What approvers can do"),
            {
                "fields": (
                    "approve_comment",
                    "reject_comment",
                    ("may_return", "return_comment"),
                    ("may_transfer", "transfer_comment"),
                )
            },
        ),
        (
            _("Reminder and escalation"),
            {"fields": ("remind_after", "escalate_after", "escalate_to", "escalate_resolver")},
        ),
    )

    class Media:
        css = {"all": ("sms_services/preview.css", "notifications/admin.css", "approvals/admin.css")}
        js = ("approvals/node.js",)

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        """The admin's index names processes, not their nodes."""
        return {}

    def get_urls(self) -> list[Any]:
        return [
            path("find/", self.admin_site.admin_view(find_view), name="approvals_find"),
            path("<int:pk>/test/", self.test_url_view, name="approvals_node_test"),
            path("add/<int:process_pk>/test/", self.test_url_view, name="approvals_node_test_new"),
            *super().get_urls(),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("process",) if obj is not None else ()

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return {} if obj else {"key": ("title",)}

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"process": request.GET.get("process")}

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in _DURATIONS:
            return duration_field(db_field, _DURATIONS[db_field.name])
        if db_field.name in KIND_OF_FIELD:
            return people_field(db_field, self.admin_site)
        if db_field.name == "process":
            kwargs["widget"] = forms.HiddenInput()
            return db_field.formfield(**kwargs)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """A new node belongs to a process: its page leads here."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        given = (request.POST if request.method == "POST" else request.GET).get("process", "")
        if not (given.isascii() and given.isdecimal() and len(given) <= 18):
            return HttpResponseRedirect(reverse("admin:approvals_process_changelist"))
        process = get_object_or_404(Process, pk=int(given))
        return super().add_view(request, form_url, {**(extra_context or {}), "process": process})

    @private_post()
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().changeform_view(request, *args, **kwargs)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        node = kwargs.get("obj")
        form = context["adminform"].form
        process = node.process if node else context["process"]
        context |= {
            "title": _("Add a step") if node is None else _("Change step"),
            "process": process,
        }
        if "sms_service" in form.fields:
            context |= {"preview": form.preview(process.title), "warnings": form.warnings(), "chooses_text": True}
            if may_send_test(request):
                context["test_url"] = test_url(process, node, form.chosen_service, form.chosen_template)
        else:
            context["may_send_test"] = node is not None and node.sms_service_id and may_send_test(request)
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            last = Node.objects.filter(process=obj.process_id).aggregate(last=Max("position"))["last"]
            obj.position = 0 if last is None else last + 1
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        for warning in form.warnings():
            messages.warning(request, warning)
        if not form.instance.rules.exists():
            messages.warning(request, _("This step names nobody yet. Say who its approvers or CC recipients are."))

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        return self._to_process(obj.process_id)

    def response_post_save_change(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        return self._to_process(obj.process_id)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        node = self.get_object(request, object_id)
        response = super().delete_view(request, object_id, extra_context)
        if node is not None and request.method == "POST" and response.status_code == 302:
            return self._to_process(node.process_id)
        return response

    def _to_process(self, pk: Any) -> HttpResponseRedirect:
        url = reverse("admin:approvals_process_change", args=[pk], current_app=self.admin_site.name)
        return HttpResponseRedirect(url)


def _process_of(form: Any) -> Process | None:
    """The process that a new node is for."""
    pk = str((form.data.get("process") if form.is_bound else form.initial.get("process")) or "")
    return Process.objects.filter(pk=int(pk)).first() if pk.isascii() and pk.isdecimal() and len(pk) <= 18 else None
