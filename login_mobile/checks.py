"""System checks. Those that look into the database run with ``check --database default`` and with ``migrate``."""

from typing import Any

from celery import current_app
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.checks import CheckMessage, register
from django.core.exceptions import ImproperlyConfigured
from django.db import router
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string

from sms_services.checks import database_check

from .conf import Settings, get_settings

TAG = "login_mobile"
BACKEND = "login_mobile.backends.MobileBackend"
_TASKS = ("login_mobile.sweep", "login_mobile.purge")


@register(TAG)
def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """``LOGIN_MOBILE`` is spelled right, and the functions that it names are there."""
    try:
        settings = get_settings()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), hint="See docs/mobile-login.md.", id="login_mobile.E001")]
    found: list[CheckMessage] = []
    for name in ("USER_FACTORY", "SECOND_PROOF", "TOKEN_ISSUER"):
        if path := getattr(settings, name):
            try:
                import_string(path)
            except ImportError as error:
                found.append(
                    checks.Error(
                        f"LOGIN_MOBILE['{name}'] cannot be imported: {error}",
                        hint="It is the dotted path of a function.",
                        id="login_mobile.E002",
                    )
                )
    return found


@register(TAG)
def check_users(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Our own factory can make users of the project's model."""
    from .users import not_filled

    try:
        factory = get_settings().USER_FACTORY
    except ImproperlyConfigured:
        return []  # E001 says so
    if factory != Settings.USER_FACTORY or not (fields := not_filled(get_user_model())):
        return []
    return [
        checks.Warning(
            f"Nobody can register by phone number: users need values of {', '.join(fields)} that cannot be made up.",
            hint="Set LOGIN_MOBILE['USER_FACTORY'] to a function that fills them in, or switch registration off.",
            id="login_mobile.W004",
        )
    ]


@register(TAG)
def check_setup(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Where the pages are mounted, the backend and the tasks are there."""
    return [*_without_backend(), *_without_schedule()] if _is_mounted() else []


@database_check(TAG)
def check_setup_of_own_pages(using: str) -> list[CheckMessage]:
    """The same for projects with pages of their own. Who only keeps numbers here needs neither."""
    return [*_without_backend(), *_without_schedule()] if not _is_mounted() and _active(using) else []


def _is_mounted() -> bool:
    try:
        reverse("login_mobile:login")
    except (NoReverseMatch, ImproperlyConfigured, AttributeError):  # the last: no ROOT_URLCONF at all
        return False
    return True


def _without_backend() -> list[CheckMessage]:
    """Our backend, or a subclass of it, is among those that are asked."""
    from .backends import MobileBackend

    for path in django_settings.AUTHENTICATION_BACKENDS:
        try:
            backend = import_string(path)
        except ImportError:
            continue  # Django says so itself
        if isinstance(backend, type) and issubclass(backend, MobileBackend):
            return []
    return [
        checks.Error(
            "Nobody can log in by phone number: AUTHENTICATION_BACKENDS lacks the backend.",
            hint=f"Add {BACKEND!r}, beside the ones that are there.",
            id="login_mobile.E003",
        )
    ]


def _without_schedule() -> list[CheckMessage]:
    """The sweep and the purge are scheduled."""
    if apps.is_installed("django_celery_beat"):
        return []
    scheduled = {entry.get("task") for entry in (current_app.conf.beat_schedule or {}).values()}
    return [
        checks.Warning(
            f"The task {task!r} is not scheduled: what a broker loses is never sent, or nothing is ever deleted.",
            hint="Add it to CELERY_BEAT_SCHEDULE: the sweep every ten seconds, the purge once a day. If it is there, "
            "import your Celery app in your project's __init__.py.",
            id="login_mobile.W001",
        )
        for task in _TASKS
        if task not in scheduled
    ]


@register(TAG)
def check_one_database(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Challenges and messages are written in one transaction."""
    from sms_services.models import SmsMessage

    from .models import Challenge

    if router.db_for_write(Challenge) == router.db_for_write(SmsMessage):
        return []
    return [
        checks.Error(
            "login_mobile and sms_services are written to different databases, so a code and its text could part.",
            hint="Let your database router send both to the same one.",
            id="login_mobile.E004",
        )
    ]


@database_check(TAG)
def check_logins(using: str) -> list[CheckMessage]:
    """Every enabled login can send: its service is active, and its template fits."""
    found: list[CheckMessage] = []
    for login in _active(using):
        for problem in login.problems():
            found.append(
                checks.Warning(
                    f"The mobile login “{login}” cannot send codes. {problem}",
                    hint="Correct it in admin, or switch the login off.",
                    id="login_mobile.W002",
                )
            )
    return found


@database_check(TAG)
def check_notices(using: str) -> list[CheckMessage]:
    """Whoever loses a number hears of it, where anybody can log in by one."""
    from .api import can_send_notice

    if not _active(using) or can_send_notice():
        return []
    return [
        checks.Warning(
            "No notice can be sent to a number that was changed or removed, so nobody hears of an account taken over.",
            hint="Choose a template of the notice for a mobile login whose service can send it.",
            id="login_mobile.W003",
        )
    ]


@database_check(TAG)
def check_default(using: str) -> list[CheckMessage]:
    """Where a front end names no login, there is one that lets people in."""
    active = _active(using)
    if not active or any(login.is_default for login in active):
        return []
    return [
        checks.Warning(
            "No active mobile login is the default: nobody can log in where a front end names none.",
            hint="Tick “Default” on one of them in admin.",
            id="login_mobile.W006",
        )
    ]


@database_check(TAG)
def check_policies(using: str) -> list[CheckMessage]:
    """A client names the login that it uses, so the laxest of those in use is the one that holds."""
    active = _active(using)
    differing = [
        name
        for name in ("allow_staff", "recycled_policy", "recycled_after_days")
        if len({getattr(login, name) for login in active}) > 1
    ]
    if not differing:
        return []
    return [
        checks.Warning(
            f"Active mobile logins differ in {', '.join(differing)}, and whoever asks for a code chooses among them.",
            hint="Let them be alike, or switch off what nobody needs. See docs/mobile-login.md, “What it does not do”.",
            id="login_mobile.W005",
        )
    ]


@database_check(TAG)
def check_staff(using: str) -> list[CheckMessage]:
    """Members of staff stay logged in by a login that was switched off: whoever throws the kill switch may be one."""
    from .models import MobileLogin

    for_staff = MobileLogin.objects.using(using).filter(allow_staff=True)
    if not for_staff or any(login.is_active for login in for_staff):
        return []
    names = ", ".join(f"“{login}”" for login in for_staff)
    return [
        checks.Warning(
            f"Staff who logged in by phone number stay logged in, by logins that are switched off: {names}.",
            hint="That is meant for a while. To end their sessions, untick “staff may log in” there.",
            id="login_mobile.W007",
        )
    ]


def _active(using: str) -> list[Any]:
    """The configurations that are in use."""
    from .models import MobileLogin

    return list(MobileLogin.objects.using(using).with_setup().filter(is_active=True))
