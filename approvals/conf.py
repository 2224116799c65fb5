"""The settings of this app: one dict, ``APPROVALS``, read when used, one spelling per setting."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

SETTING = "APPROVALS"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting with its default. Functions are given as such or by their dotted path."""

    #: Gets the initiator (a user), returns what texts say as ``${userNick}``.
    USER_NICK: str | Callable[[Any], str] = "approvals.names.full_name_or_username"
    #: Returns the users who are asked where a node finds nobody and its policy says so.
    ADMINISTRATORS: str | Callable[[], Any] = "approvals.approvers.users_who_manage"
    #: How many requests one person may begin on the start pages within an hour; ``None``: any number.
    STARTS_PER_HOUR: int | None = 20

    def __post_init__(self) -> None:
        for name in ("USER_NICK", "ADMINISTRATORS"):
            value = getattr(self, name)
            if not value or not (isinstance(value, str) or callable(value)):
                self._refuse(name, "must be a function or the dotted path of one")
        starts = self.STARTS_PER_HOUR
        if starts is not None and (type(starts) is not int or starts < 1):
            self._refuse("STARTS_PER_HOUR", "must be a whole number above zero, or None")

    def function(self, name: str) -> Callable[..., Any]:
        """A setting that is a function.

        Raises:
            ImproperlyConfigured: there is no function at its path.
        """
        value = getattr(self, name)
        if not isinstance(value, str):
            function: Callable[..., Any] = value
            return function
        try:
            function = import_string(value)
        except ImportError as error:
            raise ImproperlyConfigured(f"{SETTING}['{name}']: {error}") from None
        return function

    def _refuse(self, name: str, why: str) -> None:
        raise ImproperlyConfigured(f"{SETTING}['{name}'] {why}.")


def get_settings() -> Settings:
    """The current settings.

    Raises:
        ImproperlyConfigured: ``APPROVALS`` is no dict, holds an unknown name, or a value of the wrong kind.
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


setting_changed.connect(_forget, dispatch_uid="approvals.conf")
