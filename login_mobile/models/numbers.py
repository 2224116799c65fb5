"""Verified phone numbers, one per user."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sms_services.phone_numbers import mask


class MobileNumber(models.Model):
    """The phone number that a user has proved to have. Only verified numbers have a row.

    ``last_used_at`` is when the number was last proved: at a login, or when it was confirmed. A number that was not
    used for long may belong to somebody else by now.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="mobile_number", verbose_name=_("user")
    )
    number = models.CharField(_("phone number"), max_length=16, unique=True, help_text="E.164")
    verified_at = models.DateTimeField(_("verified"), default=timezone.now)
    last_used_at = models.DateTimeField(_("last used"), default=timezone.now)

    class Meta:
        verbose_name = _("mobile number")
        verbose_name_plural = _("mobile numbers")

    def __str__(self) -> str:
        return mask(self.number)

    def __repr__(self) -> str:
        return f"<MobileNumber {self.pk}: {self}>"

    def is_stale(self, days: int, now: datetime) -> bool:
        """Whether nobody has proved to have it for so many days."""
        return self.last_used_at <= now - timedelta(days=days)
