"""Configurations of the login in admin: what cannot work is refused; the switch, a test code and figures."""

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten
from django.core.exceptions import PermissionDenied
from django.db.models import F
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sms_services.admin.sent_tests import outcome_url, sent_test
from sms_services.advice import advice_for
from sms_services.choices import MessageStatus
from sms_services.error_pages import private_post
from sms_services.exceptions import SmsError
from sms_services.models import SandboxSms, SmsMessage
from sms_services.phone_numbers import mask

from .. import refusals
from ..addresses import client_address
from ..api import can_send_notice, lift_address_limits, lift_limits, send_test_code
from ..countries import by_name, country_name
from ..exceptions import Refusal
from ..models import Challenge, MobileLogin, Pause
from ..rows import database
from ..transactions import outside_transactions
from .deleting import deleted_with_counts
from .figures import SPANS, Figures
from .forms import (
    AddsCodeTemplates,
    CodeTemplateField,
    LiftForm,
    MobileLoginForm,
    NoticeTemplateField,
    NumberForm,
    ServiceField,
)
from .pauses import RESUME, named

SWITCH = "login_mobile.switch_mobilelogin"
SEND_TEST = "login_mobile.send_test_mobilelogin"
FIGURES = "login_mobile.view_figures_mobilelogin"
UNBLOCK = "login_mobile.unblock_mobilelogin"

#: For so long the page of a test code waits for its outcome.
_WAITS = timedelta(minutes=2)

NO_NOTICE = _(
    "No notice can be sent to a number that was changed or removed, so nobody hears of an account taken over. Choose a "
    "template of the notice that the service can send."
)

NO_DEFAULT = _(
    "No login is the default: where a front end names none, nobody can log in. Tick “Default” on one of the logins."
)
DEFAULT_IS_OFF = _(
    "The default login “%s” is switched off: where a front end names none, nobody can log in. Switch it on, or tick "
    "“Default” on another."
)


class _Gone(Exception):
    """The login whose form was open was deleted meanwhile."""


