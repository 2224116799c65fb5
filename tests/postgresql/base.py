"""Django's PostgreSQL, emptied after each test by DELETE.

TRUNCATE makes new files for every table and index, which takes longer than most tests; theirs are a few rows. It waits
for what other sessions have not committed. DELETE would leave that, so the tables are locked first.
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
        names = [self.quote_name(table) for table in tables]
        if not names:
            return []
        return [
            "SET LOCAL lock_timeout = '30s'",
            f"LOCK TABLE {', '.join(names)} IN SHARE ROW EXCLUSIVE MODE",
            # In any order: Django's foreign keys are checked at the end of the transaction.
            *(f"DELETE FROM {name}" for name in names),
        ]


class DatabaseWrapper(base.DatabaseWrapper):
    ops_class = DatabaseOperations
