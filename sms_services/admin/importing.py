"""The page that imports templates from a service's platform: what it would do first, then exactly that."""

from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..exceptions import OutdatedComparison, SmsError
from ..importing import Comparison, Imported, apply, compare, signature_of
from ..models import SmsService
from .uses import warn_of_uses

TEMPLATE = "admin/sms_services/smsservice/import_templates.html"
#: Codes that a sentence names.
_NAMED = 10


def import_page(site: admin.AdminSite, request: HttpRequest, service: SmsService) -> HttpResponse:
    """A GET shows what differs and writes nothing; a POST writes what was shown, or shows what has changed since."""
    notice = ""
    if request.method == "POST":
        chosen = dict(value.rpartition(":")[::2] for value in request.POST.getlist("change"))
        try:
            imported = apply(service, chosen, record=lambda imported: _log(request, service, imported))
        except OutdatedComparison as outdated:
            again = _("See what is different now, and confirm again.")
            notice = f"{outdated} {again}"
        except SmsError as error:
            return _render(site, request, service, {"error": str(error), "nothing_written": True})
        else:
            _tell(request, imported)
            if signature := signature_of(service):
                service.keep_verification(signature)
            warn_of_uses(request, services=[service])
            return HttpResponseRedirect(_url(service, "smsservice_import"))
    try:
        comparison = compare(service)
    except SmsError as error:
        return _render(site, request, service, {"error": str(error), "notice": notice})
    tick = request.GET.get("tick") != "none"
    context = {"comparison": comparison, "notice": notice, "tick": tick, "signature": signature_of(service)}
    return _render(site, request, service, {**context, "sections": _sections(comparison)})


def _tell(request: HttpRequest, imported: Imported) -> None:
    """What was written and what was not. The page that comes next shows what is left."""
    if imported.count:
        messages.success(request, summary(imported))
    elif not imported.left_alone:
        messages.success(request, _("Nothing was chosen, so nothing was imported."))
    if imported.left_alone:
        words = ngettext(
            "%(count)d template was edited meanwhile, here or on the platform, and left alone: %(codes)s. "
            "Compare again.",
            "%(count)d templates were edited meanwhile, here or on the platform, and left alone: %(codes)s. "
            "Compare again.",
            len(imported.left_alone),
        )
        codes = [*imported.left_alone[:_NAMED], "…"] if len(imported.left_alone) > _NAMED else imported.left_alone
        messages.warning(request, words % {"count": len(imported.left_alone), "codes": ", ".join(codes)})


def summary(imported: Imported) -> str:
    """What was written, in a sentence."""
    counts = {"new": imported.new, "changed": imported.changed, "gone": imported.gone}
    return _("Imported: %(new)d new, %(changed)d changed, %(gone)d marked as no longer there.") % counts


def _sections(comparison: Comparison) -> list[dict[str, Any]]:
    sections = [
        ("new", _("New"), _("They are added as templates of yours."), comparison.new),
        ("changed", _("Changed"), _("The platform's wording and status replace the stored ones."), comparison.changed),
        (
            "gone",
            _("No longer there"),
            _("The platform does not list them any more. They are marked and refuse to send; nothing is deleted."),
            comparison.gone,
        ),
        (
            "impossible",
            _("Cannot be imported"),
            _("Each says why. Change it on the platform, or add it by hand with another purpose."),
            comparison.impossible,
        ),
    ]
    return [{"id": id_, "title": title, "help": help_, "changes": rows} for id_, title, help_, rows in sections if rows]


def _log(request: HttpRequest, service: SmsService, imported: Imported) -> None:
    if imported.count:
        user = cast(Any, request.user)
        LogEntry.objects.log_actions(user.pk, [service], CHANGE, summary(imported), single_object=True)


def _render(
    site: admin.AdminSite, request: HttpRequest, service: SmsService, context: dict[str, Any]
) -> TemplateResponse:
    request.current_app = site.name
    common = {
        **site.each_context(request),
        "title": _("Import templates"),
        "subtitle": str(service),
        "opts": SmsService._meta,
        "service": service,
        "change_url": _url(service, "smsservice_change"),
        "import_url": _url(service, "smsservice_import"),
    }
    return TemplateResponse(request, TEMPLATE, {**common, **context})


def _url(service: SmsService, name: str) -> str:
    return reverse(f"admin:sms_services_{name}", args=[service.pk])
