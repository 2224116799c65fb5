"""Showing one message's number and text to somebody who may see them, and writing down that they saw them."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache

from ..error_pages import private_post
from ..models import MessageReveal, SmsMessage
from .posting import posted
from .search import REVEAL


class Reveals:
    """For the log's admin: the page with what is hidden elsewhere. It is an answer to a POST and nothing else."""

    def get_urls(self) -> list[Any]:
        acting = posted(self.reveal_view, "admin:sms_services_smsmessage_change")
        view = never_cache(self.admin_site.admin_view(acting))  # type: ignore[attr-defined]
        urls: list[Any] = super().get_urls()  # type: ignore[misc]
        return [path("<int:pk>/reveal/", view, name="sms_services_smsmessage_reveal"), *urls]

    @private_post()
    def reveal_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The number, the text and the variables of a message. The record is written first."""
        message = self.message_for(request, pk, REVEAL)  # type: ignore[attr-defined]
        MessageReveal.objects.create(user_id=request.user.pk, username=request.user.get_username(), message=message)
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "title": _("Revealed message"),
            "subtitle": str(message),
            "opts": SmsMessage._meta,
            "message": message,
            "variables": [(name, value) for name, value in sorted(message.params.items())],
        }
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        return TemplateResponse(request, "admin/sms_services/smsmessage/reveal.html", context)


def refuse_unless(request: HttpRequest, permission: str) -> None:
    if not request.user.has_perm(permission):
        raise PermissionDenied
