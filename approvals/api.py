"""The public functions of this app.

Each action is one transaction, part of the caller's if one is open. It locks the request's row first, so whoever acts
on more than one request in a transaction does so in the order of their ids. Texts leave after the commit.

``task`` and ``request`` are instances or primary keys; their rows are read anew. ``actor`` is the user who acts.
Every function raises

- ``Conflict`` if somebody was faster, or it is over; its message and its ``event`` say who did what;
- ``NotAllowed`` if the actor may not do this, the node does not allow it, or a comment is missing or not wanted;
- ``Request.DoesNotExist`` or ``Task.DoesNotExist`` for an id of nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Model

from .inbox import InboxCounts, counts
from .models import Node, Process, Request, Task
from .options import Options, options_for

__all__ = [
    "InboxCounts",
    "Options",
    "approve",
    "counts",
    "options_for",
    "reject",
    "remind",
    "resubmit",
    "resume",
    "send_back",
    "submit",
    "transfer",
    "withdraw",
]


def submit(
    process: Process | str,
    initiator: Any,
    *,
    subject: Model | None = None,
    title: str = "",
    data: Mapping[str, Any] | None = None,
) -> Request:
    """Begin a request.

    Args:
        process: a ``Process`` or its key.
        initiator: the user who asks.
        subject: a saved row of any model that the request is about.
        title: what lists show; default: the process's title.
        data: anything that JSON can hold; conditions, resolvers and pages read it.

    Returns:
        the request, where its first nodes brought it; with nobody to ask that may be its end.

    Raises:
        UnknownProcess: there is no process with this key.
        NotAllowed: the process is inactive or has no nodes; the initiator is inactive.
    """
    raise NotImplementedError


def approve(task: Task | int, actor: Any, comment: str = "") -> Task:
    """Approve. The request goes on where the node has all approvals that it needs.

    Returns:
        the task as it is then; ``task.request`` as well. So do all functions that take a task.
    """
    raise NotImplementedError


def reject(task: Task | int, actor: Any, comment: str = "") -> Task:
    """Reject: this ends the request, whatever others said."""
    raise NotImplementedError


def send_back(task: Task | int, actor: Any, to: Node | str | None = None, comment: str = "") -> Task:
    """Return a request: a new round begins, and everybody from there on is asked again.

    Args:
        to: an earlier approval node or its key; ``None``: the initiator, who can resubmit or withdraw.
    """
    raise NotImplementedError


def transfer(task: Task | int, actor: Any, to: Any, comment: str = "") -> Task:
    """Hand a pending task to somebody else. Administrators of approvals can also do it for others.

    Args:
        to: the user who is asked instead.
    """
    raise NotImplementedError


def withdraw(request: Request | int, actor: Any, comment: str = "") -> Request:
    """Take a request back, as its initiator where the process allows it, or as an administrator of approvals."""
    raise NotImplementedError


def resubmit(
    request: Request | int,
    actor: Any,
    *,
    title: str | None = None,
    data: Mapping[str, Any] | None = None,
    comment: str = "",
) -> Request:
    """Send a request that was returned to its initiator through its process once more, from the first node.

    Args:
        title, data: what they are from now on; ``None`` leaves them as they are.
    """
    raise NotImplementedError


def remind(request: Request | int, actor: Any) -> Request:
    """Remind, as the initiator, everybody whom the request waits for.

    Raises:
        Throttled: it was done less than the process's ``remind_interval`` ago; ``until`` is when it is allowed again.
    """
    raise NotImplementedError


def resume(request: Request | int, actor: Any, *, users: Iterable[Any] | None = None) -> Request:
    """Look for the approvers of a paused request once more, as an administrator of approvals.

    Args:
        users: who is asked instead of those whom the node's rules find.
    """
    raise NotImplementedError
