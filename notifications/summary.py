"""How many people a selection of recipients is, before anything is sent."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import CharField, Count, Q, QuerySet, TextField
from django.db.models.expressions import RawSQL

from . import directory
from .audience import Audience
from .models import SuppressedNumber
from .rows import database, users
from .sql import listed
from .variables import field_at

#: A number that is stored as it is sent, in the regular expressions of all databases.
E164 = r"^\+[1-9][0-9]{6,14}$"


@dataclass(frozen=True)
class RecipientsSummary:
    """What would become of each person. ``people`` is the sum of the five that follow it: each is counted once.

    Attributes:
        people: how many there are, each once, however many departments and roles include them.
        reachable: how many would get a text: one per number.
        duplicates: have the same number as somebody who would get one.
        without_number: are active and have no number.
        inactive: have a deactivated account.
        suppressed: have a number to which no notifications go.
        to_be_read: of those who are reachable, how many have a number that is not stored in E.164. It is read when it
            is sent, and may then be unreadable, or the same as another one: ``reachable`` is an upper bound then.
        without_value: of those to whose number a text may go, how many have nothing where a variable is looked up:
            their text has a gap.
    """

    people: int = 0
    reachable: int = 0
    duplicates: int = 0
    without_number: int = 0
    inactive: int = 0
    suppressed: int = 0
    to_be_read: int = 0
    without_value: int = 0


def summary_of(audience: Audience, fields: Iterable[str] = ()) -> RecipientsSummary:
    """Count them inside the database: one query, two for the tree of departments, one for a host's own function.

    Args:
        fields: the lookup paths on the user model of what is looked up on each recipient.
    """
    people = _people(audience)
    if people is None:
        return RecipientsSummary()
    number = directory.NUMBER
    active = Q(is_active=True) if directory.has_is_active() else Q()
    none = Q(**{f"{number}__isnull": True}) | Q(**{number: ""})
    suppressed = Q(**{f"{number}__in": SuppressedNumber.objects.using(database()).values("phone_number")})
    sendable = active & ~none & ~suppressed
    heads = {"n_people": Count("pk"), "n_active": Count("pk", filter=active)}
    counts = directory.with_number(people).aggregate(
        **heads,
        n_without=Count("pk", filter=active & none),
        n_suppressed=Count("pk", filter=active & ~none & suppressed),
        n_numbers=Count(number, distinct=True, filter=sendable),
        n_to_be_read=Count(number, distinct=True, filter=sendable & ~Q(**{f"{number}__regex": E164})),
        n_without_value=Count("pk", filter=sendable & _any_empty(fields)),
    )
    candidates = counts["n_active"] - counts["n_without"] - counts["n_suppressed"]
    # A host's function may leave people out: they have no number.
    everybody = people.aggregate(**heads) if directory.number_function() else counts
    return RecipientsSummary(
        people=everybody["n_people"],
        reachable=counts["n_numbers"],
        duplicates=candidates - counts["n_numbers"],
        without_number=counts["n_without"] + everybody["n_active"] - counts["n_active"],
        inactive=everybody["n_people"] - everybody["n_active"],
        suppressed=counts["n_suppressed"],
        to_be_read=counts["n_to_be_read"],
        without_value=counts["n_without_value"],
    )


def _any_empty(paths: Iterable[str]) -> Q:
    """Nothing, or nothing but an empty text, at one of these paths."""
    condition = Q(pk__in=[])
    for path in paths:
        condition |= Q(**{f"{path}__isnull": True})
        if isinstance(field_at(path), CharField | TextField):
            condition |= Q(**{path: ""})
    return condition


def _people(audience: Audience) -> "QuerySet[Any] | None":
    """The users of all kinds, each once; ``None`` if nothing is asked for."""
    departments = directory.including(audience.departments, subdepartments=audience.include_subdepartments)
    parts: list[Any] = []
    if isinstance(audience.users, QuerySet):
        parts.append(_selectable(audience.users))
    elif audience.users:
        parts.append(_ids(audience.users))
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
        return _ids(given.values_list("pk", flat=True))
    return given.values("pk")


def _ids(given: Iterable[Any]) -> RawSQL:
    """Users' ids, more than a database takes as parameters."""
    return listed(given, get_user_model()._meta.pk, database())
