"""Who looked at numbers and texts, and when. These rows hold neither, and outlive the messages."""

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .messages import SmsMessage


class _ByPerson(models.Model):
    """Something that a person did. The name stays when the account is deleted."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("user")
    )
    username = models.CharField(_("user name"), max_length=255)

    class Meta:
        abstract = True


class MessageReveal(_ByPerson):
    """One look at one message's number and text."""

    # No constraint: the purge takes the message and leaves the record with its id.
    message = models.ForeignKey(
        SmsMessage, models.DO_NOTHING, db_constraint=False, related_name="reveals", verbose_name=_("message")
    )
    revealed_at = models.DateTimeField(_("revealed"), default=timezone.now)

    class Meta:
        verbose_name = _("revealed message")
        verbose_name_plural = _("revealed messages")
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"{self.username}: {self.message_id}"


class MessageExport(_ByPerson):
    """One CSV file of the log. ``rows`` is how many lines it got; empty while it is being written."""

    revealed = models.BooleanField(_("with numbers and texts"), default=False)
    filters = models.JSONField(_("filters"), default=dict)
    rows = models.PositiveIntegerField(_("rows"), null=True)
    exported_at = models.DateTimeField(_("exported"), default=timezone.now)

    class Meta:
        verbose_name = _("export of messages")
        verbose_name_plural = _("exports of messages")
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"{self.username}: {self.exported_at:%Y-%m-%d %H:%M}"
