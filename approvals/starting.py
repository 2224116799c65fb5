"""Requests that people begin by hand: in which processes, how many, and each form once."""

import uuid
from datetime import timedelta
from typing import Any

from django.db import connections, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import ngettext

from notifications.directory import has_roles

from .api import submit
from .conf import get_settings
from .conflicts import conflict_with_first
from .exceptions import Throttled
from .models import Node, Process, Request, Starter
from .rows import database, requests
from .times import minute

_HOUR = timedelta(hours=1)


def startable(user: Any) -> "QuerySet[Process]":
    """The processes in which somebody can begin a request on the start page.

    A role is asked for as a permission is: superusers need none.
    """
    nodes = Node.objects.filter(process=OuterRef("pk"))
    may_start = Q(start_role=None)
    if getattr(user, "is_superuser", False):
        may_start = Q()
    elif has_roles():
        may_start |= Q(start_role__in=user.groups.all())
    return Process.objects.filter(may_start, Exists(nodes), is_active=True, has_start_page=True)


def start(process: Process, user: Any, *, title: str, reason: str, key: uuid.UUID) -> Request:
    """Begin a request.

    Args:
        key: drawn with the form.

    Raises:
        Conflict: the form was sent before.
        Throttled: they have begun as many as they may within an hour (``STARTS_PER_HOUR``).
        NotAllowed: as ``submit``.
    """
    with transaction.atomic(using=database()):
        _lock_starter(user)
        if first := requests().filter(initiator=user, submission_key=key).first():
            raise conflict_with_first(first)
        _check_limit(user)
        return submit(process, user, title=title, data={"reason": reason}, submission_key=key)


def _lock_starter(user: Any) -> None:
    """One at a time for each person: forms that are sent at the same moment have to count each other.

    One statement that writes or overwrites the row, so that it also holds for the first two of all.
    """
    named = connections[database()].features.supports_update_conflicts_with_target
    Starter.objects.using(database()).bulk_create(
        [Starter(user_id=user.pk)],
        update_conflicts=True,
        update_fields=["began_at"],
        unique_fields=["user"] if named else None,
    )


def _check_limit(user: Any) -> None:
    limit = get_settings().STARTS_PER_HOUR
    if limit is None:
        return
    begun = requests().filter(initiator=user, submission_key__isnull=False).order_by("-pk")
    last = begun.values_list("created_at", flat=True)[limit - 1 : limit].first()
    if last is not None and last + _HOUR > timezone.now():
        words = ngettext(
            "You have begun %(count)d request within an hour. The next one is possible from %(when)s on.",
            "You have begun %(count)d requests within an hour. The next one is possible from %(when)s on.",
            limit,
        )
        raise Throttled(words % {"count": limit, "when": minute(last + _HOUR)}, last + _HOUR)
