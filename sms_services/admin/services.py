"""Services in admin: the kind first, then just that provider's fields; verify, and send a test."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from polymorphic.admin import PolymorphicChildModelAdmin, PolymorphicChildModelFilter, PolymorphicParentModelAdmin
from polymorphic.admin.forms import PolymorphicModelChoiceForm

from ..advice import advice_for
from ..api import send_message
from ..choices import ErrorKind
from ..error_pages import private_post
from ..exceptions import SmsError
from ..models import AlibabaCloudSms, AwsSnsSms, SandboxSms, SmsMessage, SmsService, TwilioSms
from ..models.signatures import RegisteredSignature
from ..providers import get_provider
from .forms import AlibabaCloudForm, AwsSnsForm, ServiceForm, TestMessageForm, TwilioForm
from .importing import import_page
from .posting import posted
from .sandbox import inbox_url
from .sent_tests import outcome_url, sent_test
from .uses import warn_of_uses


class ProtectsServicesInUse:
    """The page that asks for confirmation says by what a service is used, in numbers instead of rows."""

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[Any], list[str]]:
        services = list(objs)
        protected = [line for service in services for line in usage_of(service)]
        counts = {str(SmsService._meta.verbose_name_plural): len(services)}
        may_not = {
            str(service._meta.verbose_name)
            for service in services
            if not request.user.has_perm(_permission("delete", service))
        }
        return [str(service) for service in services], counts, may_not, protected


def usage_of(service: SmsService) -> list[str]:
    """What keeps a service from being deleted, one line per kind of row."""
    lines = []
    relations: list[Any] = SmsService._meta.get_fields(include_hidden=True)
    for relation in relations:
        if getattr(relation, "on_delete", None) is not models.PROTECT:
            continue
        rows = relation.related_model._base_manager.filter(**{relation.field.name: service.pk})
        count = rows.count()
        if count:
            names = relation.related_model._meta
            name = names.verbose_name if count == 1 else names.verbose_name_plural
            lines.append(f"{service}: {count} {name}")
    return lines


class KindForm(PolymorphicModelChoiceForm):
    """The page before the form of a new service; Django has no translation of “Type”."""

    type_label = _("Kind")


class KindFilter(PolymorphicChildModelFilter):
    title = _("kind")  # type: ignore[assignment]


@admin.register(SmsService)
class SmsServiceAdmin(ProtectsServicesInUse, PolymorphicParentModelAdmin):
    add_type_form = KindForm
    child_models = [AlibabaCloudSms, AwsSnsSms, TwilioSms, SandboxSms]
    list_display = ("name", "key", "kind", "is_active", "max_per_second")
    list_filter = ("is_active", KindFilter)
    search_fields = ("name", "key")
    list_select_related = ("polymorphic_ctype",)
    polymorphic_list = True
    actions = ("activate", "deactivate")

    class Media:
        css = {"all": ("sms_services/import.css",)}

    def get_child_type_choices(self, request: HttpRequest, action: str) -> list[tuple[int, str]]:
        """In the order of `child_models`; the library's own is that of a cache."""
        order = [ContentType.objects.get_for_model(model, for_concrete_model=False).pk for model in self.child_models]
        return sorted(super().get_child_type_choices(request, action), key=lambda choice: order.index(choice[0]))

    def render_add_type_form(self, request: HttpRequest, context: dict[str, Any], form_url: str = "") -> HttpResponse:
        """Bare in a popup; the library takes the site's word that there is none."""
        is_popup = context["is_popup"]
        response = super().render_add_type_form(request, context, form_url)
        response.context_data["is_popup"] = is_popup
        return response

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        inbox = inbox_url() if SandboxSms.objects.exists() else ""
        return super().changelist_view(request, {"inbox_url": inbox, **(extra_context or {})})

    @admin.display(description=_("kind"), ordering="polymorphic_ctype")
    def kind(self, service: SmsService) -> SafeString | str:
        model = service.polymorphic_ctype.model_class() if service.polymorphic_ctype else None
        kind = capfirst(str(model._meta.verbose_name)) if model else ""
        if isinstance(service, RegisteredSignature) and service.problem:
            mark = _("signature: %s") % service.get_sign_status_display()
            return format_html('{} <strong class="sms-status-{}">({})</strong>', kind, service.sign_status, mark)
        return kind

    @admin.action(description=_("Activate the selected services"), permissions=["change"])
    def activate(self, request: HttpRequest, services: "models.QuerySet[SmsService]") -> None:
        self._set_active(request, services, True)

    @admin.action(description=_("Deactivate the selected services"), permissions=["change"])
    def deactivate(self, request: HttpRequest, services: "models.QuerySet[SmsService]") -> None:
        self._set_active(request, services, False)

    def _set_active(self, request: HttpRequest, services: "models.QuerySet[SmsService]", active: bool) -> None:
        others = list(services.exclude(is_active=active))
        changed = [service for service in others if request.user.has_perm(_permission("change", service))]
        for service in changed:
            service.is_active = active
            service.save(update_fields=["is_active"])
            self.log_change(request, service, [{"changed": {"fields": [str(_("active"))]}}])
        self.message_user(
            request,
            ngettext("%(count)d service was changed.", "%(count)d services were changed.", len(changed))
            % {"count": len(changed)},
        )
        warn_of_uses(request, services=changed)
        if len(changed) < len(others):
            refused = ngettext(
                "You may not change %(count)d service.",
                "You may not change %(count)d services.",
                len(others) - len(changed),
            )
            self.message_user(request, refused % {"count": len(others) - len(changed)}, messages.WARNING)

    def get_urls(self) -> list[Any]:
        def outside_transactions(view: Any) -> Any:
            return transaction.non_atomic_requests(self.admin_site.admin_view(view))

        verify = posted(self.verify_view, "admin:sms_services_smsservice_change")
        return [
            path("<int:pk>/verify/", outside_transactions(verify), name="sms_services_smsservice_verify"),
            path("<int:pk>/test/", outside_transactions(self.test_view), name="sms_services_smsservice_test"),
            path("<int:pk>/import/", outside_transactions(self.import_view), name="sms_services_smsservice_import"),
            *super().get_urls(),
        ]

    def verify_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask the provider whether the stored credentials work; the answer stands on the service's page."""
        service = self._service_for(request, pk, "verify_smsservice")
        try:
            answer = get_provider(service).verify()
        except SmsError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(self._change_url(service))
        service.keep_verification(answer)
        warn_of_uses(request, services=[service])
        details = " ".join(f"{label}: {value.removesuffix('.')}." for label, value in answer.details)
        if answer.ok:
            accepted = _("The credentials work.")
            messages.success(request, f"{accepted} {details}".strip())
        else:
            words = " ".join(str(part) for part in (answer.detail, answer.advice) if part)
            code = f" ({answer.code})" if answer.code else ""
            refused = _("The provider did not accept the credentials.")
            if answer.error_kind in {ErrorKind.TRANSIENT, ErrorKind.THROTTLED}:
                refused = _("The provider could not be asked, so the credentials were not checked.")
            messages.error(request, f"{refused}{code} {words} {details}".strip())
        return HttpResponseRedirect(self._change_url(service))

    def import_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What an import of templates would do, and the import."""
        service = self._service_for(request, pk, "import_smstemplate")
        if not service.provider_class.lists_templates:
            raise Http404
        return import_page(self.admin_site, request, service)

    @private_post()
    def test_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """A form for one text through this service, and the outcome of the last one."""
        service = self._service_for(request, pk, "send_test_smsservice")
        sent = sent_test(request, service.pk)
        if request.method != "POST":
            form = TestMessageForm(service, initial=_like(sent) if sent else {}, after=sent)
        elif "show_variables" in request.POST:
            form = TestMessageForm(service, initial=request.POST.dict())
        else:
            form = TestMessageForm(service, request.POST)
            if form.is_valid() and (message := self._send_test(service, form)):
                self.log_change(request, service, str(_("Test sent as message %d.") % message.pk))
                return HttpResponseRedirect(outcome_url(request, message))
        context = {
            **self.admin_site.each_context(request),
            "title": _("Send test SMS"),
            "subtitle": str(service),
            "opts": self.model._meta,
            "service": service,
            "change_url": self._change_url(service),
            "form": form,
            "sent": sent,
            "may_open": request.user.has_perm("sms_services.view_smsmessage"),
            "advice": advice_for(sent) if sent else "",
            "is_sandbox": isinstance(service, SandboxSms),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/sms_services/smsservice/send_test.html", context)

    def _send_test(self, service: SmsService, form: TestMessageForm) -> SmsMessage | None:
        try:
            return send_message(service, form.cleaned_data["phone_number"], form.cleaned_data["template"], form.params)[
                0
            ]
        except SmsError as error:
            form.add_error(None, str(error))
            return None

    def _change_url(self, service: SmsService) -> str:
        name = "admin:sms_services_smsservice_change"
        return reverse(name, args=[service.pk], current_app=self.admin_site.name)

    def _service_for(self, request: HttpRequest, pk: int, permission: str) -> SmsService:
        if not request.user.has_perm(f"sms_services.{permission}"):
            raise PermissionDenied
        service: SmsService = get_object_or_404(SmsService, pk=pk)
        if not any(request.user.has_perm(_permission(action, service)) for action in ("view", "change")):
            raise PermissionDenied
        return service


class SmsServiceChildAdmin(ProtectsServicesInUse, PolymorphicChildModelAdmin):
    """The page of one kind of service."""

    base_model = SmsService
    base_form = ServiceForm
    provider_fields: tuple[str, ...] = ()
    readonly_fields = ("problem",)

    class Media:
        css = {"all": ("sms_services/import.css",)}

    @admin.display(description=_("cannot send"))
    def problem(self, service: SmsService) -> SafeString:
        return format_html('<p class="sms-refused">{}</p>', service.problem or "")

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        """The admin's lists of models name SMS services once, not each kind."""
        return {}

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        return {} if obj else {"key": ("name",)}

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets: list[Any] = [(None, {"fields": ("name", "key", "is_active")})]
        if obj is not None and obj.problem:
            fieldsets.insert(0, (None, {"fields": ("problem",)}))
        if self.provider_fields:
            fieldsets.append((_("Account"), {"fields": self.provider_fields}))
        fieldsets.append((_("Limits"), {"fields": ("max_per_second",)}))
        fieldsets.append((_("Costs"), {"fields": ("price_per_segment", "currency")}))
        return fieldsets

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change:
            warn_of_uses(request, services=[obj])

    @private_post("access_secret", "secret_key", "auth_token")
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().changeform_view(request, *args, **kwargs)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        service = kwargs.get("obj")
        if service is not None:
            context["may_verify"] = request.user.has_perm("sms_services.verify_smsservice")
            context["may_send_test"] = request.user.has_perm("sms_services.send_test_smsservice")
            context["may_import"] = service.provider_class.lists_templates and request.user.has_perm(
                "sms_services.import_smstemplate"
            )
            context["is_sandbox"] = isinstance(service, SandboxSms)
        return super().render_change_form(request, context, *args, **kwargs)


