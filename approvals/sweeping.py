"""The sweep: texts that were left undone, escalations and reminders that are due, tasks of people who have left.

Any number of sweeps may run at once: everything is looked at once more when the request is locked.
"""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from notifications.directory import has_is_active

from .choices import OPEN_TASKS, TaskStatus
from .engine import Run, acting
from .logs import log_failure
from .models import Task
from .models.tasks import TaskQuerySet
from .rows import database, tasks
from .texting import sweep_texts

#: Tasks of one step, so that no list grows with the backlog.
STEP = 500
#: A round ends after this many seconds, before the next one is due.
ROUND_SECONDS = 8.0


def sweep() -> None:
    """Everything whose time has come, for as long as a round may take.

    Each kind of work has a share of it, so that no backlog of one keeps another waiting. What one leaves of its share
    is for those after it, and what all have left for the texts, which come first and so could have no more than theirs.
    """
    end = time.monotonic() + ROUND_SECONDS
    now = timezone.now()

    def escalate(until: float) -> None:
        _with_each(tasks().to_escalate(now).order_by("pk"), until, lambda run, task: escalate_due(run, task, now))

    def remind(until: float) -> None:
        _with_each(tasks().to_remind(now).order_by("pk"), until, lambda run, task: remind_due(run, task, now))

    kinds = (sweep_texts, escalate, remind, _replace_all_absent)
    for left, work in zip(range(len(kinds), 0, -1), kinds, strict=True):
        begun = time.monotonic()
        work(begun + (end - begun) / left)
    sweep_texts(end)


def escalate_due(run: Run, task: Task, now: datetime) -> None:
    """Escalate a task whose time has come, unless somebody has acted or another sweep has done it."""
    if task.status == TaskStatus.PENDING and task.escalate_at and task.escalate_at <= now:
        run.escalate(task)


def remind_due(run: Run, task: Task, now: datetime) -> None:
    """Remind everybody at a visit whose time has come, unless that was done meanwhile."""
    due = [other for other in run.pending() if other.remind_at and other.remind_at <= now]
    if due:
        run.remind(due)


def replace_absent(run: Run, task: Task) -> None:
    """Do without somebody who was deactivated or deleted, or find somebody else."""
    if task.status in OPEN_TASKS and not (task.user and task.user.is_active):
        run.replace(task)


def _replace_all_absent(until: float) -> None:
    for absent in of_absent():
        _with_each(absent, until, replace_absent)


def of_absent() -> Iterator[TaskQuerySet]:
    """Open tasks of people who cannot act any more: of all who were deleted, then of each who was deactivated.

    Each in the order of an index. Asked for all in one, or by primary key alone, databases look at every task there
    ever was.
    """
    gone = list(deactivated_with_tasks().values_list("pk", flat=True)) if has_is_active() else []
    for user in (None, *gone):
        yield tasks().filter(open=1, user=user).order_by("user_id", "pk")


def deactivated_with_tasks() -> "QuerySet[Any]":
    """The deactivated accounts that have open tasks."""
    users = get_user_model()._base_manager.using(database()).order_by()
    return users.filter(Exists(tasks().filter(open=1, user=OuterRef("pk"))), is_active=False)


def _with_each(due: TaskQuerySet, until: float, do: Callable[[Run, Task], None]) -> None:
    """Do something for tasks, in an order in which primary keys ascend, each with its request locked.

    Those that fail do not keep the others waiting.
    """
    last = 0
    while found := list(due.filter(pk__gt=last).values_list("pk", "request")[:STEP]):
        for pk, request_id in found:
            if time.monotonic() > until:
                return
            try:
                with acting(request_id, None) as run:
                    do(run, run.task(pk))
            except Exception as error:  # noqa: BLE001 - logged
                log_failure("approvals.sweep_failed", error, request=request_id)
        if len(found) < STEP:
            return
        last = found[-1][0]
