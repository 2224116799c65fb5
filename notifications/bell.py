"""Ringing the workers for notifications. Tasks carry ids; if the bell cannot be rung, the sweep rings later."""

from collections.abc import Sequence

from celery import Task
from django.utils import timezone

from sms_services.conf import get_settings as get_sms_settings
from sms_services.delivery.queueing import start

from .conf import get_settings
from .rows import notifications


def ring_for(pks: Sequence[int]) -> bool:
    """Have a worker go on with each of these; returns whether the broker took them all.

    Never raises for a broker that is down, and waits for it only once.
    """
    from .tasks import advance

    for number, pk in enumerate(pks):
        if not _start(advance, pk):
            notifications().filter(pk__in=pks[number:], sweep_at__isnull=False).update(sweep_at=timezone.now())
            return False
    return True


def ring_for_queued(pk: int) -> None:
    """Have a worker ring for all messages of a notification that are still queued."""
    from .tasks import ring_queued

    _start(ring_queued, pk)


def _start(task: Task, pk: int) -> bool:
    return start(task, [[pk]], get_settings().QUEUE or get_sms_settings().QUEUE or None)
