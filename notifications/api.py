"""The public functions of this app.

``notify`` stores what is to be sent to whom and returns at once; the workers do the rest. The others steer it.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth.models import Group
from django.db.models import F, Model, QuerySet

from sms_services.models import SmsService, SmsTemplate

from .models import Department, Notification, NotificationPreset
from .summary import RecipientsSummary

__all__ = ["cancel", "notify", "pause", "recipients_summary", "resume", "retry_failed"]

Users = QuerySet[Any] | Iterable[Any] | Model | int | str
Departments = QuerySet[Department] | Iterable[Department | int] | Department | int
Roles = QuerySet[Group] | Iterable[Group | int] | Group | int


def notify(
    preset: NotificationPreset | str | None = None,
    /,
    *,
    users: Users | None = None,
    departments: Departments | None = None,
    roles: Roles | None = None,
    service: SmsService | str | None = None,
    template: SmsTemplate | str | None = None,
    variables: Mapping[str, str | F] | None = None,
    idempotency_key: str | None = None,
    send_at: datetime | None = None,
    expires_at: datetime | None = None,
    include_subdepartments: bool | None = None,
    created_by: Any = None,
) -> Notification:
    """Text many people, each once.

    Everything is checked and stored in the caller's transaction; the workers begin after its commit. Users that are
    given are fixed now; who belongs to a department or has a role is decided when the sending begins.

    Args:
        preset: a preset's key, or a ``NotificationPreset``; what else is given overrides its part of it.
        users, departments, roles: instances, ids or querysets, one or many. Any of the three replaces all recipients
            of a preset. A role is an ``auth.Group``.
        service, template: as for ``sms_services.api.queue_message``, one-time codes excepted.
        variables: the template's, as strings, or ``F("first_name")`` to look one up on each recipient. They are added
            to a preset's, or replace those of the same name.
        idempotency_key: the first notification with a key is returned by all further calls with it.
        send_at: the sending does not begin before.
        expires_at: what has not left by then is skipped.
        include_subdepartments: whether a department includes all below it; default: yes, or as the preset says.
        created_by: the user who sends it, for the record.

    Returns:
        the notification; ``counts()`` says how far it is.

    Raises:
        NotificationError: wrong use; see the subclasses in ``exceptions``.
        UnknownService, InactiveService, UnknownTemplate, UnusableTemplate, InvalidParams: of ``sms_services``, which
            share the base ``SmsError`` with it. Nothing was stored in either case.
    """
    raise NotImplementedError


def pause(notification: Notification | int) -> Notification:
    """Stop a scheduled or running notification until it is resumed. What is being sent at this moment still leaves.

    Args:
        notification: a ``Notification`` or its primary key. Its row is read anew; for all functions below as well.

    Returns:
        the notification as it is then; for all functions below as well.

    Raises:
        Notification.DoesNotExist: there is none.
        WrongStatus: it is neither scheduled nor running.
    """
    raise NotImplementedError


def resume(notification: Notification | int) -> Notification:
    """Go on with a paused notification.

    Raises:
        Notification.DoesNotExist: there is none.
        WrongStatus: it is not paused.
    """
    raise NotImplementedError


def cancel(notification: Notification | int) -> Notification:
    """Stop a notification for good: what has not left is skipped. What is being sent at this moment still leaves.

    Raises:
        Notification.DoesNotExist: there is none.
        WrongStatus: it is finished or cancelled already.
    """
    raise NotImplementedError


def retry_failed(notification: Notification | int, *, created_by: Any = None) -> Notification:
    """Send once more what failed or was not delivered, to the same numbers and with the same words.

    What is in doubt, and what was retried already, is left alone.

    Returns:
        a new notification, whose ``retry_of`` is the old one.

    Raises:
        Notification.DoesNotExist: there is none.
        NothingToRetry: nothing failed that was not retried.
        WrongStatus: an earlier retry of it has not come to all its messages yet.
        InactiveService: its service is deactivated.
    """
    raise NotImplementedError


def recipients_summary(
    *,
    users: Users | None = None,
    departments: Departments | None = None,
    roles: Roles | None = None,
    include_subdepartments: bool = True,
) -> RecipientsSummary:
    """Count whom a notification would reach, in a constant number of queries.

    Numbers count as they are stored: those that a host project keeps in several notations are only told apart as
    duplicates when they are sent.

    Args:
        users, departments, roles, include_subdepartments: as for ``notify``.

    Raises:
        InvalidRecipients: something among them is of the wrong kind or does not exist. Nobody at all is fine here.
    """
    raise NotImplementedError
