"""What somebody can do with a request now: the buttons of its page."""

from dataclasses import dataclass
from typing import Any

from .definitions import NodeDefinition
from .models import Request, Task


@dataclass(frozen=True, kw_only=True)
class Options:
    """What applies, for one person, at this moment; each action checks it once more.

    ``task`` is their pending task. ``comments`` says, per action, a ``CommentPolicy``. ``return_targets`` are the
    earlier nodes that it can be returned to; with ``can_return``, it can always be returned to the initiator.
    ``transferable`` are pending tasks of others that they may transfer as an administrator.
    """

    task: Task | None = None
    can_approve: bool = False
    can_reject: bool = False
    can_return: bool = False
    can_transfer: bool = False
    can_withdraw: bool = False
    can_resubmit: bool = False
    can_remind: bool = False
    can_resume: bool = False
    comments: dict[str, str]
    return_targets: tuple[NodeDefinition, ...] = ()
    transferable: tuple[Task, ...] = ()


def options_for(request: Request, user: Any) -> Options:
    """What a user can do with a request. A constant number of queries."""
    raise NotImplementedError
