"""What somebody can do with a request now: the buttons of its page."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef
from django.utils import timezone

from .approvers import manages
from .choices import EventKind, RequestStatus, TaskStatus, VisitStatus, WithdrawPolicy
from .definitions import NodeDefinition
from .models import NodeVisit, Request, Task
from .models.events import EventQuerySet
from .rows import events, tasks, visits
from .times import whole_minute


@dataclass(frozen=True, kw_only=True)
class Options:
    """What applies, for one person, at this moment; each action checks it once more.

    ``task`` is their pending task; with one, they can approve and reject. ``node`` is the node at which the request
    stands; it says which comments are wanted. With ``can_return``, it can be returned to the initiator, and to
    ``return_targets``. ``transferable`` are the pending tasks that they may transfer: their own, and those of others
    where they are an administrator. ``remind_from`` is when they can remind, where it is too soon; to the minute.
    """

    task: Task | None = None
    node: NodeDefinition | None = None
    is_paused: bool = False
    can_return: bool = False
    return_targets: tuple[NodeDefinition, ...] = ()
    transferable: tuple[Task, ...] = ()
    can_withdraw: bool = False
    can_resubmit: bool = False
    can_remind: bool = False
    remind_from: datetime | None = None
    can_resume: bool = False
    #: Where the request stands; ``resume`` takes it, so that nothing is done to another step than was seen.
    visit_id: int | None = None


def options_for(request: Request, user: Any) -> Options:
    """What a user can do with a request. A constant number of queries."""
    is_initiator, is_manager = user.pk == request.initiator_id, manages(user)
    visit: NodeVisit | None = request.current_visit
    node = request.definition.nodes[visit.position] if visit else None
    pending = list(tasks().filter(visit=visit, status=TaskStatus.PENDING).select_related("user")) if visit else []
    own = next((task for task in pending if task.user_id == user.pk), None) if user.is_active else None
    is_paused = bool(visit and visit.status == VisitStatus.PAUSED)
    can_return = bool(own and node and node.may_return)
    may_remind = bool(pending) and (is_initiator or is_manager)
    remind_from = next_reminder_at(request, timezone.now()) if may_remind else None
    return Options(
        task=own,
        node=node,
        is_paused=is_paused,
        can_return=can_return,
        return_targets=return_targets(request, visit) if can_return and visit else (),
        transferable=tuple(task for task in pending if is_manager or (node and node.may_transfer and task == own)),
        can_withdraw=is_open(request) and (is_manager or (is_initiator and may_withdraw(request))),
        can_resubmit=is_initiator and request.status == RequestStatus.RETURNED,
        can_remind=may_remind and remind_from is None,
        remind_from=remind_from and whole_minute(remind_from),
        can_resume=is_manager and is_paused,
        visit_id=visit.pk if visit else None,
    )


def is_open(request: Request) -> bool:
    """Whether a request can still be withdrawn by those who may."""
    return request.status in {RequestStatus.RUNNING, RequestStatus.RETURNED}


def may_withdraw(request: Request) -> bool:
    """Whether the process lets the initiator withdraw a request that is open."""
    match request.definition.withdraw_policy:
        case WithdrawPolicy.NEVER:
            return False
        case WithdrawPolicy.UNTIL_FIRST_APPROVAL if request.status == RequestStatus.RUNNING:
            return not standing_approvals(request).exists()
    return True


def standing_approvals(request: Request) -> EventQuerySet:
    """What people have approved, without that which they, or others at their node, were or will be asked again."""
    later = visits().filter(request=request, number__gt=OuterRef("visit__number"))
    asked_again = later.filter(position__lte=OuterRef("visit__position"))  # it was returned to there, or before
    return events().filter(~Exists(asked_again), request=request, kind=EventKind.APPROVED)


def next_reminder_at(request: Request, now: datetime) -> datetime | None:
    """When the initiator can remind, where they have done so lately."""
    if request.reminded_at is None:
        return None
    until = request.reminded_at + timedelta(seconds=request.definition.remind_interval)
    return until if until > now else None


def return_targets(request: Request, visit: NodeVisit) -> tuple[NodeDefinition, ...]:
    """The earlier nodes that a request can be returned to from a visit: those that have approved it."""
    approved = visits().filter(request=request, status=VisitStatus.APPROVED, position__lt=visit.position)
    return tuple(
        request.definition.nodes[position] for position in sorted(set(approved.values_list("position", flat=True)))
    )
