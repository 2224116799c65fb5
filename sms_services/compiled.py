"""The SELECTs of one row that every send makes, as SQL that is built once per process.

Django's ORM builds a statement anew for every call, which takes it ten times as long as the statement itself. What is
kept is SQL, never a row: what another process has saved counts at once.
"""

from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from django.db import connections, models

AnyModel = TypeVar("AnyModel", bound=models.Model)


class _Select(NamedTuple):
    sql: str
    fields: list[Any]
    columns: list[Any]


def fetch(model: type[AnyModel], using: str, **lookup: Any) -> AnyModel | None:
    """The row whose fields have exactly these values (unique ones: the first that is found), or ``None``.

    Args:
        lookup: fields of the model or of its parents; a relation by its column (``service_id``).
    """
    connection = connections[using]
    select = _select(model, using, tuple(lookup))
    values = [
        field.get_db_prep_value(value, connection) for field, value in zip(select.fields, lookup.values(), strict=True)
    ]
    with connection.cursor() as cursor:
        cursor.execute(select.sql, values)
        found = cursor.fetchone()
    if found is None:
        return None
    row = list(found)
    for index, column in enumerate(select.columns):
        for convert in (*connection.ops.get_db_converters(column), *column.get_db_converters(connection)):
            row[index] = convert(row[index], column, connection)
    return model.from_db(using, [column.target.attname for column in select.columns], row)


@lru_cache(maxsize=64)
def _select(model: type[models.Model], using: str, names: tuple[str, ...]) -> _Select:
    meta, quote = model._meta, connections[using].ops.quote_name
    compiler = models.QuerySet(model).order_by().query.get_compiler(using)
    sql, _ = compiler.as_sql()
    by_attname = {field.attname: field for field in meta.concrete_fields}
    fields: list[Any] = [meta.pk if name == "pk" else by_attname[name] for name in names]
    where = " AND ".join(f"{quote(field.model._meta.db_table)}.{quote(field.column)} = %s" for field in fields)
    return _Select(f"{sql} WHERE {where}", fields, [expression for expression, _, _ in compiler.select])
