"""Taking queued messages, so that nobody else sends them."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from ..choices import MessageStatus
from ..conf import get_settings
from ..models import SmsMessage, SmsService
from .rows import messages as stored_messages


@dataclass(frozen=True)
class Claim:
    """What one caller takes at once. The messages' instances are changed only by ``mark``."""

    account: str
    messages: Sequence[SmsMessage]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    at: datetime = field(default_factory=timezone.now)

    @classmethod
    def of(cls, service: SmsService, messages: Sequence[SmsMessage]) -> "Claim":
        return cls(service.account, messages)

    @property
    def until(self) -> datetime:
        """When whoever took them counts as dead."""
        return self.at + timedelta(seconds=get_settings().SENDING_TIMEOUT)

    @property
    def leaves_before(self) -> datetime:
        """After this moment nobody begins to send them: the answer might come when they count as lost.

        Where the timeout is no longer than a call, half of it.
        """
        settings = get_settings()
        call = min(settings.CONNECT_TIMEOUT + settings.READ_TIMEOUT, settings.SENDING_TIMEOUT / 2)
        return self.until - timedelta(seconds=call)

    def values(self, message: SmsMessage) -> dict[str, Any]:
        """The fields that change when a message is taken."""
        return {
            "status": MessageStatus.SENDING,
            "claim": self.id,
            "account": self.account,
            "claimed_at": self.at,
            "sweep_at": self.until,
            "tries": message.tries + 1,
        }

    def mark(self, messages: Sequence[SmsMessage]) -> None:
        """Show in the instances that they are taken."""
        for message in messages:
            for name, value in self.values(message).items():
                setattr(message, name, value)

    def take(self) -> list[SmsMessage]:
        """Take the messages that are still to be had, in a statement of its own; returns and marks them."""
        count = stored_messages().claim(self._ids(), self.id, self.at, self.until, self.account)
        taken = self.taken(everything=count == len(self.messages))
        self.mark(taken)
        return taken

    def taken(self, *, everything: bool) -> list[SmsMessage]:
        """What a statement has taken: all of it, or what the rows say."""
        if everything:
            return list(self.messages)
        ids = set(stored_messages().claimed(self._ids(), self.id).values_list("pk", flat=True))
        return [message for message in self.messages if message.pk in ids]

    def _ids(self) -> list[int]:
        return [message.pk for message in self.messages]
