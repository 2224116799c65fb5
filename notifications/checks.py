"""System checks."""

from typing import Any

from celery import current_app
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.checks import CheckMessage, register
from django.core.exceptions import ImproperlyConfigured
from django.db import router

from sms_services.conf import get_settings as get_sms_settings
from sms_services.models import SmsMessage

from .conf import SETTING, get_settings
from .directory import number_function
from .models import Department, Notification, Recipient
from .variables import problem_with_path

TAG = "notifications"
_HINT = "See the settings in docs/notifications.md."


@register(TAG)
def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """``NOTIFICATIONS`` is spelled right."""
    try:
        get_settings()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), hint=_HINT, id="notifications.E001")]
    return []


@register(TAG)
def check_phone_number(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Users' numbers are where ``PHONE_NUMBER`` says."""
    try:
        settings, problem = get_settings(), None
        if number_function() is None:
            problem = problem_with_path(str(settings.PHONE_NUMBER))
    except ImproperlyConfigured:
        return []
    except ImportError as error:
        problem = str(error)
    if problem is None:
        return []
    return [
        checks.Error(
            f"NOTIFICATIONS['PHONE_NUMBER'] finds no numbers: {problem}",
            hint="Name the path from your user model to the number, such as 'profile__phone', or install login_mobile.",
            id="notifications.E002",
        )
    ]


@register(TAG)
def check_recipient_fields(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What may be texted exists, and is no secret."""
    try:
        paths = get_settings().RECIPIENT_FIELDS
    except ImproperlyConfigured:
        return []
    # The default names what most user models have, and not all.
    if "RECIPIENT_FIELDS" not in getattr(django_settings, SETTING, {}):
        return []
    return [
        checks.Error(
            f"NOTIFICATIONS['RECIPIENT_FIELDS'] cannot be looked up: {problem}",
            hint="Name fields of the user model that may stand in a text, such as 'first_name'.",
            id="notifications.E003",
        )
        for path in paths
        if (problem := problem_with_path(path))
    ]


@register(TAG)
def check_databases(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Messages and recipients are written in one transaction."""
    models = (Notification, Recipient, Department, SmsMessage, get_user_model())
    if len({router.db_for_write(model) for model in models}) == 1:
        return []
    return [
        checks.Error(
            "Notifications, departments, users and SMS messages are written to different databases.",
            hint="Route them to one: a page of recipients and their messages is one transaction.",
            id="notifications.E004",
        )
    ]


@register(TAG)
def check_treebeard(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Departments are a tree in admin, with templates of django-treebeard."""
    if apps.is_installed("treebeard") or not apps.is_installed("django.contrib.admin"):
        return []
    return [
        checks.Error(
            "Admin shows departments as a tree, with the templates of django-treebeard.",
            hint="Add 'treebeard' to INSTALLED_APPS.",
            id="notifications.E005",
        )
    ]


@register(TAG)
def check_celery(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The sweep is scheduled, and recipients are not resolved where one-time codes wait."""
    try:
        settings, sms_settings = get_settings(), get_sms_settings()
    except ImproperlyConfigured:
        return []
    found: list[CheckMessage] = []
    scheduled = {entry.get("task") for entry in (current_app.conf.beat_schedule or {}).values()}
    if "notifications.sweep" not in scheduled and not apps.is_installed("django_celery_beat"):
        found.append(
            checks.Warning(
                "The sweep of notifications is not scheduled: scheduled ones never begin, and none ever ends.",
                hint="Add the task 'notifications.sweep' to CELERY_BEAT_SCHEDULE, every ten seconds. If it is there, "
                "import your Celery app in your project's __init__.py.",
                id="notifications.W001",
            )
        )
    if settings.QUEUE and settings.QUEUE == sms_settings.OTP_QUEUE:
        found.append(
            checks.Warning(
                "Recipients are resolved in the queue of one-time codes, so a code may wait behind a large sending.",
                hint="Set NOTIFICATIONS['QUEUE'] to another queue than SMS_SERVICES['OTP_QUEUE'].",
                id="notifications.W002",
            )
        )
    return found
