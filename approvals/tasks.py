"""Celery tasks. They carry ids at most."""

from celery import Task, shared_task
from django.db import close_old_connections

from .sweeping import sweep as run_sweep


@shared_task(bind=True, name="approvals.sweep", ignore_result=True)
def sweep(self: Task) -> None:
    """Reminders, escalations, absent approvers, texts left undone. Schedule it every ten seconds or so."""
    if not self.request.is_eager and not self.request.called_directly:
        close_old_connections()  # a worker keeps connections between tasks; the database may have closed one
    run_sweep()
