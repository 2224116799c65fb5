"""What the sandbox's phones received."""

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


#: So many of the newest texts are looked at to choose those that are shown, however many there are.
LOOKED_AT = 1000


@dataclass(frozen=True)
class NewestTexts:
    """A choice of the newest texts: ids by phone number, newest first, the phone with the newest text first.

    ``cut`` are the phones known to have older texts; ``has_older``: there are texts that were not chosen.
    """

    ids: Mapping[str, Sequence[int]]
    cut: frozenset[str]
    has_older: bool


class SandboxMessageQuerySet(models.QuerySet["SandboxMessage"]):
    def newest(self, *, total: int, per_phone: int) -> NewestTexts:
        """Choose the newest texts, in one query that reads no text and whose size does not grow with the table.

        Args:
            total: at most so many in all.
            per_phone: at most so many of one phone, so that a busy phone hides no quiet one.
        """
        found = list(self.order_by("-pk").values_list("pk", "phone_number")[: LOOKED_AT + 1])
        ids: dict[str, list[int]] = {}
        chosen = 0
        for pk, phone_number in found:
            if chosen == total:
                break
            texts = ids.setdefault(phone_number, [])
            if len(texts) < per_phone:
                texts.append(pk)
                chosen += 1
        counts = Counter(phone_number for _pk, phone_number in found)
        cut = frozenset(phone_number for phone_number, texts in ids.items() if counts[phone_number] > len(texts))
        return NewestTexts(ids, cut, has_older=len(found) > chosen)


class SandboxMessage(models.Model):
    """A text on a sandbox phone. Encrypted at rest, because one-time codes are among them."""

    service = models.ForeignKey(SmsService, models.CASCADE, related_name="+", verbose_name=_("service"))
    phone_number = models.CharField(_("phone number"), max_length=16)
    text = EncryptedTextField(_("text"))
    message_id = models.CharField(_("message id"), max_length=34, unique=True)
    reference = models.CharField(max_length=32)
    received_at = models.DateTimeField(_("received"), default=timezone.now)

    objects = SandboxMessageQuerySet.as_manager()

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
