"""What an approval process does, node by node."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from approvals.api import approve, options_for, reject, remind, resubmit, resume, send_back, submit, transfer, withdraw
from approvals.choices import (
    CommentPolicy,
    InitiatorPolicy,
    NobodyPolicy,
    NodeKind,
    NodeMode,
    RepeatPolicy,
    RequestStatus,
    RuleSource,
    WithdrawPolicy,
)
from approvals.exceptions import Conflict, NotAllowed, Throttled, UnknownProcess
from approvals.models import Event, Node, ProcessVersion, Request, Task
from approvals.sweeping import sweep
from tests.approval_processes import a_process, add_node, history, persons, statuses, step, task_of, to_do
from tests.people import a_department, a_role
from tests.services_under_test import broker

__all__ = ["broker"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases, pytest.mark.usefixtures("broker")]


@pytest.fixture
def people():
    return dict(zip(names := ["ini", "ann", "ben", "cat", "dan"], persons(*names), strict=True))


@pytest.fixture
def ini(people):
    return people["ini"]


@pytest.fixture
def ann(people):
    return people["ann"]


@pytest.fixture
def ben(people):
    return people["ben"]


@pytest.fixture
def cat(people):
    return people["cat"]


@pytest.fixture
def dan(people):
    return people["dan"]


@pytest.fixture
def admin():
    return get_user_model().objects.create_superuser("root")


def test_a_request_goes_from_node_to_node_to_its_end(ini, ann, ben, cat):
    process = a_process(step(ann), step(cat, kind=NodeKind.CC), step(ben))
    request = submit(process, ini, title="Lisbon", data={"days": 3})
    assert (request.status, request.title, request.data) == (RequestStatus.RUNNING, "Lisbon", {"days": 3})
    assert to_do(request) == ["ann"]
    task = approve(task_of(request, ann), ann, "Have fun")
    assert task.status == "approved"
    assert to_do(request) == ["ben"]
    task = approve(task_of(request, ben).pk, ben)
    assert task.request.status == RequestStatus.APPROVED
    assert task.request.finished_at
    assert statuses(request) == [("ann", "approved"), ("cat", "copied"), ("ben", "approved")]
    assert history(request) == [
        "submitted by ini",
        "reached",
        "approved by ann",
        "copied",
        "reached",
        "approved by ben",
        "finished",
    ]
    assert request.events.get(kind="approved", actor=ann).comment == "Have fun"
