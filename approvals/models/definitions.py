"""Versions of processes: what a request goes through, frozen at its submission."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .processes import Process


class ProcessVersion(models.Model):
    """A process with all its nodes and rules as it was when a request was submitted.

    Requests that were submitted between two edits share one. ``digest`` is a hash of ``definition``, which
    ``definitions.Definition`` reads and writes. Rows never change.
    """

    process = models.ForeignKey(Process, models.PROTECT, related_name="versions", verbose_name=_("process"))
    digest = models.CharField(max_length=64, editable=False)
    definition = models.JSONField(_("definition"), editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    class Meta:
        verbose_name = _("version of a process")
        verbose_name_plural = _("versions of processes")
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["process", "digest"], name="approval_one_version_per_definition"),
        ]

    def __str__(self) -> str:
        return f"{self.process} ({self.pk})"
