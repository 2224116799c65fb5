"""Celery tasks. They carry ids, never numbers or codes."""

from celery import Task, shared_task
from django.db import close_old_connections

from .flows.sending import send
from .purging import purge as run_purge
from .sweeping import sweep as run_sweep


@shared_task(bind=True, name="login_mobile.send_codes", acks_late=True, ignore_result=True)
def send_codes(self: Task, challenge_ids: list[int]) -> None:
    """Make and hand over the codes of challenges that still wait for it."""
    _drop_broken_connections(self)
    send(challenge_ids)


@shared_task(bind=True, name="login_mobile.sweep", ignore_result=True)
def sweep(self: Task) -> None:
    """Ring again for codes that no worker came for. Schedule it every ten seconds, in the queue of one-time codes."""
    _drop_broken_connections(self)
    run_sweep()


@shared_task(bind=True, name="login_mobile.purge", ignore_result=True)
def purge(self: Task) -> None:
    """Delete old challenges and idle limits. Schedule it once a day."""
    _drop_broken_connections(self)
    run_purge()


def _drop_broken_connections(task: Task) -> None:
    """A worker that keeps its connections between tasks must notice when the database has closed one."""
    if not task.request.is_eager and not task.request.called_directly:
        close_old_connections()
