"""Finding users, departments and roles by a few letters, and naming them.

Django's own autocomplete needs an admin with search fields for each of them, and the permission to see all of it. A
host project's user model may have neither, and whoever composes a notification need not be allowed to read accounts.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, JsonResponse
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from sms_services.error_pages import hide_variables

from ..directory import has_roles
from ..models import Department
from ..rows import database, users

#: Results of one page of the list that opens below a field.
PAGE = 20
#: Pages beyond this one are not asked for by anybody who scrolls.
_LAST_PAGE = 50
#: How many recipients of a kind are named.
MOST_NAMED = 20
#: The parts of a user model by which people are known.
_NAMES = ("first_name", "last_name", "full_name", "name")
#: Who may look for recipients: those who may choose some.
_PERMISSIONS = (
    "notifications.compose_notification",
    "notifications.add_notificationpreset",
    "notifications.change_notificationpreset",
    "notifications.add_department",
    "notifications.change_department",
)


class Kind(ABC):
    """One of the three kinds of recipients."""

    @abstractmethod
    def everything(self) -> "QuerySet[Any]":
        """All that may be chosen."""

    @abstractmethod
    def matching(self, term: str) -> "QuerySet[Any]":
        """Those whose name has this in it, in the order in which they are offered."""

    def labels(self, found: Iterable[Any]) -> Sequence[tuple[str, str]]:
        """Primary key and name of each, without a query per row."""
        return [(str(each.pk), str(each)) for each in found]

    def chosen(self, pks: Iterable[Any]) -> "QuerySet[Any]":
        """Those with these primary keys; what can be none is left out."""
        key = self.everything().model._meta.pk
        known = []
        for pk in pks:
            try:
                value = key.to_python(pk)
                key.run_validators(value)
            except (ValidationError, TypeError, ValueError):
                continue
            if value not in key.empty_values:
                known.append(value)
        return self.everything().filter(pk__in=known)


class Users(Kind):
    def everything(self) -> "QuerySet[Any]":
        return users()

    def matching(self, term: str) -> "QuerySet[Any]":
        model = get_user_model()
        name = model.USERNAME_FIELD
        fields = [name, *(field for field in _NAMES if _has_text(model, field))]
        query = Q()
        for word in term.split()[:5]:
            query &= Q(*((f"{field}__icontains", word) for field in fields), _connector=Q.OR)
        return self.everything().filter(query).order_by(name)

    def labels(self, found: Iterable[Any]) -> Sequence[tuple[str, str]]:
        return [(str(user.pk), user_label(user)) for user in found]


class Departments(Kind):
    def everything(self) -> "QuerySet[Any]":
        return Department.objects.using(database())

    def matching(self, term: str) -> "QuerySet[Any]":
        return self.everything().filter(name__icontains=term).order_by("path")

    def labels(self, found: Iterable[Any]) -> Sequence[tuple[str, str]]:
        departments = list(found)
        names = department_names(departments)
        return [(str(department.pk), names[department.pk]) for department in departments]


class Roles(Kind):
    def everything(self) -> "QuerySet[Any]":
        return Group.objects.using(database())

    def matching(self, term: str) -> "QuerySet[Any]":
        return self.everything().filter(name__icontains=term).order_by("name")


USERS, DEPARTMENTS, ROLES = "users", "departments", "roles"
KINDS: Mapping[str, Kind] = {USERS: Users(), DEPARTMENTS: Departments(), ROLES: Roles()}


def known_kinds() -> list[str]:
    """The kinds of recipients that there can be: a user model may have no groups."""
    return [kind for kind in KINDS if kind != ROLES or has_roles()]


def user_label(user: Any) -> str:
    """The full name and the user name."""
    username = str(user.get_username())
    full_name = str(user.get_full_name()).strip() if hasattr(user, "get_full_name") else ""
    return f"{full_name} ({username})" if full_name and full_name != username else username


def department_names(departments: Iterable[Department]) -> dict[int, str]:
    """The names of departments by primary key, with those of the departments above: many a branch has its “Sales”."""
    departments = list(departments)
    step = Department.steplen
    above = {each.path[:end] for each in departments for end in range(step, len(each.path) + 1, step)}
    rows = Department.objects.using(database()).filter(path__in=above).order_by()
    names = dict(rows.values_list("path", "name"))
    return {
        each.pk: " › ".join(names.get(each.path[:end], "…") for end in range(step, len(each.path) + 1, step))
        for each in departments
    }


def named(kind: str, pks: Sequence[Any], total: int) -> str:
    """The first recipients of a kind by name, and how many others there are of ``total``; empty if there is none."""
    labels = [label for _pk, label in KINDS[kind].labels(KINDS[kind].chosen(pks[:MOST_NAMED]))]
    if others := max(total - MOST_NAMED, 0):
        labels.append(_("and %(count)s others") % {"count": number_format(others, force_grouping=True)})
    return _(", ").join(labels)


def find_view(request: HttpRequest) -> JsonResponse:
    """What the script of Django's autocomplete fields asks for: ``field_name`` is the kind, ``term`` what was typed."""
    if not any(request.user.has_perm(permission) for permission in _PERMISSIONS):
        raise PermissionDenied
    return found(request)


def found(request: HttpRequest) -> JsonResponse:
    """What ``find_view`` answers, for other apps with permissions of their own."""
    hide_variables(request)
    kind = KINDS.get(request.GET.get("field_name", ""))
    if kind is None:
        raise Http404
    page = request.GET.get("page", "1")
    number = min(int(page), _LAST_PAGE) if page.isascii() and page.isdecimal() and 0 < len(page) < 4 else 1
    start = max(number - 1, 0) * PAGE
    rows = list(kind.matching(request.GET.get("term", "")[:100].replace("\x00", ""))[start : start + PAGE + 1])
    results = [{"id": pk, "text": label} for pk, label in kind.labels(rows[:PAGE])]
    more = len(rows) > PAGE and number < _LAST_PAGE
    return JsonResponse({"results": results, "pagination": {"more": more}})


def _has_text(model: type[models.Model], name: str) -> bool:
    fields: Any = {field.name: field for field in model._meta.get_fields()}
    return isinstance(fields.get(name), models.CharField)
