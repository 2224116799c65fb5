"""What has paused itself, and why; and resuming it."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from sms_services.admin.posting import posted
from sms_services.admin.read_only import GoesWithOthers

from ..api import resume
from ..choices import PauseScope
from ..countries import country_name
from ..models import Pause
from .changelist import SaysWhenEmpty

RESUME = "login_mobile.resume_pause"


class HoldingFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "holding"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("Paused")), ("0", _("Resumed"))]

    def queryset(self, request: HttpRequest, pauses: Any) -> Any:
        if self.value() not in ("0", "1"):
            return pauses
        return pauses.filter(resumed_at__isnull=self.value() == "1")


@admin.register(Pause)
class PauseAdmin(SaysWhenEmpty, GoesWithOthers, admin.ModelAdmin):
    list_display = ("named", "reason", "usage", "paused_at", "resumed_at", "login")
    list_filter = (HoldingFilter, "scope", "login")
    list_select_related = ("login",)
    ordering = ("-paused_at", "-pk")
    when_empty = _(
        "Nothing has paused itself. A country or prefix whose codes are not being used stops getting any, as somebody "
        "may be earning on the texts. It is listed here then, and can be resumed."
    )
    actions = ("resume_selected",)
    fields = ("named", "login", "reason", "sent", "used", "paused_at", "resumed_at", "resumed_by")
    readonly_fields = fields

    class Media:
        css = {"all": ("sms_services/admin.css", "login_mobile/admin.css")}

    @admin.display(description=_("country or prefix"))
    def named(self, pause: Pause) -> str:
        return named(pause)

    @admin.display(description=_("codes used"))
    def usage(self, pause: Pause) -> str:
        return _("%(used)d of %(sent)d") % {"used": pause.used, "sent": pause.sent}

    def has_resume_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(RESUME)

    @admin.action(description=_("Resume the selected pauses"), permissions=["resume"])
    def resume_selected(self, request: HttpRequest, pauses: Any) -> None:
        resumed = sum(self._resume(request, pause) for pause in pauses)
        said = ngettext("%(count)d pause was resumed.", "%(count)d pauses were resumed.", resumed)
        self.message_user(request, said % {"count": resumed}, messages.SUCCESS if resumed else messages.WARNING)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(posted(self.resume_view, "admin:login_mobile_pause_change"))
        return [path("<int:pk>/resume/", view, name="login_mobile_pause_resume"), *super().get_urls()]

    def resume_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not (self.has_resume_permission(request) and self.has_view_permission(request)):
            raise PermissionDenied
        pause = get_object_or_404(Pause, pk=pk)
        if self._resume(request, pause):
            messages.success(request, _("%s gets codes again.") % named(pause))
        else:
            messages.warning(request, _("Somebody has resumed it already."))
        return HttpResponseRedirect(reverse("admin:login_mobile_pause_change", args=[pk]))

    def _resume(self, request: HttpRequest, pause: Pause) -> bool:
        done = resume(pause, by=request.user)
        if done:
            self.log_change(request, pause, _("Resumed."))
        return bool(done)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        pause = kwargs.get("obj")
        context["may_resume"] = pause and pause.resumed_at is None and self.has_resume_permission(request)
        return super().render_change_form(request, context, *args, **kwargs)


def named(pause: Pause) -> str:
    """What is paused, as a person says it."""
    return country_name(pause.value) if pause.scope == PauseScope.COUNTRY else f"{pause.value}****"
