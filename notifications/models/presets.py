"""Presets: notifications that an admin configures and that code sends by their key."""

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sms_services.models import SmsService, SmsTemplate
from sms_services.params import sensitive_names

from .audience import Audience
from .links import name_links


class NotificationPreset(Audience):
    """What ``notify("device-alarm", variables={...})`` sends: an admin configures it, code sends it by its key."""

    key = models.SlugField(_("key"), max_length=50, unique=True, help_text=_("The name by which code sends it."))
    name = models.CharField(_("name"), max_length=100)
    service = models.ForeignKey(SmsService, models.PROTECT, related_name="+", verbose_name=_("SMS service"))
    template = models.ForeignKey(SmsTemplate, models.PROTECT, related_name="+", verbose_name=_("template"))
    variables = models.JSONField(
        _("variables"),
        default=dict,
        blank=True,
        help_text=_("What the template's variables say unless a call says it."),
    )
    recipient_fields = models.JSONField(
        default=dict, blank=True, editable=False, help_text=_("Variables that are looked up on each recipient.")
    )

    class Meta:
        verbose_name = _("preset")
        verbose_name_plural = _("presets")
        ordering = ("name", "pk")

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        if kept := sorted(self._sensitive()):
            words = gettext(
                "%(name)s: it is sensitive, and a preset is kept in plain text. Leave it to whoever sends the preset."
            )
            raise ValidationError({"variables": [words % {"name": name} for name in kept]})

    @property
    def literals(self) -> dict[str, str]:
        """What it says itself. Never a sensitive variable, even if one was stored: whoever sends it says it."""
        hidden = self._sensitive()
        return {name: value for name, value in self.variables.items() if name not in hidden}

    def _sensitive(self) -> set[str]:
        return sensitive_names(self.template.purpose if self.template_id else "", self.variables)


name_links(NotificationPreset, "users", "departments", "roles")
