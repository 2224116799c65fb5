"""What this app raises. Every message is for the person who acted, translated, and says what is so or what to do."""

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .models import Event


class ApprovalError(Exception):
    """Base of everything that this app raises on wrong use."""


class UnknownProcess(ApprovalError):
    """There is no process with this key."""


class NotAllowed(ApprovalError):
    """The actor may not do this, the node does not allow it, or something that it needs was not given."""


class Conflict(ApprovalError):
    """Somebody was faster, or it is over. Nothing was changed. ``event`` is what they did, with who and when."""

    def __init__(self, message: str, event: "Event | None" = None) -> None:
        super().__init__(message)
        self.event = event


class Throttled(ApprovalError):
    """It was done a moment ago. ``until`` is when it is allowed again."""

    def __init__(self, message: str, until: datetime) -> None:
        super().__init__(message)
        self.until = until
