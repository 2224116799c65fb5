"""Suppressed numbers in admin: put in by any notation, shown masked, looked up by a POST so that no URL has one."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sms_services.admin.posting import posted
from sms_services.admin.reveal import refuse_unless
from sms_services.error_pages import hide_variables, private_post
from sms_services.exceptions import InvalidPhoneNumber
from sms_services.phone_numbers import mask, normalize

from ..models import SuppressedNumber

_LIST = "admin:notifications_suppressednumber_changelist"


class SuppressedNumberForm(forms.ModelForm):
    """A number in any notation, once."""

    phone_number = forms.CharField(
        label=gettext_lazy("Phone number"),
        max_length=40,
        widget=forms.TextInput(attrs={"type": "tel", "autocomplete": "off", "class": "vTextField"}),
        help_text=gettext_lazy("In any notation, with country code: +1 206 555 0100."),
    )

    def clean_phone_number(self) -> str:
        try:
            number = normalize(self.cleaned_data["phone_number"])
        except InvalidPhoneNumber as error:
            raise forms.ValidationError(str(error)) from None
        if SuppressedNumber.objects.filter(phone_number=number).exists():
            raise forms.ValidationError(_("This number is in the list already."), code="unique")
        return number


@admin.register(SuppressedNumber)
class SuppressedNumberAdmin(admin.ModelAdmin):
    form = SuppressedNumberForm
    list_display = ("masked_number", "note", "created_at")
    list_filter = ("created_at",)
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    class Media:
        css = {"all": ("notifications/admin.css",)}

    def get_queryset(self, request: HttpRequest) -> Any:
        hide_variables(request)  # also of pages that are Django's own: the list, the history, the question to delete
        return super().get_queryset(request)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("phone_number", "note") if obj is None else ("masked_number", "note", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else ("masked_number", "created_at")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """A number is put in or taken out, never changed."""
        return super().get_form(request, obj, change, **({**kwargs, "form": forms.ModelForm} if change else kwargs))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Django would allow ``phone_number__startswith``, by which numbers could be guessed."""
        return lookup.startswith("created_at__")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(posted(self.find_view, _LIST))
        return [path("find/", view, name="notifications_suppressednumber_find"), *super().get_urls()]

    @private_post()
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().changeform_view(request, *args, **kwargs)

    @private_post()
    def find_view(self, request: HttpRequest) -> HttpResponse:
        """Whether a number is in the list."""
        refuse_unless(request, "notifications.view_suppressednumber")
        back = HttpResponseRedirect(reverse(_LIST))
        try:
            number = normalize(request.POST.get("phone_number", ""))
        except InvalidPhoneNumber as error:
            messages.error(request, str(error))
            return back
        found = SuppressedNumber.objects.filter(phone_number=number).first()
        if found is None:
            words = _("%(number)s is not in the list: it gets notifications.")
            messages.info(request, words % {"number": mask(number)})
            return back
        return HttpResponseRedirect(reverse("admin:notifications_suppressednumber_change", args=[found.pk]))

    @admin.display(description=gettext_lazy("phone number"))
    def masked_number(self, suppressed: SuppressedNumber) -> str:
        return mask(suppressed.phone_number)
