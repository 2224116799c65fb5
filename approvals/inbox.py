"""The inbox's numbers. Its lists are QuerySet methods, such as ``Task.objects.todo(user)``."""

from dataclasses import dataclass
from typing import Any

from .models import Request, Task


@dataclass(frozen=True)
class InboxCounts:
    """How many there are in each list of somebody's inbox."""

    todo: int
    done: int
    started: int
    copied: int


def counts(user: Any) -> InboxCounts:
    """Four counts, each of one range of an index."""
    return InboxCounts(
        todo=Task.objects.todo(user).count(),
        done=Task.objects.done(user).count(),
        started=Request.objects.started_by(user).count(),
        copied=Task.objects.copied_to(user).count(),
    )
