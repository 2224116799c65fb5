"""What the sandbox's phones received."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..choices import MessageStatus
from ..fields import EncryptedTextField
from ..phone_numbers import mask
from ..providers.base import OutgoingMessage, Record
from .services import SmsService

if TYPE_CHECKING:
    from ..providers.sandbox import Inbox


class SandboxMessage(models.Model):
    """A text on a sandbox phone. Encrypted at rest, because one-time codes are among them."""

    service = models.ForeignKey(SmsService, models.CASCADE, related_name="+", verbose_name=_("service"))
    phone_number = models.CharField(_("phone number"), max_length=16)
    text = EncryptedTextField(_("text"))
    message_id = models.CharField(_("message id"), max_length=34, unique=True)
    reference = models.CharField(max_length=32)
    received_at = models.DateTimeField(_("received"), default=timezone.now)

    class Meta:
        verbose_name = _("sandbox message")
        verbose_name_plural = _("sandbox messages")
        ordering = ("-pk",)
        indexes = [models.Index(fields=["phone_number", "-id"], name="sandbox_phone_newest")]

    def __str__(self) -> str:
        return mask(self.phone_number)

    @staticmethod
    def inbox_of(service_id: int) -> "Inbox":
        """The phones as the sandbox's provider sees them: it knows nothing of models."""
        return _Inbox(service_id)


class _Inbox:
    def __init__(self, service_id: int) -> None:
        self._service_id = service_id

    def receive(self, messages: Sequence[OutgoingMessage], reference: str) -> list[str]:
        rows = [
            SandboxMessage(
                service_id=self._service_id,
                phone_number=message.phone_number,
                text=message.text,
                message_id=f"SB{uuid.uuid4().hex}",
                reference=reference,
            )
            for message in messages
        ]
        SandboxMessage.objects.bulk_create(rows)
        return [row.message_id for row in rows]

    def records(self, phone_number: str, reference: str, since: datetime) -> list[Record]:
        rows = SandboxMessage.objects.filter(
            service_id=self._service_id, phone_number=phone_number, reference=reference, received_at__gte=since
        )
        return [
            Record(MessageStatus.SENT, row.received_at, row.message_id, row.reference) for row in rows.order_by("pk")
        ]
