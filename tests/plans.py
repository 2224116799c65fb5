"""How the database goes about the statements that read or write messages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from sms_services.models import SmsMessage

TABLE = SmsMessage._meta.db_table
#: Messages looked up by their ids; not just read in the order of the index.
BY_PRIMARY_KEY = {
    "postgresql": rf"Scan (using|on) {TABLE}_pkey\b.*\n +Index Cond: \(id = ",
    "mysql": rf"\b{TABLE} (range|eq_ref|const) PRIMARY ",
    "sqlite": rf"\bSEARCH {TABLE} USING INTEGER PRIMARY KEY \(rowid=\?\)",
}
#: Messages of a batch that stand at some statuses, in the order of the index of the batch.
BY_BATCH_AND_STATUS = {
    "postgresql": (
        r"Limit .*\n +->  Index Only Scan using sms_message_batch .*\n +Index Cond: \(\(batch_id = .* \(status >= "
    ),
    "mysql": r"\b(ref|range) sms_message_batch ",
    "sqlite": r"\bUSING COVERING INDEX sms_message_batch \(batch_id=\? AND status>\? AND status<\?\)",
}


def forget_rows(cursor: Any) -> None:
    """The statistics of an empty table."""
    SmsMessage.objects.all().delete()
    if connection.vendor == "postgresql":  # what it knows of columns outlives their rows
        cursor.execute("DELETE FROM pg_statistic WHERE starelid = %s::regclass", [TABLE])
    learn_rows(cursor)


def learn_rows(cursor: Any) -> None:
    """The statistics of the table as it is."""
    if connection.vendor == "postgresql":
        cursor.execute(f"VACUUM ANALYZE {TABLE}")
    elif connection.vendor == "mysql":
        cursor.execute(f"ANALYZE TABLE {TABLE}")
        cursor.fetchall()
    else:
        cursor.execute("ANALYZE")


def used(row: Any) -> str:
    """What a line of a plan uses. MariaDB's also names the indexes that it decided against."""
    possible_keys = 4 if connection.vendor == "mysql" else len(row)
    return " ".join(str(value) for column, value in enumerate(row) if column != possible_keys)


def plan_of(sql: str, params: Any) -> str:
    """A plan that reads a table from end to end only if nothing else will do: few rows are soonest read like that."""
    explain = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
    with connection.connection.cursor() if connection.vendor != "sqlite" else connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET enable_seqscan = off")
        cursor.execute(explain + sql, params)
        plan = "\n".join(map(used, cursor.fetchall()))
        if connection.vendor == "postgresql":
            cursor.execute("RESET enable_seqscan")
    return plan


@contextmanager
def plans(*verbs: str) -> Iterator[list[str]]:
    """How the database goes about each statement of the block that has to do with messages.

    Args:
        verbs: only these statements, such as ``UPDATE``.
    """
    found: list[str] = []

    def look(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if TABLE in sql and sql.startswith(verbs or ("SELECT", "UPDATE")):
            found.append(plan_of(sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(look):
        yield found


def assert_by_primary_key(plan: str) -> None:
    others = [index.name for index in SmsMessage._meta.indexes if index.name in plan]
    assert not others, plan
    assert re.search(BY_PRIMARY_KEY[connection.vendor], plan), plan


def assert_by_batch_and_status(plan: str) -> None:
    assert re.search(BY_BATCH_AND_STATUS[connection.vendor], plan), plan
