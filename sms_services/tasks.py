"""Celery tasks. They carry ids, never numbers, texts or codes."""

import logging
from collections import defaultdict

from celery import Task, shared_task
from django.db import close_old_connections
from django.utils import timezone

from .choices import ErrorKind, MessageStatus
from .delivery.delivering import SERVICE_UNUSABLE, deliver
from .delivery.moving_up import move_up_behind
from .delivery.reconciling import reconcile
from .delivery.rows import messages as stored_messages
from .delivery.sweeping import sweep as run_sweep
from .exceptions import SmsError
from .logs import log
from .models import SmsMessage, SmsService, current_service
from .purging import purge as run_purge
from .signals import batches_delivered


@shared_task(bind=True, name="sms_services.deliver_messages", acks_late=True, ignore_result=True)
def deliver_messages(self: Task, message_ids: list[int]) -> None:
    """Deliver queued messages. Those that are not queued or not due any more are left alone."""
    drop_broken_connections(self)
    due = stored_messages().sendable(message_ids, timezone.now()).order_by("pk")
    groups: dict[tuple[int, str], list[SmsMessage]] = defaultdict(list)
    for message in due:
        groups[message.service_id, message.purpose].append(message)
    for (service_id, _purpose), group in groups.items():
        if service := current_service(service_id):
            _deliver(service, group)
    if batches := {message.batch_id for message in due if message.batch_id is not None}:
        batches_delivered.send_robust(SmsMessage, batches=batches)


@shared_task(bind=True, name="sms_services.reconcile_messages", acks_late=True, ignore_result=True)
def reconcile_messages(self: Task, message_ids: list[int]) -> None:
    """Look messages in doubt up at their provider."""
    drop_broken_connections(self)
    reconcile(message_ids)


@shared_task(bind=True, name="sms_services.move_up", ignore_result=True)
def move_up(self: Task, service_id: int, batch_id: int, place: float, seconds: float, given_up_at: float) -> None:
    """Let those move up who wait in a rate limit's line behind a batch that does not send any more."""
    drop_broken_connections(self)
    move_up_behind(service_id, batch_id, place, seconds, given_up_at)


@shared_task(bind=True, name="sms_services.sweep", ignore_result=True)
def sweep(self: Task) -> None:
    """Look after lost bells, dead workers and messages in doubt. Schedule it every ten seconds or so."""
    drop_broken_connections(self)
    run_sweep()


@shared_task(bind=True, name="sms_services.purge", ignore_result=True)
def purge(self: Task) -> None:
    """Delete what is older than ``RETENTION_DAYS``. Schedule it once a day."""
    drop_broken_connections(self)
    for _ in run_purge():
        pass


def _deliver(service: SmsService, messages: list[SmsMessage]) -> None:
    """A service that cannot send at all (no SDK, a wrong key) keeps its messages queued, and they say so."""
    try:
        deliver(service, messages)
    except SmsError as error:
        log(logging.ERROR, "sms.service_unusable", service=service.key, error=type(error).__name__, reason=error)
        waiting = stored_messages().by_id([message.pk for message in messages], MessageStatus.QUEUED)
        waiting.update(error_kind=ErrorKind.CREDENTIALS, provider_code=SERVICE_UNUSABLE)


def drop_broken_connections(task: Task) -> None:
    """A worker that keeps its connections between tasks must notice when the database has closed one."""
    if not task.request.is_eager and not task.request.called_directly:
        close_old_connections()
