"""Pages of people: who comes next, and what each one gets or why not."""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from django.contrib.auth import get_user_model
from django.db import DatabaseError
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

from sms_services.choices import MessageStatus, SkipReason
from sms_services.exceptions import InvalidPhoneNumber
from sms_services.models import SmsMessage
from sms_services.phone_numbers import normalize

from .. import directory
from ..choices import NotificationProblem
from ..exceptions import Unresolvable
from ..models import Notification, SuppressedNumber
from ..rows import database, users
from ..sql import listed, next_users
from ..variables import FrozenVariables

#: People of one page: of one transaction, and of what is kept in memory.
PAGE = 5_000
#: Why somebody is included, as ``Recipient.via`` has it.
USER, DEPARTMENT, ROLE = "user", "department", "role"
_FAILED = (MessageStatus.FAILED, MessageStatus.UNDELIVERED)
#: A number that is stored as it has to be sent. Whether anybody has it, the provider says.
_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Person:
    """One recipient. ``skip_reason`` is empty for who gets a message; ``via`` and ``own_params`` are JSON."""

    user: Any
    via: str
    skip_reason: str
    phone_number: str = ""
    own_params: str = ""
    sensitive_params: str = ""
    retry_of: int | None = None

    def __repr__(self) -> str:
        return f"<Person {self.user}: {self.skip_reason or 'gets a message'}>"


@dataclass(frozen=True)
class Page:
    """People in their order. ``cursor`` is where the next page begins; this one is the last if ``is_last``."""

    people: Sequence[Person]
    cursor: str
    is_last: bool


class Source(Protocol):
    """Where the people of a notification come from, in an order that never changes."""

    def page_after(self, cursor: str, skip_all: str) -> Page:
        """The page that follows a cursor; the empty one is the beginning.

        Args:
            skip_all: the reason why nobody gets a message any more, or empty.
        """


class Directory:
    """The users, members of departments and holders of roles that a notification asks for."""

    def __init__(self, notification: Notification, variables: FrozenVariables) -> None:
        self._batch = notification.batch_id
        self._variables = variables
        self._links = _links(notification)

    def page_after(self, cursor: str, skip_all: str) -> Page:
        after = get_user_model()._meta.pk.to_python(cursor) if cursor else None
        ids, last = next_users(list(self._links.values()), after, PAGE, database())
        people = self._people(ids, skip_all, is_first=not cursor)
        return Page(people, cursor if last is None else str(last), is_last=last is None)

    def _people(self, ids: Sequence[Any], skip_all: str, *, is_first: bool) -> list[Person]:
        via = self._via(ids)
        accounts = self._known(ids) if skip_all else self._accounts(ids)
        if missing := [user for user in ids if user not in accounts]:
            accounts |= self._known(missing)  # whom the host's function for numbers left out; nobody who was deleted
        numbers = {user: readable_number(account.number) for user, account in accounts.items()}
        choice = Choice(self._batch, [number for number in numbers.values() if number], skip_all, is_first=is_first)
        people = []
        for user in ids:
            if user not in accounts:
                continue
            account, number = accounts[user], numbers[user]
            reason = choice.reason_to_skip(number, is_active=account.is_active)
            if reason:
                people.append(Person(user, via.get(user, "[]"), reason))
            else:
                people.append(Person(user, via.get(user, "[]"), "", str(number), *self._variables.own(account.values)))
        return people

    def _known(self, ids: Sequence[Any]) -> "dict[Any, Account]":
        """Who get nothing: neither numbers nor fields are read, so that nothing about them can fail."""
        rows = users().filter(pk__in=self._listed(ids)).order_by()
        if not directory.has_is_active():
            return {pk: Account(True, "", ()) for pk in rows.values_list("pk", flat=True)}
        return {pk: Account(is_active, "", ()) for pk, is_active in rows.values_list("pk", "is_active")}

    def _accounts(self, ids: Sequence[Any]) -> "dict[Any, Account]":
        try:
            return self._read_accounts(ids)
        except DatabaseError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the host's function raises
            raise Unresolvable(NotificationProblem.PHONE_NUMBER, type(error)) from None

    def _read_accounts(self, ids: Sequence[Any]) -> "dict[Any, Account]":
        names = [directory.NUMBER, *self._variables.paths]
        with_numbers = directory.with_number(users().filter(pk__in=self._listed(ids))).order_by()
        if not directory.has_is_active():
            rows = with_numbers.values_list("pk", *names)
            return {pk: Account(True, number, values) for pk, number, *values in rows}
        rows = with_numbers.values_list("pk", "is_active", *names)
        return {pk: Account(is_active, number, values) for pk, is_active, number, *values in rows}

    def _via(self, ids: Sequence[Any]) -> dict[Any, str]:
        """Why each of them is included, as JSON."""
        reasons: dict[Any, tuple[tuple[Any, ...], ...]] = defaultdict(tuple)
        for kind, (link, asked) in self._links.items():
            # A thousand departments times a thousand people are a million places to look at, for some databases: people
            # belong to few, so all of theirs are read. They may have been asked for in any number of notifications.
            rows = link.to(asked) if kind == USER else link.rows()
            wanted = set(asked)
            found = rows.filter(**{f"{link.user}__in": self._listed(ids)}).order_by(link.other)
            for user, other in found.values_list(link.user, link.other):
                if other in wanted:
                    reasons[user] += ((kind,) if kind == USER else (kind, other),)
        written = {several: json.dumps(several) for several in set(reasons.values())}
        return {user: written[several] for user, several in reasons.items()}

    def _listed(self, ids: Sequence[Any]) -> RawSQL:
        return listed(ids, get_user_model()._meta.pk, database())


