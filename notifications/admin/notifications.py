"""Notifications in admin: the list with how far each one is, and a page that follows one. Nobody edits them.

Composing, following and steering them, and their recipients, are modules of their own.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sms_services.admin.read_only import ReadOnly
from sms_services.admin.reveal import refuse_unless
from sms_services.choices import Purpose
from sms_services.encryption import MASK
from sms_services.error_pages import private_post
from sms_services.placeholders import placeholder_names, render

from ..choices import NotificationStatus
from ..models import Notification, NotificationPreset
from ..models.notifications import NotificationQuerySet
from ..rows import notifications
from .compose import COMPOSE, Composes
from .control import Controls
from .fields import field_label
from .finding import DEPARTMENTS, MOST_NAMED, ROLES, USERS, find_view, named
from .progress import TIMES, WENT_WRONG, Follows, Progress, page_parts, segments_of
from .recipients import Lists

#: What may stand in the list's query string; Django would allow any lookup of any field.
_LOOKUPS = frozenset(
    {
        "status__exact",
        "service__id__exact",
        "purpose",
        "key",
        "created_at__gte",
        "created_at__lt",
        "created_at__isnull",
    }
)


class PresetFilter(admin.SimpleListFilter):
    """The presets that there are; a notification keeps the key of one that was deleted."""

    title = gettext_lazy("preset")
    parameter_name = "key"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterator[tuple[str, str]]:
        yield from NotificationPreset.objects.values_list("key", "name")

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        return rows.filter(key=self.value()) if self.value() else rows


class PurposeFilter(admin.SimpleListFilter):
    """What notifications can be for: no one-time codes."""

    title = gettext_lazy("purpose")
    parameter_name = "purpose"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterator[tuple[str, Any]]:
        yield from (choice for choice in Purpose.choices if choice[0] != Purpose.OTP)

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        return rows.filter(purpose=self.value()) if self.value() else rows


class NotificationChangeList(ChangeList):
    """Reads the counts of a whole page at once."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        counts = notifications().filter(pk__in=[row.pk for row in rows]).counts()
        for row in rows:
            row.shown_counts = counts.get(row.pk)
        self.result_list = rows


