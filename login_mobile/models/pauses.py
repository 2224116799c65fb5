"""Countries and prefixes that have paused themselves."""

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..choices import PauseReason, PauseScope
from .logins import MobileLogin


class PauseQuerySet(models.QuerySet["Pause"]):
    def active(self) -> "PauseQuerySet":
        return self.filter(resumed_at=None)


class Pause(models.Model):
    """A country or prefix to which a login sends no more codes until somebody resumes it.

    ``active_key`` makes it unique as long as it holds; it is empty once the pause is over, as many may be then.
    """

    login = models.ForeignKey(MobileLogin, models.CASCADE, related_name="pauses", verbose_name=_("mobile login"))
    scope = models.CharField(_("what"), max_length=8, choices=PauseScope.choices)
    value = models.CharField(_("country or prefix"), max_length=16)
    active_key = models.CharField(max_length=64, unique=True, null=True, editable=False)  # noqa: DJ001 - see above
    reason = models.CharField(_("why"), max_length=12, choices=PauseReason.choices)
    sent = models.PositiveIntegerField(_("codes sent"), default=0)
    used = models.PositiveIntegerField(_("codes used"), default=0)
    paused_at = models.DateTimeField(_("paused"), default=timezone.now)
    resumed_at = models.DateTimeField(_("resumed"), null=True, blank=True)
    resumed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("resumed by"),
    )

    objects = PauseQuerySet.as_manager()

    class Meta:
        verbose_name = _("pause")
        verbose_name_plural = _("pauses")
        ordering = ("-paused_at", "-pk")
        default_permissions = ("view",)
        permissions = [("resume_pause", _("Can resume what has paused itself"))]
        indexes = [models.Index(fields=["login", "scope", "value"], name="login_pause_value")]

    def __str__(self) -> str:
        hidden = "****" if self.scope == PauseScope.PREFIX else ""
        return f"{self.get_scope_display()} {self.value}{hidden}"

    @staticmethod
    def key_of(login_id: int, scope: str, value: str) -> str:
        return f"{login_id}:{scope}:{value}"