@admin.register(AlibabaCloudSms)
class AlibabaCloudSmsAdmin(SmsServiceChildAdmin):
    base_form = AlibabaCloudForm
    provider_fields = ("access_key", "access_secret", "verify_sign")


@admin.register(AwsSnsSms)
class AwsSnsSmsAdmin(SmsServiceChildAdmin):
    base_form = AwsSnsForm
    provider_fields = ("access_key", "secret_key", "region")


@admin.register(TwilioSms)
class TwilioSmsAdmin(SmsServiceChildAdmin):
    base_form = TwilioForm
    provider_fields = ("account_sid", "auth_token", "from_number")


@admin.register(SandboxSms)
class SandboxSmsAdmin(SmsServiceChildAdmin):
    pass


def _like(sent: SmsMessage) -> dict[str, Any]:
    """What the form for the next test begins with: what the same person typed. Sensitive variables are not kept."""
    variables = {f"variable_{name}": value for name, value in sent.params.items()}
    return {"phone_number": sent.phone_number, "template": sent.template_id, **variables}


def _permission(action: str, service: SmsService) -> str:
    """The permission that a service's own kind asks for."""
    kind = ContentType.objects.get_for_id(service.polymorphic_ctype_id or 0)
    return f"sms_services.{action}_{kind.model}"
