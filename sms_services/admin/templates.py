"""Templates in admin: the wording with a live preview, and the codes per service as rows."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import path
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from ..models import SmsService, SmsTemplate, TemplateCode
from .forms import TemplateCodeForm, TemplateCodeFormSet, TemplateForm
from .preview import Preview
from .uses import warn_of_uses


class TemplateCodeInline(admin.TabularInline):
    model = TemplateCode
    form = TemplateCodeForm
    formset = TemplateCodeFormSet
    readonly_fields = ("platform",)
    extra = 0
    verbose_name_plural = _("Template codes, for services that send by code")

    @admin.display(description=_("on the platform"))
    def platform(self, code: TemplateCode) -> SafeString | str:
        if not code.platform_status:
            return "-"
        return render_to_string("admin/sms_services/smstemplate/platform.html", {"code": code})

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "service":
            kinds = [kind for kind in SmsService.__subclasses__() if kind.provider_class.sends_by_code]
            kwargs["queryset"] = SmsService.objects.instance_of(*kinds).non_polymorphic()
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget  # no buttons to add, change and delete services from here
        return field


@admin.register(SmsTemplate)
class SmsTemplateAdmin(admin.ModelAdmin):
    form = TemplateForm
    list_display = ("name", "purpose", "code_list", "key", "variable_list")
    list_filter = ("purpose", "codes__platform_status")
    search_fields = ("name", "key", "text")
    prepopulated_fields = {"key": ("name",)}
    readonly_fields = ("preview", "problems")
    inlines = (TemplateCodeInline,)
    fieldsets = (
        (None, {"fields": ("name", "key", "purpose", "text", "preview")}),
        (_("Variables of a template without a text"), {"fields": ("variables",), "classes": ("collapse",)}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is not None and any(code.problem for code in obj.codes.all()):
            return [(None, {"fields": ("problems",)}), *fieldsets]
        return fieldsets

    class Media:
        css = {"all": ("sms_services/preview.css", "sms_services/import.css")}
        js = ("sms_services/preview.js",)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("codes")

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return {} if obj else super().get_prepopulated_fields(request, obj)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if change:
            warn_of_uses(request, templates=[form.instance])

    @admin.display(description=_("variables"))
    def variable_list(self, template: SmsTemplate) -> str:
        return ", ".join(template.variable_names)

    @admin.display(description=_("codes"))
    def code_list(self, template: SmsTemplate) -> SafeString:
        return format_html_join(", ", "{}", ((_marked(code),) for code in template.codes.all()))

    @admin.display(description=_("cannot be sent"))
    def problems(self, template: SmsTemplate) -> SafeString:
        """What a person must know before choosing this template, first on its page: the codes may be out of sight."""
        found = [(code.service, code.problem) for code in template.codes.select_related("service") if code.problem]
        return format_html_join("", '<p class="sms-refused"><strong>{}</strong>: {}</p>', found)

    @admin.display(description=_("preview"))
    def preview(self, template: SmsTemplate) -> SafeString:
        preview = Preview.of(template.text if template else "", {})
        return render_to_string("admin/sms_services/smstemplate/preview.html", {"preview": preview})

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(require_POST(self.preview_view))
        return [path("preview/", view, name="sms_services_smstemplate_preview"), *super().get_urls()]

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """The preview of a wording that is being typed, as a piece of HTML. Stores nothing."""
        if not (self.has_view_or_change_permission(request) or self.has_add_permission(request)):
            raise PermissionDenied
        values = {
            name.removeprefix("sample_"): str(value)
            for name, value in request.POST.items()
            if name.startswith("sample_")
        }
        preview = Preview.of(request.POST.get("text", ""), values)
        return render(request, "admin/sms_services/smstemplate/preview_body.html", {"preview": preview})


def _marked(code: TemplateCode) -> SafeString | str:
    """A code, with its status if it cannot be sent."""
    if not code.problem:
        return code.code
    status = code.get_platform_status_display()
    return format_html('{} <strong class="sms-status-{}">({})</strong>', code.code, code.platform_status, status)
