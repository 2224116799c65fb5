"""Beginning a request by hand."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from .. import starting
from ..exceptions import Conflict, NotAllowed, Throttled
from ..forms import StartForm
from ..inbox import counts
from ..models import Process


@never_cache
@login_required
@require_safe
def start_list(request: HttpRequest) -> HttpResponse:
    context = {"tab": "start", "processes": starting.startable(request.user), "counts": counts(request.user)}
    return render(request, "approvals/start_list.html", context)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def start(request: HttpRequest, key: str) -> HttpResponse:
    process = get_object_or_404(starting.startable(request.user), key=key)
    form = StartForm(request.POST if request.method == "POST" else None, label_suffix="")
    if request.method == "POST" and form.is_valid() and (response := _submit(request, process, form)):
        return response
    context = {"tab": "start", "process": process, "form": form, "counts": counts(request.user)}
    return render(request, "approvals/start.html", context)


def _submit(request: HttpRequest, process: Process, form: StartForm) -> HttpResponse | None:
    """What follows; ``None`` if the form is to be shown again."""
    try:
        submitted = starting.start(process, request.user, **form.cleaned_data)
    except Conflict as conflict:
        messages.info(request, str(conflict))
        return redirect("approvals:started")
    except (NotAllowed, Throttled) as refused:
        form.add_error(None, str(refused))
        return None
    messages.success(request, _("Your request was submitted."))
    return redirect("approvals:request", submitted.pk)
