"""One provider per service, configuration and process.

A service's row is read at every send; whoever changed it, in whatever process, the next send sees the new
configuration and builds a new provider. Connections are never shared with a child process: two processes that
read from one connection get each other's answers.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .base import Provider

if TYPE_CHECKING:
    from ..models import SmsService

_lock = threading.Lock()
_providers: dict[tuple[str, int], tuple[object, Provider]] = {}
_replacement: "Callable[[SmsService], Provider] | None" = None


def get_provider(service: "SmsService") -> Provider:
    """The provider of a service, with its SDK's client ready to use.

    Raises:
        MissingSDK: the SDK is not installed.
        EncryptionKeyError: a stored secret cannot be decrypted.
    """
    if _replacement is not None:
        return _replacement(service)
    key = (type(service).__name__, service.pk)
    configuration = service.provider_configuration()
    with _lock:
        known = _providers.get(key)
        if known is not None and known[0] == configuration:
            return known[1]
        provider = service.build_provider()
        provider.client  # noqa: B018 - built here, under the lock, so that no send waits for an import
        _providers[key] = (configuration, provider)
        return provider


@contextmanager
def replace_providers(factory: "Callable[[SmsService], Provider]") -> Iterator[None]:
    """For tests: have every text of this process leave through the factory's providers, whatever its service's kind.

    Only the vendor is replaced. What is checked before a message is stored, the kind's own provider still checks.

    Args:
        factory: is given a service at every send, and returns the provider that sends.
    """
    global _replacement
    replaced, _replacement = _replacement, factory
    try:
        yield
    finally:
        _replacement = replaced


def forget_providers() -> None:
    """Drop all providers of this process; the next send builds new ones."""
    global _lock
    _lock = threading.Lock()
    _providers.clear()


os.register_at_fork(after_in_child=forget_providers)
