"""Texts about nodes: the outbox between the engine and ``notify()``."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from notifications.models import Notification
from sms_services.models import SmsService, SmsTemplate

from ..choices import NodeKind, Reason, TextState
from .requests import Request


class NodeText(models.Model):
    """One ``node_reached`` to be texted: written with the event, handed to ``notify()`` after the commit.

    Its event id is unique, so that an event that comes twice texts once. ``problem`` says why nothing could be sent,
    in words for an admin. ``sweep_at`` is when the sweep looks after it; empty: there is nothing left to do.
    """

    event_id = models.CharField(_("event"), max_length=190, unique=True)
    engine = models.CharField(_("engine"), max_length=50)
    process_key = models.CharField(_("process"), max_length=100)
    process_title = models.CharField(_("title"), max_length=200)
    node_key = models.CharField(_("step"), max_length=100)
    kind = models.CharField(_("kind"), max_length=10, choices=NodeKind.choices)
    reason = models.CharField(_("reason"), max_length=12, choices=Reason.choices)
    request = models.ForeignKey(
        Request, models.CASCADE, null=True, blank=True, related_name="texts", verbose_name=_("request")
    )
    initiator = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("initiator")
    )
    sms_service = models.ForeignKey(
        SmsService, models.PROTECT, null=True, related_name="+", verbose_name=_("SMS service")
    )
    sms_template = models.ForeignKey(
        SmsTemplate, models.SET_NULL, null=True, related_name="+", verbose_name=_("SMS template")
    )
    state = models.CharField(_("state"), max_length=10, choices=TextState.choices, default=TextState.WAITING)
    problem = models.TextField(_("problem"), blank=True)
    notification = models.OneToOneField(
        Notification, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("notification")
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    sweep_at = models.DateTimeField(null=True, blank=True, default=timezone.now, editable=False, db_index=True)

    class Meta:
        verbose_name = _("text about a step")
        verbose_name_plural = _("texts about steps")
        ordering = ("-pk",)
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(condition=Q(state__in=TextState.values), name="approval_text_state_known"),
        ]
        indexes = [models.Index(fields=["state", "id"], name="approval_text_state")]

    def __str__(self) -> str:
        return f"{self.process_title} › {self.node_key}"


class TextRecipient(models.Model):
    """Somebody to be texted, and the task that it is about. Once that is ``handled``, the text need not go out."""

    text = models.ForeignKey(
        NodeText, models.CASCADE, related_name="recipients", verbose_name=pgettext_lazy("approvals", "text")
    )
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("user"))
    task_key = models.CharField(_("task"), max_length=190, blank=True)
    handled = models.BooleanField(_("done already"), default=False)

    class Meta:
        verbose_name = _("recipient of a text")
        verbose_name_plural = _("recipients of texts")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["text", "user"], name="approval_one_recipient_per_text_and_user"),
        ]
        indexes = [models.Index(fields=["task_key"], name="approval_text_recipient_task")]

    def __str__(self) -> str:
        """Its text, by number: somebody may be in thousands, and the name of each would be a query."""
        return f"{NodeText._meta.verbose_name} {self.text_id}"

    def __repr__(self) -> str:
        return f"<TextRecipient {self.pk}>"
