"""Composing a notification: a form, a page that asks once more and says how many people it is, and the sending."""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache

from sms_services.error_pages import private_post
from sms_services.exceptions import SmsError
from sms_services.models import SmsService, SmsTemplate

from ..api import notify
from ..choices import NotificationStatus
from ..exceptions import IdempotencyConflict
from ..models import Notification, NotificationPreset
from ..rows import notifications
from ..summary import RecipientsSummary
from .composing import Composing
from .fields import LABELS, REFRESH, FoundManyField, VariablesField, shown_variables
from .finding import DEPARTMENTS, known_kinds, named
from .overview import Overview, summary_of

COMPOSE = "notifications.compose_notification"
#: The buttons: ask once more, go back to the form, send.
REVIEW, EDIT, SEND = "_review", "_edit", "_send"
#: What is not handed on from one page to the next one.
_NOT_CARRIED = {"csrfmiddlewaretoken", "counted", "confirmed", REFRESH, REVIEW, EDIT, SEND}
#: A beginning that passed so recently was meant as now: somebody read the question for so long.
_GRACE = timedelta(minutes=5)


class LocalDateTimeInput(forms.DateTimeInput):
    """The browser's own field for a date and a time: no script, and at home on a phone."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")


class ComposeForm(Composing, forms.Form):
    """What is to be sent to whom, and when. ``key`` tells one form from another, however often it is sent."""

    key = forms.UUIDField(widget=forms.HiddenInput)
    preset = forms.SlugField(required=False, widget=forms.HiddenInput)
    include_subdepartments = forms.BooleanField(
        required=False,
        initial=True,
        label=gettext_lazy("With sub-departments"),
        help_text=gettext_lazy("A department’s sub-departments belong to it."),
    )
    service = forms.ModelChoiceField(SmsService.objects.all(), label=gettext_lazy("SMS service"))
    template = forms.ModelChoiceField(SmsTemplate.objects.all(), label=gettext_lazy("Template"))
    variables = VariablesField()
    send_at = forms.DateTimeField(
        required=False,
        widget=LocalDateTimeInput,
        label=gettext_lazy("Not before"),
        help_text=gettext_lazy("Empty: it is sent at once."),
    )
    expires_at = forms.DateTimeField(
        required=False,
        widget=LocalDateTimeInput,
        label=gettext_lazy("Not after"),
        help_text=gettext_lazy("What has not left by then is skipped. Empty: there is no limit."),
    )

    def __init__(self, request: HttpRequest, admin_site: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._may_see_presets = _may_see_presets(request, admin_site)
        for kind in known_kinds():
            self.fields[kind] = FoundManyField(kind, admin_site)
        for name in ("service", "template"):
            self._offer_adding(name, request, admin_site)
        self.prepare()

    def _offer_adding(self, name: str, request: HttpRequest, admin_site: Any) -> None:
        """The “+” beside a field."""
        field = self.fields[name]
        relation: Any = Notification._meta.get_field(name).remote_field
        if admin_site.is_registered(relation.model):
            model_admin = admin_site.get_model_admin(relation.model)
            field.widget = RelatedFieldWidgetWrapper(
                field.widget, relation, admin_site, can_add_related=model_admin.has_add_permission(request)
            )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        send_at, expires_at = cleaned.get("send_at"), cleaned.get("expires_at")
        if send_at and send_at < timezone.now() - _GRACE:
            self.add_error("send_at", _("This time has passed. Leave it empty to send at once, or choose a later one."))
        if expires_at and expires_at <= max(send_at or timezone.now(), timezone.now()):
            self.add_error("expires_at", _("Choose a time that lies ahead, and after the beginning."))
        return cleaned

    @property
    def begins_later(self) -> bool:
        """Whether it is scheduled, rather than sent at once."""
        send_at = self.cleaned_data["send_at"]
        return send_at is not None and send_at > timezone.now()

    def sent_before(self, request: HttpRequest) -> Notification | None:
        """What this form sent, whatever is wrong with it by now."""
        if "key" not in self.cleaned_data:
            return None
        return notifications().filter(idempotency_key=self.idempotency_key(request)).first()

    @property
    def preset_row(self) -> NotificationPreset | None:
        """The preset that it began with, as long as its template is the same."""
        key = str(self._given("preset") or "") if self._may_see_presets else ""
        preset = NotificationPreset.objects.filter(key=key).first() if key else None
        return preset if preset and self.chosen_template and preset.template_id == self.chosen_template.pk else None

    def idempotency_key(self, request: HttpRequest) -> str:
        return f"admin-{request.user.pk}-{self.cleaned_data['key']}"

    def arguments(self, request: HttpRequest) -> dict[str, Any]:
        """What ``notify`` gets."""
        cleaned = self.cleaned_data
        chosen = {kind: [row.pk for row in cleaned[kind]] for kind in self.kinds if cleaned[kind]}
        return {
            **chosen,
            "include_subdepartments": cleaned["include_subdepartments"],
            "service": cleaned["service"],
            "template": cleaned["template"],
            "variables": cleaned["variables"],
            "send_at": cleaned["send_at"],
            "expires_at": cleaned["expires_at"],
            "idempotency_key": self.idempotency_key(request),
            "created_by": request.user,
        }


class Composes:
    """For the notifications' admin: the way to a new one."""

    def get_urls(self) -> list[Any]:
        view = never_cache(self.admin_site.admin_view(self.compose_view))  # type: ignore[attr-defined]
        urls: list[Any] = super().get_urls()  # type: ignore[misc]
        return [path("compose/", view, name="notifications_notification_compose"), *urls]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """By which the admin's pages link to ``add_view``."""
        return request.user.has_perm(COMPOSE)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:notifications_notification_compose"))

    @private_post()
    def compose_view(self, request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm(COMPOSE):
            raise PermissionDenied
        if request.method != "POST":
            initial = _initial(request, self.admin_site)  # type: ignore[attr-defined]
            form = ComposeForm(request, self.admin_site, initial=initial)  # type: ignore[attr-defined]
            return self._form_page(request, form)
        if EDIT in request.POST:
            return self._form_page(request, self._refreshed(request))
        form = ComposeForm(request, self.admin_site, request.POST)  # type: ignore[attr-defined]
        is_valid = form.is_valid()
        if (sent := form.sent_before(request)) is not None:
            messages.info(
                request, _("This form was sent before, and nothing was sent again. To send more, compose anew.")
            )
            return self._sent_page(request, sent)
        if not is_valid:
            return self._form_page(request, form)
        summary = summary_of(form)
        if summary is None or not summary.reachable:
            form.add_error(None, _("None of these people can get a text. The preview says why."))
            return self._form_page(request, form, Overview.with_people(form, summary))
        confirmed = request.POST.get("confirmed", "")
        if SEND in request.POST and confirmed == str(summary.reachable):
            return self._send(request, form, summary)
        return self._question_page(request, form, summary, was=confirmed if SEND in request.POST else "")

    def _refreshed(self, request: HttpRequest) -> ComposeForm:
        data = request.POST.copy()
        data[REFRESH] = "1"
        return ComposeForm(request, self.admin_site, data)  # type: ignore[attr-defined]

    def _send(self, request: HttpRequest, form: ComposeForm, summary: RecipientsSummary) -> HttpResponse:
        preset = form.preset_row
        try:
            notification = notify(*([preset] if preset else []), **form.arguments(request))
        except IdempotencyConflict as error:
            messages.warning(request, _("This form was sent before with other contents, and nothing was sent again."))
            return self._sent_page(request, notifications().get(pk=error.notification_id))
        except SmsError as error:
            form.add_error(None, str(error))
            return self._form_page(request, form, Overview.with_people(form, summary))
        self.log_addition(request, notification, [{"added": {}}])  # type: ignore[attr-defined]
        is_scheduled = notification.status == NotificationStatus.SCHEDULED
        messages.success(request, _("It is scheduled.") if is_scheduled else _("It is on its way."))
        return self._sent_page(request, notification)

    def _sent_page(self, request: HttpRequest, notification: Notification) -> HttpResponse:
        """The notification's page, for those who may see it."""
        if self.has_view_permission(request, notification):  # type: ignore[attr-defined]
            url = reverse("admin:notifications_notification_change", args=[notification.pk])
        else:
            url = reverse("admin:notifications_notification_compose")
        return HttpResponseRedirect(url)

    def _form_page(self, request: HttpRequest, form: ComposeForm, overview: Overview | None = None) -> HttpResponse:
        context = {"title": _("Compose a notification"), "form": form, "overview": overview or Overview.of(form)}
        return self._page(request, form, "compose.html", context)

    def _question_page(
        self, request: HttpRequest, form: ComposeForm, summary: RecipientsSummary, was: str
    ) -> HttpResponse:
        context = {
            "title": _("Send this?"),
            "form": form,
            "overview": Overview.with_people(form, summary),
            "was": int(was) if was.isascii() and was.isdecimal() else None,
            "recipients": _recipients(form),
            "carried": _carried(request.POST),
            "service": form.chosen_service,
            "template": form.chosen_template,
            "send_at": form.cleaned_data["send_at"] if form.begins_later else None,
            "expires_at": form.cleaned_data["expires_at"],
        }
        return self._page(request, form, "confirm.html", context)

    def _page(self, request: HttpRequest, form: ComposeForm, template: str, context: dict[str, Any]) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "opts": Notification._meta,
            "media": self.media + form.media,  # type: ignore[attr-defined]
            "has_view_permission": self.has_view_permission(request),  # type: ignore[attr-defined]
            "preset": form.preset_row,
            "is_popup": False,
            "time_zone": timezone.get_current_timezone_name(),
            **context,
        }
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        return TemplateResponse(request, f"admin/notifications/notification/{template}", context)


