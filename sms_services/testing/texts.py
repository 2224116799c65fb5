"""The texts that arrived at the fake vendor."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ..models import SmsMessage


@dataclass(frozen=True)
class SentText:
    """One text as the vendor got it.

    ``text`` is rendered; empty where a bare template code was sent, whose wording only the platform knows.
    ``service`` is the service's key. The last fields tell which message it was: the nth one to this number under this
    reference.
    """

    phone_number: str
    text: str
    template_code: str
    params: Mapping[str, str]
    purpose: str
    service: str
    message_id: str = field(repr=False)
    reference: str = field(repr=False)
    position: int = field(repr=False)
    arrived_at: datetime = field(repr=False)

    @property
    def message(self) -> SmsMessage:
        """The row, read anew each time.

        Raises:
            SmsMessage.DoesNotExist: it was deleted, or rolled back.
        """
        rows = SmsMessage.objects.filter(claim=self.reference, phone_number=self.phone_number).order_by("pk")
        row = rows[self.position : self.position + 1].first()
        if row is None:
            raise SmsMessage.DoesNotExist("The message of this text is not in the database any more.")
        return row