class Failures:
    """The messages of a notification that failed or were not delivered, and have no retry yet: in their order.

    First where the page ends, along the index of batch and status, then who is in it: a page has fewer people than
    ``PAGE`` where some have a retry already.
    """

    def __init__(self, notification: Notification) -> None:
        self._batch = notification.batch_id
        self._failed = _messages_of(notification.retry_of)

    def page_after(self, cursor: str, skip_all: str) -> Page:
        ids = self._next(int(cursor or 0))
        found = self._people(ids)
        choice = Choice(self._batch, [row[2] for row in found], skip_all, is_first=not cursor)
        people = []
        for pk, user, number, params, *is_active in found:
            reason = choice.reason_to_skip(number, is_active=all(is_active))
            if reason:
                people.append(Person(user, "[]", reason))
            else:
                people.append(Person(user, "[]", "", number, json.dumps(params), retry_of=pk))
        return Page(people, str(ids[-1]) if ids else cursor, is_last=len(ids) < PAGE)

    def _next(self, after: int) -> list[int]:
        """The ids of the next failures, retried or not. Asked for at once, all that are left would be sorted."""
        ids: list[int] = []
        for status in _FAILED:
            rows = self._failed.filter(status=status, pk__gt=after).order_by("pk")
            ids += rows.values_list("pk", flat=True)[:PAGE]
        return sorted(ids)[:PAGE]

    def _people(self, ids: Sequence[int]) -> list[tuple[Any, ...]]:
        rows = _without_retry(SmsMessage.objects.using(database()).by_id(ids, *_FAILED)).order_by("pk")
        active = ["recipient__user__is_active"] if directory.has_is_active() else []
        return list(rows.values_list("pk", "recipient__user", "phone_number", "params", *active))


def source_of(notification: Notification, variables: FrozenVariables) -> Source:
    """Where its people come from."""
    return Failures(notification) if notification.retry_of_id else Directory(notification, variables)


def failures_of(notification: Notification | None) -> QuerySet[SmsMessage]:
    """What ``Failures`` are made of."""
    return _without_retry(_messages_of(notification).filter(status__in=_FAILED))


def _messages_of(notification: Notification | None) -> QuerySet[SmsMessage]:
    batch = notification.batch_id if notification else None
    return SmsMessage.objects.using(database()).filter(batch=batch)


def _without_retry(failed: QuerySet[SmsMessage]) -> QuerySet[SmsMessage]:
    return failed.filter(retries=None, recipient__isnull=False)


class Account(NamedTuple):
    """What is known of a user: the number as it is stored, and the values for the variables."""

    is_active: bool
    number: Any
    values: Sequence[Any]

    def __repr__(self) -> str:
        return "<Account>"


class Choice:
    """Who of a page gets a message: each number once in the batch, and none that is suppressed.

    Before the first page, the batch is empty.
    """

    def __init__(self, batch_id: int, numbers: Sequence[str], skip_all: str, *, is_first: bool) -> None:
        self._skip_all = skip_all
        self._suppressed: set[str] = set()
        self._taken: set[str] = set()
        if numbers:
            column: Any = SmsMessage._meta.get_field("phone_number")
            these = listed(numbers, column, database())
            rows = SuppressedNumber.objects.using(database()).filter(phone_number__in=these)
            self._suppressed = set(rows.values_list("phone_number", flat=True))
        if numbers and not is_first:
            before = SmsMessage.objects.using(database()).filter(batch=batch_id, phone_number__in=these)
            self._taken = set(before.order_by().values_list("phone_number", flat=True))

    def reason_to_skip(self, number: str | None, *, is_active: bool) -> str:
        """Why the next person gets no message; empty if they do, which takes their number.

        Args:
            number: E.164; ``None`` if it cannot be read, empty if there is none.
        """
        if not is_active:
            return SkipReason.INACTIVE
        if self._skip_all:
            return self._skip_all
        if not number:
            return SkipReason.UNREADABLE if number is None else SkipReason.NO_NUMBER
        if number in self._suppressed:
            return SkipReason.SUPPRESSED
        if number in self._taken:
            return SkipReason.DUPLICATE
        self._taken.add(number)
        return ""


def readable_number(stored: Any) -> str | None:
    """A number in E.164 from whatever a project keeps; empty if there is none, ``None`` if it cannot be read."""
    raw = "" if stored is None else str(stored).strip()
    if not raw or _E164.fullmatch(raw):
        return raw
    try:
        return normalize(raw)
    except InvalidPhoneNumber:
        return None


def _links(notification: Notification) -> dict[str, tuple[directory.Link, list[int]]]:
    """The tables in which its people are found, with what is asked for in each."""
    asked = Notification.objects.using(database()).filter(pk=notification.pk)
    departments = list(asked.filter(departments__isnull=False).values_list("departments", flat=True))
    departments = directory.including(departments, subdepartments=notification.include_subdepartments)
    roles = list(asked.filter(roles__isnull=False).values_list("roles", flat=True))
    links = {}
    if directory.asked_users().to([notification.pk]).exists():
        links[USER] = (directory.asked_users(), [notification.pk])
    if departments:
        links[DEPARTMENT] = (directory.members(), departments)
    if roles:
        links[ROLE] = (directory.role_holders(), roles)
    return links
