"""What the buttons do. Only POST changes anything; whoever opens such a link gets the request's page."""

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache

from notifications.admin.finding import KINDS, USERS

from .. import api
from ..approvers import only_active
from ..choices import VisitStatus
from ..exceptions import Conflict, NotAllowed, Throttled
from ..forms import ResubmitForm
from ..models import Request, Task
from ..rows import tasks
from .requests import Failed, show, visible_request

#: More than a page of them cannot be marked.
MOST_SELECTED = 100


def _comment(request: HttpRequest) -> str:
    return request.POST.get("comment", "").replace("\r\n", "\n").strip()


def _approve(request: HttpRequest, task: Task) -> None:
    api.approve(task, request.user, _comment(request))


def _reject(request: HttpRequest, task: Task) -> None:
    api.reject(task, request.user, _comment(request))


def _send_back(request: HttpRequest, task: Task) -> None:
    api.send_back(task, request.user, request.POST.get("to") or None, _comment(request))


def _transfer(request: HttpRequest, task: Task) -> None:
    to = only_active(KINDS[USERS].chosen([request.POST.get("to", "")])).first()
    if to is None:
        raise NotAllowed(_("Choose to whom it is transferred."))
    api.transfer(task, request.user, to, _comment(request))


def _withdraw(request: HttpRequest, row: Request) -> None:
    api.withdraw(row, request.user, _comment(request))


def _remind(request: HttpRequest, row: Request) -> None:
    api.remind(row, request.user)


def _resume(request: HttpRequest, row: Request) -> str:
    users = list(only_active(KINDS[USERS].chosen(request.POST.getlist("users"))))
    seen = request.POST.get("visit", "")
    visit_id = int(seen) if seen.isascii() and seen.isdecimal() and len(seen) <= 18 else None
    api.resume(row, request.user, users=users or None, visit_id=visit_id)
    paused = row.visits.filter(status=VisitStatus.PAUSED).first()
    if paused is None:
        return ""
    words = _("It is paused at “%(step)s”; its history says why. Choose below who is asked instead.")
    return words % {"step": paused.node_title}


TASK_ACTIONS: Mapping[str, tuple[Callable[[HttpRequest, Task], None], Any]] = {
    "approve": (_approve, gettext_lazy("You have approved it.")),
    "reject": (_reject, gettext_lazy("You have rejected it.")),
    "return": (_send_back, gettext_lazy("You have returned it.")),
    "transfer": (_transfer, gettext_lazy("It was transferred.")),
}
#: What each does, and what is said then, unless it says itself what came of it.
REQUEST_ACTIONS: Mapping[str, tuple[Callable[[HttpRequest, Request], str | None], Any]] = {
    "withdraw": (_withdraw, gettext_lazy("It was withdrawn.")),
    "remind": (_remind, gettext_lazy("Those who have not decided yet were reminded.")),
    "resume": (_resume, gettext_lazy("It goes on.")),
}
RESUBMIT = "resubmit"


@never_cache
@login_required
def act_on_task(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    if action not in TASK_ACTIONS:
        raise Http404
    task = get_object_or_404(tasks(), pk=pk)
    row = visible_request(request, task.request_id)
    if request.method != "POST":
        return redirect("approvals:request", row.pk)
    do, words = TASK_ACTIONS[action]
    return _answer(request, row, action, words, lambda: do(request, task), task=task.pk)


@never_cache
@login_required
def act_on_request(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    row = visible_request(request, pk)
    if action not in {*REQUEST_ACTIONS, RESUBMIT}:
        raise Http404
    if request.method != "POST":
        return redirect("approvals:request", row.pk)
    if action == RESUBMIT:
        return _resubmit(request, row)
    do, words = REQUEST_ACTIONS[action]
    return _answer(request, row, action, words, lambda: do(request, row))


@never_cache
@login_required
def approve_selected(request: HttpRequest) -> HttpResponse:
    """Approve some of the To do list, each for itself: what cannot be approved holds up no other.

    The query string is the list's, so that one comes back to the same page of the same search.
    """
    if request.method != "POST":  # after the login of somebody whose session had expired, for example
        return _to_list(request)
    given = [pk for pk in request.POST.getlist("task")[:MOST_SELECTED] if pk.isascii() and pk.isdecimal()]
    chosen = tasks().filter(pk__in=[int(pk) for pk in given if len(pk) <= 18], user=request.user)  # type: ignore[misc]  # it is logged in
    approved = 0
    for task in chosen.select_related("request").order_by("request_id", "pk"):
        try:
            api.approve(task, request.user, _comment(request))
            approved += 1
        except (Conflict, NotAllowed) as error:
            words = _("“%(title)s”: %(problem)s") % {"title": task.request.title, "problem": error}
            messages.warning(request, words)
    if approved:
        words = ngettext("%(count)d request was approved.", "%(count)d requests were approved.", approved)
        messages.success(request, words % {"count": approved})
    elif not chosen:
        messages.info(request, _("Mark the requests that you want to approve."))
    return _to_list(request)


def _to_list(request: HttpRequest) -> HttpResponse:
    query = request.GET.urlencode()
    return redirect(f"{reverse('approvals:todo')}{'?' if query else ''}{query}")


def _resubmit(request: HttpRequest, row: Request) -> HttpResponse:
    form = ResubmitForm(row, request.POST)
    if not form.is_valid():
        return show(request, row, Failed(RESUBMIT, _("Please correct what is marked below.")), form)

    def do() -> None:
        api.resubmit(row, request.user, **form.changes(row))

    return _answer(request, row, RESUBMIT, _("You have submitted it again."), do, form=form)


def _answer(
    request: HttpRequest,
    row: Request,
    action: str,
    words: Any,
    do: Callable[[], str | None],
    *,
    form: Any = None,
    task: int | None = None,
) -> HttpResponse:
    """Do it, and show the request's page with what became of it."""
    try:
        problem = do()
    except Conflict as conflict:
        unsaved = _unsaved(request, conflict)
        if unsaved:
            return show(request, visible_request(request, row.pk), Failed(action, str(conflict), {}, task, unsaved))
        messages.warning(request, str(conflict))
    except (NotAllowed, Throttled) as refused:
        data = {name: request.POST.get(name, "") for name in ("comment", "to")}
        return show(request, visible_request(request, row.pk), Failed(action, str(refused), data, task), form)
    else:
        if problem:
            messages.warning(request, problem)
        else:
            messages.success(request, str(words))
    return redirect("approvals:request", row.pk)


def _unsaved(request: HttpRequest, conflict: Conflict) -> str:
    """The comment of whoever came too late; not that of a second click, as the first one has saved it."""
    comment, event = _comment(request), conflict.event
    saved = event is not None and event.actor_id == request.user.pk and event.comment == comment
    return "" if saved else comment
