"""The inbox: what somebody has to do, has done, has started, and was told."""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from ..inbox import counts, paused_for
from ..paging import page_of
from ..rows import requests, tasks

#: Longer ones find nothing anyway.
_LONGEST_SEARCH = 100
#: Of what was returned or is paused, above the tasks. Others are found by the search.
MOST_ABOVE = 25


@never_cache
@login_required
@require_safe
def todo(request: HttpRequest) -> HttpResponse:
    """Tasks, and above those of the first page what was returned to its initiator, and what is paused."""
    user: Any = request.user
    above = {"returned": requests().returned_to(user), "paused": paused_for(user)}
    return _list(request, "todo", tasks().todo(user), above)


@never_cache
@login_required
@require_safe
def done(request: HttpRequest) -> HttpResponse:
    return _list(request, "done", tasks().done(request.user))


@never_cache
@login_required
@require_safe
def started(request: HttpRequest) -> HttpResponse:
    return _list(request, "started", requests().started_by(request.user))


@never_cache
@login_required
@require_safe
def copied(request: HttpRequest) -> HttpResponse:
    return _list(request, "copied", tasks().copied_to(request.user))


def _list(
    request: HttpRequest, tab: str, rows: "QuerySet[Any]", above: Mapping[str, "QuerySet[Any]"] | None = None
) -> HttpResponse:
    words = request.GET.get("q", "").replace("\x00", "").strip()[:_LONGEST_SEARCH]
    page = page_of(_found(rows, words), request)
    context = {"tab": tab, "words": words, "page": page, "counts": counts(request.user)}
    if above and not page.newest:
        context |= {name: list(_found(part, words)[: MOST_ABOVE + 1]) for name, part in above.items()}
        context["most_above"] = MOST_ABOVE
    return render(request, f"approvals/{tab}.html", context)


def _found(rows: Any, words: str) -> Any:
    return (rows.matching(words) if words else rows).for_list()
