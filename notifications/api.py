"""The public functions of this app.

``notify`` stores what is to be sent to whom and returns at once; the workers do the rest. The others steer it.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import F, Model, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_variables

from sms_services.choices import BatchState
from sms_services.delivery.moving_up import give_up_places
from sms_services.exceptions import InactiveService, VariablesWiped
from sms_services.models import SmsBatch, SmsService, SmsTemplate, current_service

from .audience import audience_of, check_existence
from .bell import ring_for, ring_for_queued
from .choices import STOPPED, NotificationStatus
from .composing import checked_call
from .exceptions import InvalidTime, NothingToRetry, WrongStatus
from .expansion.ending import skip_too_late
from .expansion.expanding import POLL
from .expansion.pages import failures_of
from .models import Department, Notification, NotificationPreset
from .models.notifications import NotificationQuerySet
from .rows import database, notifications
from .storing import store, store_once
from .summary import RecipientsSummary, summary_of
from .variables import checked_variables

__all__ = ["cancel", "notify", "pause", "recipients_summary", "resume", "retry_failed"]

Users = QuerySet[Any] | Iterable[Any] | Model | int | str
Departments = QuerySet[Department] | Iterable[Department | int] | Department | int
Roles = QuerySet[Group] | Iterable[Group | int] | Group | int

#: Why what failed of a notification that was stopped is not retried; the log says the same of each message.
_STOPPED_WORDS: Mapping[str, Any] = {
    NotificationStatus.PAUSED: gettext_lazy("This notification is paused. Resume it first."),
    NotificationStatus.CANCELLED: gettext_lazy("This notification was cancelled. Send a new one instead."),
}
#: Seconds for which whoever cancels skips messages; a worker skips the rest.
_PATIENCE = 2.0


@sensitive_variables()
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
    return store_once(
        checked_call(
            preset,
            users=users,
            departments=departments,
            roles=roles,
            service=service,
            template=template,
            variables=variables,
            idempotency_key=idempotency_key,
            send_at=send_at,
            expires_at=expires_at,
            include_subdepartments=include_subdepartments,
            created_by=created_by,
        )
    )


def pause(notification: Notification | int) -> Notification:
    """Stop a scheduled or running notification until it is resumed. What is being sent at this moment still leaves,
    and so does what waits as a retry from the log.

    One that is still paused at its ``expires_at`` ends then; one of which nothing is left to send, within minutes.

    Args:
        notification: a ``Notification`` or its primary key. Its row is read anew; for all functions below as well.

    Returns:
        the notification as it is then; for all functions below as well.

    Raises:
        Notification.DoesNotExist: there is none.
        WrongStatus: it is neither scheduled nor running.
    """
    then = timezone.now() + timedelta(seconds=POLL)
    with transaction.atomic(using=database()):
        changed = _row(notification).filter(status__in=(NotificationStatus.SCHEDULED, NotificationStatus.RUNNING))
        paused = {"status": NotificationStatus.PAUSED, "leased_until": None, "sweep_at": then}
        if not changed.update(**paused):
            raise _wrong_status(notification, _("Only a scheduled or running notification can be paused."))
        _set_batch(notification, BatchState.HELD)
        held = _row(notification).get()
        transaction.on_commit(lambda: _let_others_pass(held), using=database(), robust=True)
    return _row(notification).get()


def resume(notification: Notification | int) -> Notification:
    """Go on with a paused notification.

    Raises:
        Notification.DoesNotExist: there is none.
        WrongStatus: it is not paused.
    """
    now = timezone.now()
    with transaction.atomic(using=database()):
        paused = _row(notification).filter(status=NotificationStatus.PAUSED)
        waiting = paused.filter(started_at=None, send_at__gt=now)
        running = {"status": NotificationStatus.RUNNING, "sweep_at": now + timedelta(seconds=POLL)}
        if not waiting.update(status=NotificationStatus.SCHEDULED, sweep_at=F("send_at")) and not paused.update(
            **running
        ):
            raise _wrong_status(notification, _("Only a paused notification can be resumed."))
        _set_batch(notification, BatchState.OPEN)
        resumed = _row(notification).get()
        if resumed.status == NotificationStatus.RUNNING:
            transaction.on_commit(lambda: _go_on(resumed.pk), using=database(), robust=True)
    return resumed


def cancel(notification: Notification | int) -> Notification:
    """Stop a notification for good: what has not left is skipped. What is being sent at this moment still leaves.

    Raises:
        Notification.DoesNotExist: there is none.
        WrongStatus: it is finished or cancelled already.
    """
    stoppable = (NotificationStatus.SCHEDULED, NotificationStatus.RUNNING, NotificationStatus.PAUSED)
    then = timezone.now() + timedelta(seconds=POLL)
    with transaction.atomic(using=database()):
        changed = _row(notification).filter(status__in=stoppable)
        cancelled = {"status": NotificationStatus.CANCELLED, "leased_until": None, "sweep_at": then}
        was_running = changed.filter(status=NotificationStatus.RUNNING).update(**cancelled)
        if not was_running and not changed.update(**cancelled):
            raise _wrong_status(notification, _("This notification has ended already."))
        _set_batch(notification, BatchState.CLOSED)
        stopped = _row(notification).get()
        if was_running:  # what is paused has given up its places
            transaction.on_commit(lambda: _let_others_pass(stopped), using=database(), robust=True)
        transaction.on_commit(lambda: _stop(stopped.pk), using=database(), robust=True)
    return _row(notification).get()


def retry_failed(notification: Notification | int, *, created_by: Any = None) -> Notification:
    """Send once more what failed or was not delivered, to the same numbers and with the same words.

    What is in doubt, and what was retried already, is left alone. It expires when the first one does.

    Returns:
        a new notification, whose ``retry_of`` is the old one.

    Raises:
        Notification.DoesNotExist: there is none.
        NothingToRetry: nothing failed that was not retried.
        WrongStatus: it is paused or was cancelled, or an earlier retry of it has not come to all its messages yet.
        InvalidTime: its ``expires_at`` has passed.
        InactiveService: its service is deactivated.
    """
    with transaction.atomic(using=database()):
        # Whoever retries it at the same moment waits here, and then sees this retry.
        _row(notification).update(created_at=F("created_at"))
        old = _row(notification).get()
        _check_retryable(old)
        return store(_retry_of(old, created_by), None)


def recipients_summary(
    *,
    users: Users | None = None,
    departments: Departments | None = None,
    roles: Roles | None = None,
    include_subdepartments: bool = True,
    fields: Iterable[str] = (),
) -> RecipientsSummary:
    """Count whom a notification would reach, in a constant number of queries.

    Numbers count as they are stored. Those that are not kept in E.164 are only read when they are sent, and may then
    turn out to be unreadable or duplicates: ``to_be_read`` says how many of those who are ``reachable`` that concerns.

    Args:
        users, departments, roles, include_subdepartments: as for ``notify``.
        fields: names of fields that variables are looked up on; ``without_value`` counts who has nothing there.

    Raises:
        InvalidRecipients: something among them is of the wrong kind or does not exist. Nobody at all is fine here.
        InvalidVariables: a field cannot be looked up.
    """
    audience = audience_of(users, departments, roles, include_subdepartments)
    check_existence(audience)
    checked_variables({name: F(name) for name in fields})
    return summary_of(audience, fields)


def _row(notification: Notification | int) -> NotificationQuerySet:
    pk = notification.pk if isinstance(notification, Notification) else notification
    return notifications().filter(pk=pk)


def _set_batch(notification: Notification | int, state: BatchState) -> None:
    SmsBatch.objects.using(database()).filter(notification__in=_row(notification)).update(state=state)


def _wrong_status(notification: Notification | int, words: str) -> WrongStatus:
    now = _row(notification).get()
    return WrongStatus(_("%(problem)s It is: %(status)s.") % {"problem": words, "status": now.get_status_display()})


def _go_on(pk: int) -> None:
    """After a resumption: its messages leave, and the rest of its people is resolved."""
    ring_for([pk])
    ring_for_queued(pk)


def _stop(pk: int) -> None:
    """After a cancellation: what is queued is skipped here for a moment; the rest, and the end, is a worker's."""
    stopped = notifications().get(pk=pk)
    skip_too_late(stopped, _PATIENCE)
    ring_for([pk])


