from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = _("Notifications")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks, freezing, noticing, objecting  # noqa: F401

    def make_waiting_texts(self) -> None:
        """For tests with ``sms_outbox``: the work of the workers that a test does not have."""
        from .testing import advance_all

        advance_all()
