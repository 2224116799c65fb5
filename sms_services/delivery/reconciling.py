"""Settling messages in doubt, where the provider can be asked what became of them. Nothing is ever sent again here."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from ..choices import ErrorKind, MessageStatus
from ..conf import get_settings
from ..exceptions import LookUpFailed, SmsError
from ..logs import log
from ..models import ServicePace, SmsMessage, SmsService, current_service
from ..placeholders import matching_pattern
from ..providers import get_provider
from ..providers.base import Provider, Record
from .rows import database
from .rows import messages as stored_messages
from .settling import announce

NO_RECORD = "no_record"
#: How far the provider's clock may be from ours.
CLOCK_SKEW = timedelta(seconds=60)
#: Nobody is asked about an older message: it stays in doubt.
LONGEST_DOUBT = timedelta(days=7)


def reconcile(message_ids: Sequence[int]) -> None:
    """Look messages in doubt up at their provider, and settle those that it knows.

    One without a record stays in doubt until the last of ``RECONCILE_DELAYS`` has passed; then it is certain that
    it was not sent. One that cannot be looked up, because it was tried through another account than the service's
    present one, stays in doubt for good.
    """
    if not get_settings().RECONCILE_DELAYS:
        return
    doubtful = stored_messages().by_id(message_ids, MessageStatus.UNKNOWN).order_by("claimed_at", "pk")
    by_service: dict[int, list[SmsMessage]] = defaultdict(list)
    for message in doubtful:
        by_service[message.service_id].append(message)
    for service_id, group in by_service.items():
        service = current_service(service_id)
        if service is None:
            continue
        try:
            _reconcile_service(service, group)
        except SmsError as error:  # this service cannot be asked now; the others can
            log(logging.ERROR, "sms.look_up_impossible", service=service.key, error=type(error).__name__)


def _reconcile_service(service: SmsService, messages: Sequence[SmsMessage]) -> None:
    lost = [message for message in messages if message.account != service.account]
    if lost:
        stored_messages().filter(pk__in=[message.pk for message in lost]).update(sweep_at=None)
    messages = [message for message in messages if message.account == service.account]
    provider = get_provider(service)
    if not messages or not provider.can_look_up:
        return
    answers = _ask_all(provider, messages)
    with transaction.atomic(using=database()):
        _one_at_a_time(service)
        used = _used_ids(service, [record for answer in answers for record in answer or ()])
        settled = []
        for message, answer in zip(messages, answers, strict=True):
            if _settle(message, answer, used):
                settled.append(message)
    announce(service, settled)


def _one_at_a_time(service: SmsService) -> None:
    """Two look-ups at once must not take one record for two messages: whoever changes this row first goes first."""
    rows = ServicePace.objects.using(database())
    rows.get_or_create(service_id=service.pk)
    rows.filter(service_id=service.pk).update(line_at=F("line_at"))


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


def _used_ids(service: SmsService, records: Sequence[Record]) -> set[str]:
    """Which of these records belong to messages that are settled already, through any service of the account."""
    ids = {record.message_id for record in records if record.message_id and not record.reference}
    if not ids:
        return set()
    known = stored_messages().filter(account=service.account, provider_message_id__in=ids)
    return set(known.values_list("provider_message_id", flat=True))


def _settle(message: SmsMessage, records: Sequence[Record] | None, used: set[str]) -> bool:
    """Write what the look-up showed; returns whether that settled the message. ``used`` gets the record's id."""
    if records is None:
        _look_again(message)
        return False
    candidates = [record for record in records if record.message_id not in used or record.reference]
    record = _match(message, candidates)
    if record is not None:
        if not record.reference:
            used.add(record.message_id)
        message.status = record.status
        message.sent_at = None if record.status == MessageStatus.FAILED else record.sent_at or message.claimed_at
        message.provider_message_id = record.message_id
        message.segments = None if record.status == MessageStatus.FAILED else record.segments or message.segments
        message.error_kind = record.error_kind or ""
        message.provider_code = record.code
    elif not candidates and _given_up(message, timezone.now()):
        message.status = MessageStatus.FAILED
        message.segments = None
        message.error_kind = ErrorKind.TRANSIENT
        message.provider_code = NO_RECORD
    else:
        _look_again(message)
        return False
    message.sweep_at = None
    names = ("status", "sent_at", "provider_message_id", "segments", "error_kind", "provider_code", "sweep_at")
    values = {name: getattr(message, name) for name in names}
    return bool(stored_messages().filter(pk=message.pk, status=MessageStatus.UNKNOWN).update(**values))


def _match(message: SmsMessage, records: Sequence[Record]) -> Record | None:
    """The record of this message: by our reference or, where the provider keeps none, by the text."""
    if any(record.reference for record in records):
        return next((record for record in records if record.reference == message.claim), None)
    pattern = matching_pattern(message.text, message.params)
    return next((record for record in records if pattern.search(record.text)), None)


def _look_again(message: SmsMessage) -> None:
    now = timezone.now()
    tried_at = message.claimed_at or message.created_at
    times = [at for at in _look_up_times(tried_at) if at > now]
    last_delay = timedelta(seconds=get_settings().RECONCILE_DELAYS[-1])
    next_at: datetime | None = times[0] if times else now + last_delay
    if now > tried_at + LONGEST_DOUBT:
        next_at = None
    stored_messages().filter(pk=message.pk, status=MessageStatus.UNKNOWN).update(sweep_at=next_at)


def _given_up(message: SmsMessage, now: datetime) -> bool:
    return now >= _look_up_times(message.claimed_at or message.created_at)[-1]


def _look_up_times(tried_at: datetime) -> list[datetime]:
    times, at = [], tried_at
    for delay in get_settings().RECONCILE_DELAYS:
        at += timedelta(seconds=delay)
        times.append(at)
    return times
