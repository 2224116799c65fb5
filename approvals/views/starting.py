"""Beginning a request by hand."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from ..api import submit
from ..exceptions import NotAllowed
from ..forms import StartForm
from ..inbox import counts
from ..models import Node, Process

#: For how long a second click on a form is recognized.
_REMEMBERED = 24 * 60 * 60


def _processes() -> "QuerySet[Process]":
    """Those that can be begun by hand."""
    nodes = Node.objects.filter(process=OuterRef("pk"))
    return Process.objects.filter(Exists(nodes), is_active=True, has_start_page=True)


@never_cache
@login_required
@require_safe
def start_list(request: HttpRequest) -> HttpResponse:
    context = {"tab": "start", "processes": _processes(), "counts": counts(request.user)}
    return render(request, "approvals/start_list.html", context)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def start(request: HttpRequest, key: str) -> HttpResponse:
    process = get_object_or_404(_processes(), key=key)
    form = StartForm(request.POST if request.method == "POST" else None, label_suffix="")
    if request.method == "POST" and form.is_valid() and (response := _submit(request, process, form)):
        return response
    context = {"tab": "start", "process": process, "form": form, "counts": counts(request.user)}
    return render(request, "approvals/start.html", context)


def _submit(request: HttpRequest, process: Process, form: StartForm) -> HttpResponse | None:
    """What follows; ``None`` if the form is to be shown again."""
    key = f"approvals.start.{request.user.pk}.{form.cleaned_data['key']}"
    if not cache.add(key, True, _REMEMBERED):
        messages.info(request, _("This form was sent before, and no second request was made."))
        return redirect("approvals:started")
    data = {"reason": form.cleaned_data["reason"]}
    try:
        submitted = submit(process, request.user, title=form.cleaned_data["title"], data=data)
    except BaseException as error:
        cache.delete(key)
        if not isinstance(error, NotAllowed):
            raise
        form.add_error(None, str(error))
        return None
    messages.success(request, _("Your request was submitted."))
    return redirect("approvals:request", submitted.pk)
