"""The provider that stands in for a vendor in tests."""

import uuid
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from datetime import datetime

from django.utils import timezone

from ..choices import ErrorKind, MessageStatus, Outcome
from ..models import SmsMessage
from ..providers.base import OutgoingMessage, Provider, Record, Result, Verification
from ..segments import SegmentCount
from .faults import Fault, Faults
from .texts import SentText


class FakeProvider(Provider):
    """Keeps the texts instead of sending them, and behaves as the provider that it replaces in all else.

    That one is never connected: its SDK need not be installed.
    """

    concurrent = False

    def __init__(self, replaced: Provider, service_key: str, texts: list[SentText], faults: Faults) -> None:
        for name in ("name", "extra", "sends_by_code", "can_look_up", "errors", "max_characters"):
            setattr(self, name, getattr(replaced, name))
        self._replaced = replaced
        self._service_key = service_key
        self._texts = texts
        self._faults = faults

    def connect(self) -> None:
        return None

    def batches(self, messages: Sequence[OutgoingMessage], limit: int | None = None) -> Iterator[list[int]]:
        return self._replaced.batches(messages, limit)

    def problem_with(self, message: OutgoingMessage) -> str | None:
        return self._replaced.problem_with(message)

    def count_segments(self, text: str, phone_number: str = "") -> SegmentCount:
        return self._replaced.count_segments(text, phone_number)

    def send(self, messages: Sequence[OutgoingMessage], reference: str) -> list[Result]:
        # Of several messages to one number, the rows are in the same order.
        rows: dict[str, deque[int]] = defaultdict(deque)
        claimed = SmsMessage.objects.filter(claim=reference).order_by("pk").values_list("phone_number", "pk")
        for phone_number, pk in claimed:
            rows[phone_number].append(pk)
        return [self._try(message, reference, rows[message.phone_number].popleft()) for message in messages]

    def verify(self) -> Verification:
        return Verification(ok=True)

    def read_error(self, error: Exception) -> Result:
        return Result(Outcome.UNCERTAIN, ErrorKind.UNKNOWN, type(error).__name__)

    def records(self, phone_number: str, since: datetime, until: datetime, reference: str) -> list[Record]:
        return [
            Record(MessageStatus.SENT, text.arrived_at, text.message_id, reference, text.text)
            for text in self._texts
            if (text.phone_number, text.reference) == (phone_number, reference)
        ]

    def _try(self, message: OutgoingMessage, reference: str, pk: int) -> Result:
        rule = self._faults.met_by(self._service_key, self.errors, message.phone_number)
        if rule is not None and rule.fault != Fault.TIMEOUT:
            return rule.result(self.errors)
        message_id = self._receive(message, reference, pk)
        if rule is not None:
            return rule.result(self.errors)
        segments = self.count_segments(message.text, message.phone_number).segments if message.text else None
        return Result(Outcome.ACCEPTED, message_id=message_id, segments=segments)

    def _receive(self, message: OutgoingMessage, reference: str, pk: int) -> str:
        text = SentText(
            phone_number=message.phone_number,
            text=message.text,
            template_code=message.template_code,
            params=dict(message.params),
            purpose=str(message.purpose),
            service=self._service_key,
            message_pk=pk,
            message_id=f"FAKE{uuid.uuid4().hex}",
            reference=reference,
            arrived_at=timezone.now(),
        )
        self._texts.append(text)
        return text.message_id
