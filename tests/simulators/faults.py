"""What can go wrong between a client and a provider."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Fault(Enum):
    SLOW = auto()
    """Accepted; the answer comes after `seconds`."""
    DRIP = auto()
    """Accepted; the answer's body comes in small pieces over `seconds`, so that no single read waits long."""
    RESET_AFTER_ACCEPTING = auto()
    """Accepted; then the connection is reset (RST), without an answer."""
    RESET_BEFORE_ACCEPTING = auto()
    """The request is read, the connection is reset, nothing is accepted."""
    SERVER_ERROR = auto()
    """HTTP 500 in the provider's shape. Accepted, unless told otherwise."""
    UNAVAILABLE = auto()
    """HTTP 503 in the provider's shape. Not accepted, unless told otherwise."""
    MALFORMED = auto()
    """Accepted; the answer has the status of a success and a body that is neither JSON nor XML."""
    EMPTY = auto()
    """Accepted; the answer has the status of a success and no body."""
    TRUNCATED = auto()
    """Accepted; the connection ends in the middle of the answer's body."""
    THROTTLED = auto()
    """The provider's documented answer to too many requests. Not accepted."""


NOT_ACCEPTED = frozenset({Fault.RESET_BEFORE_ACCEPTING, Fault.UNAVAILABLE, Fault.THROTTLED})
EITHER_WAY = frozenset({Fault.SERVER_ERROR, Fault.UNAVAILABLE})


@dataclass(slots=True)
class Rule:
    """Which requests meet which fault (or, without one, are refused with `code`), and how often."""

    fault: Fault | None
    actions: frozenset[str]
    numbers: frozenset[str] | None
    times: int | None
    accepted: bool = False
    code: str = ""
    message: str | None = None
    status: int | None = None
    seconds: float = 0.0
    retry_after: int | None = None

    def concerns(self, action: str, numbers: list[str]) -> bool:
        return action in self.actions and (self.numbers is None or not self.numbers.isdisjoint(numbers))
