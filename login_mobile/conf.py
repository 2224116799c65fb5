"""The settings of this app: one dict, ``LOGIN_MOBILE``, read when used. What an admin sets is in ``MobileLogin``."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

SETTING = "LOGIN_MOBILE"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting with its default. Durations are seconds, unless their name says days."""

    #: Path of the function that makes users; see ``login_mobile.users.create_user``.
    USER_FACTORY: str = "login_mobile.users.create_user"
    #: Path of a function that answers a verified login in JSON (a token) in the place of a session; empty: a session.
    #: See ``login_mobile.tokens``.
    TOKEN_ISSUER: str = ""
    #: Path of the function that says whether somebody has a second proof that an account is theirs.
    SECOND_PROOF: str = "login_mobile.second_proof.has_second_proof"
    #: How many proxies of yours stand in front, each of which appends to X-Forwarded-For.
    TRUSTED_PROXIES: int = 0
    #: How recently somebody must have logged in, or confirmed who they are, to add, change or remove a number.
    REAUTHENTICATE_AFTER: int = 600
    #: For how long a browser that has logged in is known.
    DEVICE_DAYS: int = 180
    #: Days after which challenges are deleted. The figures in admin reach back as far.
    RETENTION_DAYS: int = 90
    #: A code that no worker took for so long is put to the broker again.
    REQUEUE_AFTER: float = 15.0

    def __post_init__(self) -> None:
        for name in ("USER_FACTORY", "SECOND_PROOF", "TOKEN_ISSUER"):
            value = getattr(self, name)
            if not isinstance(value, str) or not (value or name == "TOKEN_ISSUER"):
                self._refuse(name, "must be the dotted path of a function")
        for name, least in (
            ("TRUSTED_PROXIES", 0),
            ("REAUTHENTICATE_AFTER", 1),
            ("DEVICE_DAYS", 0),
            ("RETENTION_DAYS", 2),  # the limits of a day must find what they count
            ("REQUEUE_AFTER", 1),
        ):
            value = getattr(self, name)
            fits = isinstance(value, int | float if name == "REQUEUE_AFTER" else int) and not isinstance(value, bool)
            if not fits or value < least:
                kind = "number" if name == "REQUEUE_AFTER" else "whole number"
                self._refuse(name, f"must be a {kind}, at least {least}")

    def _refuse(self, name: str, why: str) -> None:
        raise ImproperlyConfigured(f"{SETTING}['{name}'] {why}.")


def get_settings() -> Settings:
    """The current settings.

    Raises:
        ImproperlyConfigured: ``LOGIN_MOBILE`` is no dict, holds an unknown name or an impossible value.
    """
    return _read()


@lru_cache(maxsize=1)
def _read() -> Settings:
    given: Any = getattr(django_settings, SETTING, {})
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured(f"{SETTING} must be a dict, not {type(given).__name__}.")
    known = {item.name for item in fields(Settings)}
    if unknown := sorted(set(given) - known):
        raise ImproperlyConfigured(
            f"{SETTING} holds unknown settings: {', '.join(unknown)}. Known are: {', '.join(sorted(known))}."
        )
    return Settings(**given)


def _forget(*, setting: str, **kwargs: object) -> None:
    if setting == SETTING:
        _read.cache_clear()


setting_changed.connect(_forget, dispatch_uid="login_mobile.conf")
