"""The inbox's numbers. Its lists are QuerySet methods, such as ``Task.objects.todo(user)``."""

from dataclasses import dataclass
from typing import Any

from .rows import requests, tasks


@dataclass(frozen=True)
class InboxCounts:
    """How many there are in each list of somebody's inbox. What was returned to them is something to do."""

    todo: int
    done: int
    started: int
    copied: int


def counts(user: Any) -> InboxCounts:
    """Five counts, each of one range of an index."""
    return InboxCounts(
        todo=tasks().todo(user).count() + requests().returned_to(user).count(),
        done=tasks().done(user).count(),
        started=requests().started_by(user).count(),
        copied=tasks().copied_to(user).count(),
    )
