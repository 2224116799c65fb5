from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class LoginMobileConfig(AppConfig):
    name = "login_mobile"
    verbose_name = _("Mobile login")
    default_auto_field = "django.db.models.BigAutoField"
