"""A small host project: a shop that texts its customers."""

from cryptography.fernet import Fernet

SECRET_KEY = "only for tests"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "polymorphic",
    "sms_services",
    "shop",
]
SMS_SERVICES = {
    "ENCRYPTION_KEYS": [Fernet.generate_key().decode()],
    "DEFAULT_REGION": "US",
}
