"""Searching for a whole phone number without its standing in an address, a log of addresses or a browser's history.

The search is a POST; it leads to the list with a token in its address, which only whoever searched can read, for a day.
"""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.translation import gettext as _

from sms_services.addresses import seal, unseal
from sms_services.admin.posting import posted
from sms_services.error_pages import private_post
from sms_services.exceptions import InvalidPhoneNumber
from sms_services.phone_numbers import mask, normalize

#: Who may know that somebody asked for a code, or has an account: those who may see the numbers of messages.
REVEAL = "sms_services.reveal_smsmessage"
#: The parameter of a list that holds the encrypted number.
FOUND = "found"


def _use(request: HttpRequest) -> str:
    return f"login_mobile.search by {request.user.pk}"


class SearchesNumbers:
    """For a model's admin: a search by phone number. ``number_field`` is where the model has it."""

    number_field = "phone_number"

    def get_urls(self) -> list[Any]:
        info = self.opts.app_label, self.opts.model_name  # type: ignore[attr-defined]
        acting = posted(self.find_view, "admin:{}_{}_changelist".format(*info))
        view = self.admin_site.admin_view(acting)  # type: ignore[attr-defined]
        urls: list[Any] = super().get_urls()  # type: ignore[misc]
        return [path("find/", view, name="{}_{}_find".format(*info)), *urls]

    @private_post("number")
    def find_view(self, request: HttpRequest) -> HttpResponse:
        """Lead to the list with what belongs to a number."""
        if not (self.has_view_permission(request) and request.user.has_perm(REVEAL)):  # type: ignore[attr-defined]
            raise PermissionDenied
        info = self.opts.app_label, self.opts.model_name  # type: ignore[attr-defined]
        url = reverse("admin:{}_{}_changelist".format(*info), current_app=self.admin_site.name)  # type: ignore[attr-defined]
        raw = request.POST.get("number", "").strip()
        if not raw:
            return HttpResponseRedirect(url)
        try:
            number = normalize(raw)
        except InvalidPhoneNumber as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(url)
        return HttpResponseRedirect(f"{url}?{FOUND}={seal(number, _use(request))}")

    @private_post()
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        may_search = request.user.has_perm(REVEAL)
        number = (unseal(request.GET.get(FOUND, ""), _use(request)) or "") if may_search else ""
        request.found_number = number  # type: ignore[attr-defined]
        context = {
            "may_search_numbers": may_search,
            "searched": FOUND in request.GET,
            "searched_number": mask(number) if number else _("unreadable"),
        }
        response: HttpResponse = super().changelist_view(request, {**context, **(extra_context or {})})  # type: ignore[misc]
        return response

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request)  # type: ignore[misc]
        number = getattr(request, "found_number", None)
        if number is None or FOUND not in request.GET:
            return rows
        return rows.filter(**{self.number_field: number}) if number else rows.none()

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Not by fields that are not shown, such as the beginning of a number."""
        return lookup in self.lookups  # type: ignore[attr-defined]
