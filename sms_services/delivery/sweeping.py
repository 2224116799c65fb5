"""The sweep: rings again for messages that nobody came for, and settles what dead workers left.

Any number of sweeps may run at once: each step takes its rows with a conditional UPDATE.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from ..choices import ErrorKind, MessageStatus, Outcome
from ..conf import get_settings
from ..logs import log
from ..models import SmsAttempt, SmsMessage, SmsService
from .queueing import chunks, ring, start

#: Rows of one step, so that no transaction and no list grows with the backlog.
STEP = 5_000
#: Look-ups of one task.
LOOK_UPS = 100
WORKER_LOST = "worker_lost"


def sweep() -> None:
    """One round over everything whose time has come."""
    now = timezone.now()
    ring_for_forgotten(now)
    doubt_lost(now)
    look_up_doubtful(now)


def ring_for_forgotten(now: datetime) -> int:
    """Queued messages whose bell was lost, or whose time in the rate limit's line has come."""
    forgotten = _taken(MessageStatus.QUEUED, now, get_settings().REQUEUE_AFTER)
    groups: dict[tuple[int, str], list[int]] = defaultdict(list)
    for message in forgotten:
        groups[message.service_id, message.purpose].append(message.pk)
    services = SmsService.objects.in_bulk({service_id for service_id, _ in groups})
    for (service_id, purpose), ids in groups.items():
        ring(services[service_id], ids, purpose)
    return len(forgotten)


def doubt_lost(now: datetime) -> int:
    """Messages that a dead worker left ``sending``: nobody knows whether they went out."""
    lost = _taken(MessageStatus.SENDING, now, get_settings().SENDING_TIMEOUT)
    by_claim: dict[str, list[SmsMessage]] = defaultdict(list)
    for message in lost:
        by_claim[message.claim].append(message)
    services = SmsService.objects.in_bulk({message.service_id for message in lost})
    for claim, group in by_claim.items():
        _doubt(services[group[0].service_id], claim, group, now)
    return len(lost)


def look_up_doubtful(now: datetime) -> int:
    """Messages in doubt that are to be looked up at their provider."""
    from ..tasks import reconcile_messages

    doubtful = _taken(MessageStatus.UNKNOWN, now, get_settings().SENDING_TIMEOUT)
    # Sorted, so that messages to one number are looked up together and never get the same record.
    ids = [message.pk for message in sorted(doubtful, key=lambda message: (message.service_id, message.phone_number))]
    for chunk in chunks(ids, LOOK_UPS):
        start(reconcile_messages, list(chunk), get_settings().QUEUE or None)
    return len(ids)


def _taken(status: MessageStatus, now: datetime, seconds: float) -> list[SmsMessage]:
    """Overdue messages in a status, taken by this sweep: another one finds them overdue only after these seconds."""
    with transaction.atomic():
        skip_locked = transaction.get_connection().features.has_select_for_update_skip_locked
        overdue = SmsMessage.objects.overdue(status, now).select_for_update(skip_locked=skip_locked)
        messages = list(overdue.only("service_id", "purpose", "phone_number", "claim", "claimed_at")[:STEP])
        taken = SmsMessage.objects.filter(pk__in=[message.pk for message in messages], status=status)
        taken.update(sweep_at=now + timedelta(seconds=seconds))
    return messages


def _doubt(service: SmsService, claim: str, messages: Sequence[SmsMessage], now: datetime) -> None:
    with transaction.atomic():
        lost = SmsMessage.objects.claimed(claim).filter(pk__in=[message.pk for message in messages])
        changed = lost.update(
            status=MessageStatus.UNKNOWN,
            error_kind=ErrorKind.TRANSIENT,
            provider_code=WORKER_LOST,
            sensitive_params="",
            sweep_at=now if service.provider_class.can_look_up else None,
        )
        if changed < len(messages):  # the worker lives after all, and has settled some: leave those alone
            in_doubt = SmsMessage.objects.filter(claim=claim, status=MessageStatus.UNKNOWN, provider_code=WORKER_LOST)
            ids = set(in_doubt.values_list("pk", flat=True))
            messages = [message for message in messages if message.pk in ids]
        SmsAttempt.objects.bulk_create(
            SmsAttempt(
                message=message,
                service=service,
                outcome=Outcome.UNCERTAIN,
                error_kind=ErrorKind.TRANSIENT,
                provider_code=WORKER_LOST,
                started_at=message.claimed_at or now,
                finished_at=now,
            )
            for message in messages
        )
    log(logging.WARNING, "sms.worker_lost", service=service.key, messages=len(messages), claim=claim)
