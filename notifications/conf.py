"""The settings of this app: one dict, ``NOTIFICATIONS``, read when used, one spelling per setting."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

SETTING = "NOTIFICATIONS"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting with its default. Durations are seconds unless their name says something else."""

    #: Where a user's phone number is: a lookup path on the user model; or a function, or the dotted path of one, that
    #: gets a queryset of users and returns it with the number annotated as ``sms_number``.
    PHONE_NUMBER: str | Callable[..., Any] = "mobile_number__number"
    #: Lookup paths on the user model that ``F()`` variables may be read from.
    RECIPIENT_FIELDS: Sequence[str] = ("first_name", "last_name")
    #: Celery queue in which recipients are resolved; empty: that of ``SMS_SERVICES["QUEUE"]``.
    QUEUE: str = ""
    #: A worker that has resolved no further recipients for this long is taken for dead.
    LOST_AFTER: float = 60.0
    #: Days after which the purge deletes a finished notification with its recipients. ``None`` keeps them.
    RETENTION_DAYS: int | None = 180

    def __post_init__(self) -> None:
        if not self.PHONE_NUMBER or not (isinstance(self.PHONE_NUMBER, str) or callable(self.PHONE_NUMBER)):
            self._refuse("PHONE_NUMBER", "must be a lookup path, a function or the dotted path of one")
        names = self.RECIPIENT_FIELDS
        if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(n, str) for n in names):
            self._refuse("RECIPIENT_FIELDS", "must be a list of lookup paths")
        if not isinstance(self.QUEUE, str):
            self._refuse("QUEUE", "must be the name of a queue")
        if not isinstance(self.LOST_AFTER, int | float) or self.LOST_AFTER <= 0:
            self._refuse("LOST_AFTER", "must be a number above 0")
        days = self.RETENTION_DAYS
        if days is not None and (not isinstance(days, int) or isinstance(days, bool) or days < 1):
            self._refuse("RETENTION_DAYS", "must be a number of days, at least 1, or None")

    def _refuse(self, name: str, why: str) -> None:
        raise ImproperlyConfigured(f"{SETTING}['{name}'] {why}.")


def get_settings() -> Settings:
    """The current settings.

    Raises:
        ImproperlyConfigured: ``NOTIFICATIONS`` is no dict, holds an unknown name, or a value of the wrong kind.
    """
    return _read()


@lru_cache(maxsize=1)
def _read() -> Settings:
    given: Any = getattr(django_settings, SETTING, {})
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured(f"{SETTING} must be a dict, not {type(given).__name__}.")
    known = {item.name for item in fields(Settings)}
    if unknown := sorted(str(name) for name in set(given) - known):
        raise ImproperlyConfigured(
            f"{SETTING} holds unknown settings: {', '.join(unknown)}. Known are: {', '.join(sorted(known))}."
        )
    return Settings(**given)


def _forget(*, setting: str, **kwargs: object) -> None:
    if setting == SETTING:
        _read.cache_clear()


setting_changed.connect(_forget, dispatch_uid="notifications.conf")
