from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class LoginMobileConfig(AppConfig):
    name = "login_mobile"
    verbose_name = _("Mobile login")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import (
            checks,  # noqa: F401 - registers them
            tasks,  # noqa: F401 - a web process knows them, as the workers do
            warning,  # noqa: F401 - listens to changes of services and templates
        )
        from .flows import reauthenticating  # noqa: F401 - listens to logins of all backends

    def make_waiting_texts(self) -> None:
        """For tests with ``sms_outbox``: the work of the workers that a test does not have."""
        from .flows.sending import send_waiting

        send_waiting()
