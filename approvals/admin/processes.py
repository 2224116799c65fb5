"""Processes in admin: the form, the steps in their order, and the flow as a picture."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.db.models import Count, F, OuterRef, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from sms_services.admin.posting import posted

from ..choices import RequestStatus
from ..copying import copy_process
from ..models import Node, Process, Request
from ..starting import startable
from .durations import duration_field
from .picture import picture_of, steps_of

UP, DOWN = "up", "down"
_PARTS = ("approvals.add_node", "approvals.add_rule")


@admin.register(Process)
class ProcessAdmin(admin.ModelAdmin):
    list_display = ("title", "key", "is_active", "step_count", "running_count")
    list_filter = ("is_active",)
    search_fields = ("title", "key")
    fields = (
        "title",
        "key",
        "description",
        "is_active",
        "has_start_page",
        "start_role",
        "withdraw_policy",
        "remind_interval",
    )
    change_form_template = "admin/approvals/process/change_form.html"
    actions = ("copy_selected",)

    class Media:
        css = {"all": ("sms_services/admin.css", "approvals/admin.css")}

    def get_queryset(self, request: HttpRequest) -> Any:
        return (
            super()
            .get_queryset(request)
            .annotate(
                steps=_counted(Node.objects.filter(process=OuterRef("pk"))),
                running=_counted(Request.objects.filter(process=OuterRef("pk"), status=RequestStatus.RUNNING)),
            )
        )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None:
            words = _("Save it first; then you add its steps and say who approves.")
            return [(name, {**options, "description": words}) for name, options in fieldsets]
        return fieldsets

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return {} if obj else {"key": ("title",)}

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "remind_interval":
            words = _("The initiator can remind approvers at most once in this time.")
            return duration_field(db_field, words)
        if db_field.name == "description":
            kwargs["widget"] = forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"})
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_urls(self) -> list[Any]:
        def acting(view: Any) -> Any:
            return self.admin_site.admin_view(posted(view, "admin:approvals_process_change"))

        return [
            path("<int:pk>/copy/", acting(self.copy_view), name="approvals_process_copy"),
            path("<int:pk>/order/", acting(self.order_view), name="approvals_process_order"),
            *super().get_urls(),
        ]

    def has_copy_permission(self, request: HttpRequest) -> bool:
        """A copy brings steps and rules with it: nobody gets by it what they could not add one by one."""
        return self.has_add_permission(request) and request.user.has_perms(_PARTS)

    @admin.display(description=_("steps"), ordering="steps")
    def step_count(self, process: Any) -> int:
        return process.steps or 0

    @admin.display(description=_("running requests"), ordering="running")
    def running_count(self, process: Any) -> int:
        return process.running or 0

    @admin.action(description=_("Copy the selected processes"), permissions=["copy"])
    def copy_selected(self, request: HttpRequest, processes: "models.QuerySet[Process]") -> None:
        copies = [self._copy(request, process) for process in processes]
        words = ngettext(
            "%(count)d process was copied. The copy is inactive.",
            "%(count)d processes were copied. The copies are inactive.",
            len(copies),
        )
        self.message_user(request, words % {"count": len(copies)}, messages.SUCCESS)

    def copy_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        process = get_object_or_404(Process, pk=pk)
        if not (self.has_copy_permission(request) and self.has_view_or_change_permission(request, process)):
            raise PermissionDenied
        copy = self._copy(request, process)
        self.message_user(request, _("This is the copy. It is inactive: activate it when it is ready."))
        return self._to(copy.pk)

    def order_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Move a step up or down: ``move`` is its primary key and the direction."""
        process = get_object_or_404(Process, pk=pk)
        if not request.user.has_perm("approvals.change_node") or not self.has_change_permission(request, process):
            raise PermissionDenied
        node_pk, _colon, direction = request.POST.get("move", "").partition(":")
        with transaction.atomic():
            Process.objects.filter(pk=pk).update(title=F("title"))  # locks the row: one move at a time
            nodes = list(process.nodes.order_by("position", "pk"))
            at = next((place for place, node in enumerate(nodes) if str(node.pk) == node_pk), None)
            to = None if at is None else {UP: at - 1, DOWN: at + 1}.get(direction)
            if at is not None and to is not None and 0 <= to < len(nodes):
                nodes.insert(to, nodes.pop(at))
                for position, node in enumerate(nodes):
                    node.position = position
                Node.objects.bulk_update(nodes, ["position"])
                self.log_change(request, process, [{"changed": {"fields": [str(_("order of the steps"))]}}])
        return HttpResponseRedirect(f"{self._url(pk)}#steps")

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        """On to its page: a process needs steps."""
        if "_addanother" in request.POST or "_popup" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        if self.has_change_permission(request, obj):
            self.message_user(request, _("The process was added. Add its steps below."), messages.SUCCESS)
            return HttpResponseRedirect(f"{self._url(obj.pk)}#steps")
        return super().response_add(request, obj, post_url_continue)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """A process with requests stays, whatever one's permissions: the pages show only what to do instead."""
        used = Process.objects.filter(pk__in=[process.pk for process in objs]).annotate(used=Count("requests"))
        in_use = [_in_use(process) for process in used.filter(used__gt=0)]
        return ([], {}, set(), in_use) if in_use else super().get_deleted_objects(objs, request)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        process = kwargs.get("obj")
        if process is not None:
            steps = steps_of(process)
            may_change = self.has_change_permission(request, process)
            context |= {
                "steps": steps,
                "picture": picture_of(process, steps),
                "may_add_steps": request.user.has_perm("approvals.add_node"),
                "may_order": may_change and request.user.has_perm("approvals.change_node"),
                "may_copy": self.has_copy_permission(request),
                "may_start": startable(request.user).filter(pk=process.pk).exists(),
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def _copy(self, request: HttpRequest, process: Process) -> Process:
        copy = copy_process(process)
        self.log_addition(request, copy, [{"added": {}}])
        return copy

    def _url(self, pk: Any) -> str:
        return reverse("admin:approvals_process_change", args=[pk], current_app=self.admin_site.name)

    def _to(self, pk: Any) -> HttpResponse:
        return HttpResponseRedirect(self._url(pk))


def _in_use(process: Any) -> str:
    words = ngettext(
        "“%(process)s” cannot be deleted: %(count)d request uses it. Make it inactive instead.",
        "“%(process)s” cannot be deleted: %(count)d requests use it. Make it inactive instead.",
        process.used,
    )
    return words % {"process": process, "count": process.used}


def _counted(rows: "models.QuerySet[Any]") -> Subquery:
    return Subquery(rows.order_by().values("process").annotate(count=Count("pk")).values("count"))
