"""The database in which messages are written, and whether a transaction is open there."""

from django.db import router, transaction

from .models import SmsMessage


def database() -> str:
    """The alias of the database in which messages are written."""
    return router.db_for_write(SmsMessage)


def in_open_transaction() -> bool:
    """Whether what is written now may still be rolled back.

    As for ``atomic(durable=True)``, the transaction that Django's ``TestCase`` opens around a test does not count.
    """
    if not transaction.get_connection(database()).in_atomic_block:
        return False
    try:
        with transaction.atomic(using=database(), durable=True):
            return False
    except RuntimeError:
        return True
