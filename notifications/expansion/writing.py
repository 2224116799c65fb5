"""A page of people into the database: messages and recipients, from one JSON document, inside the server.

Two INSERT … SELECT for any number of people. The second one finds each message by its batch and number, so that no
primary key has to come back first.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections
from django.db.models import Model
from django.utils import timezone

from sms_services.conf import get_settings as get_sms_settings
from sms_services.models import SmsMessage

from ..models import Notification, Recipient
from ..rows import database
from ..variables import FrozenVariables
from .pages import Person


class Writer:
    """Writes the people of one notification."""

    def __init__(self, notification: Notification, variables: FrozenVariables) -> None:
        self._notification = notification
        self._variables = variables
        self._connection: Any = connections[database()]
        self._sql = _DIALECTS[self._connection.vendor](self._connection)

    def write(self, people: Sequence[Person]) -> None:
        """Insert the recipients, and the messages of those who get one. Call it in a transaction."""
        if not people:
            return
        document = json.dumps([self._row(person) for person in people])
        with self._connection.cursor() as cursor:
            if not all(person.skip_reason for person in people):
                cursor.execute(*self._messages(document))
            cursor.execute(*self._recipients(document))

    def _row(self, person: Person) -> dict[str, Any]:
        """A person as an object of the document; what is empty is left out."""
        user = person.user
        if not isinstance(user, int):
            user = str(_user_key().get_db_prep_value(user, self._connection))
        row = {
            "u": user,
            "w": person.via,
            "s": person.skip_reason,
            "p": person.phone_number,
            "o": person.own_params,
            "c": person.sensitive_params,
            "m": person.retry_of,
        }
        return {name: value for name, value in row.items() if value or name == "u"}

    def _messages(self, document: str) -> tuple[str, list[Any]]:
        columns, values, params = [], [], []
        own = self._own_columns()
        message = self._blank_message()
        for field in SmsMessage._meta.concrete_fields:
            if field.primary_key:
                continue
            columns.append(self._column(SmsMessage, field.name))
            values.append(own.get(field.name) or self._sql.constant(field))
            if field.name in own:
                params += [json.dumps(self._variables.common)] * (field.name == "params")
            else:
                params.append(field.get_db_prep_save(getattr(message, field.attname), self._connection))
        sql = (
            f"INSERT INTO {self._quoted(SmsMessage._meta.db_table)} ({', '.join(columns)}) "
            f"SELECT {', '.join(values)} FROM {self._sql.people} WHERE j.s IS NULL"
        )
        return sql, [*params, document]

    def _own_columns(self) -> dict[str, str]:
        """What each message has of its own, by the field's name."""
        own = {"phone_number": "j.p", "sensitive_params": "COALESCE(j.c, '')"}
        if self._variables.has_own:
            own["params"] = self._sql.merged
        if self._notification.retry_of_id:
            own["retry_of"] = "j.m"
        return own

    def _blank_message(self) -> SmsMessage:
        """What all messages have in common. Every field is written, whatever becomes of the model."""
        notification, now = self._notification, timezone.now()
        return SmsMessage(
            service_id=notification.service_id,
            template_id=notification.template_id,
            purpose=notification.purpose,
            text=notification.text,
            template_code=notification.template_code,
            template_kind=notification.template_kind,
            params=self._variables.common,
            hidden_names=self._variables.hidden_names,
            batch_id=notification.batch_id,
            created_at=now,
            sweep_at=now + timedelta(seconds=get_sms_settings().REQUEUE_AFTER),
        )

    def _recipients(self, document: str) -> tuple[str, list[Any]]:
        names = ("notification", "user", "message", "via", "skip_reason")
        columns = ", ".join(self._column(Recipient, name) for name in names)
        message = {name: f"m.{self._column(SmsMessage, name)}" for name in ("id", "batch", "phone_number")}
        sql = (
            f"INSERT INTO {self._quoted(Recipient._meta.db_table)} ({columns}) "
            f"SELECT {int(self._notification.pk)}, j.u, {message['id']}, {self._sql.via}, COALESCE(j.s, '') "
            f"FROM {self._sql.people} LEFT JOIN {self._quoted(SmsMessage._meta.db_table)} m "
            f"ON {message['batch']} = {int(self._notification.batch_id)} AND {message['phone_number']} = j.p"
        )
        return sql, [document]

    def _column(self, model: type[Model], name: str) -> str:
        field: Any = model._meta.get_field(name)
        return self._quoted(field.column)

    def _quoted(self, name: str) -> str:
        quoted: str = self._connection.ops.quote_name(name)
        return quoted


class _Dialect:
    """How a database reads the document as the table ``j``. ``merged`` are the common variables with one's own."""

    people: str
    via = "j.w"
    merged: str

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def constant(self, field: Any) -> str:
        """A parameter that becomes a field's value in every row."""
        return "%s"


class _PostgreSQL(_Dialect):
    via = "j.w::jsonb"
    merged = "%s::jsonb || j.o::jsonb"

    @property
    def people(self) -> str:  # type: ignore[override]
        user = _user_key().rel_db_type(self._connection)
        return f"json_to_recordset(%s::json) AS j(u {user}, w text, s text, p text, o text, c text, m bigint)"

    def constant(self, field: Any) -> str:
        return f"%s::{field.db_type(self._connection)}"


class _SQLite(_Dialect):
    people = "(SELECT {} FROM json_each(%s)) AS j".format(
        ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in "uwspocm")
    )
    merged = "json_patch(%s, j.o)"


class _MySQL(_Dialect):
    merged = "JSON_MERGE_PATCH(%s, j.o)"

    @property
    def people(self) -> str:  # type: ignore[override]
        user = _user_key().rel_db_type(self._connection)
        user = "char(36)" if user == "uuid" else user  # no type of a column in there
        types = {"u": user, "w": "longtext", "s": "varchar(12)", "p": "varchar(16)", "o": "longtext", "c": "longtext"}
        columns = ", ".join(f"{name} {kind} PATH '$.{name}'" for name, kind in {**types, "m": "bigint"}.items())
        return f"JSON_TABLE(%s, '$[*]' COLUMNS ({columns})) AS j"


_DIALECTS: dict[str, type[_Dialect]] = {"postgresql": _PostgreSQL, "sqlite": _SQLite, "mysql": _MySQL}


def _user_key() -> Any:
    return get_user_model()._meta.pk
