"""Pausing, resuming, cancelling and retrying a notification, with a question before what cannot be taken back."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _

from sms_services.admin.posting import posted
from sms_services.choices import MessageStatus
from sms_services.error_pages import private_post
from sms_services.exceptions import SmsError

from ..api import cancel, pause, resume, retry_failed
from ..expansion.pages import failures_of
from ..models import Notification

CONTROL = "notifications.control_notification"
_PAGE = "admin:notifications_notification_change"


class Controls:
    """For the notifications' admin: the buttons of a notification."""

    def get_urls(self) -> list[Any]:
        urls: list[Any] = super().get_urls()  # type: ignore[misc]
        steps = {
            "pause": self.pause_view,
            "resume": self.resume_view,
            "cancel": self.cancel_view,
            "retry": self.retry_view,
        }
        return [
            *(
                path(
                    f"<int:pk>/{step}/",
                    self.admin_site.admin_view(posted(view, _PAGE)),  # type: ignore[attr-defined]
                    name=f"notifications_notification_{step}",
                )
                for step, view in steps.items()
            ),
            *urls,
        ]

    @private_post()
    def pause_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._do(request, self._controlled(request, pk), pause, _("Paused."))

    @private_post()
    def resume_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._do(request, self._controlled(request, pk), resume, _("Resumed."))

    @private_post()
    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        notification = self._controlled(request, pk)
        if "confirmed" not in request.POST:
            return self._question(request, notification, "cancel.html", _("Cancel this notification?"))
        return self._do(request, notification, cancel, _("Cancelled."))

    @private_post()
    def retry_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What failed or was not delivered goes out again, as a new notification; what is in doubt does not."""
        notification = self._controlled(request, pk)
        if "confirmed" not in request.POST:
            count = failures_of(notification).count()
            return self._question(request, notification, "retry.html", _("Retry what failed?"), retryable=count)
        try:
            retry = retry_failed(notification, created_by=request.user)
        except SmsError as error:
            messages.error(request, str(error))
            return _page_of(notification)
        self.log_change(request, notification, _("Retried as notification %d.") % retry.pk)  # type: ignore[attr-defined]
        messages.success(request, _("This is the retry. It is on its way."))
        return _page_of(retry)

    def _controlled(self, request: HttpRequest, pk: int) -> Notification:
        notification: Notification = self.notification_for(request, pk, CONTROL)  # type: ignore[attr-defined]
        return notification

    def _do(
        self, request: HttpRequest, notification: Notification, step: Callable[[Notification], Any], words: str
    ) -> HttpResponse:
        try:
            step(notification)
        except SmsError as error:
            messages.error(request, str(error))
        else:
            self.log_change(request, notification, words)  # type: ignore[attr-defined]
            messages.success(request, words)
        return _page_of(notification)

    def _question(
        self, request: HttpRequest, notification: Notification, template: str, title: str, **more: Any
    ) -> HttpResponse:
        counts = notification.counts()
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "title": title,
            "opts": Notification._meta,
            "notification": notification,
            "counts": counts,
            "left": counts[MessageStatus.SENT] + counts[MessageStatus.DELIVERED],
            "page_url": reverse(_PAGE, args=[notification.pk]),
            **more,
        }
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        return TemplateResponse(request, f"admin/notifications/notification/{template}", context)


def _page_of(notification: Notification) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse(_PAGE, args=[notification.pk]))
