"""The way of a request through its process, for its page: each step with who did what, and everything that happened."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from .choices import EventKind, NodeKind, NodeMode, RequestStatus, TaskStatus, VisitStatus
from .definitions import NodeDefinition
from .models import Event, NodeVisit, Request, Task
from .rows import events, tasks, visits

DONE, CURRENT, PAUSED, AHEAD = "done", "current", "paused", "ahead"
STOPPED, SENT_BACK, LEFT_OUT = "stopped", "returned", "left-out"

_STATES: Mapping[str, str] = {
    VisitStatus.RUNNING: CURRENT,
    VisitStatus.PAUSED: PAUSED,
    VisitStatus.APPROVED: DONE,
    VisitStatus.COPIED: DONE,
    VisitStatus.REJECTED: STOPPED,
    VisitStatus.RETURNED: SENT_BACK,
    VisitStatus.CANCELLED: STOPPED,
    VisitStatus.SKIPPED: LEFT_OUT,
    VisitStatus.PASSED: LEFT_OUT,
}

_VISIT_WORDS: Mapping[str, str | Promise] = {
    VisitStatus.RUNNING: gettext_lazy("Waits for approval"),
    VisitStatus.PAUSED: gettext_lazy("Paused: an administrator has to resume it"),
    VisitStatus.SKIPPED: gettext_lazy("Skipped: its condition does not apply"),
    VisitStatus.PASSED: gettext_lazy("Nobody was found, so it went on"),
}

_TASK_WORDS: Mapping[str, str | Promise] = {
    TaskStatus.WAITING: gettext_lazy("Has their turn later"),
    TaskStatus.PENDING: gettext_lazy("Has not decided yet"),
    TaskStatus.CANCELLED: gettext_lazy("Not needed any more"),
    TaskStatus.COPIED: gettext_lazy("Got a copy"),
}

_MODE_WORDS: Mapping[str, str | Promise] = {
    NodeMode.ANY: gettext_lazy("One approval suffices"),
    NodeMode.ALL: gettext_lazy("Everybody has to approve"),
    NodeMode.SEQUENTIAL: gettext_lazy("Everybody has to approve, one after the other"),
}

#: What happened, as sentences. ``name`` acted, ``others`` are whom it is about.
_SENTENCES: Mapping[str, str | Promise] = {
    EventKind.SUBMITTED: gettext_lazy("%(name)s submitted it."),
    EventKind.REACHED: gettext_lazy("It reached “%(step)s”: %(others)s."),
    EventKind.COPIED: gettext_lazy("“%(step)s”: copied to %(others)s."),
    EventKind.SKIPPED: gettext_lazy("“%(step)s” was skipped, as its condition does not apply."),
    EventKind.PASSED: gettext_lazy("At “%(step)s”, nobody was found, so it went on."),
    EventKind.PAUSED: gettext_lazy("It was paused at “%(step)s”. An administrator has to resume it."),
    EventKind.RESUMED: gettext_lazy("%(name)s resumed it."),
    EventKind.APPROVED: gettext_lazy("%(name)s approved at “%(step)s”."),
    EventKind.APPROVED_BEFORE: gettext_lazy("“%(step)s”: the earlier approval of %(others)s counts here too."),
    EventKind.REJECTED: gettext_lazy("%(name)s rejected it at “%(step)s”."),
    EventKind.RETURNED: gettext_lazy("%(name)s returned it to %(to)s."),
    EventKind.RESUBMITTED: gettext_lazy("%(name)s submitted it again."),
    EventKind.TRANSFERRED: gettext_lazy("%(name)s transferred it to %(others)s."),
    EventKind.WITHDRAWN: gettext_lazy("%(name)s withdrew it."),
    EventKind.ESCALATED: gettext_lazy("“%(step)s”: nobody acted in time, so it was passed on to %(others)s."),
    EventKind.NOT_ESCALATED: gettext_lazy("“%(step)s”: nobody acted in time, and there is nobody to pass it on to."),
    EventKind.FINISHED: gettext_lazy("All steps are done."),
}
_REMINDED_BY = gettext_lazy("%(name)s reminded %(others)s.")
_REMINDED = gettext_lazy("%(others)s got a reminder.")
_LEFT = gettext_lazy("“%(step)s”: an approver is not available any more.")
_REPLACED = gettext_lazy("“%(step)s”: an approver is not available any more, so %(others)s was asked.")
_TO_INITIATOR = pgettext_lazy("returned to", "its initiator")
#: Why the engine has paused a request, for administrators.
PAUSED_BECAUSE: Mapping[str, str | Promise] = {
    "nobody_found": gettext_lazy("Nobody was found who could decide."),
    "condition_failed": gettext_lazy("The condition of the step failed; the log says how."),
    "resolver_failed": gettext_lazy("A rule that finds people failed; the log says how."),
}


@dataclass(frozen=True)
class Person:
    """Somebody at a step: what became of their task, in words, and what they said."""

    name: str
    status: str
    words: str
    at: datetime | None
    comment: str


@dataclass(frozen=True)
class Station:
    """A step of the process on the request's way. ``state`` is what the picture shows."""

    title: str
    is_cc: bool
    state: str
    words: str
    at: datetime | None
    people: Sequence[Person] = ()

    @property
    def is_current(self) -> bool:
        return self.state in (CURRENT, PAUSED)


