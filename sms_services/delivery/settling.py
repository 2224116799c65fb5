"""Writing outcomes: statuses in one UPDATE, failed tries in one INSERT, signals after the commit.

The UPDATE can take the next messages as well, so that a worker that sends one by one needs one statement for each
part of its messages, not two.
"""

import logging
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import OperationalError, connections, transaction
from django.db.models import Q
from django.utils import timezone

from ..choices import MessageStatus, Outcome
from ..conf import get_settings
from ..logs import log, logger
from ..models import SmsAttempt, SmsMessage, SmsService
from ..models.messages import is_sendable, stands_at
from ..phone_numbers import mask
from ..providers.base import Result
from ..signals import message_failed, message_sent
from .bulk_update import update_rows
from .claiming import Claim
from .rows import database
from .rows import messages as stored_messages

_FIELDS = (
    "status",
    "error_kind",
    "provider_code",
    "provider_detail",
    "provider_request_id",
    "provider_message_id",
    "segments",
    "due_at",
    "sent_at",
    "sweep_at",
)
#: With those that a claim changes.
_ALL_FIELDS = (*_FIELDS, "claim", "account", "claimed_at", "tries")
_STATUS = {
    Outcome.ACCEPTED: MessageStatus.SENT,
    Outcome.REFUSED: MessageStatus.FAILED,
    Outcome.UNCERTAIN: MessageStatus.UNKNOWN,
}
#: What tells an outcome from another one.
_TELLING = ("status", "error_kind", "provider_code", "provider_request_id", "provider_message_id")
#: The provider took it.
_TAKEN = frozenset({MessageStatus.SENT, MessageStatus.DELIVERED, MessageStatus.UNDELIVERED})
#: Seconds before outcomes are written once more.
_PAUSES = (0.2, 1.0)
_LEVELS = {MessageStatus.FAILED: logging.WARNING, MessageStatus.UNKNOWN: logging.WARNING}


#: How to make a message's failed try, by the message's id. Whoever writes again makes it anew: it has a key by then.
Attempts = Mapping[int, Callable[[], SmsAttempt]]


@dataclass(frozen=True)
class Written:
    """The ids of the messages whose rows say what became of them, and the messages that were taken.

    ``at_once``: the UPDATE changed all rows, so nobody can have written anything of it before.
    """

    told: set[int]
    taken: list[SmsMessage]
    at_once: bool


@dataclass(frozen=True)
class Settled:
    """What is left to do: the messages to try again with the seconds before, and those that were taken."""

    again: list[int]
    pause: float
    taken: list[SmsMessage]


def settle(
    service: SmsService,
    messages: Sequence[SmsMessage],
    results: Sequence[Result],
    *,
    can_look_up: bool,
    claim: Claim | None = None,
) -> Settled:
    """Write what became of claimed messages, into the instances and into the database.

    A message that the sweep has meanwhile called ``unknown`` still gets its outcome; the late worker knows best. One
    that has been settled otherwise stays as it is, and its instance shows how it stands.

    Args:
        claim: queued messages to take in the same statement.
    """
    now = timezone.now()
    wiped = {
        message.pk
        for message, result in zip(messages, results, strict=True)
        if _apply(message, result, now, can_look_up)
    }
    attempts = {
        message.pk: partial(_attempt, service, message, result, now)
        for message, result in zip(messages, results, strict=True)
        if result.outcome != Outcome.ACCEPTED
    }
    written = _write_patiently(messages, attempts, wiped, claim)
    for message in messages:
        if message.pk in wiped:
            message.wipe_sensitive_params()
    if claim is not None:
        claim.mark(written.taken)
    announce(service, [message for message in messages if message.pk in written.told])
    again = [message for message in messages if message.status == MessageStatus.QUEUED]
    pause = max(((message.due_at - now).total_seconds() for message in again if message.due_at), default=0.0)
    return Settled([message.pk for message in again], pause, written.taken)


