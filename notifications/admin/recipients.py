"""The people of a notification, each once, with the reason why: pages by position, however many there are.

What the list is filtered by decides in which order it is read, so that any page of it is one range of an index.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Group
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _

from sms_services.choices import ErrorKind, MessageStatus, SkipReason
from sms_services.error_pages import private_post
from sms_services.models import SmsMessage
from sms_services.phone_numbers import mask

from ..expansion.pages import DEPARTMENT, ROLE, USER
from ..models import Department, Notification, Recipient
from ..rows import database
from .finding import department_names, user_label
from .members import users_named
from .paging import AFTER, BEFORE, Page, page_links, parsed_id, parsed_key

PAGE = 100
#: What the list does not show, it does not read.
_NOT_LISTED = ("text", "params", "sensitive_params", "hidden_names", "provider_detail")


@dataclass(frozen=True)
class Source:
    """Rows in the order of ``field``, which is unique; ``lookup`` finds recipients by its values."""

    rows: "QuerySet[Any]"
    field: str
    lookup: str

    def keys(self, limit: int, *, after: Any = None, before: Any = None) -> list[Any]:
        """The next values of ``field``, or the previous ones, the nearest first."""
        rows = self.rows.order_by(self.field if before is None else f"-{self.field}")
        if after is not None:
            rows = rows.filter(**{f"{self.field}__gt": after})
        if before is not None:
            rows = rows.filter(**{f"{self.field}__lt": before})
        return list(rows.values_list(self.field, flat=True)[:limit])

    def last_keys(self, limit: int) -> list[Any]:
        """The last values of ``field``, the very last first."""
        return list(self.rows.order_by(f"-{self.field}").values_list(self.field, flat=True)[:limit])

    def parse(self, text: str) -> Any:
        return parsed_key(text) if self.lookup == "user" else parsed_id(text)


@dataclass(frozen=True)
class Filter:
    """What the list is filtered by: a status or a reason, and somebody's name.

    ``alike`` are kind and code of an error: of those of a status, who failed by it.
    """

    status: str = ""
    reason: str = ""
    search: str = ""
    alike: tuple[str, str] | None = None

    @classmethod
    def of(cls, request: HttpRequest) -> "Filter":
        status, reason = request.GET.get("status", ""), request.GET.get("reason", "")
        if reason in SkipReason.values:
            status = ""
        else:
            reason = ""
        search = request.GET.get("q", "").strip()[:150].replace("\x00", "")
        if status not in MessageStatus.values:
            return cls("", reason, search)
        kind, code = request.GET.get("kind"), request.GET.get("code", "")[:100].replace("\x00", "")
        return cls(status, reason, search, (kind, code) if kind in ("", *ErrorKind.values) else None)

    @property
    def alike_label(self) -> str:
        """Kind and code in words."""
        kind, code = self.alike or ("", "")
        label = str(dict(ErrorKind.choices).get(kind, _("without a kind of error")))
        return f"{label} · {code}" if code else label

    def sources(self, notification: Notification) -> list[Source]:
        """Where to read, one after the other."""
        recipients = Recipient.objects.using(database()).filter(notification=notification)
        messages = SmsMessage.objects.using(database()).filter(batch=notification.batch_id)
        skipped = messages.filter(status=MessageStatus.SKIPPED)
        if self.reason:
            return [
                Source(recipients.filter(skip_reason=self.reason), "pk", "pk"),
                Source(skipped.filter(skip_reason=self.reason), "pk", "message"),
            ]
        if self.status == MessageStatus.SKIPPED:
            without = [Source(recipients.filter(skip_reason=reason), "pk", "pk") for reason in SkipReason.values]
            return [*without, Source(skipped, "pk", "message")]
        if self.status:
            return [Source(messages.filter(status=self.status, **self._errors()), "pk", "message")]
        return [Source(recipients, "user", "user")]

    def matches(self) -> Q:
        """The same as a condition, for few people."""
        if self.reason:
            return Q(skip_reason=self.reason) | Q(message__skip_reason=self.reason)
        if self.status == MessageStatus.SKIPPED:
            return Q(skip_reason__gt="") | Q(message__status=self.status)
        errors = {f"message__{name}": value for name, value in self._errors().items()}
        return Q(message__status=self.status, **errors) if self.status else Q()

    def _errors(self) -> dict[str, str]:
        return dict(zip(("error_kind", "provider_code"), self.alike, strict=True)) if self.alike else {}


@dataclass(frozen=True)
class Row:
    """One person, as the list shows them."""

    label: str
    via: Sequence[str]
    number: str
    status: str
    status_label: str
    why: str
    message_id: int | None


class Lists:
    """For the notifications' admin: the page of the recipients."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.recipients_view)  # type: ignore[attr-defined]
        urls: list[Any] = super().get_urls()  # type: ignore[misc]
        return [path("<int:pk>/recipients/", view, name="notifications_notification_recipients"), *urls]

    @private_post()
    def recipients_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        notification = self.notification_for(request, pk, "notifications.view_notification")  # type: ignore[attr-defined]
        chosen = Filter.of(request)
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "title": _("Recipients"),
            "subtitle": str(notification),
            "opts": Notification._meta,
            "notification": notification,
            "page_url": reverse("admin:notifications_notification_change", args=[pk]),
            "page": _page(notification, chosen, request),
            "filter": chosen,
            "statuses": MessageStatus.choices,
            "reasons": SkipReason.choices,
            "may_open": request.user.has_perm("sms_services.view_smsmessage"),
        }
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        return TemplateResponse(request, "admin/notifications/notification/recipients.html", context)