@admin.register(Notification)
class NotificationAdmin(Composes, Controls, Follows, Lists, ReadOnly, admin.ModelAdmin):
    list_display = ("what", "standing", "progress", "went_wrong", "created_at", "created_by")
    list_display_links = ("what",)
    list_filter = ("status", PurposeFilter, "created_at", PresetFilter, "service")
    list_select_related = ("template", "created_by")
    list_per_page = 50
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    class Media:
        css = {"all": ("sms_services/preview.css", "sms_services/cards.css", "notifications/admin.css")}
        js = ("notifications/composing.js", "notifications/progress.js")

    def get_queryset(self, request: HttpRequest) -> NotificationQuerySet:
        return notifications().order_by("-pk")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return NotificationChangeList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup in _LOOKUPS

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(find_view)
        return [path("find/", view, name="notifications_find"), *super().get_urls()]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        asked = [kind for kind in ("asked_users", "asked_departments", "asked_roles") if self._asked(obj, kind)]
        if "asked_departments" in asked:
            asked.append("include_subdepartments")
        if obj is not None and obj.retry_of_id:
            asked = ["retried_people"]
        optional = ("key", "retry_of_link", "retries", "send_at", "expires_at")
        when = [line for line in optional if obj is None or self._has(obj, line)]
        return [
            (
                gettext_lazy("Text"),
                {"fields": ("service", "template", "purpose", "wording", "variable_list", "segments")},
            ),
            (gettext_lazy("Recipients"), {"fields": asked or ("asked_users",)}),
            (gettext_lazy("When and by whom"), {"fields": ("created_by", "created_at", *when, *TIMES)}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return (
            "wording",
            "variable_list",
            "segments",
            "asked_users",
            "asked_departments",
            "asked_roles",
            "retried_people",
            "retry_of_link",
            "retries",
        )

    def notification_for(self, request: HttpRequest, pk: int, permission: str) -> Notification:
        """The notification of a page that needs this permission beside that to view."""
        refuse_unless(request, permission)
        notification: Notification | None = self.get_object(request, str(pk))
        if not self.has_view_permission(request, notification):
            raise PermissionDenied
        if notification is None:
            raise Http404
        return notification

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        context = {"may_compose": request.user.has_perm(COMPOSE), **(extra_context or {})}
        return super().changelist_view(request, context)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Notification | None:
        """Its values are shown to whoever wrote them (not who retries). Others reveal a message in the log."""
        found: Any = super().get_object(request, object_id, from_field)
        if found is not None:
            found.shows_values = found.retry_of_id is None and found.created_by_id == request.user.pk
        return found

    @private_post()
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().changeform_view(request, *args, **kwargs)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        notification = kwargs.get("obj")
        if notification is not None:
            context |= page_parts(request, Progress.of(notification))
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=gettext_lazy("notification"))
    def what(self, notification: Notification) -> str:
        return str(notification)

    @admin.display(description=gettext_lazy("status"))
    def standing(self, notification: Any) -> str:
        if notification.shown_counts is None:
            return str(notification.get_status_display())
        return Progress(notification, notification.shown_counts).label

    @admin.display(description=gettext_lazy("progress"))
    def progress(self, notification: Any) -> SafeString | str:
        if notification.shown_counts is None:
            return "-"
        if notification.status == NotificationStatus.SCHEDULED and notification.send_at:
            when = date_format(timezone.localtime(notification.send_at), "DATETIME_FORMAT")
            return _("Not before %(time)s") % {"time": when}
        progress = Progress(notification, notification.shown_counts)
        return render_to_string("admin/notifications/notification/small_bar.html", {"progress": progress})

    @admin.display(description=gettext_lazy("went wrong"))
    def went_wrong(self, notification: Any) -> SafeString | str:
        """How many; on a narrow screen, where columns have no headings, with the words."""
        counts: Mapping[str, int] = notification.shown_counts or {}
        if not (count := sum(counts.get(status, 0) for status in WENT_WRONG)):
            return "-"
        words = _("Went wrong:")
        shown = number_format(count, force_grouping=True)
        return format_html('<span class="notifications-narrow">{} </span>{}', words, shown)

    @admin.display(description=gettext_lazy("text"))
    def wording(self, notification: Notification) -> SafeString | str:
        """The text, with what is the same for everybody. Sensitive variables are shown to nobody."""
        if not notification.text:
            return _("The text is stored on the platform, as %(code)s.") % {"code": notification.template_code}
        looked_up = {name: f"[{field_label(path)}]" for name, path in notification.recipient_fields.items()}
        values = {**self._shown(notification), **looked_up}
        return format_html('<p class="sms-bubble">{}</p>', render(notification.text, values))

    @admin.display(description=gettext_lazy("variables"))
    def variable_list(self, notification: Notification) -> SafeString | str:
        shown = self._shown(notification)
        return format_html_join("", "<div><code>{}</code> {}</div>", shown.items()) or "-"

    @admin.display(description=gettext_lazy("segments"))
    def segments(self, notification: Notification) -> str:
        return segments_of(notification)

    @admin.display(description=gettext_lazy("users"))
    def asked_users(self, notification: Notification) -> str:
        return _named(notification, USERS)

    @admin.display(description=gettext_lazy("departments"))
    def asked_departments(self, notification: Notification) -> str:
        return _named(notification, DEPARTMENTS)

    @admin.display(description=gettext_lazy("roles"))
    def asked_roles(self, notification: Notification) -> str:
        return _named(notification, ROLES)

    @admin.display(description=gettext_lazy("who"))
    def retried_people(self, notification: Notification) -> str:
        words = _("Those of %(notification)s whose text failed or was not delivered.")
        return words % {"notification": notification.retry_of}

    @admin.display(description=gettext_lazy("retry of"))
    def retry_of_link(self, notification: Notification) -> SafeString | str:
        return _link(notification.retry_of) if notification.retry_of else "-"

    @admin.display(description=gettext_lazy("retried as"))
    def retries(self, notification: Notification) -> SafeString | str:
        retries = notification.retries.select_related("template").order_by("pk")[:MOST_NAMED]
        return format_html_join(", ", "{}", ((_link(retry),) for retry in retries)) or "-"

    def _shown(self, notification: Notification) -> dict[str, str]:
        """The variables by name: what they say, what they are read from, or that they are hidden."""
        names = placeholder_names(notification.text)
        fields = notification.recipient_fields
        values = notification.variables
        if not getattr(notification, "shows_values", False):
            values = dict.fromkeys(values, MASK)
        return {
            **{name: MASK for name in names if name not in values},
            **{name: _("Each recipient’s: %(field)s") % {"field": field_label(path)} for name, path in fields.items()},
            **values,
        }

    def _asked(self, notification: Notification | None, line: str) -> bool:
        kind = line.removeprefix("asked_")
        return notification is not None and getattr(notification, kind).exists()

    def _has(self, notification: Notification, line: str) -> bool:
        if line == "retries":
            return notification.retries.exists()
        return bool(getattr(notification, line.removesuffix("_link")))


def _named(notification: Notification, kind: str) -> str:
    """Some of those that were asked for, and how many others there are."""
    through: Any = getattr(Notification, kind).through
    field: Any = Notification._meta.get_field(kind)
    other = f"{field.m2m_reverse_field_name()}_id"
    rows = through._base_manager.filter(notification=notification.pk)
    pks = list(rows.order_by(other).values_list(other, flat=True)[: MOST_NAMED + 1])
    return named(kind, pks, rows.count() if len(pks) > MOST_NAMED else len(pks)) or "-"


def _link(notification: Notification) -> SafeString:
    url = reverse("admin:notifications_notification_change", args=[notification.pk])
    return format_html('<a href="{}">{}</a>', url, notification)
