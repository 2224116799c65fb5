"""The public functions of this app.

Each action is one transaction, part of the caller's if one is open. It locks the request's row first, so whoever acts
on more than one request in a transaction does so in the order of their ids. Texts leave after the commit.

``task`` and ``request`` are instances or primary keys; their rows are read anew. ``actor`` is the user who acts.
Every function raises

- ``Conflict`` if somebody was faster, or it is over; its message and its ``event`` say who did what;
- ``NotAllowed`` if the actor may not do this, the node does not allow it, or a comment is missing or not wanted;
- ``Request.DoesNotExist`` or ``Task.DoesNotExist`` for an id of nothing.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, transaction
from django.db.models import Model
from django.utils.translation import gettext as _

from .approvers import manages
from .choices import (
    OPEN_TASKS,
    CommentPolicy,
    InitiatorPolicy,
    NodeKind,
    RequestStatus,
    TaskStatus,
    VisitStatus,
    WithdrawPolicy,
)
from .conflicts import conflict_about, conflict_over, conflict_with_first, words_for
from .definitions import NodeDefinition
from .engine import Run, acting
from .exceptions import Conflict, NotAllowed, Throttled, UnknownProcess
from .inbox import InboxCounts, counts
from .models import Node, Process, Request, Task
from .names import name_of
from .options import (
    Options,
    is_open,
    may_withdraw,
    next_reminder_at,
    options_for,
    return_targets,
    standing_approvals,
)
from .rows import database, locked, requests, tasks
from .times import minute
from .versions import current_version

__all__ = [
    "InboxCounts",
    "Options",
    "approve",
    "counts",
    "options_for",
    "reject",
    "remind",
    "resubmit",
    "resume",
    "send_back",
    "submit",
    "transfer",
    "withdraw",
]


def submit(
    process: Process | str,
    initiator: Any,
    *,
    subject: Model | None = None,
    title: str = "",
    data: Mapping[str, Any] | None = None,
    submission_key: uuid.UUID | None = None,
) -> Request:
    """Begin a request.

    Args:
        process: a ``Process`` or its key.
        initiator: the user who asks.
        subject: a saved row of any model that the request is about.
        title: what lists show; default: the process's title.
        data: anything that JSON can hold; conditions, resolvers and pages read it.
        submission_key: drawn with a form, against a second click: the initiator can use it once.

    Returns:
        the request, where its first nodes brought it; with nobody to ask that may be its end.

    Raises:
        UnknownProcess: there is no process with this key.
        NotAllowed: the process is inactive or has no nodes; the initiator is inactive.
        Conflict: the initiator has submitted with this key before; ``event`` is that submission.
    """
    current = _process(process)
    _check_active(initiator)
    with transaction.atomic(using=database()):
        version = current_version(current)
        request = _create(
            process=current,
            process_version=version,
            title=(title or current.title)[:200],
            initiator=initiator,
            initiator_name=name_of(initiator),
            **_subject_fields(subject),
            data=dict(data or {}),
            submission_key=submission_key,
        )
        run = Run(request, initiator)
        run.submit()
        run.say_all()
    return _fresh_request(request.pk)


def approve(task: Task | int, actor: Any, comment: str = "") -> Task:
    """Approve. The request goes on where the node has all approvals that it needs.

    Returns:
        the task as it is then; ``task.request`` as well. So do all functions that take a task.
    """
    with _acting_on(task, actor) as (run, current, node):
        run.approve(current, _checked_comment(node.approve_comment, comment))
    return _fresh_task(current.pk)


def reject(task: Task | int, actor: Any, comment: str = "") -> Task:
    """Reject: this ends the request, whatever others said."""
    with _acting_on(task, actor) as (run, current, node):
        run.reject(current, _checked_comment(node.reject_comment, comment))
    return _fresh_task(current.pk)


def send_back(task: Task | int, actor: Any, to: Node | str | None = None, comment: str = "") -> Task:
    """Return a request: a new round begins, and everybody from there on is asked again.

    Args:
        to: an earlier approval node or its key; ``None``: the initiator, who can resubmit or withdraw.
    """
    with _acting_on(task, actor) as (run, current, node):
        if not node.may_return:
            raise NotAllowed(_("Requests cannot be returned from this step."))
        position = _return_position(run.request, current, to)
        run.send_back(current, position, _checked_comment(node.return_comment, comment))
    return _fresh_task(current.pk)


def transfer(task: Task | int, actor: Any, to: Any, comment: str = "") -> Task:
    """Hand a pending task to somebody else. Administrators of approvals can also do it for others.

    Args:
        to: the user who is asked instead.
    """
    with _acting_on(task, actor, also_managers=True) as (run, current, node):
        if not node.may_transfer and not manages(actor):
            raise NotAllowed(_("Tasks of this step cannot be transferred."))
        _check_transfer(run.request, current, node, to)
        run.transfer(current, to, _checked_comment(node.transfer_comment, comment))
    return _fresh_task(current.pk)


def withdraw(request: Request | int, actor: Any, comment: str = "") -> Request:
    """Take a request back, as its initiator where the process allows it, or as an administrator of approvals."""
    with acting(_request_pk(request), actor) as run:
        _check_actor(run.request, actor)
        if not is_open(run.request):
            raise conflict_about(run.request)
        if not manages(actor):
            _check_withdrawal(run.request)
        run.withdraw(comment.strip())
    return _fresh_request(run.request.pk)


def resubmit(
    request: Request | int,
    actor: Any,
    *,
    title: str | None = None,
    data: Mapping[str, Any] | None = None,
    comment: str = "",
) -> Request:
    """Send a request that was returned to its initiator through its process once more, from the first node.

    Args:
        title, data: what they are from now on; ``None`` leaves them as they are. An empty title is the process's, as
            in ``submit``.
    """
    with acting(_request_pk(request), actor) as run:
        _check_actor(run.request, actor, also_managers=False)
        if run.request.status != RequestStatus.RETURNED:
            raise conflict_about(run.request)
        if title is not None:
            run.request.title = (title or run.request.process.title)[:200]
        if data is not None:
            run.request.data = dict(data)
        run.resubmit(comment.strip())
    return _fresh_request(run.request.pk)


def remind(request: Request | int, actor: Any) -> Request:
    """Remind, as the initiator, everybody whom the request waits for.

    Raises:
        Throttled: it was done less than the process's ``remind_interval`` ago; ``until`` is when it is allowed again.
    """
    with acting(_request_pk(request), actor) as run:
        _check_actor(run.request, actor)
        if run.request.status != RequestStatus.RUNNING:
            raise conflict_about(run.request)
        _check_interval(run)
        pending = run.pending()
        if not pending:
            raise NotAllowed(_("The request is paused: it waits for an administrator, and there is nobody to remind."))
        requests().filter(pk=run.request.pk).update(reminded_at=run.now)
        run.remind(pending)
    return _fresh_request(run.request.pk)


def resume(
    request: Request | int, actor: Any, *, users: Iterable[Any] | None = None, visit_id: int | None = None
) -> Request:
    """Look for the approvers of a paused request once more, as an administrator of approvals.

    Args:
        users: who is asked instead of those whom the node's rules find.
        visit_id: where the actor has seen it paused (``Options.visit_id``); a pause anywhere else is a ``Conflict``.
    """
    people = None if users is None else list({user.pk: user for user in users}.values())
    for user in people or ():
        _check_active(user)
    with acting(_request_pk(request), actor) as run:
        if not manages(actor):
            raise NotAllowed(_("Only administrators of approvals can resume a request."))
        visit = run.visit()
        if visit is None or visit.status != VisitStatus.PAUSED or visit_id not in (None, visit.pk):
            raise conflict_about(run.request)
        for user in people or ():
            _check_not_initiator(run.request, run.nodes[visit.position], user)
        run.resume(visit, people)
    return _fresh_request(run.request.pk)


@contextmanager
def _acting_on(
    task: Task | int, actor: Any, *, also_managers: bool = False
) -> Iterator[tuple[Run, Task, NodeDefinition]]:
    """The request of a task locked, and the task as it is then: pending, and the actor's."""
    pk, request_id = (task.pk, task.request_id) if isinstance(task, Task) else (task, _request_of(task))
    _check_active(actor)
    with acting(request_id, actor) as run:
        current = run.task(pk)
        if current.user_id != actor.pk and not (also_managers and manages(actor)):
            raise NotAllowed(_("This task is somebody else's."))
        if current.status == TaskStatus.WAITING:
            raise NotAllowed(_("It is not your turn yet."))
        if current.status == TaskStatus.COPIED:
            raise NotAllowed(_("You were only informed of this request: there is nothing to do."))
        if current.status != TaskStatus.PENDING:
            raise conflict_over(current)
        yield run, current, run.nodes[current.visit.position]