def _page(notification: Notification, chosen: Filter, request: HttpRequest) -> Page[Row]:
    sources, too_many = chosen.sources(notification), False
    if chosen.search:
        found, too_many = users_named(chosen.search)
        recipients = Recipient.objects.using(database()).filter(notification=notification, user__in=found)
        sources = [Source(recipients.filter(chosen.matches()), "user", "user")]
    positions, has_previous, has_next = _positions(sources, request)
    page = page_links(
        positions, request, has_previous=has_previous, has_next=has_next, key=lambda position: "{}-{}".format(*position)
    )
    return page.showing(_rows(notification, sources, positions), too_many=too_many)


def _positions(sources: Sequence[Source], request: HttpRequest) -> tuple[list[tuple[int, Any]], bool, bool]:
    """The places of a page, each a source with a key in it; and whether there are some before and after them."""
    after, before = (_parsed(sources, request.GET.get(name, "")) for name in (AFTER, BEFORE))
    positions: list[tuple[int, Any]] = []
    if before:
        number, key = before
        for place in range(number, -1, -1):
            limit = PAGE + 1 - len(positions)
            source = sources[place]
            keys = source.keys(limit, before=key) if place == number else source.last_keys(limit)
            positions += [(place, key) for key in keys]
            if len(positions) > PAGE:
                break
        return positions[:PAGE][::-1], len(positions) > PAGE, True
    number, key = after or (0, None)
    for place in range(number, len(sources)):
        keys = sources[place].keys(PAGE + 1 - len(positions), after=key if place == number else None)
        positions += [(place, key) for key in keys]
        if len(positions) > PAGE:
            break
    return positions[:PAGE], after is not None, len(positions) > PAGE


def _parsed(sources: Sequence[Source], text: str) -> tuple[int, Any] | None:
    place, _dash, key = text.partition("-")
    number = parsed_id(place)
    if number is None or number >= len(sources):
        return None
    value = sources[number].parse(key)
    return None if value is None else (number, value)


def _rows(notification: Notification, sources: Sequence[Source], positions: Sequence[tuple[int, Any]]) -> list[Row]:
    recipients: dict[tuple[int, Any], Recipient] = {}
    deferred = [f"message__{name}" for name in _NOT_LISTED]
    by_lookup: dict[str, list[tuple[int, Any]]] = {}
    for place, key in positions:
        by_lookup.setdefault(sources[place].lookup, []).append((place, key))
    for lookup, places in by_lookup.items():
        attribute = {"user": "user_id", "message": "message_id"}.get(lookup, "pk")
        found = (
            Recipient.objects.using(database())
            .filter(notification=notification, **{f"{lookup}__in": [key for _place, key in places]})
            .select_related("user", "message")
            .defer(*deferred)
        )
        by_key = {getattr(recipient, attribute): recipient for recipient in found}
        recipients |= {(place, key): by_key[key] for place, key in places if key in by_key}
    shown = [recipients[position] for position in positions if position in recipients]
    names = _Names(shown)
    return [_row(recipient, names) for recipient in shown]


class _Names:
    """The names of all departments and roles by which the people of a page were included: two or three queries."""

    def __init__(self, recipients: Sequence[Recipient]) -> None:
        pks: Mapping[str, set[Any]] = {DEPARTMENT: set(), ROLE: set()}
        for recipient in recipients:
            for kind, *rest in recipient.via:
                if kind in pks:
                    pks[kind].update(rest)
        departments = Department.objects.using(database()).filter(pk__in=pks[DEPARTMENT]) if pks[DEPARTMENT] else ()
        self._departments = department_names(departments) if departments else {}
        groups = Group.objects.using(database()).filter(pk__in=pks[ROLE]) if pks[ROLE] else None
        self._roles = dict(groups.values_list("pk", "name")) if groups is not None else {}

    def why(self, recipient: Recipient) -> Iterator[str]:
        """Why somebody was included, a line for each reason."""
        for kind, *rest in recipient.via:
            if kind == USER:
                yield _("Chosen by name")
            elif kind == DEPARTMENT:
                yield _("Department: %(name)s") % {"name": self._departments.get(rest[0], _("deleted since"))}
            elif kind == ROLE:
                yield _("Role: %(name)s") % {"name": self._roles.get(rest[0], _("deleted since"))}


def _row(recipient: Recipient, names: _Names) -> Row:
    message = recipient.message
    status, status_label = str(MessageStatus.SKIPPED), str(MessageStatus.SKIPPED.label)
    why = recipient.get_skip_reason_display()
    if message is not None:
        status, status_label = message.status, message.get_status_display()
        why = message.get_skip_reason_display() or message.get_error_kind_display()
    return Row(
        label=user_label(recipient.user),
        via=list(names.why(recipient)),
        number=mask(message.phone_number) if message else "-",
        status=status,
        status_label=status_label,
        why=why,
        message_id=recipient.message_id,
    )
