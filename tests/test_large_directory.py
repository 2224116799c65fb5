"""A large tree of departments: finding everybody in it takes few queries and little memory, however many they are."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext

from login_mobile.models import MobileNumber
from notifications.api import notify, recipients_summary
from notifications.directory import subtree
from notifications.expansion.pages import PAGE, Page, source_of
from notifications.models import Department, Notification
from notifications.variables import FrozenVariables
from tests.services_under_test import create_template

pytest_plugins = ["tests.services_under_test"]
pytestmark = [pytest.mark.databases, pytest.mark.django_db]

#: Departments below each, on every level but the last.
WIDTH = 10


def grow(nodes: int) -> Department:
    """A tree of so many departments, the root included; returns the root."""
    root = Department.objects.add_root({"name": "Root"})
    parents, count = [root], 1
    while count < nodes:
        parent = Department.objects.get(pk=parents.pop(0).pk)
        for number in range(min(WIDTH, nodes - count)):
            parents.append(Department.objects.add_child(parent, {"name": f"{parent.name}.{number}"}))
            count += 1
    return Department.objects.get(pk=root.pk)


def populate(members: int) -> None:
    """So many people, two departments for every third of them. All numbers are fictional."""
    model: Any = get_user_model()
    departments = list(Department.objects.values_list("pk", flat=True))
    link: Any = Department.members.through
    for start in range(0, members, 5000):
        numbers = range(start, min(start + 5000, members))
        users = model.objects.bulk_create([model(username=f"p{n:06}", first_name=f"N{n}") for n in numbers])
        MobileNumber.objects.bulk_create(
            MobileNumber(user=user, number=f"+8613800{n:06}") for n, user in zip(numbers, users, strict=True)
        )
        rows = [
            link(department_id=departments[n % len(departments)], user=u) for n, u in zip(numbers, users, strict=True)
        ]
        rows += [
            link(department_id=departments[(n + 1) % len(departments)], user=u)
            for n, u in zip(numbers, users, strict=True)
            if n % 3 == 0 and len(departments) > 1
        ]
        link.objects.bulk_create(rows)


def pages_of(notification: Notification) -> Iterator[Page]:
    source, cursor = source_of(notification, FrozenVariables(notification)), ""
    while True:
        page = source.page_after(cursor, "")
        yield page
        cursor = page.cursor
        if page.is_last:
            return


def peak_of(notification: Notification) -> tuple[int, int]:
    """How many people there are, and the most memory that finding them took."""
    tracemalloc.start()
    count = sum(len(page.people) for page in pages_of(notification))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return count, peak


@pytest.mark.parametrize(
    ("nodes", "members"),
    [pytest.param(60, 6_000, id="small"), pytest.param(1000, 100_000, id="full", marks=pytest.mark.soak)],
)
def test_the_root_is_resolved_in_few_queries_and_little_memory(nodes, members, broker, sandbox):
    create_template(key="news", text="News")
    root = grow(nodes)
    populate(members)
    alone = Department.objects.add_root({"name": "Alone"})
    alone.members.set(get_user_model().objects.order_by("pk")[:PAGE])

    with CaptureQueriesContext(connection) as captured:
        assert len(subtree([root.pk])) == nodes
    assert len(captured) == 2
    with CaptureQueriesContext(connection) as captured:
        summary = recipients_summary(departments=root)
    assert (summary.people, summary.reachable) == (members, members)
    assert len(captured) <= 4
    with CaptureQueriesContext(connection) as captured:
        everybody = notify(departments=root, service="sandbox", template="news")
    assert len(captured) <= 20
    one_page = notify(departments=alone, service="sandbox", template="news")

    with CaptureQueriesContext(connection) as captured:
        pages = sum(1 for _ in pages_of(everybody))
    assert members // PAGE < pages <= members * 3 // 2 // PAGE + 1
    assert len(captured) <= 5 + 6 * pages

    few, peak_of_few = peak_of(one_page)
    many, peak_of_many = peak_of(everybody)
    print(f"{few} people: {peak_of_few / 2**20:.1f} MiB; {many} people: {peak_of_many / 2**20:.1f} MiB")
    assert (few, many) == (PAGE, members)
    assert peak_of_many <= 1.5 * peak_of_few


def test_a_branch_counts_once_however_often_it_is_asked_for(broker, sandbox, db):
    root = grow(30)
    child = Department.objects.filter(depth=2).first()
    assert sorted(subtree([root.pk, child.pk, root.pk])) == sorted(Department.objects.values_list("pk", flat=True))
    assert len(subtree([child.pk])) == 1 + Department.objects.filter(path__startswith=child.path, depth__gt=2).count()
    assert subtree([]) == []
