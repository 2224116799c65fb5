"""Messages in admin: what was sent and how it went, to read only, with numbers masked."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..advice import advice_for
from ..models import SmsAttempt, SmsMessage
from ..phone_numbers import mask


class ReadOnly:
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class SmsAttemptInline(ReadOnly, admin.TabularInline):
    model = SmsAttempt
    fields = ("started_at", "finished_at", "outcome", "error_kind", "provider_code", "provider_detail")
    readonly_fields = fields
    extra = 0


@admin.register(SmsMessage)
class SmsMessageAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("created_at", "masked_number", "status", "error_kind", "service", "template")
    list_display_links = ("created_at", "masked_number")
    list_filter = ("status", "error_kind", "purpose")
    list_select_related = ("service", "template")
    show_full_result_count = False
    search_fields = ("provider_message_id", "provider_code")
    inlines = (SmsAttemptInline,)
    fieldsets = (
        (None, {"fields": ("masked_number", "status", "skip_reason", "advice")}),
        (_("Text"), {"fields": ("service", "template", "purpose", "template_code", "text", "segments")}),
        (
            _("Provider"),
            {
                "fields": (
                    "error_kind",
                    "provider_code",
                    "provider_detail",
                    "provider_message_id",
                    "provider_request_id",
                )
            },
        ),
        (_("Times"), {"fields": ("created_at", "due_at", "claimed_at", "sent_at", "tries")}),
    )

    class Media:
        css = {"all": ("sms_services/admin.css",)}

    @admin.display(description=_("phone number"))
    def masked_number(self, message: SmsMessage) -> str:
        return mask(message.phone_number)

    @admin.display(description=_("what to do"))
    def advice(self, message: SmsMessage) -> Any:
        return advice_for(message) or "-"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("masked_number", "advice")
