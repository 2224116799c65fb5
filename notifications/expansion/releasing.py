"""Ringing once more for what a pause has held back."""

from sms_services.choices import MessageStatus
from sms_services.delivery.queueing import ring
from sms_services.models import SmsMessage, current_service

from ..choices import NotificationStatus
from ..rows import database, notifications

#: Messages of one page.
PAGE = 5_000


def ring_for_messages(pk: int) -> None:
    """Ring for all queued messages of a running notification. What this does not come to, the sweep rings for."""
    notification = notifications().get(pk=pk)
    service = current_service(notification.service_id)
    messages = SmsMessage.objects.using(database()).filter(batch=notification.batch_id, status=MessageStatus.QUEUED)
    last = 0
    while service and notifications().filter(pk=pk, status=NotificationStatus.RUNNING).exists():
        ids = list(messages.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:PAGE])
        if not ids:
            return
        ring(service, ids, notification.purpose)
        last = ids[-1]