def announce(service: SmsService, messages: Sequence[SmsMessage]) -> None:
    """Log lines and signals for messages that have just got a status. Call it after the commit."""
    for message in messages:
        level = _LEVELS.get(MessageStatus(message.status), logging.INFO)
        if logger.isEnabledFor(level):  # masking costs more than the rest of the line
            _log_status(level, service, message)
        if message.status in _TAKEN and message_sent.has_listeners(SmsMessage):
            message_sent.send_robust(SmsMessage, message=message)
        elif message.status == MessageStatus.FAILED and message_failed.has_listeners(SmsMessage):
            message_failed.send_robust(SmsMessage, message=message)


def _log_status(level: int, service: SmsService, message: SmsMessage) -> None:
    log(
        level,
        f"sms.{message.status}",
        message=message.pk,
        service=service.key,
        number=mask(message.phone_number),
        purpose=message.purpose,
        tries=message.tries,
        kind=message.error_kind,
        code=message.provider_code,
    )


def _apply(message: SmsMessage, result: Result, now: datetime, can_look_up: bool) -> bool:
    """Put an outcome into an instance; returns whether sensitive variables are to be wiped.

    That is done once it is written: whoever has to settle again still knows.
    """
    settings = get_settings()
    message.error_kind = result.error_kind or ""
    message.provider_code = result.code
    message.provider_detail = result.detail
    message.provider_request_id = result.request_id
    if result.outcome == Outcome.NOT_SENT and message.tries < settings.MAX_TRIES:
        pause = _pause(message.tries, result.retry_after)
        message.status = MessageStatus.QUEUED
        message.due_at = now + pause
        message.sweep_at = message.due_at + timedelta(seconds=settings.REQUEUE_AFTER)
        return False
    message.status = _STATUS.get(result.outcome, MessageStatus.FAILED)
    message.sweep_at = None
    if message.status == MessageStatus.SENT:
        message.sent_at = now
        message.provider_message_id = result.message_id
        message.segments = result.segments
    elif message.status == MessageStatus.UNKNOWN:
        message.segments = result.segments  # a look-up may find it, when sensitive variables are gone
        if can_look_up and settings.RECONCILE_DELAYS:
            message.sweep_at = now + timedelta(seconds=settings.RECONCILE_DELAYS[0])
    return bool(message.sensitive_params)


def _pause(tries: int, retry_after: float | None) -> timedelta:
    """Exponential backoff with full jitter, and never less than the provider asked for."""
    longest = get_settings().RETRY_DELAY * 2 ** (tries - 1)
    return timedelta(seconds=(retry_after or 0.0) + random.uniform(0.1, max(longest, 0.1)))


def _write_patiently(
    messages: Sequence[SmsMessage], attempts: Attempts, wiped: Collection[int], claim: Claim | None
) -> Written:
    """Write, and try again after a deadlock or a lost connection: a lost outcome nobody knows any more."""
    for pause in _PAUSES:
        try:
            return _write(messages, attempts, wiped, claim)
        except OperationalError:
            connection = connections[database()]
            if connection.in_atomic_block:
                raise
            connection.close_if_unusable_or_obsolete()
            time.sleep(pause)
    return _write(messages, attempts, wiped, claim)


def _write(messages: Sequence[SmsMessage], attempts: Attempts, wiped: Collection[int], claim: Claim | None) -> Written:
    if not attempts and not wiped:
        return _write_rows(messages, claim)
    with transaction.atomic(using=database()):
        written = _write_rows(messages, claim)
        stored_messages().filter(pk__in=wiped).update(sensitive_params="")
        tries = [attempt() for pk, attempt in attempts.items() if pk in written.told]
        SmsAttempt.objects.using(database()).bulk_create(tries if written.at_once else _unwritten(tries))
    return written


