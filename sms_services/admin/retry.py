"""Sending once more what did not arrive, for one message or for many, with a question before any text comes twice."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import transaction
from django.db.models import F, Prefetch
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ..api import retry_message
from ..choices import MessageStatus, Purpose
from ..delivery.rows import database
from ..delivery.rows import messages as stored_messages
from ..error_pages import private_post
from ..exceptions import AlreadyRetried, InactiveService, InDoubt, NotRetryable, SmsError, VariablesWiped
from ..logs import log
from ..models import SmsMessage
from ..models.messages import SmsMessageQuerySet
from .posting import posted
from .times import to_the_second

RETRY = "sms_services.retry_smsmessage"
#: Messages of one action: each is a transaction of its own, in one request.
MOST_AT_ONCE = 900  # below Django's limit of fields in a form

#: Of the new messages, so many are named.
_MOST_NAMED = 10

#: What the question can be answered with.
_ALL, _CERTAIN = "all", "certain"
_RETRYABLE = frozenset({MessageStatus.FAILED, MessageStatus.UNDELIVERED, MessageStatus.UNKNOWN})


class Retries:
    """For the log's admin: the action over the list, and the button of a message."""

    def get_urls(self) -> list[Any]:
        acting = posted(self.retry_view, "admin:sms_services_smsmessage_change")
        view = self.admin_site.admin_view(acting)  # type: ignore[attr-defined]
        urls: list[Any] = super().get_urls()  # type: ignore[misc]
        return [path("<int:pk>/retry/", view, name="sms_services_smsmessage_retry"), *urls]

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(RETRY)

    @admin.action(description=gettext_lazy("Retry the selected messages"), permissions=["retry"])
    def retry_selected(self, request: HttpRequest, chosen: SmsMessageQuerySet) -> HttpResponse | None:
        selected = list(_to_decide_on(chosen)[: MOST_AT_ONCE + 1])
        if len(selected) > MOST_AT_ONCE:
            words = _("At most %(count)d messages can be retried at once.") % {"count": MOST_AT_ONCE}
            messages.error(request, words)
            return None
        in_doubt = [message.pk for message in selected if _is_to_be_asked_about(message)]
        others = [message.pk for message in selected if not _is_to_be_asked_about(message)]
        answer = request.POST.get("in_doubt")
        # What has come into doubt since the question was asked is asked about too.
        asked = {int(pk) for pk in request.POST.get("asked", "").split(",") if pk.isdecimal()}
        if in_doubt and (answer not in (_ALL, _CERTAIN) or (answer == _ALL and not asked.issuperset(in_doubt))):
            return self._question(request, selected, reverse("admin:sms_services_smsmessage_changelist"))
        self._retry(request, [*others, *in_doubt] if answer == _ALL else others, in_doubt if answer == _ALL else ())
        return None

    @private_post()
    def retry_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The button of one message."""
        message = self.message_for(request, pk, RETRY)  # type: ignore[attr-defined]
        page = reverse("admin:sms_services_smsmessage_change", args=[pk])
        confirmed = request.POST.get("in_doubt") == _ALL
        if _is_to_be_asked_about(message) and not confirmed:
            return self._question(request, [message], page)
        (retry,) = self._retry(request, [pk], [pk] if confirmed else ()) or (message,)
        return HttpResponseRedirect(reverse("admin:sms_services_smsmessage_change", args=[retry.pk]))

    def _question(self, request: HttpRequest, selected: Sequence[SmsMessage], back: str) -> HttpResponse:
        """What to do about those in doubt; how many of the others there are, and how many can only be left out."""
        able = [message for message in selected if may_be_retried(message)]
        in_doubt = [message for message in able if _is_to_be_asked_about(message)]
        certain = [message for message in able if not _is_to_be_asked_about(message)]
        refusals = [refusal for message in selected if (refusal := _refusal(message))]
        reasons = Counter(_reason(refusal) for refusal in refusals)
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "title": _("Messages that may have been sent"),
            "opts": SmsMessage._meta,
            "certain": certain,
            "asked": ",".join(str(message.pk) for message in in_doubt),
            "in_doubt": in_doubt,
            "in_doubt_count": len(in_doubt),
            "left_out": reasons.most_common(),
            "left_out_count": len(refusals),
            "pks": [message.pk for message in (*certain, *in_doubt)],
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "is_action": "action" in request.POST,
            "back": back,
        }
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        return TemplateResponse(request, "admin/sms_services/smsmessage/retry.html", context)

    def _retry(self, request: HttpRequest, pks: Sequence[int], confirmed: Sequence[int]) -> list[SmsMessage]:
        """Retry each, those in doubt only if confirmed; what cannot be is counted. Returns the new messages."""
        twice = set(confirmed)
        retries: list[SmsMessage] = []
        refused: Counter[str] = Counter()
        for pk in pks:
            try:
                retries.append(self._retry_and_record(request, pk, in_doubt=pk in twice))
            except SmsError as error:
                refused[(len(pks) > 1 and _reason(type(error))) or str(error)] += 1
            except SmsMessage.DoesNotExist:
                refused[_("The message was purged.")] += 1
            except Exception as error:  # noqa: BLE001 - others were retried before it: what became of them must be said
                log(logging.ERROR, "sms.retry_failed", message=pk, error=type(error).__name__)
                refused[_("Something went wrong, so nothing was queued or recorded. Try again.")] += 1
        if retries:
            words = ngettext(
                "The text is sent once more, as a new message: {links}.",
                "{count} texts are sent once more, as new messages: {links}.",
                len(retries),
            )
            links = format_html_join(", ", "{}", ((link_to(retry),) for retry in retries[:_MOST_NAMED]))
            if len(retries) > _MOST_NAMED:
                links = format_html("{}, …", links)
            messages.success(request, format_html(words, count=len(retries), links=links))
        for reason, count in refused.items():
            words = ngettext("%(count)d message was not retried.", "%(count)d messages were not retried.", count)
            messages.warning(request, f"{words % {'count': count}} {reason}" if len(pks) > 1 else reason)
        return retries

    def _retry_and_record(self, request: HttpRequest, pk: int, in_doubt: bool) -> SmsMessage:
        """The retry and the line that says who wanted it: both, or neither."""
        with transaction.atomic(using=database()):
            # A write first: SQLite refuses a transaction that begins to write too late.
            stored_messages().filter(pk=pk).update(tries=F("tries"))
            retry = retry_message(pk, even_if_in_doubt=in_doubt)
            old = stored_messages().get(pk=pk)
            self.log_change(request, old, _("Retried as message %d.") % retry.pk)  # type: ignore[attr-defined]
        return retry


def retries_of_each() -> Prefetch:
    """For messages of which ``retry_of`` is asked."""
    return Prefetch("retries", SmsMessage.objects.only("retry_of", "created_at"))


def retry_of(message: SmsMessage) -> SmsMessage | None:
    """The message with which this one was sent once more."""
    return next(iter(message.retries.all()), None)


def link_to(message: SmsMessage | int, words: str = "") -> SafeString:
    """To a message's page; without words, the link has its id and time."""
    if isinstance(message, SmsMessage):
        words = words or _("message %(id)d of %(time)s") % {
            "id": message.pk,
            "time": to_the_second(message.created_at),
        }
        message = message.pk
    return format_html('<a href="{}">{}</a>', reverse("admin:sms_services_smsmessage_change", args=[message]), words)


