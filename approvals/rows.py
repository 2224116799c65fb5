"""Where the rows of requests are: the database that is written to, for reading too. A replica may lag behind."""

from django.db import router
from django.db.models import QuerySet

from .models import Event, NodeText, NodeVisit, Request, Task
from .models.events import EventQuerySet
from .models.requests import RequestQuerySet
from .models.tasks import TaskQuerySet


def database() -> str:
    """The alias of the database that requests are written to."""
    return router.db_for_write(Request)


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