def _let_others_pass(stopped: Notification) -> None:
    """Whoever waits for a service with a rate limit does not wait for what does not leave."""
    if service := current_service(stopped.service_id):
        give_up_places(service, stopped.batch_id)


def _check_retryable(old: Notification) -> None:
    if old.status in STOPPED:
        raise WrongStatus(str(_STOPPED_WORDS[old.status]))
    if old.has_expired(timezone.now()):
        raise InvalidTime(_("The time after which nothing may be sent has passed already."))
    if notifications().filter(retry_of=old.pk, expanded_at=None).exists():
        raise WrongStatus(_("A retry of this notification has just begun. Wait until it has come to all messages."))
    failed = failures_of(old).order_by("pk").first()
    if failed is None:
        raise NothingToRetry(_("Nothing failed that was not retried already."))
    if failed.wiped_names:
        raise VariablesWiped(
            _("It had sensitive variables, which are not kept once the outcome is known. Send a new notification.")
        )
    service = current_service(old.service_id)
    if service is None or not service.is_active:
        raise InactiveService(
            _("The SMS service “%s” is deactivated. Activate it in admin, or use another.") % old.service
        )


def _retry_of(old: Notification, created_by: Any) -> Notification:
    """The same words; the variables stand in the old messages."""
    return Notification(
        key=old.key,
        retry_of=old,
        created_by=created_by,
        include_subdepartments=old.include_subdepartments,
        service_id=old.service_id,
        template_id=old.template_id,
        purpose=old.purpose,
        text=old.text,
        template_code=old.template_code,
        template_kind=old.template_kind,
        variables=old.variables,
        recipient_fields=old.recipient_fields,
        status=NotificationStatus.RUNNING,
        expires_at=old.expires_at,
    )