def _may_see_presets(request: HttpRequest, admin_site: Any) -> bool:
    if not admin_site.is_registered(NotificationPreset):
        return request.user.has_perm("notifications.view_notificationpreset")
    return bool(admin_site.get_model_admin(NotificationPreset).has_view_permission(request))


def _initial(request: HttpRequest, admin_site: Any) -> dict[str, Any]:
    """A new form: empty, or as a preset says, for those who may see presets."""
    initial: dict[str, Any] = {"key": uuid.uuid4()}
    if key := request.GET.get("preset"):
        if not _may_see_presets(request, admin_site):
            raise PermissionDenied
        preset = NotificationPreset.objects.filter(key=key).first()
        if preset is None:
            raise Http404
        initial |= {
            "preset": preset.key,
            "service": preset.service_id,
            "template": preset.template_id,
            "include_subdepartments": preset.include_subdepartments,
            "variables": shown_variables(preset.literals, preset.recipient_fields),
            **{kind: list(getattr(preset, kind).values_list("pk", flat=True)) for kind in known_kinds()},
        }
    return initial


def _recipients(form: ComposeForm) -> list[tuple[str, str]]:
    """Who is asked for, in words: each kind that was chosen, and some of its names."""
    lines = []
    for kind, pks in form.chosen_recipients().items():
        if pks:
            lines.append((str(LABELS[kind]), named(kind, pks, len(pks))))
        if pks and kind == DEPARTMENTS:
            included = _("included") if form.includes_subdepartments() else _("not included")
            lines.append((_("Sub-departments"), included))
    return lines


def _carried(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The form, as hidden fields of the page that asks once more."""
    return [
        (name, value)
        for name, values in data.lists()  # type: ignore[attr-defined]
        for value in values
        if name not in _NOT_CARRIED
    ]
