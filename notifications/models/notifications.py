"""Notifications: one text to many people, and how far it is."""

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sms_services.choices import Purpose, TemplateKind
from sms_services.fields import EncryptedTextField
from sms_services.models import SmsBatch, SmsService, SmsTemplate

from ..choices import NotificationStatus
from .audience import Audience


class Notification(Audience):
    """One call of ``notify()``: the recipients asked for, and what they are sent.

    The wording, the template's code and the variables are frozen with it. ``variables`` are the same for everybody;
    ``recipient_fields`` names, per variable, the field of each recipient's user that it is read from. Sensitive
    variables are encrypted, and wiped when it is finished.

    Recipients are resolved when it starts, in the order of their users' primary keys; ``cursor`` is the last one that
    was. Its ``batch`` lets the messages leave, or not. ``sweep_at`` is when the sweep looks after it.
    """

    key = models.SlugField(_("preset"), max_length=50, blank=True, help_text=_("The key of its preset."))
    idempotency_key = models.CharField(_("idempotency key"), max_length=200, null=True, blank=True, unique=True)
    fingerprint = models.CharField(max_length=64, blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("sent by")
    )
    retry_of = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="retries", verbose_name=_("retry of")
    )

    service = models.ForeignKey(SmsService, models.PROTECT, related_name="+", verbose_name=_("SMS service"))
    template = models.ForeignKey(
        SmsTemplate, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("template")
    )
    purpose = models.CharField(_("purpose"), max_length=20, choices=Purpose.choices)
    text = models.TextField(_("text"), blank=True)
    template_code = models.CharField(_("template code"), max_length=64, blank=True)
    template_kind = models.CharField(_("registered as"), max_length=16, choices=TemplateKind.choices, blank=True)
    variables = models.JSONField(_("variables"), default=dict, blank=True)
    sensitive_variables = EncryptedTextField(_("sensitive variables"), blank=True, default="")
    recipient_fields = models.JSONField(_("variables looked up on each recipient"), default=dict, blank=True)

    status = models.CharField(
        _("status"), max_length=12, choices=NotificationStatus.choices, default=NotificationStatus.RUNNING
    )
    batch = models.OneToOneField(SmsBatch, models.PROTECT, related_name="notification", editable=False)
    cursor = models.CharField(max_length=64, blank=True, editable=False)
    final_counts = models.JSONField(null=True, blank=True, editable=False)

    created_at = models.DateTimeField(_("created"), default=timezone.now, db_index=True)
    send_at = models.DateTimeField(_("not before"), null=True, blank=True)
    expires_at = models.DateTimeField(_("not after"), null=True, blank=True)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    expanded_at = models.DateTimeField(_("recipients resolved"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    sweep_at = models.DateTimeField(null=True, blank=True, default=timezone.now, editable=False, db_index=True)

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        ordering = ("-pk",)
        default_permissions = ("view",)
        permissions = [
            ("compose_notification", _("Can compose and send notifications")),
            ("control_notification", _("Can pause, resume, cancel and retry notifications")),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=NotificationStatus.values), name="notification_status_known"
            ),
        ]

    def __str__(self) -> str:
        name = self.template.name if self.template else self.template_code
        return f"{name} ({self.pk})" if self.pk else name
