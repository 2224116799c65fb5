"""Presets in admin: whom, through what, with which words; what code sends by their key."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from sms_services.error_pages import private_post

from ..models import NotificationPreset
from .composing import Composing, split
from .fields import FoundManyField, VariablesField, shown_variables
from .finding import KINDS, known_kinds
from .overview import Overview

COMPOSE = "notifications.compose_notification"
KIND_COUNTS = {
    "users": ngettext_lazy("%(count)d user", "%(count)d users", "count"),
    "departments": ngettext_lazy("%(count)d department", "%(count)d departments", "count"),
    "roles": ngettext_lazy("%(count)d role", "%(count)d roles", "count"),
}


class PresetForm(Composing, forms.ModelForm):
    """A preset: what is not good today may be so when it is sent, and is warned of."""

    refuses_for_now = False

    variables = VariablesField(
        may_be_left=True, help_text=_("What code gives when it sends the preset replaces what is entered here.")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["variables"] = shown_variables(self.instance.literals, self.instance.recipient_fields)
        if "service" in self.fields:  # else it is only looked at
            self.prepare()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if "variables" in cleaned:
            cleaned["variables"], self.instance.recipient_fields = split(cleaned["variables"])
        return cleaned


@admin.register(NotificationPreset)
class NotificationPresetAdmin(admin.ModelAdmin):
    form = PresetForm
    list_display = ("name", "key", "service", "template", "recipients")
    list_filter = ("service",)
    search_fields = ("name", "key")

    class Media:
        css = {"all": ("sms_services/preview.css", "notifications/admin.css")}
        js = ("notifications/composing.js",)

    def get_queryset(self, request: HttpRequest) -> Any:
        presets = super().get_queryset(request)
        for kind in KINDS:
            through: Any = getattr(NotificationPreset, kind).through
            counted = (
                through._base_manager.filter(notificationpreset=models.OuterRef("pk"))
                .order_by()
                .values("notificationpreset")
                .annotate(count=models.Count("pk"))
                .values("count")
            )
            presets = presets.annotate(**{f"{kind}_count": models.Subquery(counted)})
        return presets.select_related("service", "template")

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return {} if obj else {"key": ("name",)}

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [
            (None, {"fields": ("name", "key")}),
            (_("Recipients"), {"fields": (*known_kinds(), "include_subdepartments")}),
            (_("Text"), {"fields": ("service", "template", "variables")}),
        ]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in KINDS:
            return FoundManyField(db_field.name, self.admin_site)
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget.can_delete_related = False
        return field

    @admin.display(description=_("recipients"))
    def recipients(self, preset: Any) -> str:
        counts = [(KIND_COUNTS[kind], getattr(preset, f"{kind}_count") or 0) for kind in KINDS]
        return ", ".join(str(words % {"count": count}) for words, count in counts if count) or "-"

    @private_post()
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().changeform_view(request, *args, **kwargs)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        form = context["adminform"].form
        if "service" in form.fields:
            context["overview"] = Overview.of(form)
        context["may_compose"] = request.user.has_perm(COMPOSE)
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        for warning in form.warnings:
            messages.warning(request, warning)
