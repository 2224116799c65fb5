"""Objecting to retries of messages to numbers that are suppressed."""

from typing import Any

from django.dispatch import receiver
from django.utils.translation import gettext as _

from sms_services.models import SmsMessage
from sms_services.signals import retry_requested

from .models import SuppressedNumber
from .rows import database


@receiver(retry_requested, sender=SmsMessage)
def object_to_suppressed(message: SmsMessage, origin: SmsMessage, **kwargs: Any) -> str | None:
    """Why a message of a notification is not retried; ``None`` if it may be."""
    suppressed = SuppressedNumber.objects.using(database()).filter(phone_number=message.phone_number)
    if origin.batch_id is not None and suppressed.exists():
        return _("Its number gets no notifications: it is among the suppressed numbers.")
    return None