def may_be_retried(message: SmsMessage) -> bool:
    """Whether ``retry_message`` would take it, as far as can be seen without trying."""
    return _refusal(message) is None


def why_not(message: SmsMessage) -> str:
    """Why a message that did not arrive is not offered to be retried; empty if it is, or if there is no need to."""
    if retry := retry_of(message):
        return format_html(_("Already retried: {}."), link_to(retry))
    refusal = _refusal(message)
    if refusal is VariablesWiped:
        return _("Not possible: one-time codes and other sensitive variables are not kept. Have a new text sent.")
    if refusal is InactiveService:
        return _("Not possible: the service is deactivated. Activate it first.")
    return ""


def _to_decide_on(messages: SmsMessageQuerySet) -> SmsMessageQuerySet:
    """With what ``may_be_retried`` looks at."""
    return messages.newest_first().select_related("service").prefetch_related(retries_of_each())


def _is_to_be_asked_about(message: SmsMessage) -> bool:
    """Whether its retry might be a second text."""
    return message.status == MessageStatus.UNKNOWN and may_be_retried(message)


def _refusal(message: SmsMessage) -> type[SmsError] | None:
    """What ``retry_message`` would raise, as far as can be seen without trying."""
    if retry_of(message):
        return AlreadyRetried
    if message.status not in _RETRYABLE:
        return NotRetryable
    if message.purpose == Purpose.OTP or message.wiped_names:
        return VariablesWiped
    if not message.service.is_active:
        return InactiveService
    return None


def _reason(error: type[SmsError]) -> str:
    """Why, in words that hold for many messages; empty if there are none."""
    reasons = {
        AlreadyRetried: _("Already retried."),
        VariablesWiped: _("One-time codes and other sensitive variables are not kept."),
        InDoubt: _("They may have been sent."),
        NotRetryable: _("Only what failed, was not delivered or is in doubt can be retried."),
        InactiveService: _("The service is deactivated."),
    }
    return reasons.get(error, "")
