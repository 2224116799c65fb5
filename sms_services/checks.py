"""System checks. Those that look into the database run with ``check --database default`` and with ``migrate``."""

from collections.abc import Callable, Sequence
from typing import Any

from celery import current_app
from django.apps import apps
from django.conf import settings as django_settings
from django.core import checks
from django.core.checks import CheckMessage, Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, router, transaction

from .conf import get_settings
from .encryption import Secret, check_keys
from .exceptions import EncryptionKeyError
from .retention import retention

TAG = "sms_services"


def database_check(tag: str) -> Callable[[Callable[[str], list[CheckMessage]]], Callable[..., list[CheckMessage]]]:
    """Register a check that is given the alias of the database that our apps write to, if that one is to be checked.

    ``migrate`` runs it before it migrates, so tables and columns may still be to come: then it has nothing to say.
    """

    def registered(check: Callable[[str], list[CheckMessage]]) -> Callable[..., list[CheckMessage]]:
        def guarded(app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
            from .models import SmsService

            using = router.db_for_write(SmsService)
            if using not in (databases or ()):
                return []
            try:
                with transaction.atomic(using=using):
                    return check(using)
            except DatabaseError:
                return []

        return register(tag, Tags.database)(guarded)

    return registered


@register(TAG)
def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """``SMS_SERVICES`` is spelled right, and its keys and its retention are usable."""
    try:
        get_settings()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), hint="See the table of settings in the README.", id="sms_services.E001")]
    try:
        check_keys()
    except EncryptionKeyError as error:
        return [checks.Error(str(error), hint="Secrets of services are encrypted at rest.", id="sms_services.E002")]
    try:
        retention()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), hint="See the table of settings in the README.", id="sms_services.E004")]
    return []


@register(TAG)
def check_time_zones(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Times are compared with those of providers, so they need their zone."""
    if django_settings.USE_TZ:
        return []
    return [checks.Error("SMS services need USE_TZ = True.", hint="It is Django's default.", id="sms_services.E005")]


@register(TAG)
def check_celery(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """One-time codes have a queue of their own, and the sweep is scheduled."""
    try:
        settings = get_settings()
    except ImproperlyConfigured:
        return []
    found: list[CheckMessage] = []
    default = current_app.conf.task_default_queue
    if (settings.OTP_QUEUE or default) == (settings.QUEUE or default):
        found.append(
            checks.Warning(
                "One-time codes share a queue with all other texts, so a code may wait behind a large sending.",
                hint="Set SMS_SERVICES['OTP_QUEUE'] and start a worker for that queue alone.",
                id="sms_services.W001",
            )
        )
    scheduled = {entry.get("task") for entry in (current_app.conf.beat_schedule or {}).values()}
    if "sms_services.sweep" not in scheduled and not apps.is_installed("django_celery_beat"):
        found.append(
            checks.Warning(
                "The sweep is not scheduled: what a broker loses or a dead worker leaves is never looked after.",
                hint="Add the task 'sms_services.sweep' to CELERY_BEAT_SCHEDULE, every ten seconds. If it is there, "
                "import your Celery app in your project's __init__.py.",
                id="sms_services.W002",
            )
        )
    return found


@register(TAG)
def check_broker(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The broker's URL can be read, and what Celery needs for it is installed. Nothing is connected to."""
    try:
        current_app.connection_for_write().transport  # noqa: B018 - made when it is first asked for
    except ValueError:  # its words repeat a part of the URL, which may be one of the password
        return [
            checks.Warning(
                "CELERY_BROKER_URL cannot be read, so nothing can be queued.",
                hint="Percent-encode what is special in its user name and password: / is %2F, # is %23, ? is %3F.",
                id="sms_services.W004",
            )
        ]
    except Exception as error:  # noqa: BLE001 - kombu 5.7 without redis: 'NoneType' object has no attribute 'Redis'
        return [
            checks.Warning(
                f"Celery cannot use its broker, so nothing can be queued. Probably a package is missing. ({error})",
                hint="For Redis: pip install 'celery[redis]'. For others, see “Brokers” in Celery's manual.",
                id="sms_services.W004",
            )
        ]
    return []


@database_check(TAG)
def check_stored_secrets(using: str) -> list[CheckMessage]:
    """Every stored secret can be decrypted with the configured keys."""
    from .models import SmsService

    return [
        checks.Error(
            f"The secret of the SMS service “{service}” cannot be decrypted with any of the configured keys.",
            hint="Put the key that encrypted it back into SMS_SERVICES['ENCRYPTION_KEYS'], or enter the secret anew.",
            id="sms_services.E003",
        )
        for service in SmsService.objects.using(using)
        if service.secret_field and not _opens(getattr(service, service.secret_field))
    ]


@database_check(TAG)
def check_sandbox(using: str) -> list[CheckMessage]:
    """No sandbox is active where people expect texts."""
    from .models import SandboxSms

    if django_settings.DEBUG:
        return []
    return [
        checks.Warning(
            f"The sandbox service “{service}” is active outside DEBUG: its texts reach nobody but staff.",
            hint="Deactivate it in admin, or use it on development systems only.",
            id="sms_services.W003",
        )
        for service in SandboxSms.objects.using(using)
        if service.is_active
    ]


def _opens(secret: Secret | str) -> bool:
    try:
        if isinstance(secret, Secret):
            secret.reveal()
    except EncryptionKeyError:
        return False
    return True
