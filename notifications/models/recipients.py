"""Recipients: the people of a notification, each once, and why each was included or skipped."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from sms_services.choices import SkipReason
from sms_services.models import SmsMessage

from .notifications import Notification, numbered


class Recipient(models.Model):
    """A person of a notification, with the message, or with the reason why there is none.

    ``via`` says why they were included, as a list of one or more: ``["user"]``, ``["department", 12]`` (the one whose
    member they are, which may lie below the one that was asked for), ``["role", 3]``. What was retried has none.

    ``skip_reason`` is for those who have no message; a message that was skipped later says so itself.
    """

    notification = models.ForeignKey(
        Notification, models.CASCADE, db_index=False, related_name="recipients", verbose_name=_("notification")
    )
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("user"))
    message = models.OneToOneField(
        SmsMessage, models.CASCADE, null=True, blank=True, related_name="recipient", verbose_name=_("message")
    )
    via = models.JSONField(_("why included"), default=list)
    skip_reason = models.CharField(_("why skipped"), max_length=12, choices=SkipReason.choices, blank=True)

    class Meta:
        verbose_name = _("recipient")
        verbose_name_plural = _("recipients")
        constraints = [
            models.UniqueConstraint(fields=["notification", "user"], name="one_recipient_per_user"),
            models.CheckConstraint(
                condition=models.Q(message=None, skip_reason__gt="") | models.Q(message__isnull=False, skip_reason=""),
                name="recipient_has_message_or_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["notification", "skip_reason", "id"], name="notification_skipped"),
        ]

    def __str__(self) -> str:
        return numbered(self) if self.notification_id else ""

    def __repr__(self) -> str:
        return f"<Recipient {self.pk}>"
