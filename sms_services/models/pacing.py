"""The state of a service's rate limit, shared by all processes and hosts."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from .services import SmsService


class ServicePace(models.Model):
    """Two moments, in seconds since 1970. Changed by conditional UPDATEs only; see ``delivery.pacing``.

    ``next_at``: when the next message may leave. ``line_at``: the end of the line of those that wait.
    """

    service = models.OneToOneField(SmsService, models.CASCADE, primary_key=True, related_name="+")
    next_at = models.FloatField(default=0.0)
    line_at = models.FloatField(default=0.0)

    class Meta:
        verbose_name = _("rate limit")
        verbose_name_plural = _("rate limits")
        default_permissions = ()

    def __str__(self) -> str:
        return f"pace of service {self.service_id}"
