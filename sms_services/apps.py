from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SmsServicesConfig(AppConfig):
    name = "sms_services"
    verbose_name = _("SMS services")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401
