"""Who was faster, in words."""

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from .choices import EventKind
from .exceptions import Conflict
from .models import Event, Request, Task
from .rows import events

_WORDS: Mapping[str, str | Promise] = {
    EventKind.APPROVED: _("Already approved by %(name)s."),
    EventKind.REJECTED: _("Already rejected by %(name)s."),
    EventKind.RETURNED: _("Already returned by %(name)s."),
    EventKind.TRANSFERRED: _("Already transferred to %(other)s by %(name)s."),
    EventKind.ESCALATED: _("Passed on to %(other)s meanwhile, because nobody had acted in time."),
    EventKind.WITHDRAWN: _("Already withdrawn by %(name)s."),
    EventKind.RESUBMITTED: _("Already submitted again by %(name)s."),
    EventKind.RESUMED: _("Already resumed by %(name)s."),
}


def conflict_over(task: Task) -> Conflict:
    """Why a task cannot be acted on any more."""
    return _conflict(task.closed_by)


def conflict_about(request: Request) -> Conflict:
    """Why something cannot be done to a request any more: the last thing that somebody did."""
    return _conflict(events().filter(request=request, kind__in=list(_WORDS)).select_related("actor").last())


def conflict_with_first(request: Request) -> Conflict:
    """Why nothing is submitted: it was before, with the same key."""
    submitted = events().filter(request=request, kind=EventKind.SUBMITTED).first()
    return Conflict(gettext("This form was sent before, and no second request was made."), submitted)


def words_for(event: Event | None) -> str:
    """What somebody did, for whoever comes too late for it."""
    if event is None or event.kind not in _WORDS:
        return gettext("This is not needed any more.")
    other: Any = event.others[0]["name"] if event.others else ""
    return str(_WORDS[event.kind]) % {"name": event.actor_name, "other": other}


def _conflict(event: Event | None) -> Conflict:
    return Conflict(words_for(event), event)
