"""Who belongs to what: departments with all below them, roles, and the numbers of users.

Every question is a fixed number of queries, however large the tree is. Members are found through the tables that
link them, without looking at users.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import F, Model, Q, QuerySet
from django.utils.module_loading import import_string

from .conf import get_settings
from .models import Department, Notification
from .rows import database

#: Branches of one query: SQLite takes no condition of more than a thousand parts.
_BRANCHES = 400
#: The annotation with which ``with_number`` adds a user's number.
NUMBER = "sms_number"


def subtree(department_ids: Iterable[int]) -> list[int]:
    """The ids of departments and of all departments below them, in two queries; a further one for many branches."""
    rows = Department.objects.using(database())
    branches: list[str] = []
    for path in sorted(rows.filter(pk__in=list(department_ids)).values_list("path", flat=True)):
        if not branches or not path.startswith(branches[-1]):  # else it lies below one that is there already
            branches.append(path)
    found: list[int] = []
    for start in range(0, len(branches), _BRANCHES):
        below = Q(pk__in=())
        for path in branches[start : start + _BRANCHES]:
            below |= Q(path__startswith=path)
        found += rows.filter(below).order_by().values_list("pk", flat=True)
    return found


def including(department_ids: list[int], *, subdepartments: bool) -> list[int]:
    """The departments that these stand for."""
    return subtree(department_ids) if department_ids and subdepartments else department_ids


@dataclass(frozen=True)
class Link:
    """A table that links users to something: which column is the user's, and which the other's."""

    model: type[Model]
    user: str
    other: str

    def rows(self) -> "QuerySet[Any]":
        """All of it."""
        return self.model._base_manager.using(database()).order_by()

    def to(self, ids: Sequence[Any]) -> "QuerySet[Any]":
        """The rows that link users to one of these."""
        return self.rows().filter(**{f"{self.other}__in": ids})


def members() -> Link:
    """Users and departments."""
    field: Any = Department._meta.get_field("members")
    return Link(field.remote_field.through, f"{field.m2m_reverse_field_name()}_id", f"{field.m2m_field_name()}_id")


def role_holders() -> Link:
    """Users and roles."""
    field: Any = get_user_model()._meta.get_field("groups")
    return Link(field.remote_field.through, f"{field.m2m_field_name()}_id", f"{field.m2m_reverse_field_name()}_id")


def asked_users() -> Link:
    """Users and the notifications that ask for them by themselves."""
    field: Any = Notification._meta.get_field("users")
    return Link(field.remote_field.through, f"{field.m2m_reverse_field_name()}_id", f"{field.m2m_field_name()}_id")


def has_roles() -> bool:
    """Whether the user model knows groups at all."""
    return any(field.name == "groups" and field.many_to_many for field in get_user_model()._meta.get_fields())


def has_is_active() -> bool:
    """Whether accounts can be deactivated in the database."""
    return any(field.name == "is_active" and field.concrete for field in get_user_model()._meta.get_fields())


def with_number(users: "QuerySet[Any]") -> "QuerySet[Any]":
    """Users with their number as it is stored, as the setting ``PHONE_NUMBER`` finds it, annotated as ``NUMBER``."""
    if function := number_function():
        annotated: QuerySet[Any] = function(users)
        return annotated
    return users.annotate(**{NUMBER: F(str(get_settings().PHONE_NUMBER))})


def number_function() -> Callable[..., Any] | None:
    """The function that ``PHONE_NUMBER`` is or names; ``None`` where it is a lookup path."""
    setting = get_settings().PHONE_NUMBER
    if callable(setting):
        return setting
    if "." not in setting:
        return None
    function: Callable[..., Any] = import_string(setting)
    return function
