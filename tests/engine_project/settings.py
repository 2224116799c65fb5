"""A host project whose orders go through other workflow engines, with the texts of `approvals`."""

from cryptography.fernet import Fernet

SECRET_KEY = "only for tests"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "polymorphic",
    "treebeard",
    "viewflow",
    "viewflow.workflow",
    "sms_services",
    "login_mobile",
    "notifications",
    "approvals",
    "orders",
]
CELERY_TASK_ALWAYS_EAGER = True
#: As where people also log in by other means.
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "django.contrib.auth.backends.RemoteUserBackend",
]
SMS_SERVICES = {"ENCRYPTION_KEYS": [Fernet.generate_key().decode()], "DEFAULT_REGION": "US"}
