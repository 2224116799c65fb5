"""Numbers that get no notifications."""

from typing import Any

from django.db import models, router, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sms_services.choices import SkipReason
from sms_services.models import SmsMessage
from sms_services.phone_numbers import mask


class SuppressedNumber(models.Model):
    """A number to which no notification goes, because its owner asked for it. One-time codes still do.

    Saving one also skips what is queued for the number already, retries included; ``bulk_create`` does not.
    """

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

    def save(self, **kwargs: Any) -> None:
        using = kwargs.get("using") or router.db_for_write(SuppressedNumber)
        with transaction.atomic(using=using):
            super().save(**{**kwargs, "using": using})
            messages = SmsMessage.objects.using(using)
            notified = messages.filter(phone_number=self.phone_number, batch__isnull=False)
            ids = messages.with_retries(notified.values_list("pk", flat=True))
            messages.filter(pk__in=ids).skip(SkipReason.SUPPRESSED)
