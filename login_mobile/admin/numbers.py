"""Verified numbers: masked, and nobody enters one, as only its owner can verify it. An admin may take one away."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from sms_services.error_pages import private_post
from sms_services.phone_numbers import mask

from ..api import withdraw_number
from ..models import MobileNumber
from .changelist import FoundByNumber, SaysWhenEmpty
from .privacy import SearchesNumbers


class _Gone(Exception):
    """The number was taken away or changed since its page was read."""


@admin.register(MobileNumber)
class MobileNumberAdmin(SaysWhenEmpty, SearchesNumbers, admin.ModelAdmin):
    number_field = "number"
    list_display = ("masked_number", "user", "verified_at", "last_used_at")
    list_display_links = ("masked_number",)
    list_select_related = ("user",)
    sortable_by = ()
    ordering = ("-pk",)
    show_full_result_count = False
    search_help_text = _("The beginning of a user name.")
    when_empty = _("No user has a number yet. Numbers are listed here once their owners have confirmed them by a code.")
    actions = ("delete_selected",)
    lookups = frozenset[str]()
    fields = ("masked_number", "user", "verified_at", "last_used_at")
    readonly_fields = fields

    class Media:
        css = {"all": ("sms_services/admin.css", "login_mobile/admin.css")}

    @admin.display(description=_("phone number"))
    def masked_number(self, number: MobileNumber) -> str:
        return mask(number.number)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[FoundByNumber]:
        return FoundByNumber

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return (f"user__{get_user_model().USERNAME_FIELD}__startswith",)

    @private_post()
    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        try:
            return super().delete_view(request, object_id, extra_context)
        except _Gone:  # its entry in the history is undone
            _say_gone(request, 1)
            return HttpResponseRedirect(reverse("admin:login_mobile_mobilenumber_changelist"))

    def delete_model(self, request: HttpRequest, obj: MobileNumber) -> None:
        if not withdraw_number(obj):
            raise _Gone

    @admin.action(
        description=delete_selected.short_description,  # type: ignore[attr-defined]
        permissions=["delete"],
    )
    def delete_selected(self, request: HttpRequest, queryset: Any) -> Any:
        """Django's own, but for what is recorded and said: only what was still there to be taken away."""
        *_listed, lacking, protected = self.get_deleted_objects(queryset, request)
        if lacking or protected or not request.POST.get("post"):
            return delete_selected(self, request, queryset)
        numbers = list(queryset.select_related("user"))
        withdrawn = sum(self._withdraw(request, number) for number in numbers)
        if withdrawn:
            said = ngettext("%(count)d number was taken away.", "%(count)d numbers were taken away.", withdrawn)
            messages.success(request, said % {"count": withdrawn})
        if withdrawn < len(numbers):
            _say_gone(request, len(numbers) - withdrawn)
        return None

    def _withdraw(self, request: HttpRequest, number: MobileNumber) -> bool:
        if not withdraw_number(number):
            return False
        self.log_deletions(request, [number])  # type: ignore[arg-type] # any rows that have keys
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _say_gone(request: HttpRequest, count: int) -> None:
    said = ngettext(
        "%(count)d number was changed or taken away by somebody else meanwhile, and was left as it is.",
        "%(count)d numbers were changed or taken away by somebody else meanwhile, and were left as they are.",
        count,
    )
    messages.warning(request, said % {"count": count})
