"""The texts that arrived at the fake vendor."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ..models import SmsMessage


@dataclass(frozen=True)
class SentText:
    """One text as the vendor got it.

    ``text`` is rendered; empty where a bare template code was sent, whose wording only the platform knows.
    ``service`` is the service's key.
    """

    phone_number: str
    text: str
    template_code: str
    params: Mapping[str, str]
    purpose: str
    service: str
    message_pk: int = field(repr=False)
    message_id: str = field(repr=False)
    reference: str = field(repr=False)
    arrived_at: datetime = field(repr=False)

    @property
    def message(self) -> SmsMessage:
        """The row, read anew each time.

        Raises:
            SmsMessage.DoesNotExist: it was deleted, or rolled back.
        """
        return SmsMessage.objects.get(pk=self.message_pk)
