"""What this app logs of errors: which, where, and about what; not what they say.

A database's error quotes values of the row (PostgreSQL in its DETAIL, MariaDB in “Duplicate entry …”), and a project's
function whatever it has at hand: names, numbers, comments.
"""

import logging

from django.db import Error

logger = logging.getLogger("approvals")


class Loggable(Exception):
    """An error whose words are about code and settings, never about people: they may be in the log."""


class Withheld(Exception):
    """Stands in the log for another error, with its traceback and without its words."""


def log_failure(event: str, error: BaseException, **about: object) -> None:
    """One line, ``event key=value … error=type``, and the traceback of the error and of its causes.

    Callers pass ids and keys, nothing else.
    """
    pairs = " ".join(f"{name}={value}" for name, value in {**about, "error": type(error).__name__}.items())
    logger.error("%s %s", event, pairs, exc_info=_without_words(error))


def _without_words(error: BaseException) -> Withheld:
    first = last = _stand_in(error)
    seen = {id(error)}
    while (cause := _cause_of(error)) is not None and id(cause) not in seen:
        seen.add(id(cause))
        last.__cause__ = _stand_in(cause)
        error, last = cause, last.__cause__
    return first


def _cause_of(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _stand_in(error: BaseException) -> Withheld:
    words = str(error) if isinstance(error, Loggable) else _code_of(error)
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    return Withheld(f"{kind}: {words}" if words else kind).with_traceback(error.__traceback__)


def _code_of(error: BaseException) -> str:
    """What a database calls the error: PostgreSQL's SQLSTATE, SQLite's name, MariaDB's number."""
    if isinstance(error, Error) and error.args and isinstance(error.args[0], int):
        return str(error.args[0])
    return str(getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None) or "")
