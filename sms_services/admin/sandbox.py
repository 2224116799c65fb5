"""The way to the sandbox inbox from the admin's index and sidebar, in every host project."""

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import NoReverseMatch, path, reverse

from ..models import SandboxMessage
from .read_only import ReadOnly


@admin.register(SandboxMessage)
class SandboxMessageAdmin(ReadOnly, admin.ModelAdmin):
    """An entry that has no pages of its own: numbers and texts are for the inbox to show."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.changelist_view)
        return [path("", view, name="sms_services_sandboxmessage_changelist")]

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        return super().get_model_perms(request) if inbox_url() else {}

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        url = inbox_url()
        if not url:
            raise Http404
        return HttpResponseRedirect(url)


def inbox_url() -> str:
    """Where the inbox is; empty where the host project has left our addresses out."""
    try:
        return reverse("sms_services:sandbox_inbox")
    except NoReverseMatch:
        return ""
