"""The settings of this app: one dict, ``SMS_SERVICES``, read when used, one spelling per setting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

SETTING = "SMS_SERVICES"
_ENDPOINTS = {"alibaba_cloud", "aws_sns", "twilio"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting with its default. Durations are seconds."""

    #: Fernet keys for secrets at rest: the first encrypts, all decrypt.
    ENCRYPTION_KEYS: Sequence[str] = field(default=(), repr=False)
    #: Full URLs that replace the providers' own: ``alibaba_cloud``, ``aws_sns``, ``twilio``.
    ENDPOINT_URLS: Mapping[str, str] = field(default_factory=dict)
    #: ISO 3166 code of the country in which numbers without a country code are read; empty: none.
    DEFAULT_REGION: str = ""
    #: Celery queue of one-time codes; empty: the project's default queue.
    OTP_QUEUE: str = ""
    #: Celery queue of everything else; empty: the project's default queue.
    QUEUE: str = ""
    #: Names of variables that are unreadable at rest and wiped once the outcome is known.
    #: All variables of one-time codes are, whatever they are called.
    SENSITIVE_VARIABLES: Sequence[str] = ("code", "otp", "password", "pin", "token")
    #: Threads per process that talk to providers without batches.
    THREADS: int = 32
    CONNECT_TIMEOUT: float = 3.0
    READ_TIMEOUT: float = 8.0
    #: How often a message that certainly did not go out is tried, the first try included.
    MAX_TRIES: int = 5
    #: The longest pause before the second try; it doubles with every further one.
    RETRY_DELAY: float = 2.0
    #: A message still ``sending`` after this time belongs to a dead worker.
    SENDING_TIMEOUT: float = 300.0
    #: A queued message that no worker took for this long is put to the broker again.
    REQUEUE_AFTER: float = 300.0
    #: Pauses before each look-up of a message in doubt. No record at the last one means not sent. Empty: no look-ups.
    RECONCILE_DELAYS: Sequence[float] = (30.0, 120.0, 600.0, 3600.0)
    #: The part of ``max_per_second`` that is kept for one-time codes.
    OTP_SHARE: float = 0.2
    #: Days after which the purge deletes messages, by purpose, and the sandbox's texts (``sandbox``). ``None``, or a
    #: purpose that is not named, keeps them. A code is of no use after minutes, but complaints about it come in weeks.
    RETENTION_DAYS: Mapping[str, int | None] = field(
        default_factory=lambda: {
            "otp": 30,
            "approval": 365,
            "cc": 365,
            "notification": 180,
            "marketing": 365,
            "sandbox": 30,
        }
    )

    def __post_init__(self) -> None:
        for name in ("ENCRYPTION_KEYS", "SENSITIVE_VARIABLES", "RECONCILE_DELAYS"):
            value = getattr(self, name)
            if isinstance(value, str) or not isinstance(value, Sequence):
                self._refuse(name, "must be a list")
        for name in ("CONNECT_TIMEOUT", "READ_TIMEOUT", "THREADS", "MAX_TRIES"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or value <= 0:
                self._refuse(name, "must be a number above 0")
        if not isinstance(self.OTP_SHARE, int | float) or not 0 <= self.OTP_SHARE < 1:
            self._refuse("OTP_SHARE", "must be at least 0 and less than 1")
        if unknown := sorted(set(self.ENDPOINT_URLS) - _ENDPOINTS):
            self._refuse("ENDPOINT_URLS", f"has no {', '.join(unknown)}; known are {', '.join(sorted(_ENDPOINTS))}")
        if self.DEFAULT_REGION and self.DEFAULT_REGION not in _regions():
            self._refuse("DEFAULT_REGION", "must be an ISO 3166 code of two capital letters, such as US or CN")

    def _refuse(self, name: str, why: str) -> None:
        raise ImproperlyConfigured(f"{SETTING}['{name}'] {why}.")


def _regions() -> set[str]:
    from phonenumbers import SUPPORTED_REGIONS  # when settings are read, not when the process starts

    return SUPPORTED_REGIONS


def get_settings() -> Settings:
    """The current settings.

    Raises:
        ImproperlyConfigured: ``SMS_SERVICES`` is no dict or holds an unknown name.
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


setting_changed.connect(_forget, dispatch_uid="sms_services.conf")
