"""Which texts the nodes of other workflow engines send."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from sms_services.models import SmsService, SmsTemplate

from ..sms import check_choice


class EngineSms(models.Model):
    """The SMS service and template of a node of another engine, for signals that bring none."""

    engine = models.SlugField(_("engine"), max_length=50, help_text=_("As its signals say, for example viewflow."))
    process_key = models.CharField(_("process"), max_length=100)
    node_key = models.CharField(
        _("step"), max_length=100, blank=True, help_text=_("Empty: all steps of the process that have no row.")
    )
    sms_service = models.ForeignKey(SmsService, models.PROTECT, related_name="+", verbose_name=_("SMS service"))
    sms_template = models.ForeignKey(SmsTemplate, models.PROTECT, related_name="+", verbose_name=_("SMS template"))

    class Meta:
        verbose_name = _("texts of another engine")
        verbose_name_plural = _("texts of other engines")
        ordering = ("engine", "process_key", "node_key")
        constraints = [
            models.UniqueConstraint(
                fields=["engine", "process_key", "node_key"], name="approval_one_sms_per_engine_node"
            ),
        ]

    def __str__(self) -> str:
        return " › ".join(filter(None, (self.engine, self.process_key, self.node_key)))

    def clean(self) -> None:
        super().clean()
        if self.sms_service_id and self.sms_template_id:
            check_choice(self.sms_service, self.sms_template)
