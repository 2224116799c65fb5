"""Batches: messages that belong together and are held, released, closed and expired as one."""

from datetime import datetime

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..choices import BatchState


class SmsBatchQuerySet(models.QuerySet["SmsBatch"]):
    def sending(self, now: datetime) -> "SmsBatchQuerySet":
        """Batches whose messages may leave."""
        return self.filter(models.Q(expires_at=None) | models.Q(expires_at__gt=now), state=BatchState.OPEN)


class SmsBatch(models.Model):
    """What many messages have in common: whether they may leave, and until when.

    It is asked in the very statement that claims messages: no statement that begins after a batch was held or closed
    claims any of it. What was claimed before still leaves. A number gets one message of a batch.

    ``is_put_off``: the sweep has put off messages of it, and brings them back once they may leave.
    """

    state = models.CharField(_("state"), max_length=8, choices=BatchState.choices, default=BatchState.OPEN)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    is_put_off = models.BooleanField(default=False, db_index=True, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    objects = SmsBatchQuerySet.as_manager()

    class Meta:
        verbose_name = _("batch of SMS messages")
        verbose_name_plural = _("batches of SMS messages")
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=BatchState.values), name="batch_state_known"),
        ]

    def __str__(self) -> str:
        return str(_("Batch %d") % self.pk) if self.pk else ""

    @property
    def problem(self) -> str:
        """Why its messages may not leave now, and what to do; empty if they may."""
        if self.state == BatchState.HELD:
            return str(_("It belongs to a sending that is paused. Resume that first."))
        if self.state == BatchState.CLOSED:
            return str(_("It belongs to a sending that was cancelled. Send a new text instead."))
        if self.expires_at is not None and self.expires_at <= timezone.now():
            return str(_("It belongs to a sending whose time has passed. Send a new text instead."))
        return ""