def _process(process: Process | str) -> Process:
    by = {"key": process} if isinstance(process, str) else {"pk": process.pk}
    found = Process.objects.using(database()).filter(**by).first()
    if found is None:
        raise UnknownProcess(
            f"There is no process with the {'key' if 'key' in by else 'id'} {next(iter(by.values()))!r}."
        )
    if not found.is_active:
        raise NotAllowed(_("The process “%s” takes no new requests at the moment.") % found)
    return found


def _create(**fields: Any) -> Request:
    try:
        with transaction.atomic(using=database()):
            return requests().create(**fields)
    except IntegrityError:
        first = _first_with(fields["initiator"], fields["submission_key"]) if fields["submission_key"] else None
        if first is None:
            raise
        raise conflict_with_first(first) from None


def _first_with(initiator: Any, key: uuid.UUID) -> Request | None:
    """What somebody has submitted with a key before.

    Only where transactions keep a snapshot, which a plain read might not show it, it is locked: on MariaDB, several who
    come too late have a shared lock on it each, of which none could be raised.
    """
    same = requests().filter(initiator=initiator, submission_key=key)
    return same.first() or locked(same).first()


def _subject_fields(subject: Model | None) -> dict[str, Any]:
    if subject is None:
        return {}
    if subject.pk is None:
        raise ValueError("Save the subject before you submit a request about it.")
    return {"content_type": ContentType.objects.get_for_model(subject), "object_id": str(subject.pk)}


