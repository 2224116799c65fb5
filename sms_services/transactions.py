"""Whether a transaction is open where messages are written."""

from django.db import transaction

from .delivery.rows import database


def in_open_transaction(using: str | None = None) -> bool:
    """Whether what is written now may still be rolled back.

    As for ``atomic(durable=True)``, the transaction that Django's ``TestCase`` opens around a test does not count.

    Args:
        using: the alias of a database; by default that of messages.
    """
    using = using or database()
    connection = transaction.get_connection(using)
    if not connection.in_atomic_block:
        return not connection.get_autocommit()
    try:
        with transaction.atomic(using=using, durable=True):
            return False
    except RuntimeError:
        return True