def _write_rows(messages: Sequence[SmsMessage], claim: Claim | None) -> Written:
    everything = {message.pk for message in messages}
    if claim is None:
        changed = _update(_FIELDS, [_row(message, _FIELDS) for message in messages])
        taken: list[SmsMessage] = []
    else:
        rows = [_row(message, _ALL_FIELDS) for message in messages]
        rows += [
            _row(message, _ALL_FIELDS, was=MessageStatus.QUEUED, **claim.values(message)) for message in claim.messages
        ]
        # A held batch keeps its queued messages, not the outcomes of those that have left.
        changed = _update(_ALL_FIELDS, rows, stands_at(MessageStatus.SENDING) | is_sendable(claim.at))
        taken = claim.taken(everything=changed == len(rows))
    if changed == len(messages) + len(taken):
        return Written(everything, taken, at_once=True)
    return Written(_write_late(messages), taken, at_once=False)


def _unwritten(tries: Sequence[SmsAttempt]) -> list[SmsAttempt]:
    """Those that are not stored. All are after a commit that succeeded and whose answer was lost."""
    rows = SmsAttempt.objects.using(database()).filter(message__in=[attempt.message_id for attempt in tries])
    stored = set(rows.values_list("message", "started_at", "outcome", "provider_code"))
    return [
        attempt
        for attempt in tries
        if (attempt.message_id, attempt.started_at, attempt.outcome, attempt.provider_code) not in stored
    ]


def _write_late(messages: Sequence[SmsMessage]) -> set[int]:
    """The sweep took this worker for dead. What it called ``unknown`` is known after all; the rest stays as it is."""
    stored = stored_messages().in_bulk([message.pk for message in messages])
    written, late = set(), []
    for message in messages:
        row = stored.get(message.pk)
        if _tells(row, message):
            written.add(message.pk)
        elif row is not None and row.claim == message.claim and row.status == MessageStatus.UNKNOWN:
            if message.status == MessageStatus.QUEUED:  # what was once in doubt is never tried again
                message.status, message.sweep_at = MessageStatus.FAILED, None
            late.append(message)
        else:
            _show(message, row)
    if _update(_FIELDS, [_row(message, _FIELDS, was=MessageStatus.UNKNOWN) for message in late]) < len(late):
        stored = stored_messages().in_bulk([message.pk for message in late])  # a look-up was faster
        overtaken = [message for message in late if not _tells(stored.get(message.pk), message)]
        for message in overtaken:
            _show(message, stored.get(message.pk))
        late = [message for message in late if message not in overtaken]
    return written | {message.pk for message in late}


def _tells(row: SmsMessage | None, message: SmsMessage) -> bool:
    """Whether a row already says what an instance does."""
    if row is None or row.claim != message.claim:
        return False
    return all(getattr(row, name) == getattr(message, name) for name in _TELLING)


def _show(message: SmsMessage, row: SmsMessage | None) -> None:
    """Make an instance say what its row says."""
    for name in _FIELDS if row else ():
        setattr(message, name, getattr(row, name))


def _update(fields: Sequence[str], rows: Sequence[Sequence[Any]], condition: Q | None = None) -> int:
    return update_rows(SmsMessage, fields, rows, using=database(), guards=("status", "claim"), condition=condition)


def _row(
    message: SmsMessage, fields: Sequence[str], *, was: MessageStatus = MessageStatus.SENDING, **changes: Any
) -> tuple[Any, ...]:
    """A message as ``update_rows`` takes it: it must have the status ``was`` and the instance's claim."""
    values = (changes[name] if name in changes else getattr(message, name) for name in fields)
    return (message.pk, was, message.claim, *values)


def _attempt(service: SmsService, message: SmsMessage, result: Result, now: datetime) -> SmsAttempt:
    return SmsAttempt(
        message=message,
        service=service,
        outcome=result.outcome,
        error_kind=result.error_kind or "",
        provider_code=result.code,
        provider_detail=result.detail,
        provider_request_id=result.request_id,
        started_at=message.claimed_at or now,
        finished_at=now,
    )
