"""A request's page: what it is about, how far it is, who did what, and the buttons that apply."""

from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.template.loader import select_template
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from notifications.admin.finding import KINDS, USERS, user_label

from ..api import options_for
from ..approvers import only_active
from ..choices import CommentPolicy
from ..forms import ResubmitForm
from ..inbox import counts
from ..models import Request
from ..options import Options
from ..rows import requests
from ..timeline import history_of, last_return, stations_of

MOST_FOUND = 20


@dataclass(frozen=True)
class Failed:
    """An action that was refused: the page shows why, and what was typed in the form that it came from.

    ``task`` is the id of the task that it was about, if it was about one. ``unsaved`` is a comment whose form may have
    gone, because somebody was faster.
    """

    action: str
    words: str
    data: dict[str, Any] = field(default_factory=dict)
    task: int | None = None
    unsaved: str = ""

    @property
    def status_code(self) -> int:
        return 409 if self.unsaved else 422


@never_cache
@login_required
@require_safe
def request_page(request: HttpRequest, pk: int) -> HttpResponse:
    return show(request, visible_request(request, pk))


def visible_request(request: HttpRequest, pk: int) -> Request:
    """A request that the user has something to do with.

    Raises:
        Http404: there is none, or it is none of their business; which of them is not told.
    """
    rows = requests().select_related("process", "process_version", "initiator", "content_type")
    return get_object_or_404(rows.visible_to(request.user), pk=pk)


def show(request: HttpRequest, row: Request, failed: Failed | None = None, form: Any = None) -> HttpResponse:
    options, history = options_for(row, request.user), history_of(row)
    context = {
        "row": row,
        "options": options,
        "comments": Comments.of(options),
        "stations": stations_of(row),
        "history": history,
        "last_return": last_return(row, history),
        "counts": counts(request.user),
        "failed": failed,
        "subject_template": _subject_template(row),
        "resubmit_form": form or (ResubmitForm(row) if options.can_resubmit else None),
        **_found(request, options),
    }
    return render(request, "approvals/request.html", context, status=failed.status_code if failed else 200)


@dataclass(frozen=True)
class Comments:
    """Whether each action takes a comment, as the node says."""

    approve: str = CommentPolicy.NONE
    reject: str = CommentPolicy.NONE
    send_back: str = CommentPolicy.NONE
    transfer: str = CommentPolicy.NONE

    @classmethod
    def of(cls, options: Options) -> "Comments":
        node = options.node
        if node is None:
            return cls()
        return cls(node.approve_comment, node.reject_comment, node.return_comment, node.transfer_comment)

    @property
    def differ(self) -> bool:
        return self.approve != self.reject

    @property
    def decision(self) -> bool:
        """Whether there is a field for a comment beside approval and rejection."""
        return {self.approve, self.reject} != {CommentPolicy.NONE}


def _found(request: HttpRequest, options: Options) -> dict[str, Any]:
    """The people that were looked for, by those who may hand something to others."""
    sent = request.POST if request.method == "POST" else request.GET  # what was refused is shown with its search
    words = sent.get("find", "").replace("\x00", "").strip()[:100]
    if not words or not (options.transferable or options.can_resume):
        return {"find": "", "found": ()}
    found = only_active(KINDS[USERS].matching(words))[: MOST_FOUND + 1]
    people = [(user.pk, user_label(user)) for user in found]
    return {"find": words, "found": people[:MOST_FOUND], "found_more": len(people) > MOST_FOUND}


def _subject_template(row: Request) -> Any:
    """A host project's own for a kind of subject or for a process, else ours."""
    names = [f"approvals/subjects/{row.process.key}.html", "approvals/subject.html"]
    if row.content_type is not None:
        names.insert(0, f"approvals/subjects/{row.content_type.app_label}_{row.content_type.model}.html")
    return select_template(names)
