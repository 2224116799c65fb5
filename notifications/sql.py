"""What the ORM cannot say: sets of users into a table, and pages of people from several tables.

Plain SQL for SQLite, PostgreSQL and MariaDB/MySQL. Users are compared and ordered by the database alone: no two of
the three order UUIDs, or texts, in the same way, and Python knows none of these orders.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import F, Field, QuerySet
from django.db.models.expressions import RawSQL

#: Tables that link users to something (``directory.Link``), with the ids that are asked for in each.
Links = Sequence[tuple[Any, Sequence[Any]]]

_ID = "person_id"
#: Many values as one parameter: thousands of parameters cost Django and the drivers more than the database.
_LISTS = {
    "postgresql": "SELECT value::{type} FROM json_array_elements_text(%s::json)",
    "sqlite": "SELECT value FROM json_each(%s)",
    "mysql": "SELECT value FROM JSON_TABLE(%s, '$[*]' COLUMNS (value {type} PATH '$')) AS given",
}
#: MariaDB's JSON_TABLE has no columns of its type ``uuid``.
_UUIDS = "SELECT CAST(value AS uuid) FROM JSON_TABLE(%s, '$[*]' COLUMNS (value char(36) PATH '$')) AS given"


def listed(values: Iterable[Any], field: "Field[Any, Any]", using: str) -> RawSQL:
    """The right-hand side of an ``__in`` lookup: values of a field, however many."""
    connection = connections[using]
    kind = field.rel_db_type(connection)
    is_uuid = connection.vendor == "mysql" and kind == "uuid"
    sql = _UUIDS if is_uuid else _LISTS[connection.vendor].format(type=kind)
    prepared = (field.get_db_prep_value(value, connection) for value in values)
    return RawSQL(sql, [json.dumps([value if isinstance(value, int) else str(value) for value in prepared])])


def insert_users(link: Any, other_id: int, users: "QuerySet[Any]", using: str) -> int:
    """Link all users of a queryset to something, in one statement; returns how many there are.

    Args:
        link: a ``directory.Link``, the table to write.
        users: any queryset of users, ordered, sliced or combined as it may be.
    """
    connection = connections[using]
    quote = connection.ops.quote_name
    try:
        sql, params = _compiled(_ids_of(users.using(using)), using)
    except EmptyResultSet:
        return 0
    columns = [quote(link.model._meta.get_field(name.removesuffix("_id")).column) for name in (link.other, link.user)]
    statement = (
        f"INSERT INTO {quote(link.model._meta.db_table)} ({', '.join(columns)}) "
        f"SELECT DISTINCT {int(other_id)}, people.{_ID} FROM ({sql}) people"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return int(cursor.rowcount)


def next_users(links: Links, after: Any, size: int, using: str) -> tuple[list[Any], Any]:
    """The ids of the next users, each once, in the order of the database; and the last id of this page.

    First where the page ends, along an index of each table, then who is in it: a DISTINCT with a LIMIT makes PostgreSQL
    read all that is left, for every page, where its statistics are out of date.

    Args:
        links: ``directory.Link``s with the ids that are asked for in each.
        after: the last id of the page before; ``None`` for the first page.
        size: how many users there are, about; at most so many rows of each table are read.

    Returns:
        the ids, and ``None`` instead of the last id if no page follows.
    """
    last_of_each = []
    for link, ids in links:
        rows = _rows_of(link, ids, after).order_by(link.user)
        last_of_each.append(rows.values(**{_ID: F(link.user)})[size - 1 : size])
    end = _read(last_of_each, "UNION ALL", using, limit=" LIMIT 1")
    until = end[0] if end else None
    page = []
    for link, ids in links:
        rows = _rows_of(link, ids, after)
        if until is not None:
            rows = rows.filter(**{f"{link.user}__lte": until})
        page.append(rows.values(**{_ID: F(link.user)}))
    return list(dict.fromkeys(_read(page, "UNION", using))), until


def _rows_of(link: Any, ids: Sequence[Any], after: Any) -> "QuerySet[Any]":
    rows: QuerySet[Any] = link.to(ids)
    return rows if after is None else rows.filter(**{f"{link.user}__gt": after})


def _read(querysets: Iterable["QuerySet[Any]"], operator: str, using: str, limit: str = "") -> list[Any]:
    """The users that these querysets find, in the order of the database."""
    parts = []
    for queryset in querysets:
        try:
            parts.append(_compiled(queryset, using))
        except EmptyResultSet:
            continue
    if not parts:
        return []
    tables = (f"SELECT {_ID} FROM ({sql}) part_{number}" for number, (sql, _) in enumerate(parts))
    sql = f"SELECT {_ID} FROM ({f' {operator} '.join(tables)}) people ORDER BY {_ID}{limit}"
    to_python = get_user_model()._meta.pk.to_python
    with connections[using].cursor() as cursor:
        cursor.execute(sql, [param for _, params in parts for param in params])
        return [to_python(user_id) for (user_id,) in cursor.fetchall()]


def _ids_of(users: "QuerySet[Any]") -> "QuerySet[Any]":
    if users.query.combinator:
        return users.model._base_manager.using(users.db).filter(pk__in=users.values("pk")).values(**{_ID: F("pk")})
    ids: QuerySet[Any] = users.values(**{_ID: F("pk")})
    return ids if ids.query.is_sliced else ids.order_by()


def _compiled(rows: "QuerySet[Any]", using: str) -> tuple[str, Sequence[Any]]:
    sql, params = rows.query.get_compiler(using).as_sql()
    return sql, params
