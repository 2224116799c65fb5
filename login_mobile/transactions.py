"""Counts that no rollback takes back.

A view under ATOMIC_REQUESTS that raises rolls back whatever it wrote: an attacker whose every wrong code ends in an
error would never run out of attempts. So whatever counts here commits before anything is compared. It does not open a
second connection for that, which deadlocks with the first one on SQLite; it refuses to run inside a transaction.
"""

from collections.abc import Callable
from typing import TypeVar

from django.db import connections, transaction

from sms_services.transactions import in_open_transaction

from .exceptions import OpenTransaction
from .rows import database

View = TypeVar("View", bound=Callable[..., object])


def refuse_open_transaction() -> None:
    """Raise ``OpenTransaction`` if what is written now may still be rolled back."""
    if in_open_transaction(database()):
        raise OpenTransaction(
            "This counts attempts, and was called inside a transaction, whose rollback would take the count back. "
            "Under ATOMIC_REQUESTS, decorate the view with login_mobile.transactions.outside_transactions."
        )


def outside_transactions(view: View) -> View:
    """Keep ATOMIC_REQUESTS from wrapping a view, on every database."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view
