"""The reference project with that user model, for processes that tests start."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.uuid_users"]
AUTH_USER_MODEL = "uuid_users.Customer"
NOTIFICATIONS = {"PHONE_NUMBER": "phone", "RECIPIENT_FIELDS": ["nick"]}
CELERY_TASK_ALWAYS_EAGER = True
