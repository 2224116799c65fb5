"""Where the rows are: the database that is written to, for reading too. A replica may lag behind.

Users, departments and messages have to be in the same one.
"""

from typing import Any

from django.contrib.auth import get_user_model
from django.db import models, router

from .models import Notification
from .models.notifications import NotificationQuerySet


def database() -> str:
    """The alias of the database that notifications are written to."""
    return router.db_for_write(Notification)


def notifications() -> NotificationQuerySet:
    """All notifications, read where they are written."""
    return Notification.objects.using(database())


def users() -> "models.QuerySet[Any]":
    """All users, those that the model's default manager hides included."""
    return get_user_model()._base_manager.using(database())
