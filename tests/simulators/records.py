"""What a simulator remembers: the requests that came, and the messages that it took."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """One request to the provider's API, whatever became of it."""

    action: str
    """The provider's name of the operation, such as `SendSms`, `Publish` or `CreateMessage`."""
    parameters: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""
    received_at: float
    connection: int
    signed_correctly: bool
    method: str
    target: str
    """Path and query, raw."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Accepted:
    """One message that the provider took, and would charge for."""

    phone_number: str
    """E.164, with the plus."""
    message_id: str
    """What the client gets to know: `BizId`, `MessageId` or `sid`."""
    received_at: float
    text: str = ""
    template_code: str = ""
    signature: str = ""
    params: dict[str, str] = field(default_factory=dict)
    reference: str = ""
    """The client's own id for its request (Alibaba Cloud's `OutId`)."""
    attributes: dict[str, Any] = field(default_factory=dict)


class Journal:
    """Accepted messages in order, found by number or id without a search."""

    def __init__(self) -> None:
        self.entries: list[Accepted] = []
        self.by_number: defaultdict[str, list[Accepted]] = defaultdict(list)
        self.by_message_id: dict[str, Accepted] = {}
        self.statuses: dict[tuple[str, str], tuple[Any, str]] = {}

    def add(self, message: Accepted) -> None:
        self.entries.append(message)
        self.by_number[message.phone_number].append(message)
        self.by_message_id[message.message_id] = message

    def status(self, message: Accepted, default: Any) -> tuple[Any, str]:
        """The status and error code that were set for this message, or for its number."""
        for message_id in (message.message_id, ""):
            if (found := self.statuses.get((message.phone_number, message_id))) is not None:
                return found
        return default, ""
