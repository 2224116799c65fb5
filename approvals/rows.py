"""Where the rows of requests are: the database that is written to, for reading too. A replica may lag behind."""

from typing import Any, TypeVar

from django.db import connections, router
from django.db.models import QuerySet

from .models import Event, NodeText, NodeVisit, Request, Task
from .models.events import EventQuerySet
from .models.requests import RequestQuerySet
from .models.tasks import TaskQuerySet

QuerySetOf = TypeVar("QuerySetOf", bound="QuerySet[Any]")


def database() -> str:
    """The alias of the database that requests are written to."""
    return router.db_for_write(Request)


def locked(rows: QuerySetOf) -> QuerySetOf:
    """The rows, locked when they are read; where a database can tell, not against foreign keys that point at them.

    Else a text that is being handed over, whose request is looked at when that is committed, would wait for the action
    on the request that waits for the text.
    """
    features = connections[database()].features
    return rows.select_for_update(no_key=features.has_select_for_no_key_update)


def requests() -> RequestQuerySet:
    return Request.objects.using(database())


def visits() -> "QuerySet[NodeVisit]":
    return NodeVisit.objects.using(database())


def tasks() -> TaskQuerySet:
    return Task.objects.using(database())


def events() -> EventQuerySet:
    return Event.objects.using(database())


def texts() -> "QuerySet[NodeText]":
    return NodeText.objects.using(database())
