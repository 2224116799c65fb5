"""What this app logs, and what it keeps the vendors' SDKs from logging.

The SDKs and their HTTP libraries log URLs, headers and bodies at DEBUG: numbers, texts, codes, credentials. Their
loggers are silent while, and only while, one of our calls runs in the same thread.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger("sms_services")

_FAMILIES = (
    "Tea",
    "alibabacloud",
    "boto3",
    "botocore",
    "credentials",
    "darabonba",
    "requests",
    "s3transfer",
    "twilio",
    "urllib3",
)

_state = threading.local()


def log(level: int, event: str, **values: object) -> None:
    """One line, ``event key=value …``, with the same values as attributes of the record (prefixed ``sms_``).

    Callers pass ids, keys, statuses and masked numbers, nothing else.
    """
    if logger.isEnabledFor(level):
        pairs = " ".join(f"{name}={value}" for name, value in values.items())
        logger.log(level, "%s %s", event, pairs, extra={f"sms_{name}": value for name, value in values.items()})


@contextmanager
def silenced_sdk_loggers() -> Iterator[None]:
    """Keep the SDKs' loggers silent in this thread."""
    _filter_new_loggers()
    depth = getattr(_state, "depth", 0)
    _state.depth = depth + 1
    try:
        yield
    finally:
        _state.depth = depth
        _filter_new_loggers()


class _SilentDuringOurCalls(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(_state, "depth", 0)


_filter = _SilentDuringOurCalls()
_seen_loggers = 0


def _filter_new_loggers() -> None:
    """A logger's filter does not hold for its children, so each one of the families gets it, as they appear."""
    global _seen_loggers
    known = logging.Logger.manager.loggerDict
    if len(known) == _seen_loggers:
        return
    _seen_loggers = len(known)
    for name, candidate in list(known.items()):
        if isinstance(candidate, logging.Logger) and name.startswith(_FAMILIES):
            candidate.addFilter(_filter)