@dataclass(frozen=True)
class Happening:
    kind: str
    words: str
    comment: str
    at: datetime

    @property
    def title(self) -> str:
        return str(EventKind(self.kind).label)

    @property
    def state(self) -> str:
        """What the picture shows where it is a part of the way."""
        return SENT_BACK if self.kind == EventKind.RETURNED else DONE


def stations_of(request: Request) -> list[Station]:
    """All steps in order: where it was last, where it is, and what is ahead. Two queries."""
    latest: dict[int, NodeVisit] = {}
    newest = None
    for newest in visits().filter(request=request).order_by("number"):
        latest[newest.position] = newest
    here = newest.position if newest else -1
    found = tasks().filter(visit__in=latest.values()).select_related("closed_by", "handled_by").order_by("order", "pk")
    people: dict[int, list[Task]] = {}
    for task in found:
        people.setdefault(task.visit_id, []).append(task)
    is_open = request.finished_at is None
    return [
        _station(node, latest[place], people.get(latest[place].pk, ()))
        if place <= here and place in latest
        else _ahead(node, is_open)
        for place, node in enumerate(request.definition.nodes)
    ]


def history_of(request: Request) -> list[Happening]:
    """Everything that happened, oldest first. One query."""
    titles = _titles(request)
    rows = events().filter(request=request).select_related("visit").order_by("pk")
    return [Happening(event.kind, _sentence(event, titles), event.comment, event.at) for event in rows]


def last_return(request: Request, history: Sequence[Happening]) -> list[Happening]:
    """How the round began, where it is not the first: the return, and the initiator's answer if it went back to them.

    While it waits with them, the step that returned it says so.
    """
    if request.status == RequestStatus.RETURNED:
        return []
    turns = [each for each in history if each.kind in (EventKind.RETURNED, EventKind.RESUBMITTED)]
    return turns[-2:] if turns and turns[-1].kind == EventKind.RESUBMITTED else turns[-1:]


def returned_to(event: Event) -> str:
    """The step that an event returned its request to, or its initiator."""
    return _to(event, _titles(event.request))


def _titles(request: Request) -> dict[str, str]:
    return {node.key: node.title for node in request.definition.nodes}


def _to(event: Event, titles: Mapping[str, str]) -> str:
    title = titles.get(event.details.get("to", ""))
    return _("“%(step)s”") % {"step": title} if title else str(_TO_INITIATOR)


def _ahead(node: NodeDefinition, is_open: bool) -> Station:
    words = _("Not reached yet") if is_open else _("Not reached")
    return Station(node.title, node.kind == NodeKind.CC, AHEAD, words, None)


def _station(node: NodeDefinition, visit: NodeVisit, at_visit: Iterable[Task]) -> Station:
    words = str(_VISIT_WORDS.get(visit.status, visit.get_status_display()))
    people = [_person(task) for task in at_visit]
    if visit.status == VisitStatus.RUNNING and len(people) > 1:
        words = str(_MODE_WORDS.get(visit.mode, words))
    return Station(
        visit.node_title,
        visit.kind == NodeKind.CC,
        _STATES[visit.status],
        words,
        visit.left_at or visit.entered_at,
        people,
    )


def _person(task: Task) -> Person:
    words = str(_TASK_WORDS.get(task.status, task.get_status_display()))
    event = task.closed_by
    comment = ""
    if event is not None and event.task_id == task.pk:
        comment = event.comment
        if task.status == TaskStatus.TRANSFERRED:
            words = _("Transferred to %(others)s") % {"others": _names(event)}
        if event.actor_id is not None and event.actor_id != task.user_id:
            words = _("%(what)s by %(name)s") % {"what": words, "name": event.actor_name}
    return Person(task.user_name, task.status, words, task.closed_at, comment)


def _sentence(event: Event, titles: Mapping[str, str]) -> str:
    words: str | Promise
    if event.kind == EventKind.REMINDED:
        words = _REMINDED_BY if event.actor_name else _REMINDED
    elif event.kind == EventKind.LEFT:
        words = _REPLACED if event.others else _LEFT
    else:
        words = _SENTENCES[event.kind]
    return str(words) % {
        "name": event.actor_name or _("The system"),
        "step": event.visit.node_title if event.visit else "",
        "others": _names(event) or "-",
        "to": _to(event, titles),
    }


def _names(event: Event) -> str:
    return _(", ").join(str(other.get("name", "")) for other in event.others)
