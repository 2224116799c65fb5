"""What is compared. Each function runs in a process of its design's own and returns one repetition's figures."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.db import connection
from django.utils import timezone

from sms_services.api import queue_message, send_message
from sms_services.choices import MessageStatus
from sms_services.conf import SETTING, get_settings
from sms_services.delivery.queueing import TASK_SIZE, chunks
from sms_services.models import SmsMessage, SmsService, SmsTemplate
from sms_services.tasks import deliver_messages

from .figures import Figures, measured
from .sdks import THREADS, Credentials, send_batches, sender

TEMPLATE = "greeting"
TEXT = "Hello ${name}, your appointment is tomorrow at ten."
NAME = "Ada"


def people(count: int, *, different: bool) -> list[tuple[str, str]]:
    """Fictional numbers and the names that their texts carry."""
    return [(f"+861380000{index:04}", f"Ada {index}" if different else NAME) for index in range(count)]


# The bare SDK


def bare_loop(provider: str, credentials: Credentials, url: str, count: int) -> Figures:
    """A plain loop over the bare SDK, one number."""
    send = sender(provider, credentials, url)
    number, name = people(1, different=False)[0]
    send(number, name)  # connects
    return measured(count, lambda: [send(number, name) for _ in range(count)])


def bare_threads(provider: str, credentials: Credentials, url: str, count: int, different: bool) -> Figures:
    """The bare SDK in as many threads as ours has; the threads are there before the clock starts."""
    send, all_people = sender(provider, credentials, url), people(count, different=different)
    send(*all_people[0])
    pool = _threads()
    return measured(count, lambda: list(pool.map(lambda person: send(*person), all_people)))


def bare_batches(credentials: Credentials, url: str, count: int, different: bool) -> Figures:
    """Alibaba Cloud's bare SDK with the same batches as ours."""
    all_people = people(count, different=different)
    send_batches(credentials, url, all_people[:1], different=different)
    return measured(count, lambda: send_batches(credentials, url, all_people, different=different))


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS)


# The naive design


def naive(provider: str, credentials: Credentials, url: str, count: int, different: bool) -> Figures:
    """A row inserted, the text sent, the row updated, one after the other."""
    send, service = sender(provider, credentials, url), SmsService.objects.get(key=provider)
    template = SmsTemplate.objects.get(key=TEMPLATE)
    code = template.code_for(service)
    all_people = people(count, different=different)
    send(*all_people[0])

    def run() -> None:
        for number, name in all_people:
            message = row(service, template, code, number, name)
            message.save()
            send(number, name)
            message.status, message.sent_at = MessageStatus.SENT, timezone.now()
            message.save()

    with queries() as count_of_queries:
        figures = measured(count, run)
    return figures._replace(queries=len(count_of_queries))


# Ours


def send_loop(provider: str, url: str, count: int) -> Figures:
    """``send_message`` to one number in a loop."""
    point_at(provider, url)
    number, name = people(1, different=False)[0]
    first = _last_id()

    def send() -> None:
        send_message(provider, number, TEMPLATE, {"name": name})

    send()
    figures = measured(count, lambda: [send() for _ in range(count)])
    _expect_sent(first, count + 1)
    return figures


def queued(provider: str, url: str, count: int, different: bool) -> Figures:
    """Messages queued, and delivered by the task that a worker would run, in tasks of the size that is put to it."""
    point_at(provider, url)
    store = _store_with_own_variables if different else _queue
    store(provider, 1, different)
    warm_up = list(SmsMessage.objects.filter(status=MessageStatus.QUEUED).values_list("pk", flat=True))
    deliver_messages(warm_up)
    first = _last_id()
    delivery: list[Figures] = []

    def run() -> None:
        ids = store(provider, count, different)
        delivery.append(measured(count, lambda: [deliver_messages(list(part)) for part in chunks(ids, TASK_SIZE)]))

    with queries() as statements:
        figures = measured(count, run)
    _expect_sent(first, count)
    return figures._replace(queries=len(statements), delivering=delivery[0].seconds)


def _queue(provider: str, count: int, different: bool) -> list[int]:
    numbers = [number for number, _ in people(count, different=different)]
    return [message.pk for message in queue_message(provider, numbers, TEMPLATE, {"name": NAME})]


def _store_with_own_variables(provider: str, count: int, different: bool) -> list[int]:
    """Rows as a fan-out stores them: ``queue_message`` takes one set of variables for all numbers."""
    service, template = SmsService.objects.get(key=provider), SmsTemplate.objects.get(key=TEMPLATE)
    code = template.code_for(service)
    rows = [row(service, template, code, number, name) for number, name in people(count, different=different)]
    return [message.pk for message in SmsMessage.objects.bulk_create(rows, batch_size=1000)]


def row(service: SmsService, template: SmsTemplate, code: str, number: str, name: str) -> SmsMessage:
    message = SmsMessage(
        service_id=service.pk,
        template_id=template.pk,
        purpose=template.purpose,
        phone_number=number,
        text=template.text,
        template_code=code,
        sweep_at=timezone.now() + timedelta(seconds=get_settings().REQUEUE_AFTER),
    )
    message.set_params({"name": name})
    return message


def point_at(provider: str, url: str) -> None:
    """Lead a provider to a simulator."""
    known = getattr(settings, SETTING)
    if known["ENDPOINT_URLS"].get(provider) != url:
        endpoints = {**known["ENDPOINT_URLS"], provider: url}
        setattr(settings, SETTING, {**known, "ENDPOINT_URLS": endpoints})
        setting_changed.send(sender=None, setting=SETTING, value=None, enter=True)


# Checks and counts


@contextmanager
def queries() -> Any:
    """Collects a mark for every statement; the driver's BEGIN and COMMIT are none."""
    statements: list[None] = []

    def count(execute: Callable[..., Any], sql: str, params: Sequence[Any], many: bool, context: Any) -> Any:
        statements.append(None)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(count):
        yield statements


def _last_id() -> int:
    return SmsMessage.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def _expect_sent(after: int, count: int) -> None:
    """A benchmark that measures failures measures nothing."""
    sent = SmsMessage.objects.filter(pk__gt=after, status=MessageStatus.SENT).count()
    if sent != count:
        raise RuntimeError(f"{sent} of {count} messages were sent.")
