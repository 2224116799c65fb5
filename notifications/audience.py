"""The recipients that a call asks for: instances, ids or querysets in, checked ids out.

Errors name the argument and what is wrong with it. They show ids and types, never a string: that may be a number.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import EmptyResultSet, ValidationError
from django.db import models
from django.db.models import Model, QuerySet

from .directory import has_roles
from .exceptions import InvalidArgument, InvalidRecipients, NoRecipients
from .models import Department, NotificationPreset
from .rows import database, users

#: Ids of one query.
CHUNK = 5_000
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Audience:
    """Whom a notification is for. ``users`` are ids, sorted and each once, or a queryset that nobody has read."""

    users: "list[Any] | QuerySet[Any]"
    departments: list[int]
    roles: list[int]
    include_subdepartments: bool = True

    @property
    def kinds(self) -> list[str]:
        """Which of the three there are. A queryset counts, whatever it holds."""
        named = {"users": self.users, "departments": self.departments, "roles": self.roles}
        return [name for name, given in named.items() if isinstance(given, QuerySet) or given]


def audience_of(users: Any, departments: Any, roles: Any, include_subdepartments: Any) -> Audience:
    """Check what a call gives; ``None`` stands for nothing of a kind.

    Raises:
        NoRecipients: a kind was given and is empty.
        InvalidRecipients: something is of the wrong kind.
        InvalidArgument: ``include_subdepartments`` is no bool.
    """
    if not isinstance(include_subdepartments, bool):
        raise InvalidArgument(
            f"include_subdepartments= is True or False, not of the type {type(include_subdepartments).__name__}."
        )
    if roles is not None and not has_roles():
        raise InvalidRecipients("roles= cannot be used: the user model has no groups.")
    return Audience(
        users=_ids("users", users, get_user_model(), keep_queryset=True),
        departments=_ids("departments", departments, Department),
        roles=_ids("roles", roles, Group),
        include_subdepartments=include_subdepartments,
    )


def audience_of_preset(preset: NotificationPreset) -> Audience:
    """The recipients that an admin chose."""
    rows = NotificationPreset.objects.using(database()).filter(pk=preset.pk)
    chosen = {
        kind: list(rows.filter(**{f"{kind}__isnull": False}).order_by(kind).values_list(kind, flat=True))
        for kind in ("users", "departments", "roles")
    }
    return Audience(**chosen, include_subdepartments=preset.include_subdepartments)


def check_existence(audience: Audience) -> None:
    """Raise ``InvalidRecipients`` unless all departments and roles exist. Users are checked as they are stored."""
    for name, model, ids in (("departments", Department, audience.departments), ("roles", Group, audience.roles)):
        found = set(model.objects.using(database()).filter(pk__in=ids).values_list("pk", flat=True)) if ids else set()
        if missing := [pk for pk in ids if pk not in found]:
            raise InvalidRecipients(_do_not_exist(name, missing))


def missing_users(ids: list[Any]) -> InvalidRecipients:
    """The error for ids some of which belong to no user."""
    missing: list[Any] = []
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK]
        found = set(users().filter(pk__in=chunk).values_list("pk", flat=True))
        missing += [pk for pk in chunk if pk not in found]
    return InvalidRecipients(_do_not_exist("users", missing))


def sql_of(queryset: "QuerySet[Any]") -> str:
    """What tells one queryset from another one."""
    try:
        sql, params = queryset.query.sql_with_params()
    except EmptyResultSet:
        return ""
    return f"{sql} {params!r}"


def _ids(name: str, given: Any, model: type[Model], *, keep_queryset: bool = False) -> Any:
    if given is None:
        return []
    if isinstance(given, QuerySet):
        if not issubclass(given.model, model):
            raise InvalidRecipients(
                f"{name}= got a queryset of {given.model.__name__}. It takes one of {model.__name__}."
            )
        if keep_queryset:
            return given
        ids: list[Any] = list(given.using(database()).values_list("pk", flat=True))
    else:
        # A model that can be iterated over, or a str, is still one.
        many = isinstance(given, Iterable) and not isinstance(given, str | bytes | Model | Mapping)
        ids = [_id(name, each, model) for each in (given if many else [given])]
    if not ids:
        raise NoRecipients(f"{name}= is empty. Leave it out, or give at least one.")
    return sorted(set(ids))


def _id(name: str, given: Any, model: type[Model]) -> Any:
    if isinstance(given, model):
        if given.pk is None:
            raise InvalidRecipients(f"{name}= holds an object that is not saved.")
        return given.pk
    key: Any = _primary_key(model)
    is_number = isinstance(key, models.IntegerField)
    if isinstance(given, bool | Model) or (is_number and not isinstance(given, int)):
        raise _wrong_kind(name, given, model)
    if is_number:
        if not 0 <= given <= _LARGEST:
            raise InvalidRecipients(_do_not_exist(name, [given]))
        return given
    try:
        pk = key.to_python(given) if isinstance(given, str) or not isinstance(key, models.CharField) else None
    except (ValidationError, TypeError, ValueError, AttributeError):
        pk = None
    if pk is None:
        raise _wrong_kind(name, given, model)
    return pk


def _primary_key(model: type[Model]) -> Any:
    """The field with the values; of a model that inherits its key, the one it inherits."""
    key: Any = model._meta.pk
    while key.remote_field:
        key = key.target_field
    return key


def _wrong_kind(name: str, given: Any, model: type[Model]) -> InvalidRecipients:
    return InvalidRecipients(
        f"{name}= holds something of the type {type(given).__name__}. "
        f"It takes instances of {model.__name__}, their ids, or a queryset."
    )


def _do_not_exist(name: str, ids: list[Any]) -> str:
    shown = ", ".join(str(pk) if isinstance(pk, int) else "…" for pk in ids[:5])
    more = ", …" if len(ids) > 5 else ""
    return f"{name}= holds ids that do not exist: {shown}{more}."
