from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class ApprovalsConfig(AppConfig):
    name = "approvals"
    verbose_name = _("Approvals")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import approvers, checks, texting  # noqa: F401 - resolvers, checks and receivers register themselves

        autodiscover_modules("approval_rules")

    def make_waiting_texts(self) -> None:
        """For tests with ``sms_outbox``: the work of the workers that a test does not have."""
        from .testing import hand_over_all

        hand_over_all()
