"""Ringing the workers: the database is the outbox, the broker only a bell.

Tasks carry ids, never content. If the bell cannot be rung, the rows say so and the sweep rings later.
"""

import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from celery import Task, current_app
from django.utils import timezone

from ..choices import MessageStatus, Purpose
from ..conf import get_settings
from ..logs import log
from ..models import SmsService
from .broker import publish
from .pacing import Pace
from .rows import messages

Item = TypeVar("Item")

#: Once more, at once: a connection that the broker has closed meanwhile is only noticed when it is used.
_RETRY_POLICY = {"max_retries": 1, "interval_start": 0.0, "interval_step": 0.1, "interval_max": 0.1}

#: Seconds for RabbitMQ to confirm, where the host asks it to (``confirm_publish``).
_CONFIRM_TIMEOUT = 2.0

#: Messages of one task.
TASK_SIZE = 500
#: Who has to wait longer than this waits in the database, for the sweep, instead of in a worker's memory.
LONGEST_COUNTDOWN = 15.0
#: A task of a service with a rate limit holds this many seconds' worth of messages.
TASK_SECONDS = 5


def ring(service: SmsService, message_ids: Sequence[int], purpose: str) -> None:
    """Have the workers deliver queued messages of one service and purpose, each in its turn of the rate limit.

    Never raises for a broker that is down; the sweep rings again.
    """
    pace = Pace.of(service)
    for ids in chunks(message_ids, task_size(pace)):
        put_to_broker(ids, purpose, after=0.0 if purpose == Purpose.OTP else pace.join_line(len(ids)))


def ring_in_turn(service: SmsService, message_ids: Sequence[int], purpose: str) -> None:
    """The same for messages whose turn has come: spread from now on, without a new place at the end of the line."""
    pace, after = Pace.of(service), 0.0
    for ids in chunks(message_ids, task_size(pace)):
        put_to_broker(ids, purpose, after=after)
        after += 0.0 if purpose == Purpose.OTP else pace.seconds(len(ids))


def task_size(pace: Pace) -> int:
    """How many messages one task holds."""
    return min(TASK_SIZE, pace.max_per_second * TASK_SECONDS) if pace.max_per_second else TASK_SIZE


def put_to_broker(message_ids: Sequence[int], purpose: str, *, after: float = 0.0) -> None:
    """One delivery task for these messages, after some seconds; a long wait is left to the sweep."""
    from ..tasks import deliver_messages

    if not message_ids:
        return
    too_long = after > LONGEST_COUNTDOWN or (after and current_app.conf.task_always_eager)
    if too_long or not start(deliver_messages, [list(message_ids)], queue_for(purpose), after):
        leave_to_sweep(message_ids, after)


def start(task: Task, arguments: Sequence[Any], queue: str | None, after: float = 0.0) -> bool:
    """Hand a task to the broker; returns whether it is there. Never raises, never waits for long."""

    # A shared task stands for the app's task of the thread that asks; the publishing thread has no app of its own.
    task = getattr(task, "_get_current_object", lambda: task)()

    def call() -> object:
        return task.apply_async(
            args=arguments,
            countdown=after or None,
            queue=queue,
            ignore_result=True,
            retry_policy=_RETRY_POLICY,
            confirm_timeout=_CONFIRM_TIMEOUT,
        )

    try:
        if current_app.conf.task_always_eager:
            call()
        else:
            publish(call)
    except Exception as error:  # noqa: BLE001 - whatever a broker's client raises, the rows are safe
        log(logging.WARNING, "sms.broker_unreachable", task=task.name, error=type(error).__name__)
        return False
    return True


def queue_for(purpose: str) -> str | None:
    """The Celery queue of a purpose; ``None`` is the project's default queue."""
    settings = get_settings()
    return (settings.OTP_QUEUE if purpose == Purpose.OTP else settings.QUEUE) or None


def leave_to_sweep(message_ids: Sequence[int], after: float = 0.0) -> None:
    """The sweep rings for these messages once the seconds have passed."""
    at = timezone.now() + timedelta(seconds=after)
    messages().by_id(message_ids, MessageStatus.QUEUED).update(sweep_at=at)


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Cut a sequence into pieces of at most this size."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
