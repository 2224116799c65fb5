"""Numbers for those who review an app for a store."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from sms_services.error_pages import private_post
from sms_services.phone_numbers import mask

from ..models import ReviewNumber
from .forms import ReviewNumberForm


@admin.register(ReviewNumber)
class ReviewNumberAdmin(admin.ModelAdmin):
    form = ReviewNumberForm
    list_display = ("masked_number", "login", "valid_until", "still_valid", "note")
    list_select_related = ("login",)
    list_filter = ("login",)
    ordering = ("-valid_until", "-pk")

    @admin.display(description=_("phone number"))
    def masked_number(self, review: ReviewNumber) -> str:
        return mask(review.number)

    @admin.display(description=_("valid"), boolean=True)
    def still_valid(self, review: ReviewNumber) -> bool:
        return review.is_valid

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        number = "masked_number" if obj else "number"
        return ("login", number, "code", "valid_until", "note", *(("user",) if obj else ()))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # The code's hash is one of the number's too: another number needs another row.
        return ("login", "masked_number", "user") if obj else ()

    @private_post("number", "code")
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().changeform_view(request, *args, **kwargs)
