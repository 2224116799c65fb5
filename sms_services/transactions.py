"""Whether a transaction is open where messages are written."""

from django.db import transaction

from .delivery.rows import database


def in_open_transaction() -> bool:
    """Whether what is written now may still be rolled back.

    As for ``atomic(durable=True)``, the transaction that Django's ``TestCase`` opens around a test does not count.
    """
    connection = transaction.get_connection(database())
    if not connection.in_atomic_block:
        return not connection.get_autocommit()
    try:
        with transaction.atomic(using=database(), durable=True):
            return False
    except RuntimeError:
        return True
