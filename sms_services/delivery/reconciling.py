"""Settling messages in doubt, where the provider can be asked what became of them. Nothing is ever sent again here."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.utils import timezone

from ..choices import ErrorKind, MessageStatus
from ..conf import get_settings
from ..exceptions import LookUpFailed
from ..logs import log
from ..models import SmsMessage, SmsService, current_service
from ..placeholders import matching_pattern
from ..providers import get_provider
from ..providers.base import Provider, Record
from .settling import announce

NO_RECORD = "no_record"
#: How far the provider's clock may be from ours.
CLOCK_SKEW = timedelta(seconds=60)


def reconcile(message_ids: Sequence[int]) -> None:
    """Look messages in doubt up at their provider, and settle those that it knows.

    One without a record stays in doubt until the last of ``RECONCILE_DELAYS`` has passed; then it is certain that
    it was not sent. One that was tried through another account than the service's present one stays in doubt.
    """
    messages = SmsMessage.objects.filter(pk__in=message_ids, status=MessageStatus.UNKNOWN).order_by("claimed_at", "pk")
    by_service: dict[int, list[SmsMessage]] = defaultdict(list)
    for message in messages:
        by_service[message.service_id].append(message)
    for service_id, group in by_service.items():
        service = current_service(service_id)
        if service and service.provider_class.can_look_up:
            askable = [message for message in group if message.account == service.account]
            _reconcile_service(service, get_provider(service), askable)


def _reconcile_service(service: SmsService, provider: Provider, messages: Sequence[SmsMessage]) -> None:
    answers = _ask_all(provider, messages)
    used = _used_ids(service, [record for answer in answers for record in answer or ()])
    settled = []
    for message, answer in zip(messages, answers, strict=True):
        if answer is None:
            _look_again(message)
            continue
        record = _match(message, answer, used)
        if record is not None:
            used.add((message.phone_number, record.message_id))
        if _settle(message, record):
            settled.append(message)
    announce(service, settled)


def _ask_all(provider: Provider, messages: Sequence[SmsMessage]) -> list[list[Record] | None]:
    """The provider's records for each message; ``None`` where it could not be asked."""
    window = timedelta(seconds=get_settings().SENDING_TIMEOUT) + CLOCK_SKEW

    def ask(message: SmsMessage) -> list[Record] | None:
        tried_at = message.claimed_at or message.created_at
        try:
            return provider.records(message.phone_number, tried_at - CLOCK_SKEW, tried_at + window, message.claim)
        except LookUpFailed as error:
            log(logging.WARNING, "sms.look_up_failed", message=message.pk, reason=error)
            return None

    return provider.map(ask, messages)


def _used_ids(service: SmsService, records: Sequence[Record]) -> set[tuple[str, str]]:
    """Which of these records belong to messages that are settled already: (number, provider's message id)."""
    known = SmsMessage.objects.filter(
        service_id=service.pk, provider_message_id__in={record.message_id for record in records if record.message_id}
    )
    return set(known.values_list("phone_number", "provider_message_id"))


def _match(message: SmsMessage, records: Sequence[Record], used: set[tuple[str, str]]) -> Record | None:
    """The record of this message. Where the provider keeps no reference, the text decides between several."""
    free = [record for record in records if (message.phone_number, record.message_id) not in used]
    exact = [record for record in free if record.reference == message.claim]
    if exact or any(record.reference for record in free):
        return exact[0] if exact else None
    pattern = matching_pattern(message.text, message.params)
    alike = [record for record in free if pattern.search(record.text)]
    return next(iter(alike or free), None)


def _settle(message: SmsMessage, record: Record | None) -> bool:
    """Write what the look-up showed; returns whether that settled the message."""
    if record is not None:
        message.status = record.status
        message.sent_at = record.sent_at or message.claimed_at
        message.provider_message_id = record.message_id
        message.segments = record.segments or message.segments
        message.error_kind = record.error_kind or ""
        message.provider_code = record.code
    elif _given_up(message, timezone.now()):
        message.status = MessageStatus.FAILED
        message.error_kind = ErrorKind.TRANSIENT
        message.provider_code = NO_RECORD
    else:
        _look_again(message)
        return False
    message.sweep_at = None
    names = ("status", "sent_at", "provider_message_id", "segments", "error_kind", "provider_code", "sweep_at")
    values = {name: getattr(message, name) for name in names}
    return bool(SmsMessage.objects.filter(pk=message.pk, status=MessageStatus.UNKNOWN).update(**values))


def _look_again(message: SmsMessage) -> None:
    now = timezone.now()
    tried_at = message.claimed_at or message.created_at
    times = [at for at in _look_up_times(tried_at) if at > now]
    last_delay = timedelta(seconds=get_settings().RECONCILE_DELAYS[-1])
    next_at = times[0] if times else now + last_delay
    SmsMessage.objects.filter(pk=message.pk, status=MessageStatus.UNKNOWN).update(sweep_at=next_at)


def _given_up(message: SmsMessage, now: datetime) -> bool:
    return now >= _look_up_times(message.claimed_at or message.created_at)[-1]


def _look_up_times(tried_at: datetime) -> list[datetime]:
    times, at = [], tried_at
    for delay in get_settings().RECONCILE_DELAYS:
        at += timedelta(seconds=delay)
        times.append(at)
    return times
