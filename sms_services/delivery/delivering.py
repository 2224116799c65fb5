"""The one path by which every text leaves: claim, call the provider, write the outcome; then the next batch."""

import logging
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from ..choices import ErrorKind, MessageStatus, Outcome, Purpose
from ..conf import get_settings
from ..exceptions import EncryptionKeyError
from ..logs import log
from ..models import SmsMessage, SmsService
from ..providers import get_provider
from ..providers.base import OutgoingMessage, Provider, Result
from .pacing import Pace
from .queueing import put_to_broker, ring, task_size
from .rows import messages as stored_messages
from .settling import settle

SERVICE_INACTIVE = "service_inactive"
SERVICE_UNUSABLE = "service_unusable"


@sensitive_variables()
def deliver(service: SmsService, messages: Sequence[SmsMessage]) -> None:
    """Try queued messages of one service and purpose now, and put to the broker what has to wait.

    The instances get the outcomes. Messages that somebody else has taken are left to whoever took them.

    Raises:
        MissingSDK, EncryptionKeyError: nothing was tried; all messages are still queued.
    """
    if not messages:
        return
    if not service.is_active:
        _refuse(service, messages, SERVICE_INACTIVE)
        return
    provider = get_provider(service)
    pace = Pace.of(service)
    purpose = messages[0].purpose
    ready = _readable(messages)
    rest = {message.pk for message, _ in ready}
    for indexes in provider.batches([outgoing for _, outgoing in ready], pace.batch_limit):
        wait = pace.take(len(indexes), codes=purpose == Purpose.OTP)
        if wait:
            _postpone(service, sorted(rest), purpose, wait)
            return
        batch = [ready[index] for index in indexes]
        rest.difference_update(message.pk for message, _ in batch)
        _deliver_batch(service, provider, batch)


def _postpone(service: SmsService, message_ids: Sequence[int], purpose: str, wait: float) -> None:
    """One task goes on when the limit allows it; what it cannot hold joins the line."""
    size = task_size(Pace.of(service))
    put_to_broker(message_ids[:size], purpose, after=wait)
    ring(service, message_ids[size:], purpose)


def _readable(messages: Sequence[SmsMessage]) -> list[tuple[SmsMessage, OutgoingMessage]]:
    """What goes to the provider. A message whose variables no key opens stays queued until the key is back."""
    ready = []
    for message in messages:
        try:
            ready.append((message, message.outgoing()))
        except EncryptionKeyError:
            log(logging.ERROR, "sms.unreadable_variables", message=message.pk, service=message.service_id)
    return ready


def _deliver_batch(
    service: SmsService, provider: Provider, batch: Sequence[tuple[SmsMessage, OutgoingMessage]]
) -> None:
    claim = uuid.uuid4().hex
    mine = _claim(service, [message for message, _ in batch], claim)
    if not mine:
        return
    outgoing = [out for message, out in batch if message.pk in mine]
    messages = [message for message, _ in batch if message.pk in mine]
    results = [_counted(provider, *pair) for pair in zip(outgoing, provider.send(outgoing, claim), strict=True)]
    settled = settle(service, claim, messages, results, can_look_up=provider.can_look_up)
    put_to_broker(settled.again, messages[0].purpose, after=settled.pause)


def _counted(provider: Provider, outgoing: OutgoingMessage, result: Result) -> Result:
    """The result with the segments that we count, where the provider does not say."""
    if result.outcome != Outcome.ACCEPTED or result.segments is not None or not outgoing.text:
        return result
    return replace(result, segments=provider.count_segments(outgoing.text, outgoing.phone_number).segments)


def _claim(service: SmsService, messages: Sequence[SmsMessage], claim: str) -> set[int]:
    """Take the messages that are still to be had; returns their ids, and updates their instances."""
    now = timezone.now()
    until = now + timedelta(seconds=get_settings().SENDING_TIMEOUT)
    ids = [message.pk for message in messages]
    rows = stored_messages().filter(pk__in=ids)
    count = rows.claim(claim, now, until, service.account)
    mine = set(ids) if count == len(ids) else set(rows.claimed(claim).values_list("pk", flat=True))
    for message in messages:
        if message.pk in mine:
            _mark_claimed(message, claim, now, service.account)
    return mine


def _mark_claimed(message: SmsMessage, claim: str, now: datetime, account: str) -> None:
    message.status = MessageStatus.SENDING
    message.claim = claim
    message.account = account
    message.claimed_at = now
    message.tries += 1


def _refuse(service: SmsService, messages: Sequence[SmsMessage], code: str) -> None:
    """Fail messages that cannot be tried at all, on the same path as all others."""
    claim = uuid.uuid4().hex
    mine = _claim(service, messages, claim)
    refused = [message for message in messages if message.pk in mine]
    if refused:
        results = [Result(Outcome.REFUSED, ErrorKind.CREDENTIALS, code)] * len(refused)
        settle(service, claim, refused, results, can_look_up=False)
        log(logging.WARNING, "sms.refused", service=service.key, messages=len(refused), code=code)
