"""Numbers for those who review an app for a store."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from sms_services.error_pages import private_post
from sms_services.phone_numbers import mask

from ..models import ReviewNumber
from .changelist import SaysWhenEmpty
from .forms import ReviewNumberForm
from .privacy import REVEAL

WHAT_IT_DOES = _(
    "Until the date, this login texts no codes to the number: whoever really has it cannot register with it here. If "
    "somebody has proved to have it, it stays theirs: they get their codes as ever, and the fixed code opens nothing."
)


@admin.register(ReviewNumber)
class ReviewNumberAdmin(SaysWhenEmpty, admin.ModelAdmin):
    form = ReviewNumberForm
    when_empty = _("There is none. Add one for those who review an app for a store, and cannot receive a text.")
    list_display = ("masked_number", "login", "valid_until", "still_valid", "note")
    list_select_related = ("login",)
    list_filter = ("login",)
    ordering = ("-valid_until", "-pk")

    class Media:
        css = {"all": ("sms_services/admin.css", "login_mobile/admin.css")}

    @admin.display(description=_("phone number"))
    def masked_number(self, review: ReviewNumber) -> str:
        return mask(review.number)

    @admin.display(description=_("valid"), boolean=True)
    def still_valid(self, review: ReviewNumber) -> bool:
        return review.is_valid

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, *args, **kwargs)
        form.tells_owners = request.user.has_perm(REVEAL)
        return form

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        number = "masked_number" if obj else "number"
        fields = ("login", number, "code", "valid_until", "note", *(("user",) if obj else ()))
        return [(None, {"fields": fields, "description": WHAT_IT_DOES})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # The code's hash is one of the number's too: another number needs another row.
        return ("login", "masked_number", "user") if obj else ()

    @private_post("number", "code")
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().changeform_view(request, *args, **kwargs)
