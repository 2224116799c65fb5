"""One UPDATE for many rows with different values, as plain SQL for SQLite, PostgreSQL and MariaDB/MySQL.

Django's ``bulk_update`` builds a CASE per column and row and reaches a thousandth of what the databases can do
with a table of values.
"""

from collections.abc import Sequence
from typing import Any

from django.db import connections, models

# The values stand in a subquery: the statement has to begin with UPDATE for SQLite's driver to count rows.
_NEW = "(WITH new ({names}) AS (VALUES {rows}) SELECT * FROM new) AS new"
_POSTGRESQL_AND_SQLITE = "UPDATE {table} SET {assignments} FROM {new} WHERE {table}.{key} = new.{key}{where}"
_MYSQL = "UPDATE {table} JOIN {new} ON {table}.{key} = new.{key} SET {assignments} WHERE 1 = 1{where}"


def update_rows(
    model: type[models.Model],
    field_names: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    using: str,
    **where: Any,
) -> int:
    """Set several fields of many rows, each row to values of its own.

    Args:
        field_names: the fields to set.
        rows: per row its primary key and then a value per field.
        where: fields and the values that they must have now; other rows stay as they are.

    Returns:
        how many rows were changed.
    """
    if not rows:
        return 0
    connection = connections[using]
    quote = connection.ops.quote_name
    fields: list[Any] = [model._meta.pk, *(model._meta.get_field(name) for name in field_names)]
    guards: list[Any] = [model._meta.get_field(name) for name in where]
    table = quote(model._meta.db_table)

    def prepared(field: Any, value: Any) -> Any:
        return field.get_db_prep_save(value, connection=connection)

    row_sql = "({})".format(", ".join(["%s"] * len(fields)))
    first_row = row_sql
    if connection.vendor == "postgresql":
        # The first row types the columns; PostgreSQL would take everything that it cannot see for text.
        first_row = "({})".format(", ".join(f"%s::{field.db_type(connection)}" for field in fields))
    # MySQL writes ROW(1, 2) where everybody else, MariaDB included, writes (1, 2).
    is_mysql = connection.vendor == "mysql" and not getattr(connection, "mysql_is_mariadb", False)
    constructor = "ROW" if is_mysql else ""
    template = _MYSQL if connection.vendor == "mysql" else _POSTGRESQL_AND_SQLITE
    prefix = f"{table}." if connection.vendor == "mysql" else ""
    sql = template.format(
        table=table,
        key=quote(fields[0].column),
        new=_NEW.format(
            names=", ".join(quote(field.column) for field in fields),
            rows=", ".join(f"{constructor}{row}" for row in [first_row] + [row_sql] * (len(rows) - 1)),
        ),
        assignments=", ".join(f"{prefix}{quote(f.column)} = new.{quote(f.column)}" for f in fields[1:]),
        where="".join(f" AND {table}.{quote(guard.column)} = %s" for guard in guards),
    )
    values = [prepared(field, value) for row in rows for field, value in zip(fields, row, strict=True)]
    values += [prepared(guard, where[guard.name]) for guard in guards]
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return int(cursor.rowcount)
