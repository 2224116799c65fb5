"""Who: the people whom a node's rules find when it is reached, and the policies about the initiator."""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model, QuerySet
from django.utils.translation import gettext_lazy as _

from notifications.directory import has_is_active, members, role_holders, subtree
from notifications.models import Department

from .choices import InitiatorPolicy, NodeKind, RuleSource
from .conf import get_settings
from .definitions import NodeDefinition, RuleDefinition
from .logs import Loggable
from .models import Request
from .registry import get_resolver, resolver
from .rows import database

MANAGE = "approvals.manage_request"


class NoUser(Loggable, TypeError):
    """A field of a subject or a function of the project gives something else than users."""


def find(request: Request, node: NodeDefinition) -> list[Any]:
    """The active users whom a node's rules find, each once, in the order of the rules and then of primary keys."""
    ids: dict[Any, None] = {}
    for rule in node.rules:
        ids.update(dict.fromkeys(_ids_of(rule, request)))
    found = active_users(ids)
    if node.kind == NodeKind.CC or node.initiator_policy == InitiatorPolicy.ASK:
        return found
    others = [user for user in found if user.pk != request.initiator_id]
    if len(others) < len(found) and node.initiator_policy == InitiatorPolicy.HEAD and request.initiator:
        position = [user.pk for user in found].index(request.initiator_id)
        others[position:position] = [head for head in heads_of(request.initiator) if head not in others]
    return others


def find_escalated(request: Request, node: NodeDefinition, approver: Any) -> list[Any]:
    """The active users to whom a node's tasks are escalated."""
    if node.escalate_resolver:
        ids = _ids_in(get_resolver(node.escalate_resolver)(request, approver=approver))
    else:
        ids = [_to_pk(node.escalate_to)] if node.escalate_to is not None else []
    found = active_users(dict.fromkeys(ids))
    if node.initiator_policy != InitiatorPolicy.ASK:
        found = [user for user in found if user.pk != request.initiator_id]
    return found


def administrators() -> list[Any]:
    """The active users who are asked where nobody else is found."""
    return active_users(dict.fromkeys(_ids_in(get_settings().function("ADMINISTRATORS")())))


def users_who_manage() -> Any:
    """The default of the setting ``ADMINISTRATORS``: whoever may manage requests, superusers included."""
    is_active: Any = True if has_is_active() else None  # None: whether or not
    return ModelBackend().with_perm(MANAGE, is_active=is_active).order_by("pk")


def manages(user: Any) -> bool:
    """Whether a user may act on the requests of others."""
    return bool(user.is_active and user.has_perm(MANAGE))


def only_active(users: "QuerySet[Any]") -> "QuerySet[Any]":
    """Those whose accounts are not deactivated; not every user model knows that."""
    return users.filter(is_active=True) if has_is_active() else users


def active_users(ids: Iterable[Any]) -> list[Any]:
    """Those of these users who exist and are active, in this order, those that a default manager hides included."""
    ids = list(ids)
    found = get_user_model()._base_manager.using(database()).in_bulk(ids) if ids else {}
    return [found[pk] for pk in ids if pk in found and found[pk].is_active]


def heads_of(user: Any) -> list[Any]:
    """The head of a user's department: of each of their departments, or of the nearest above it, that has another head.

    What they head counts as their department too, so that the head of one is led to the head of what is above.
    """
    rows = Department.objects.using(database())
    own = set(rows.filter(members=user).values_list("path", flat=True))
    own |= set(rows.filter(head=user).values_list("path", flat=True))
    step = Department.steplen
    above = {path[:length] for path in own for length in range(step, len(path) + 1, step)}
    by_path = {department.path: department for department in rows.filter(path__in=above).select_related("head")}
    heads: dict[Any, Any] = {}
    for path in sorted(own):
        lengths = range(len(path), 0, -step)
        candidates = (by_path[path[:length]].head for length in lengths if path[:length] in by_path)
        head = next((head for head in candidates if head and head.is_active and head.pk != user.pk), None)
        if head:
            heads[head.pk] = head
    return list(heads.values())


@resolver("initiator-department-head", label=_("Head of the initiator's department"))
def initiator_department_head(request: Request, *, approver: Any = None) -> list[Any]:
    return heads_of(request.initiator) if request.initiator else []


@resolver("approver-department-head", label=_("Head of the department of the approver who has not acted"))
def approver_department_head(request: Request, *, approver: Any = None) -> list[Any]:
    return heads_of(approver) if approver else []


def _ids_of(rule: RuleDefinition, request: Request) -> list[Any]:
    match rule.source:
        case RuleSource.USER:
            return [_to_pk(rule.user)]
        case RuleSource.DEPARTMENT if rule.department is not None:
            departments = subtree([rule.department]) if rule.include_subdepartments else [rule.department]
            return _linked(members(), departments)
        case RuleSource.DEPARTMENT_HEAD:
            heads = Department.objects.using(database()).filter(pk=rule.department, head__isnull=False)
            return list(heads.values_list("head", flat=True))
        case RuleSource.ROLE:
            return _linked(role_holders(), [rule.group])
        case RuleSource.INITIATOR:
            return [request.initiator_id] if request.initiator_id else []
        case RuleSource.SUBJECT_FIELD:
            return _ids_in(_follow(request.subject, rule.subject_field))
        case RuleSource.RESOLVER:
            return _ids_in(get_resolver(rule.resolver)(request, approver=None))
    return []


def _linked(link: Any, ids: list[Any]) -> list[Any]:
    return list(link.to(ids).order_by(link.user).values_list(link.user, flat=True).distinct())


def _follow(subject: Any, path: str) -> Any:
    """What is at a path of attributes, such as ``project.manager``; ``None`` where something on it is missing."""
    value = subject
    for name in path.split("."):
        if value is None:
            return None
        try:
            value = getattr(value, name)
        except ObjectDoesNotExist:
            return None
    return value


def _ids_in(value: Any) -> list[Any]:
    """The primary keys of a user, of several, of a queryset or of a related manager.

    Raises:
        NoUser: something in it is no user; a primary key of something else may well be somebody's.
    """
    if value is None:
        return []
    if hasattr(value, "all") and not isinstance(value, Iterable):
        value = value.all()
    found = [value] if isinstance(value, Model) else list(value)
    for user in found:
        if not isinstance(user, get_user_model()):
            raise NoUser(f"Approvers and recipients are users, not {type(user).__name__}.")
    ids = [user.pk for user in found]
    # In a sequence they are asked one after the other, on every database in the same order.
    return sorted(ids) if isinstance(value, QuerySet) and not value.ordered else ids


def _to_pk(value: Any) -> Any:
    """A user's primary key as it is in Python, from what JSON holds."""
    return get_user_model()._meta.pk.to_python(value)