@admin.register(MobileLogin)
class MobileLoginAdmin(admin.ModelAdmin):
    form = MobileLoginForm
    list_display = (
        "name",
        "key",
        "is_active",
        "is_default",
        "in_order",
        "sms_service",
        "template",
        "allow_registration",
    )
    search_fields = ("name", "key")
    fieldsets = (
        (None, {"fields": ("name", "key", "is_default", "sms_service", "template")}),
        (
            _("Registration"),
            {"fields": ("regions", "first_region", "allow_registration", "ask_nickname")},
        ),
        (
            _("Codes"),
            {
                "fields": (
                    ("code_length", "code_minutes"),
                    ("attempts_per_code", "send_pause"),
                )
            },
        ),
        (
            _("Limits"),
            {
                "classes": ("collapse",),
                "description": _(
                    "What is counted for a number or an address is counted over all logins. A browser that has logged "
                    "in with a number before has counts of its own, so that no stranger can lock its owner out."
                ),
                "fields": (
                    ("sends_per_hour", "sends_per_day"),
                    ("failures_per_hour", "failures_per_day"),
                    ("address_sends_per_hour", "address_sends_per_day"),
                    "address_verifications",
                ),
            },
        ),
        (
            _("Safety"),
            {
                "classes": ("collapse",),
                "description": _("Against those who earn on texts, have taken over a number, or were handed one on."),
                "fields": (
                    ("cap_per_day", "cap_per_country", "cap_per_prefix"),
                    ("pause_below_percent", "pause_country_after", "pause_prefix_after"),
                    "allow_staff",
                    ("recycled_after_days", "recycled_policy"),
                    "notice_template",
                ),
            },
        ),
    )

    class Media:
        css = {"all": ("sms_services/admin.css", "login_mobile/admin.css")}

    def get_queryset(self, request: HttpRequest) -> Any:
        logins: Any = super().get_queryset(request)
        return logins.with_setup()

    @admin.display(description=_("in order"))
    def in_order(self, login: MobileLogin) -> SafeString | str:
        problems = login.problems()
        if not problems:
            return gettext("Yes")
        return format_html("<strong>{}</strong> {}", gettext("No:"), " ".join(problems))

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        fields = {
            "sms_service": ServiceField,
            "template": CodeTemplateField,
            "notice_template": NoticeTemplateField,
        }
        if form_class := fields.get(db_field.name):
            kwargs["form_class"] = form_class
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "template":
            wrapped = field.widget
            field.widget = AddsCodeTemplates(
                wrapped.widget,
                wrapped.rel,
                wrapped.admin_site,
                can_add_related=wrapped.can_add_related,
                can_change_related=wrapped.can_change_related,
                can_view_related=wrapped.can_view_related,
            )
        return field

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        return {} if obj else {"key": ("name",)}

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """With the state on the page of an existing one: it is changed by the switch, which has its own permission."""
        first, registration, *others = super().get_fieldsets(request, obj)
        if obj is None:
            return [first, registration, *others]
        first = (first[0], {**first[1], "fields": (*first[1]["fields"], "is_active")})
        if not self.has_change_permission(request, obj):
            _regions, _first_region, *rest = registration[1]["fields"]
            registration = (registration[0], {"fields": ("country_names", "first_country", *rest)})
        return [first, registration, *others]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("is_active", "country_names", "first_country")

    @admin.display(description=_("Countries"))
    def country_names(self, login: MobileLogin) -> str:
        return ", ".join(map(country_name, by_name(login.regions)))

    @admin.display(description=_("Chosen beforehand"))
    def first_country(self, login: MobileLogin) -> str:
        return country_name(login.default_region)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except _Gone:  # what was written along with it is undone
            messages.warning(request, _("Somebody has deleted this login meanwhile, so nothing was saved."))
            return HttpResponseRedirect(reverse("admin:login_mobile_mobilelogin_changelist"))

    def save_model(self, request: HttpRequest, obj: MobileLogin, form: Any, change: bool) -> None:
        if not change and not MobileLogin.objects.filter(is_default=True).exists():
            obj.is_default = True
        if not change and not request.user.has_perm(SWITCH):
            obj.is_active = False
            messages.info(request, _("It is switched off. Somebody who may switch logins has to switch it on."))
        replaced = MobileLogin.objects.filter(is_default=True).exclude(pk=obj.pk).first() if obj.is_default else None
        if change and not MobileLogin.objects.using(database()).filter(pk=obj.pk).update(key=F("key")):
            raise _Gone
        if change:  # all but the switch, which somebody may have thrown since this row was read
            fields = [field for field in obj._meta.concrete_fields if not (field.primary_key or field.generated)]
            obj.save(update_fields=[field.name for field in fields if field.name != "is_active"])
        else:
            super().save_model(request, obj, form, change)
        if replaced is not None:
            names = {"login": obj, "replaced": replaced}
            messages.info(request, _("“%(login)s” is the default now, and “%(replaced)s” is not any more.") % names)
        _warn_of_default(request)
        if problem := obj.template.problem_with(obj.sms_service):
            messages.warning(request, problem)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Code requests and pauses are counted: there may be thousands of them, too many for a page."""
        return deleted_with_counts(objs, request, self.admin_site, counted=(Challenge, Pause))

    def delete_model(self, request: HttpRequest, obj: MobileLogin) -> None:
        super().delete_model(request, obj)
        _warn_of_default(request)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        super().delete_queryset(request, queryset)
        _warn_of_default(request)

    def get_urls(self) -> list[Any]:
        def page(route: str, view: Any, name: str) -> Any:
            view = outside_transactions(self.admin_site.admin_view(view))
            return path(f"<int:pk>/{route}/", view, name=f"login_mobile_mobilelogin_{name}")

        return [
            page("figures", self.figures_view, "figures"),
            page("test", self.test_view, "test"),
            page("switch", self.switch_view, "switch"),
            page("unblock", self.unblock_view, "unblock"),
            *super().get_urls(),
        ]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        form = context["adminform"]
        form.fieldsets = [(name, _opened_for(form.errors, options)) for name, options in form.fieldsets]
        login = kwargs.get("obj")
        if login is not None:
            context["problems"] = [*login.problems(), *([] if can_send_notice() else [NO_NOTICE])]
            for name, permission in (
                ("may_switch", SWITCH),
                ("may_send_test", SEND_TEST),
                ("may_view_figures", FIGURES),
                ("may_unblock", UNBLOCK),
            ):
                context[name] = request.user.has_perm(permission)
        return super().render_change_form(request, context, *args, **kwargs)

    def switch_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Switch a login off after a question, or on again.

        What the form says is what happens, however often it is sent.
        """
        login = self._login_for(request, pk, SWITCH)
        if request.method != "POST":
            if not login.is_active:
                return HttpResponseRedirect(self._change_url(login))
            return self._page(request, login, "switch", _("Switch off this login?"), {})
        active = request.POST.get("active") == "1"
        if MobileLogin.objects.filter(pk=login.pk).exclude(is_active=active).update(is_active=active):
            self.log_change(request, login, _("Switched on.") if active else _("Switched off."))
        if active:
            messages.success(request, _("“%s” is switched on.") % login)
        else:
            messages.success(request, _("“%s” is switched off: it sends nothing and lets nobody in.") % login)
            _warn_of_default(request)
        return HttpResponseRedirect(self._change_url(login))

    def figures_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Outcomes over time, by country and prefix, and what is paused."""
        login = self._login_for(request, pk, FIGURES)
        span = SPANS.get(request.GET.get("span", ""), SPANS["week"])
        figures = Figures.of(login, span)
        context = {
            "figures": figures,
            "pauses": [(pause, named(pause)) for pause in figures.pauses],
            "refusals": [(reason.label, count) for reason, count in refusals.counted(login).items()],
            "span": span,
            "spans": SPANS.values(),
            "may_resume": request.user.has_perm(RESUME),
            "may_unblock": request.user.has_perm(UNBLOCK),
        }
        return self._page(request, login, "figures", _("Figures"), context)

    @private_post("phone_number")
    def test_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send a code that opens nothing, as the login would; and the outcome of the last one."""
        login = self._login_for(request, pk, SEND_TEST)
        form = NumberForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                message = send_test_code(login, form.cleaned_data["phone_number"])
            except SmsError as error:
                form.add_error(None, str(error))
            except Refusal as refusal:
                form.add_error("phone_number", str(refusal.message))
            else:
                return HttpResponseRedirect(outcome_url(request, message))
        sent = sent_test(request, login.sms_service_id)
        context = {
            "form": form,
            "sent": sent,
            "is_being_sent": sent is not None and _is_being_sent(sent),
            "masked_number": mask(sent.phone_number) if sent else "",
            "may_open": request.user.has_perm("sms_services.view_smsmessage"),
            "advice": advice_for(sent) if sent else "",
            "is_sandbox": isinstance(login.sms_service, SandboxSms),
            "problems": login.problems(),
        }
        return self._page(request, login, "test", _("Send a test code"), context)

    @private_post("phone_number", "address")
    def unblock_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Forget what was counted for a number or an address, so that nobody there need wait.

        Whether anything was counted is not told: not everybody who may lift limits may know who asked for a code.
        """
        login = self._login_for(request, pk, UNBLOCK)
        form = LiftForm(request.POST if request.method == "POST" else None, own_address=client_address(request))
        if request.method == "POST" and form.is_valid():
            if number := form.cleaned_data["phone_number"]:
                lift_limits(number)
                self.log_change(request, login, _("Lifted the limits of a number."))
                messages.success(request, _("The limits of this number begin anew."))
            if address := form.cleaned_data["address"]:
                lift_address_limits(address)
                self.log_change(request, login, _("Lifted the limits of an address."))
                messages.success(request, _("The limits of this address begin anew."))
            return HttpResponseRedirect(request.path)
        return self._page(request, login, "unblock", _("Lift limits"), {"form": form})

    def _page(
        self, request: HttpRequest, login: MobileLogin, name: str, title: Any, context: dict[str, Any]
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "subtitle": str(login),
            "opts": self.opts,
            "login": login,
            "change_url": self._change_url(login),
            **context,
        }
        return TemplateResponse(request, f"admin/login_mobile/mobilelogin/{name}.html", context)

    def _change_url(self, login: MobileLogin) -> str:
        name = "admin:login_mobile_mobilelogin_change"
        return reverse(name, args=[login.pk], current_app=self.admin_site.name)

    def _login_for(self, request: HttpRequest, pk: int, permission: str) -> MobileLogin:
        login = get_object_or_404(MobileLogin, pk=pk)
        if not (request.user.has_perm(permission) and self.has_view_or_change_permission(request, login)):
            raise PermissionDenied
        return login


def _warn_of_default(request: HttpRequest) -> None:
    """Say so where nobody can log in by the default login. Where there is no login at all, nobody expects to."""
    logins = MobileLogin.objects.using(database())
    default = logins.filter(is_default=True).first()
    if default is None:
        if logins.exists():
            messages.warning(request, NO_DEFAULT)
    elif not default.is_active:
        messages.warning(request, DEFAULT_IS_OFF % default)


def _opened_for(errors: Any, options: dict[str, Any]) -> dict[str, Any]:
    """A fieldset, open if a field of it has an error. Django does not look for fields that share a line."""
    if not set(flatten(options["fields"])) & set(errors):
        return options
    return {**options, "classes": [name for name in options.get("classes", ()) if name != "collapse"]}


def _is_being_sent(message: SmsMessage) -> bool:
    """Whether its first try is still to come, or under way, and worth waiting for."""
    is_begun = message.status in (MessageStatus.QUEUED, MessageStatus.SENDING) and not message.error_kind
    return is_begun and message.created_at > timezone.now() - _WAITS