def _check_active(user: Any) -> None:
    if not user.is_active:
        raise NotAllowed(_("This account is deactivated: %s") % name_of(user))


def _check_actor(request: Request, actor: Any, *, also_managers: bool = True) -> None:
    """The initiator, or an administrator."""
    _check_active(actor)
    if actor.pk != request.initiator_id and not (also_managers and manages(actor)):
        raise NotAllowed(_("Only the initiator can do this."))


def _check_withdrawal(request: Request) -> None:
    if may_withdraw(request):
        return
    approval = standing_approvals(request).first()
    if request.definition.withdraw_policy == WithdrawPolicy.NEVER or approval is None:
        raise NotAllowed(_("Requests of this process cannot be withdrawn."))
    raise Conflict(
        _("%(what)s From then on it cannot be withdrawn any more.") % {"what": words_for(approval)}, approval
    )


def _check_interval(run: Run) -> None:
    if until := next_reminder_at(run.request, run.now):
        raise Throttled(_("A reminder has just gone out. The next one is possible from %s on.") % minute(until), until)


def _check_transfer(request: Request, task: Task, node: NodeDefinition, to: Any) -> None:
    _check_active(to)
    _check_not_initiator(request, node, to)
    here = tasks().filter(visit=task.visit, user=to, status__in=(*OPEN_TASKS, TaskStatus.APPROVED))
    if here.exists():
        raise NotAllowed(_("%s is among the approvers of this step already.") % name_of(to))


def _check_not_initiator(request: Request, node: NodeDefinition, user: Any) -> None:
    """Nobody decides on their own request where the node leaves its initiator out. A copy decides nothing."""
    if user.pk != request.initiator_id or node.kind == NodeKind.CC or node.initiator_policy == InitiatorPolicy.ASK:
        return
    raise NotAllowed(_("The initiator cannot decide on this step."))


def _return_position(request: Request, task: Task, to: Node | str | None) -> int | None:
    if to is None:
        return None
    key = to.key if isinstance(to, Node) else to
    if key not in {target.key for target in return_targets(request, task.visit)}:
        raise NotAllowed(_("A request can only be returned to an earlier step that has approved it, or its initiator."))
    return request.definition.position_of(key)


def _checked_comment(policy: str, comment: str) -> str:
    comment = comment.strip()
    if policy == CommentPolicy.REQUIRED and not comment:
        raise NotAllowed(_("Write a comment: it is required here."))
    if policy == CommentPolicy.NONE and comment:
        raise NotAllowed(_("Comments are not possible here."))
    return comment


def _request_pk(request: Request | int) -> int:
    return request.pk if isinstance(request, Request) else request


def _request_of(task_pk: int) -> int:
    return tasks().values_list("request_id", flat=True).get(pk=task_pk)


def _fresh_request(pk: int) -> Request:
    """As it is now: a receiver of a signal may have gone on with it."""
    return requests().select_related("process", "process_version", "initiator").get(pk=pk)


def _fresh_task(pk: int) -> Task:
    return tasks().select_related("request__process_version", "visit", "user").get(pk=pk)
