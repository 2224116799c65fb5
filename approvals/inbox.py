"""The inbox's numbers. Its lists are QuerySet methods, such as ``Task.objects.todo(user)``."""

from dataclasses import dataclass
from typing import Any

from .approvers import manages
from .models.requests import RequestQuerySet
from .rows import requests, tasks


@dataclass(frozen=True)
class InboxCounts:
    """How many there are in each list of somebody's inbox.

    What was returned to them is something to do, and what is paused is for whoever may resume it.
    """

    todo: int
    done: int
    started: int
    copied: int


def counts(user: Any) -> InboxCounts:
    """Five counts, each of one range of an index; for whoever may resume requests, a sixth of all that are paused."""
    return InboxCounts(
        todo=tasks().todo(user).count() + requests().returned_to(user).count() + paused_for(user).count(),
        done=tasks().done(user).count(),
        started=requests().started_by(user).count(),
        copied=tasks().copied_to(user).count(),
    )


def paused_for(user: Any) -> RequestQuerySet:
    """Requests that wait for an administrator, for whoever is one; newest first."""
    return requests().paused().order_by("-pk") if manages(user) else requests().none()
