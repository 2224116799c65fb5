"""Celery tasks. They carry ids of notifications, nothing else."""

import logging

from celery import Task, shared_task

from sms_services.exceptions import SmsError
from sms_services.logs import log
from sms_services.tasks import drop_broken_connections

from .expansion.ending import end
from .expansion.expanding import ROUND_SECONDS, expand
from .expansion.releasing import ring_for_messages
from .purging import purge as run_purge
from .sweeping import sweep as run_sweep


@shared_task(bind=True, name="notifications.advance", acks_late=True, ignore_result=True)
def advance(self: Task, notification_ids: list[int]) -> None:
    """Go on with notifications: resolve their recipients, skip what may not leave any more, end what is done."""
    drop_broken_connections(self)
    for pk in notification_ids:
        try:
            expand(pk)
            end(pk, ROUND_SECONDS)
        except SmsError as error:  # such as an encryption key that is missing: the sweep tries again
            log(logging.ERROR, "notification.interrupted", notification=pk, error=type(error).__name__, reason=error)


@shared_task(bind=True, name="notifications.ring_queued", acks_late=True, ignore_result=True)
def ring_queued(self: Task, notification_ids: list[int]) -> None:
    """Ring the workers for what is queued of resumed notifications."""
    drop_broken_connections(self)
    for pk in notification_ids:
        ring_for_messages(pk)


@shared_task(bind=True, name="notifications.sweep", ignore_result=True)
def sweep(self: Task) -> None:
    """Look after schedules, dead workers and what is done. Schedule it every ten seconds or so."""
    drop_broken_connections(self)
    run_sweep()


@shared_task(bind=True, name="notifications.purge", ignore_result=True)
def purge(self: Task) -> None:
    """Delete notifications that ended more than ``RETENTION_DAYS`` ago. Schedule it once a day."""
    drop_broken_connections(self)
    for _count in run_purge():
        pass
