"""The engine: the steps that a locked request can take.

``acting`` opens the transaction and locks the request's row, with an UPDATE, which every database understands; all that
follows happens alone. A ``Run`` then takes one step, and goes on from node to node until people have to act or the
request ends. Each task is closed by a conditional UPDATE whose row count decides, so that even code that does not lock
cannot close it twice. What is to be said is said when all is written, still in the transaction.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Max
from django.dispatch import Signal
from django.utils import timezone

from sms_services.models import SmsTemplate, current_service

from . import approvers
from .choices import (
    CONSEQUENCES,
    FINAL_REQUESTS,
    OPEN_TASKS,
    OPEN_VISITS,
    EventKind,
    InitiatorPolicy,
    NobodyPolicy,
    NodeKind,
    NodeMode,
    Reason,
    RepeatPolicy,
    RequestStatus,
    TaskStatus,
    VisitStatus,
)
from .conflicts import conflict_over
from .definitions import NodeDefinition, json_pk
from .logs import log_failure
from .models import Event, NodeVisit, Request, Task
from .names import name_of
from .registry import get_predicate
from .rows import database, events, locked, requests, tasks, visits
from .signals import node_reached, request_changed, task_handled
from .texting import mark_handled, write_text

ENGINE = "approvals"
_TRANSFERS = {EventKind.ESCALATED: Reason.ESCALATED}


@contextmanager
def acting(request_id: int, actor: Any) -> Iterator["Run"]:
    """A transaction with the request locked. ``actor`` is ``None`` for the engine itself.

    Raises:
        Request.DoesNotExist: there is no such request.
    """
    with transaction.atomic(using=database()):
        row = requests().filter(pk=request_id)
        row.update(version=F("version") + 1)
        # Once more as a locking read: where transactions keep a snapshot, a plain one would show what was before.
        run = Run(locked(row).get(), actor)
        yield run
        run.say_all()


class Run:
    """One action on a request whose row is locked."""

    def __init__(self, request: Request, actor: Any) -> None:
        self.request = request
        self.actor = actor
        self.now = timezone.now()
        self.nodes = request.definition.nodes
        self._to_say: list[tuple[Signal, dict[str, Any]]] = []

    # What it does to a request

    def submit(self) -> None:
        self._announce("", self.record(EventKind.SUBMITTED))
        self.enter(0)

    def approve(self, task: Task, comment: str) -> None:
        visit = task.visit
        self._close(task, TaskStatus.APPROVED, self.record(EventKind.APPROVED, visit, task, comment))
        if self._settle(visit):
            self.enter(visit.position + 1)

    def reject(self, task: Task, comment: str) -> None:
        event = self.record(EventKind.REJECTED, task.visit, task, comment)
        self._close(task, TaskStatus.REJECTED, event)
        self._leave(task.visit, VisitStatus.REJECTED, event)
        self._change(RequestStatus.REJECTED, event)

    def send_back(self, task: Task, position: int | None, comment: str) -> None:
        """To the node at a position, or to the initiator."""
        to = self.nodes[position].key if position is not None else ""
        event = self.record(EventKind.RETURNED, task.visit, task, comment, details={"to": to})
        self._close(task, TaskStatus.RETURNED, event)
        self._leave(task.visit, VisitStatus.RETURNED, event)
        if position is None:
            self._change(RequestStatus.RETURNED, event)
        else:
            self.request.round += 1
            self.request.save(update_fields=["round"])
            self.enter(position)

    def transfer(self, task: Task, to: Any, comment: str, kind: EventKind = EventKind.TRANSFERRED) -> None:
        """Hand a task to somebody who has no open one at this visit."""
        event = self.record(kind, task.visit, task, comment, others=[to])
        self._close(task, TaskStatus.TRANSFERRED, event)
        self._create(task.visit, [to], TaskStatus.WAITING, order=task.order, transferred_from=task)
        if task.pending_at:
            heirs = list(self._tasks_of(task.visit).open().filter(user=to))
            self._begin(task.visit, heirs)
            self._tell(event, task.visit, heirs, _TRANSFERS.get(kind, Reason.TRANSFERRED))

    def withdraw(self, comment: str) -> None:
        visit = self.visit()
        event = self.record(EventKind.WITHDRAWN, visit, comment=comment)
        if visit:
            self._leave(visit, VisitStatus.CANCELLED, event)
        self._change(RequestStatus.WITHDRAWN, event)

    def resubmit(self, comment: str) -> None:
        event = self.record(EventKind.RESUBMITTED, comment=comment)
        self.request.round += 1
        self.request.save(update_fields=["round", "title", "data"])
        self._change(RequestStatus.RUNNING, event)
        self.enter(0)

    def remind(self, due: Sequence[Task]) -> None:
        """Remind these people, all at one visit. What the sweep does for a task, it does once."""
        visit = due[0].visit
        event = self.record(EventKind.REMINDED, visit, others=[task.user for task in due])
        if self.actor is None:
            tasks().filter(pk__in=[task.pk for task in due]).update(remind_at=None)
        self._tell(event, visit, due, Reason.REMINDER)

    def resume(self, visit: NodeVisit, users: Sequence[Any] | None) -> None:
        self._set_status(visit, VisitStatus.RUNNING)
        self.record(EventKind.RESUMED, visit, others=users or ())
        if self._work(visit, users):
            self.enter(visit.position + 1)

    def replace(self, task: Task) -> None:
        """Do without somebody who is not available any more, or find somebody else, as the node says."""
        visit, node = task.visit, self.nodes[task.visit.position]
        substitutes = self._free(visit, node, self._administrators(node))
        if node.nobody_found == NobodyPolicy.ADMINS and substitutes and visit.mode != NodeMode.ANY:
            self.transfer(task, substitutes[0], "", EventKind.LEFT)
            return
        event = self.record(EventKind.LEFT, visit, task)
        self._close(task, TaskStatus.CANCELLED, event)
        others = self._tasks_of(visit)
        if visit.mode == NodeMode.ANY and others.open().exists():
            return
        still_somebody = self._here(visit).exists()
        without_them = node.nobody_found == NobodyPolicy.PASS and still_somebody
        if self._settle(visit) if without_them else self._nobody(visit, node):
            self.enter(visit.position + 1)

    def escalate(self, task: Task) -> None:
        """Transfer what nobody has acted on, to the first of those named for it who can get it.

        Nobody is asked twice at a visit: whoever stands in for somebody there already does so for this one too.
        """
        visit, node = task.visit, self.nodes[task.visit.position]
        found = self._look_up(node, lambda: approvers.find_escalated(self.request, node, task.user)) or []
        free, stand_ins = self._free(visit, node, found), self._stand_ins(visit)
        if free:
            self.transfer(task, free[0], "", EventKind.ESCALATED)
        elif same := [user for user in found if user.pk in stand_ins and user.pk != task.user_id]:
            event = self.record(EventKind.ESCALATED, visit, task, others=same[:1])
            self._close(task, TaskStatus.TRANSFERRED, event)
            if self._settle(visit):
                self.enter(visit.position + 1)
        else:
            tasks().filter(pk=task.pk).update(escalate_at=None)
            self.record(EventKind.NOT_ESCALATED, visit, task)

    def _stand_ins(self, visit: NodeVisit) -> set[Any]:
        """The ids of those to whom something was escalated at a visit, and who decide on it or have approved."""
        escalated = self._here(visit).filter(transferred_from__closed_by__kind=EventKind.ESCALATED)
        return set(escalated.values_list("user", flat=True))

    # From node to node

    def enter(self, position: int) -> None:
        """Come to a node, and go on for as long as there is nobody who has to act."""
        for place in range(position, len(self.nodes)):
            if not self._work(self._visit(place)):
                return
        self._change(RequestStatus.APPROVED, self.record(EventKind.FINISHED))

    def _visit(self, position: int) -> NodeVisit:
        node = self.nodes[position]
        last = visits().filter(request=self.request).aggregate(last=Max("number"))["last"] or 0
        return visits().create(
            request=self.request,
            number=last + 1,
            round=self.request.round,
            position=position,
            node_key=node.key,
            node_title=node.title,
            kind=node.kind,
            mode=node.mode,
            entered_at=self.now,
        )

    def _work(self, visit: NodeVisit, users: Sequence[Any] | None = None) -> bool:
        """Do what a node says; returns whether the request goes on at once.

        Args:
            users: who is asked instead of those whom the node's rules find.
        """
        node = self.nodes[visit.position]
        if users is None:
            if node.condition:
                holds = self._look_up(node, lambda: bool(get_predicate(node.condition)(self.request)))
                if holds is None:
                    return self._pause(visit, "condition_failed")
                if not holds:
                    self._leave(visit, VisitStatus.SKIPPED, self.record(EventKind.SKIPPED, visit))
                    return True
            users = self._look_up(node, lambda: approvers.find(self.request, node))
            if users is None:
                return self._pause(visit, "resolver_failed")
        if node.kind == NodeKind.CC:
            self._copy(visit, users)
            return True
        return self._settle(visit) if self._assign(visit, node, users) else self._nobody(visit, node)

    def _look_up(self, node: NodeDefinition, function: Callable[[], Any]) -> Any:
        """What a function of the project says; ``None`` if it fails, in a savepoint of its own."""
        try:
            with transaction.atomic(using=database()):
                return function()
        except Exception as error:  # noqa: BLE001 - logged
            log_failure("approvals.function_failed", error, request=self.request.pk, node=node.key)
            return None

    def _copy(self, visit: NodeVisit, people: Sequence[Any]) -> None:
        event = self.record(EventKind.COPIED if people else EventKind.PASSED, visit, others=people)
        self._create(visit, people, TaskStatus.COPIED, closed_by=event, closed_at=self.now)
        self._leave(visit, VisitStatus.COPIED if people else VisitStatus.PASSED, event)
        self._tell(event, visit, self._tasks_of(visit).prefetch_related("user"), Reason.REACHED)

    def _assign(self, visit: NodeVisit, node: NodeDefinition, found: Sequence[Any]) -> bool:
        """Give people tasks; returns whether there is anybody who has one, or has approved here already."""
        orders = dict(self._here(visit).values_list("user", "order"))
        people = [user for user in found if user.pk not in orders]
        approved = self._approved_before(visit, people) if node.repeat_policy == RepeatPolicy.PASS else set()
        for user in people:
            if user.pk in approved:
                event = self.record(EventKind.APPROVED_BEFORE, visit, others=[user])
                self._create(visit, [user], TaskStatus.APPROVED, closed_by=event, closed_at=self.now)
        if not (approved and visit.mode == NodeMode.ANY):
            to_ask = [user for user in people if user.pk not in approved]
            self._create(visit, to_ask, TaskStatus.WAITING, order=max(orders.values(), default=-1) + 1)
        return bool(people or orders)

    def _approved_before(self, visit: NodeVisit, people: Sequence[Any]) -> set[Any]:
        """The ids of those who have approved at an earlier node of this round."""
        approvals = tasks().filter(request=self.request, visit__round=visit.round, status=TaskStatus.APPROVED)
        return set(approvals.filter(user__in=people).values_list("user", flat=True))

    def _nobody(self, visit: NodeVisit, node: NodeDefinition) -> bool:
        """Do what a node says for the case that it finds nobody; returns whether the request goes on at once."""
        if node.nobody_found == NobodyPolicy.PASS:
            self._leave(visit, VisitStatus.PASSED, self.record(EventKind.PASSED, visit))
            return True
        administrators = self._free(visit, node, self._administrators(node))
        if node.nobody_found == NobodyPolicy.ADMINS and administrators:
            visit.mode = NodeMode.ANY
            visit.save(update_fields=["mode"])
            self._create(visit, administrators, TaskStatus.WAITING)
            return self._settle(visit)
        return self._pause(visit, "nobody_found")

    def _pause(self, visit: NodeVisit, why: str) -> bool:
        self._set_status(visit, VisitStatus.PAUSED)
        self.record(EventKind.PAUSED, visit, details={"why": why})
        return False

    def _settle(self, visit: NodeVisit) -> bool:
        """Whose turn is it now? Returns whether the node has all approvals that it needs."""
        if visit.status == VisitStatus.PAUSED:
            return False
        at_visit = self._tasks_of(visit)
        approved = at_visit.filter(status=TaskStatus.APPROVED)
        open_tasks = list(at_visit.open().order_by("order", "pk").prefetch_related("user"))
        if approved.exists() if visit.mode == NodeMode.ANY else not open_tasks:
            self._leave(visit, VisitStatus.APPROVED, approved.order_by("-closed_by_id").first().closed_by)
            return True
        waiting = [task for task in open_tasks if task.status == TaskStatus.WAITING]
        if visit.mode == NodeMode.SEQUENTIAL:
            waiting = waiting[:1] if len(waiting) == len(open_tasks) else []
        if waiting:
            event = self.record(EventKind.REACHED, visit, others=[task.user for task in waiting])
            self._begin(visit, waiting)
            self._tell(event, visit, waiting, Reason.REACHED)
        return False

    # Tasks

    def task(self, pk: int) -> Task:
        """A task of this request with its visit, as they are now.

        Raises:
            Task.DoesNotExist: there is no such task.
        """
        task = locked(tasks()).get(pk=pk, request=self.request)
        task.visit = locked(visits()).get(pk=task.visit_id)
        task.request = task.visit.request = self.request
        return task

    def visit(self) -> NodeVisit | None:
        """The visit to the node at which the request stands; ``None`` where it stands at none."""
        return locked(visits()).filter(request=self.request, status__in=OPEN_VISITS).first()

    def pending(self) -> list[Task]:
        """What the request waits for."""
        visit = self.visit()
        found = list(self._tasks_of(visit).pending().prefetch_related("user")) if visit else []
        for task in found:
            task.visit = visit
        return found

    def _tasks_of(self, visit: NodeVisit) -> Any:
        return locked(tasks()).filter(visit=visit)

    def _here(self, visit: NodeVisit) -> Any:
        """The tasks at a visit that count: those that are open, and those by which it was approved."""
        return self._tasks_of(visit).filter(status__in=(*OPEN_TASKS, TaskStatus.APPROVED))

    def _free(self, visit: NodeVisit, node: NodeDefinition, people: Sequence[Any]) -> list[Any]:
        """Those of these people who can get a task at a visit: nobody decides twice there."""
        taken = set(self._here(visit).values_list("user", flat=True))
        if node.initiator_policy != InitiatorPolicy.ASK:
            taken.add(self.request.initiator_id)
        return [user for user in people if user.pk not in taken]

    def _administrators(self, node: NodeDefinition) -> list[Any]:
        return self._look_up(node, approvers.administrators) or []

    def _create(
        self, visit: NodeVisit, people: Sequence[Any], status: TaskStatus, *, order: int = 0, **fields: Any
    ) -> None:
        tasks().bulk_create(
            Task(
                request=self.request,
                visit=visit,
                user=user,
                user_name=name_of(user),
                order=order + number,
                status=status,
                created_at=self.now,
                **fields,
            )
            for number, user in enumerate(people)
        )

    def _begin(self, visit: NodeVisit, turns: Sequence[Task]) -> None:
        """It is these people's turn from now on."""
        node = self.nodes[visit.position]
        tasks().filter(pk__in=[task.pk for task in turns]).update(
            status=TaskStatus.PENDING,
            pending_at=self.now,
            remind_at=self._after(node.remind_after),
            escalate_at=self._after(node.escalate_after),
        )

    def _after(self, seconds: float | None) -> datetime | None:
        return None if seconds is None else self.now + timedelta(seconds=seconds)

    def _close(self, task: Task, status: TaskStatus, event: Event) -> None:
        """End a task, if it can still be ended.

        Raises:
            Conflict: it was ended by somebody else.
        """
        changed = (
            tasks()
            .filter(pk=task.pk, status__in=OPEN_TASKS)
            .update(status=status, handled_by=event.actor, **self._ended_by(event))
        )
        if not changed:
            raise conflict_over(task)
        task.status = status
        self._handled([task.key], task, status, event)

    def _leave(self, visit: NodeVisit, status: VisitStatus, event: Event | None) -> None:
        """End a visit; what is still open at it is not needed any more."""
        needless = list(self._tasks_of(visit).open())
        self._set_status(visit, status, left_at=self.now)
        if needless:
            keys = [task.key for task in needless]
            rows = tasks().filter(pk__in=[task.pk for task in needless], status__in=OPEN_TASKS)
            rows.update(status=TaskStatus.CANCELLED, **self._ended_by(event))
            self._handled(keys, None, TaskStatus.CANCELLED, event)

    def _ended_by(self, event: Event | None) -> dict[str, Any]:
        return {"closed_by": event, "closed_at": self.now, "remind_at": None, "escalate_at": None}

    # What is kept, and what is said

    def _set_status(self, visit: NodeVisit, status: VisitStatus, **fields: Any) -> None:
        changes = {"status": status, **fields}
        visits().filter(pk=visit.pk).update(**changes)
        for name, value in changes.items():
            setattr(visit, name, value)

    def _change(self, status: RequestStatus, event: Event) -> None:
        old = self.request.status
        self.request.status = status
        self.request.finished_at = self.now if status in FINAL_REQUESTS else None
        self.request.save(update_fields=["status", "finished_at"])
        self._announce(old, event)

    def record(
        self,
        kind: EventKind,
        visit: NodeVisit | None = None,
        task: Task | None = None,
        comment: str = "",
        *,
        others: Iterable[Any] = (),
        details: dict[str, Any] | None = None,
    ) -> Event:
        """Write a line of the history."""
        actor = None if kind in CONSEQUENCES else self.actor
        return events().create(
            request=self.request,
            visit=visit,
            task=task,
            kind=kind,
            actor=actor,
            actor_name=name_of(actor),
            comment=comment,
            others=[{"id": json_pk(user.pk), "name": name_of(user)} for user in others if user],
            details=details or {},
            at=self.now,
        )

    def _announce(self, old: str, event: Event) -> None:
        self._say(request_changed, old_status=old, status=self.request.status, event=event)

    def _handled(self, keys: Sequence[str], task: Task | None, status: TaskStatus, event: Event | None) -> None:
        mark_handled(keys)
        self._say(task_handled, task_keys=keys, task=task, status=status, event=event)

    def _tell(self, event: Event, visit: NodeVisit, about: Iterable[Task], reason: Reason) -> None:
        """Say that a node has been reached by people who have something to do, or are told."""
        node = self.nodes[visit.position]
        told = [task for task in about if task.user and task.user.is_active]
        if not told:
            return
        said: dict[str, Any] = {
            "event_id": event.event_id,
            "kind": node.kind,
            "reason": reason,
            "process_key": self.request.definition.key,
            "process_title": self.request.definition.title,
            "node_key": node.key,
            "initiator": self.request.initiator,
            "recipients": [task.user for task in told],
            "task_keys": {task.user_id: task.key for task in told},
            "service": current_service(node.sms_service) if node.sms_service else None,
            "template": SmsTemplate.objects.filter(pk=node.sms_template).first() if node.sms_template else None,
        }
        if node.sms_service or node.sms_template:  # what has been deleted since is reported where the text fails
            write_text(**said, engine=ENGINE, request=self.request)
        self._say(node_reached, **said)

    def _say(self, signal: Signal, **arguments: Any) -> None:
        common = {"engine": ENGINE, "request": self.request}
        if signal is not node_reached:
            common["actor"] = self.actor
        self._to_say.append((signal, common | arguments))

    def say_all(self) -> None:
        """Send what was to be said, now that everything is written.

        Raises:
            django.db.Error: a receiver has lost the whole transaction.
        """
        for signal, arguments in self._to_say:
            signal.send_robust(Request, **arguments)
