"""People with numbers, departments and roles, for tests of notifications. All numbers are fictional."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group

import notifications.tasks  # noqa: F401 - the fixture `broker` makes apps of the tasks that are known before it
from login_mobile.models import MobileNumber
from notifications.models import Department, Notification, Recipient


def a_person(name: str, number: str | None = None, **fields: Any) -> Any:
    """A user, with a verified number if one is given."""
    user = get_user_model().objects.create(username=name, first_name=name.title(), **fields)
    if number:
        MobileNumber.objects.create(user=user, number=number)
    return user


def people(count: int, start: int = 0, **fields: Any) -> list[Any]:
    """Users with numbers in mainland China, up to 10,000 of them."""
    numbers = range(start, start + count)
    users = get_user_model().objects.bulk_create(
        [get_user_model()(username=f"p{number:05}", first_name=f"N{number:04}", **fields) for number in numbers],
        batch_size=1000,
    )
    MobileNumber.objects.bulk_create(
        [MobileNumber(user=user, number=number_of(number)) for user, number in zip(users, numbers, strict=True)],
        batch_size=1000,
    )
    return users


def number_of(number: int) -> str:
    return f"+861380000{number:04}"


def a_department(name: str, members: Iterable[Any] = (), *, below: Department | None = None) -> Department:
    created = {"name": name}
    department = Department.objects.add_child(below, created) if below else Department.objects.add_root(created)
    department.members.add(*members)
    return department


def a_role(name: str, holders: Sequence[Any] = ()) -> Group:
    role = Group.objects.create(name=name)
    for holder in holders:
        holder.groups.add(role)
    return role


def record(notification: Notification) -> dict[str, tuple[str, list[Any]]]:
    """What became of each person: the message's status or the reason why there is none, and why they were included."""
    rows = Recipient.objects.filter(notification=notification).select_related("user", "message")
    assert len(rows) == len({row.user_id for row in rows})
    return {row.user.get_username(): (row.message.status if row.message else row.skip_reason, row.via) for row in rows}


def states(notification: Notification) -> dict[str, str]:
    return {name: state for name, (state, _via) in record(notification).items()}
