"""How many people a selection of recipients is, before anything is sent."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet

from . import directory
from .audience import Audience
from .models import SuppressedNumber
from .rows import database, users


@dataclass(frozen=True)
class RecipientsSummary:
    """What would become of each person. ``people`` is the sum of all others: each is counted once.

    Attributes:
        people: how many there are, each once, however many departments and roles include them.
        reachable: how many would get a text: one per number.
        duplicates: have the same number as somebody who would get one.
        without_number: are active and have no number.
        inactive: have a deactivated account.
        suppressed: have a number to which no notifications go.
    """

    people: int = 0
    reachable: int = 0
    duplicates: int = 0
    without_number: int = 0
    inactive: int = 0
    suppressed: int = 0


def summary_of(audience: Audience) -> RecipientsSummary:
    """Count them inside the database: one query, and two for the tree of departments."""
    people = _people(audience)
    if people is None:
        return RecipientsSummary()
    number = directory.NUMBER
    active = Q(is_active=True) if directory.has_is_active() else Q()
    none = Q(**{f"{number}__isnull": True}) | Q(**{number: ""})
    suppressed = Q(**{f"{number}__in": SuppressedNumber.objects.using(database()).values("phone_number")})
    counts = directory.with_number(people).aggregate(
        n_people=Count("pk"),
        n_active=Count("pk", filter=active),
        n_without=Count("pk", filter=active & none),
        n_suppressed=Count("pk", filter=active & ~none & suppressed),
        n_numbers=Count(number, distinct=True, filter=active & ~none & ~suppressed),
    )
    active_count = counts["n_active"] if directory.has_is_active() else counts["n_people"]
    candidates = active_count - counts["n_without"] - counts["n_suppressed"]
    return RecipientsSummary(
        people=counts["n_people"],
        reachable=counts["n_numbers"],
        duplicates=candidates - counts["n_numbers"],
        without_number=counts["n_without"],
        inactive=counts["n_people"] - active_count,
        suppressed=counts["n_suppressed"],
    )


def _people(audience: Audience) -> "QuerySet[Any] | None":
    """The users of all kinds, each once; ``None`` if nothing is asked for."""
    departments = directory.including(audience.departments, subdepartments=audience.include_subdepartments)
    parts: list[Any] = []
    if isinstance(audience.users, QuerySet):
        parts.append(_selectable(audience.users))
    elif audience.users:
        parts.append(audience.users)
    for link, ids in ((directory.members, departments), (directory.role_holders, audience.roles)):
        if ids:
            parts.append(link().to(ids).values(link().user))
    if not parts:
        return None
    condition = Q()
    for part in parts:
        condition |= Q(pk__in=part)
    return users().filter(condition)


def _selectable(given: "QuerySet[Any]") -> Any:
    """As a subquery; a slice is read first, as MariaDB has no LIMIT in there."""
    given = given.using(database())
    if given.query.is_sliced:
        return list(given.values_list("pk", flat=True))
    return given.values("pk")
