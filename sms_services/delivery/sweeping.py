"""The sweep: rings again for messages that nobody came for, and settles what dead workers left.

Any number of sweeps may run at once: each step takes its rows with a conditional UPDATE.
"""

import logging
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from ..choices import ErrorKind, MessageStatus, Outcome, SkipReason
from ..conf import get_settings
from ..logs import log
from ..models import SmsAttempt, SmsBatch, SmsMessage, SmsService, current_service
from ..models.batches import SmsBatchQuerySet
from .queueing import ring_in_turn, start
from .rows import database, messages

#: Rows of one step, so that no transaction and no list grows with the backlog.
STEP = 5_000
#: A round ends after this many seconds, before the next one is due.
ROUND_SECONDS = 8.0
#: Look-ups of one task, about.
LOOK_UPS = 100
WORKER_LOST = "worker_lost"


def sweep() -> None:
    """Everything whose time has come, step by step, for as long as a round may take."""
    until = time.monotonic() + ROUND_SECONDS
    for step in (put_off_held, bring_back_released, ring_for_forgotten, doubt_lost, look_up_doubtful):
        while step(timezone.now()) == STEP and time.monotonic() < until:
            pass


def put_off_held(now: datetime) -> int:
    """What a batch holds back is put off, or every round would walk past all of them."""
    held = messages().held_back(now)
    found = list(held.filter(sweep_at__lte=now).order_by("sweep_at").values_list("pk", "batch")[:STEP])
    if found:
        with transaction.atomic(using=database()):
            held.filter(pk__in=[pk for pk, _ in found]).update(sweep_at=None)
            # After the messages: whoever brings them back meanwhile then finds the mark once more, not too few of them.
            _batches().filter(pk__in={batch for _, batch in found}).update(is_put_off=True)
    return len(found)


def bring_back_released(now: datetime) -> int:
    """What was put off and may leave now, as its bell may have been lost."""
    count = 0
    for batch in list(
        _batches().sending(now).filter(is_put_off=True).order_by("pk").values_list("pk", flat=True)[:STEP]
    ):
        queued = messages().filter(batch=batch, status=MessageStatus.QUEUED, sweep_at=None)
        ids = list(queued.values_list("pk", flat=True)[: STEP - count])
        messages().by_id(ids, MessageStatus.QUEUED).update(sweep_at=now)
        count += len(ids)
        if count == STEP:
            break
        with transaction.atomic(using=database()):
            _batches().filter(pk=batch).update(is_put_off=False)
            if queued.exists():  # put off a moment ago
                transaction.set_rollback(True, using=database())
    return count


def _batches() -> SmsBatchQuerySet:
    return SmsBatch.objects.using(database())


def ring_for_forgotten(now: datetime) -> int:
    """Queued messages whose bell was lost, or whose time in the rate limit's line has come; the expired are skipped."""
    forgotten = _taken(MessageStatus.QUEUED, now, get_settings().REQUEUE_AFTER)
    if expired := [message.pk for message in forgotten if message.has_expired(now)]:
        skipped = messages().filter(pk__in=expired).skip(SkipReason.EXPIRED)
        log(logging.WARNING, "sms.expired", messages=skipped)
    groups: dict[tuple[int, str], list[int]] = defaultdict(list)
    for message in forgotten:
        if message.has_expired(now):
            continue
        groups[message.service_id, message.purpose].append(message.pk)
    for (service_id, purpose), ids in groups.items():
        if service := current_service(service_id):
            ring_in_turn(service, ids, purpose)
    return len(forgotten)


def doubt_lost(now: datetime) -> int:
    """Messages that a dead worker left ``sending``: nobody knows whether they went out."""
    lost = _taken(MessageStatus.SENDING, now, get_settings().SENDING_TIMEOUT)
    by_claim: dict[str, list[SmsMessage]] = defaultdict(list)
    for message in lost:
        by_claim[message.claim].append(message)
    for claim, group in by_claim.items():
        if service := current_service(group[0].service_id):
            _doubt(service, claim, group, now)
    return len(lost)


def look_up_doubtful(now: datetime) -> int:
    """Messages in doubt that are to be looked up at their provider."""
    from ..tasks import reconcile_messages

    doubtful = _taken(MessageStatus.UNKNOWN, now, get_settings().SENDING_TIMEOUT)
    by_number: dict[tuple[int, str], list[int]] = defaultdict(list)
    for message in doubtful:
        by_number[message.service_id, message.phone_number].append(message.pk)
    ids: list[int] = []
    for group in by_number.values():  # those to one number stay together: they are told apart by what is left over
        ids += group
        if len(ids) >= LOOK_UPS:
            start(reconcile_messages, [ids], get_settings().QUEUE or None)
            ids = []
    if ids:
        start(reconcile_messages, [ids], get_settings().QUEUE or None)
    return len(doubtful)


def _taken(status: MessageStatus, now: datetime, seconds: float) -> list[SmsMessage]:
    """Overdue messages in a status, taken by this sweep: another one finds them overdue only after these seconds.

    The new time, odd to the microsecond, is also the mark by which this sweep finds what it got.
    """
    ids = list(messages().overdue(status, now).values_list("pk", flat=True)[:STEP])
    mark = now + timedelta(seconds=seconds, microseconds=random.randrange(1_000_000))
    rows = messages().by_id(ids, status)
    rows.filter(sweep_at__lte=now).update(sweep_at=mark)
    names = ("service_id", "purpose", "phone_number", "claim", "claimed_at", "expires_at")
    return list(rows.filter(sweep_at=mark).only(*names))


def _doubt(service: SmsService, claim: str, lost: Sequence[SmsMessage], now: datetime) -> None:
    with transaction.atomic(using=database()):
        ids = [message.pk for message in lost]
        rows = messages().claimed(ids, claim)
        changed = rows.update(
            status=MessageStatus.UNKNOWN,
            error_kind=ErrorKind.TRANSIENT,
            provider_code=WORKER_LOST,
            sensitive_params="",
            sweep_at=now if service.provider_class.can_look_up and get_settings().RECONCILE_DELAYS else None,
        )
        if changed < len(lost):  # the worker lives after all, and has settled some: leave those alone
            in_doubt = messages().by_id(ids, MessageStatus.UNKNOWN).filter(claim=claim, provider_code=WORKER_LOST)
            still = set(in_doubt.values_list("pk", flat=True))
            lost = [message for message in lost if message.pk in still]
        SmsAttempt.objects.using(database()).bulk_create(
            SmsAttempt(
                message=message,
                service=service,
                outcome=Outcome.UNCERTAIN,
                error_kind=ErrorKind.TRANSIENT,
                provider_code=WORKER_LOST,
                started_at=message.claimed_at or now,
                finished_at=now,
            )
            for message in lost
        )
    log(logging.WARNING, "sms.worker_lost", service=service.key, messages=len(lost), claim=claim)
