"""One UPDATE for many rows with different values, as plain SQL for SQLite, PostgreSQL and MariaDB/MySQL.

Django's ``bulk_update`` builds a CASE per column and row and reaches a thousandth of what the databases can do
with a table of values.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from django.db import connections, models

# The values stand in a subquery: the statement has to begin with UPDATE for SQLite's driver to count rows.
_VALUES = "(WITH new ({names}) AS (VALUES {rows}) SELECT * FROM new) AS new"
# An array for each column: half the work for the driver, and the types are said once.
_ARRAYS = "unnest({arrays}) AS new ({names})"
_POSTGRESQL_AND_SQLITE = "UPDATE {table} SET {assignments} FROM {new} WHERE {matches}"
_MYSQL = "UPDATE {table} JOIN {new} ON {matches} SET {assignments} WHERE 1 = 1"


def update_rows(
    model: type[models.Model],
    field_names: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    using: str,
    guards: Sequence[str] = (),
    condition: models.Q | None = None,
) -> int:
    """Set several fields of many rows, each row to values of its own.

    Args:
        field_names: the fields to set.
        rows: per row its primary key, a value per guard, and a value per field.
        guards: fields that must now have the row's value for them; other rows stay as they are.
        condition: what must be true of a row too, for it to be changed. It may ask about fields of its own only.

    Returns:
        how many rows were changed.

    Raises:
        FieldError: the condition needs another table's fields.
    """
    if not rows:
        return 0
    connection = connections[using]
    fields: list[Any] = [model._meta.pk, *(model._meta.get_field(name) for name in (*guards, *field_names))]
    columns = [
        _prepared(field, column, connection) for field, column in zip(fields, zip(*rows, strict=True), strict=True)
    ]
    if connection.vendor == "postgresql":
        sql, values = _statement(model, tuple(field_names), tuple(guards), 1, using), columns
    else:
        sql = _statement(model, tuple(field_names), tuple(guards), len(rows), using)
        values = [value for row in zip(*columns, strict=True) for value in row]
    if condition is not None:
        query = models.sql.Query(model)
        where, parameters = query.get_compiler(using).compile(query.build_where(condition))
        sql, values = f"{sql} AND ({where})", [*values, *parameters]
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return int(cursor.rowcount)


def _prepared(field: Any, values: Sequence[Any], connection: Any) -> list[Any]:
    """The values of a column as the driver takes them. Most come many times, and preparing one costs microseconds."""

    def prepare(value: Any) -> Any:
        return field.get_db_prep_save(value, connection=connection)

    try:
        known = {value: prepare(value) for value in set(values)}
    except TypeError:  # not hashable
        return [prepare(value) for value in values]
    return [known[value] for value in values]


@lru_cache(maxsize=256)
def _statement(
    model: type[models.Model], names: tuple[str, ...], guards: tuple[str, ...], count: int, using: str
) -> str:
    connection = connections[using]
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)
    key: Any = model._meta.pk
    guarding: list[Any] = [model._meta.get_field(name) for name in guards]
    changing: list[Any] = [model._meta.get_field(name) for name in names]
    # A field may be both: what it must have now has a name of its own.
    columns = [(key.column, key), *((f"was_{f.column}", f) for f in guarding), *((f.column, f) for f in changing)]
    # MySQL writes ROW(1, 2) where everybody else, MariaDB included, writes (1, 2).
    is_mysql = connection.vendor == "mysql" and not getattr(connection, "mysql_is_mariadb", False)
    row = "{}({})".format("ROW" if is_mysql else "", ", ".join(["%s"] * len(columns)))
    new = (_ARRAYS if connection.vendor == "postgresql" else _VALUES).format(
        names=", ".join(quote(name) for name, _ in columns),
        arrays=", ".join(f"%s::{field.db_type(connection)}[]" for _, field in columns),
        rows=", ".join([row] * count),
    )
    matches = [f"{table}.{quote(key.column)} = new.{quote(key.column)}"]
    matches += [f"{table}.{quote(f.column)} = new.{quote(f'was_{f.column}')}" for f in guarding]
    prefix = f"{table}." if connection.vendor == "mysql" else ""
    template = _MYSQL if connection.vendor == "mysql" else _POSTGRESQL_AND_SQLITE
    return template.format(
        table=table,
        new=new,
        matches=" AND ".join(matches),
        assignments=", ".join(f"{prefix}{quote(f.column)} = new.{quote(f.column)}" for f in changing),
    )
