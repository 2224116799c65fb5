"""Django's PostgreSQL, emptied after each test by DELETE.

TRUNCATE makes new files for every table and index, which takes longer than most tests; theirs are a few rows.
"""

from collections.abc import Iterable
from typing import Any

from django.db.backends.postgresql import base, operations


class DatabaseOperations(operations.DatabaseOperations):
    def sql_flush(
        self, style: Any, tables: Iterable[str], *, reset_sequences: bool = False, allow_cascade: bool = False
    ) -> list[str]:
        if reset_sequences:
            statements: list[str] = super().sql_flush(style, tables, reset_sequences=True, allow_cascade=allow_cascade)
            return statements
        # In any order: Django's foreign keys are checked at the end of the transaction.
        return [f"DELETE FROM {self.quote_name(table)}" for table in tables]


class DatabaseWrapper(base.DatabaseWrapper):
    ops_class = DatabaseOperations
