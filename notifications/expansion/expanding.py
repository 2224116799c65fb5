"""Resolving the recipients of a notification, page by page, by whichever worker comes.

A page is one transaction. Its first statement moves the cursor on from where this worker found it, and only while the
notification stands as it did and the lease is this worker's; whoever comes too late changes nothing. So it can be
killed anywhere, run twice at once, paused and cancelled: the next worker goes on from the cursor. Whoever changes whom
it is for ends the lease: what was read before is not written.
"""

import logging
import time
from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from django.db import IntegrityError, OperationalError, connections, transaction
from django.db.models import Case, F, Max, Q, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from sms_services.choices import MessageStatus, SkipReason
from sms_services.delivery.queueing import ring
from sms_services.logs import log
from sms_services.models import SmsMessage, current_service

from ..bell import ring_for
from ..choices import NotificationStatus
from ..conf import get_settings
from ..exceptions import Unresolvable
from ..models import Notification
from ..models.notifications import NotificationQuerySet
from ..rows import database, notifications
from ..variables import FrozenVariables
from .pages import Page, source_of
from .writing import Writer

#: A task ends after this many seconds and queues itself once more, so that others get their turn.
ROUND_SECONDS = 20.0
#: How often a page is read and written, where a deadlock or the deletion of a user comes in between.
_TRIES = 3
#: Seconds until a notification is tried again whose recipients could not be resolved.
_UNTIL_NEXT_TRY = 300.0
#: Seconds between two looks at a notification whose messages are leaving.
POLL = 10.0


def expand(pk: int) -> None:
    """Resolve recipients for as long as a round may take. Does nothing while somebody else does."""
    until = time.monotonic() + ROUND_SECONDS
    while notification := _taken(pk):
        try:
            if _Expansion(notification).run(until):
                return
        except (IntegrityError, OperationalError):
            raise
        except Exception as error:
            if connections[database()].in_atomic_block:
                raise
            _postpone(pk, Unresolvable.of(error))
            return


def _postpone(pk: int, error: Unresolvable) -> None:
    """Say what stops a notification, and let the sweep try again in some minutes. An error's words may hold numbers."""
    log(logging.ERROR, "notifications.unresolvable", notification=pk, problem=error.problem, error=error.cause.__name__)
    then = timezone.now() + timedelta(seconds=_UNTIL_NEXT_TRY)
    notifications().filter(pk=pk, expanded_at=None).update(problem=error.problem, leased_until=None, sweep_at=then)


def _taken(pk: int) -> Notification | None:
    """The notification, if there is something to resolve now and nobody else is at it."""
    now = timezone.now()
    status = F("status")
    rows = notifications().filter(pk=pk, expanded_at=None)
    free = Q(leased_until=None) | Q(leased_until__lte=now)
    lease = _lease(now)
    cancelled = When(status=NotificationStatus.CANCELLED, then=F("started_at"))
    changed = rows.filter(is_due(now), free).update(
        started_at=Case(cancelled, default=Coalesce("started_at", Value(now))),
        status=Case(When(status=NotificationStatus.SCHEDULED, then=Value(NotificationStatus.RUNNING)), default=status),
        **lease,
    )
    notification = rows.select_related("retry_of").first() if changed else None
    if notification:
        notification.leased_until = lease["leased_until"]  # not what somebody may have made of it meanwhile
    return notification


def is_due(now: datetime) -> Q:
    """Whether a worker may go on with a notification: a condition."""
    due = Q(status__in=[NotificationStatus.RUNNING, NotificationStatus.CANCELLED])
    return due | Q(status=NotificationStatus.SCHEDULED, send_at__lte=now)


def _lease(now: datetime) -> dict[str, Any]:
    until = now + timedelta(seconds=get_settings().LOST_AFTER)
    return {"leased_until": until, "sweep_at": until}


def _beyond(page: Page) -> dict[str, Any]:
    """The fields that change when a page is written."""
    now = timezone.now()
    if page.is_last:
        then = now + timedelta(seconds=POLL)
        return {"cursor": page.cursor, "expanded_at": now, "leased_until": None, "sweep_at": then, "problem": ""}
    return {"cursor": page.cursor, "problem": "", **_lease(now)}


class _Expansion:
    """One worker's part in resolving a notification."""

    def __init__(self, notification: Notification) -> None:
        self._notification = notification
        if self._reason_to_skip_all():
            notification.sensitive_variables = ""  # nobody gets them any more, and their key may be lost
            variables = FrozenVariables(notification)
        else:
            variables = FrozenVariables(notification)
            variables.check()
        self._source = source_of(notification, variables)
        self._writer = Writer(notification, variables)
        self._service = current_service(notification.service_id)
        self._rung = self._last_message() if notification.cursor else 0

    def run(self, until: float) -> bool:
        """Page by page; returns whether there is nothing more to do here, now.

        There may be more if the notification has changed meanwhile, or another worker has gone on with it.
        """
        while True:
            page = self._advance()
            if page is None:
                return False
            self._ring()
            if page.is_last:
                return True
            if time.monotonic() >= until and not current_app.conf.task_always_eager:
                self._hand_over()
                return True

    def _advance(self) -> Page | None:
        """Read and write the next page; ``None`` if this worker came too late for it."""
        connection = connections[database()]
        refused = False
        for left in reversed(range(_TRIES)):
            try:
                page = self._source.page_after(self._notification.cursor, self._reason_to_skip_all())
                moved = _beyond(page)
                with transaction.atomic(using=database()):
                    if not self._here().update(**moved):
                        return None
                    self._writer.write(page.people)
            except (IntegrityError, OperationalError) as error:
                refused = isinstance(error, IntegrityError)
                if not refused and (not left or connection.in_atomic_block):
                    raise
                if connection.in_atomic_block:
                    break
                connection.close_if_unusable_or_obsolete()
                time.sleep(0.2 if left else 0)
            else:
                self._notification.cursor, self._notification.leased_until = page.cursor, moved["leased_until"]
                return page
        # Outside of the handler: the database's words hold the row, with its number.
        raise IntegrityError("The database refuses a page of recipients.")

    def _here(self) -> NotificationQuerySet:
        """The notification, as long as it stands as this worker knows it."""
        mine = self._notification
        return notifications().filter(
            pk=mine.pk, cursor=mine.cursor, status=mine.status, leased_until=mine.leased_until, expanded_at=None
        )

    def _reason_to_skip_all(self) -> str:
        if self._notification.status == NotificationStatus.CANCELLED:
            return SkipReason.CANCELLED
        return SkipReason.EXPIRED if self._notification.has_expired(timezone.now()) else ""

    def _ring(self) -> None:
        """Ring the workers for what this worker has written, after the commit."""
        ids = list(self._queued().filter(pk__gt=self._rung).order_by("pk").values_list("pk", flat=True))
        if ids:
            self._rung = ids[-1]
            if self._service:
                ring(self._service, ids, self._notification.purpose)

    def _hand_over(self) -> None:
        """Leave the rest to a new task, behind all that wait already."""
        self._here().update(leased_until=None)
        ring_for([self._notification.pk])

    def _queued(self) -> Any:
        messages = SmsMessage.objects.using(database())
        return messages.filter(batch=self._notification.batch_id, status=MessageStatus.QUEUED)

    def _last_message(self) -> int:
        messages = SmsMessage.objects.using(database()).filter(batch=self._notification.batch_id)
        return messages.aggregate(last=Max("pk"))["last"] or 0
