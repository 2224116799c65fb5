"""Storing a notification with all that belongs to it, in the caller's transaction, and ringing after its commit."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from sms_services.models import SmsBatch

from . import directory
from .audience import CHUNK, Audience, missing_users
from .bell import ring_for
from .choices import NotificationStatus
from .composing import Call, composed
from .exceptions import NoRecipients
from .expansion.expanding import POLL
from .idempotency import first_with
from .models import Notification
from .rows import database, notifications, users
from .sql import insert_users


def store_once(call: Call) -> Notification:
    """Store what a call asks for, unless its idempotency key is there: then return the notification that has it.

    Raises:
        IdempotencyConflict: that one was made with other arguments.
    """
    key = call.idempotency_key
    if key is None:
        return store(*composed(call))
    if first := first_with(notifications(), key, call.description):
        return first
    notification, audience = composed(call)
    with transaction.atomic(using=database()):
        try:
            with transaction.atomic(using=database()):
                return store(notification, audience)
        except IntegrityError:
            # Somebody was faster. A locking read sees it, even in a transaction with an older snapshot.
            if first := first_with(notifications().select_for_update(), key, call.description):
                return first
            raise


def store(notification: Notification, audience: Audience | None) -> Notification:
    """Store an unsaved notification, and have the workers begin after the commit.

    Args:
        audience: whom it is for; ``None`` for a retry, whose people stand in the notification that it retries.

    Raises:
        InvalidRecipients: some of the users do not exist.
        NoRecipients: nobody is left: a queryset is empty, or departments and roles have no members.
    """
    with transaction.atomic(using=database()):
        notification.batch = SmsBatch.objects.using(database()).create(expires_at=notification.expires_at)
        scheduled = notification.status == NotificationStatus.SCHEDULED
        # The task that is put to the broker below is a moment faster than the sweep.
        notification.sweep_at = notification.send_at if scheduled else timezone.now() + timedelta(seconds=POLL)
        notification.save(force_insert=True, using=database())
        if audience is not None:
            _store_audience(notification, audience)
        if not scheduled:
            transaction.on_commit(lambda: ring_for([notification.pk]), using=database(), robust=True)
    return notification


def _store_audience(notification: Notification, audience: Audience) -> None:
    asked = _store_users(notification, audience.users)
    for name in ("departments", "roles"):
        _store_few(notification, name, getattr(audience, name))
    if not asked and not _has_members(audience):
        raise NoRecipients(_("There is nobody among these recipients."))


def _has_members(audience: Audience) -> bool:
    """Whether anybody belongs to these departments or has one of these roles, at this moment."""
    departments = directory.including(audience.departments, subdepartments=audience.include_subdepartments)
    links = ((directory.members, departments), (directory.role_holders, audience.roles))
    return any(ids and link().to(ids).exists() for link, ids in links)


def _store_users(notification: Notification, asked: Any) -> int:
    link = directory.asked_users()
    if isinstance(asked, QuerySet):
        return insert_users(link, notification.pk, asked, database())
    count = 0
    for start in range(0, len(asked), CHUNK):
        chunk = asked[start : start + CHUNK]
        found = insert_users(link, notification.pk, users().filter(pk__in=chunk), database())
        if found < len(chunk):
            raise missing_users(asked)
        count += found
    return count


def _store_few(notification: Notification, name: str, ids: Sequence[int]) -> None:
    """Rows of a many-to-many relation, without asking first which are there already."""
    if not ids:
        return
    field: Any = Notification._meta.get_field(name)
    through, ours, theirs = field.remote_field.through, field.m2m_field_name(), field.m2m_reverse_field_name()
    rows = [through(**{f"{ours}_id": notification.pk, f"{theirs}_id": pk}) for pk in ids]
    through.objects.using(database()).bulk_create(rows)
