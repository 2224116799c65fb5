"""Numbers that get no notifications."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sms_services.phone_numbers import mask


class SuppressedNumber(models.Model):
    """A number to which no notification goes, because its owner asked for it. One-time codes still do."""

    phone_number = models.CharField(_("phone number"), max_length=16, unique=True, help_text="E.164")
    note = models.CharField(_("note"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("since"), default=timezone.now)

    class Meta:
        verbose_name = _("suppressed number")
        verbose_name_plural = _("suppressed numbers")
        ordering = ("-created_at", "-pk")

    def __str__(self) -> str:
        return mask(self.phone_number)

    def __repr__(self) -> str:
        return f"<SuppressedNumber {self.pk}: {self}>"
