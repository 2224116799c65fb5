"""The texts of other workflow engines, by engine, process and node."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse

from sms_services.error_pages import private_post

from ..models import EngineSms
from .choosing import ChoosesText
from .people import Finding


class EngineSmsForm(ChoosesText, Finding, forms.ModelForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "sms_service" in self.fields:
            self.prepare()


@admin.register(EngineSms)
class EngineSmsAdmin(admin.ModelAdmin):
    form = EngineSmsForm
    list_display = ("engine", "process_key", "node_key", "sms_service", "sms_template")
    list_display_links = ("engine", "process_key", "node_key")
    list_filter = ("engine",)
    list_select_related = ("sms_service", "sms_template")
    search_fields = ("engine", "process_key", "node_key")
    fields = ("engine", "process_key", "node_key", "sms_service", "sms_template")
    change_form_template = "admin/approvals/enginesms/change_form.html"

    class Media:
        css = {"all": ("sms_services/preview.css", "notifications/admin.css", "approvals/admin.css")}
        js = ("approvals/node.js",)

    @private_post()
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().changeform_view(request, *args, **kwargs)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        form = context["adminform"].form
        if "sms_service" in form.fields:
            context |= {"preview": form.preview(""), "warnings": form.warnings(), "chooses_text": True}
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        for warning in form.warnings():
            messages.warning(request, warning)
