"""Verified numbers: masked, and nobody enters one, as only its owner can verify it. An admin may take one away."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from sms_services.error_pages import private_post
from sms_services.phone_numbers import mask

from ..api import withdraw_number
from ..models import MobileNumber
from .changelist import FoundByNumber, SaysWhenEmpty
from .privacy import SearchesNumbers


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
        return super().delete_view(request, object_id, extra_context)

    def delete_model(self, request: HttpRequest, obj: MobileNumber) -> None:
        withdraw_number(obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for number in queryset.select_related("user"):
            withdraw_number(number)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
