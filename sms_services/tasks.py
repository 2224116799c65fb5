"""Celery tasks. They carry ids, never numbers, texts or codes."""

from collections import defaultdict

from celery import shared_task
from django.utils import timezone

from .delivery.delivering import deliver
from .delivery.reconciling import reconcile
from .delivery.sweeping import sweep as run_sweep
from .models import SmsMessage, current_service
from .purging import purge as run_purge


@shared_task(name="sms_services.deliver_messages", acks_late=True, ignore_result=True)
def deliver_messages(message_ids: list[int]) -> None:
    """Deliver queued messages. Those that are not queued or not due any more are left alone."""
    messages = SmsMessage.objects.filter(pk__in=message_ids).sendable(timezone.now()).order_by("pk")
    groups: dict[tuple[int, str], list[SmsMessage]] = defaultdict(list)
    for message in messages:
        groups[message.service_id, message.purpose].append(message)
    for (service_id, _purpose), group in groups.items():
        if service := current_service(service_id):
            deliver(service, group)


@shared_task(name="sms_services.reconcile_messages", acks_late=True, ignore_result=True)
def reconcile_messages(message_ids: list[int]) -> None:
    """Look messages in doubt up at their provider."""
    reconcile(message_ids)


@shared_task(name="sms_services.sweep", ignore_result=True)
def sweep() -> None:
    """Look after lost bells, dead workers and messages in doubt. Schedule it every ten seconds or so."""
    run_sweep()


@shared_task(name="sms_services.purge", ignore_result=True)
def purge() -> None:
    """Delete what is older than ``RETENTION_DAYS``. Schedule it once a day."""
    for _ in run_purge():
        pass
