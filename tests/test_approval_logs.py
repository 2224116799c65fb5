"""What approvals log where something fails: which error, where, about what; nothing about anybody."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
import time_machine
from django.db import DatabaseError
from django.utils import timezone

from approvals import registry
from approvals.api import submit
from approvals.logs import log_failure
from approvals.models import Request
from approvals.signals import request_changed
from approvals.sweeping import sweep
from login_mobile.models import MobileNumber
from tests.approval_processes import a_process, an_approval_template, persons, step
from tests.people import a_person
from tests.services_under_test import broker, sandbox

__all__ = ["broker", "sandbox"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

NUMBER, NAME = "12065550110", "Ann Lee"
EVENTS = {
    "predicate": "approvals.function_failed",
    "receiver": "approvals.receiver_failed",
    "text": "approvals.text_failed",
    "text in the sweep": "approvals.text_failed",
    "task in the sweep": "approvals.sweep_failed",
}


def take_a_number_that_is_taken(*args, **kwargs):
    """PostgreSQL and MariaDB quote it in their error."""
    try:
        MobileNumber.objects.create(user=a_person("eve"), number=f"+{NUMBER}")
    except DatabaseError as error:
        raise ValueError(f"+{NUMBER} of {NAME}") from error


@pytest.fixture
def fail_in(monkeypatch, settings, sandbox):
    """`fail_in(place)`: something fails there, with an error that says whose number it was."""
    ini, ann = persons("ann", "ben")  # the first has NUMBER

    def fail_in(place):
        texting = {"sms_service": sandbox, "sms_template": an_approval_template(sandbox)}
        condition = ""
        if place == "predicate":
            condition = "broken"
            monkeypatch.setattr(registry, "_predicates", {"broken": ("broken", take_a_number_that_is_taken)})
        if place.startswith("text"):
            settings.APPROVALS = {"USER_NICK": take_a_number_that_is_taken}
        if place == "receiver":
            request_changed.connect(take_a_number_that_is_taken)
        try:
            submit(a_process(step(ann, condition=condition, remind_after=timedelta(hours=1), **texting)), ini)
        finally:
            request_changed.disconnect(take_a_number_that_is_taken)
        if place == "task in the sweep":
            monkeypatch.setattr("approvals.engine.Run.remind", take_a_number_that_is_taken)

    return fail_in


@pytest.mark.parametrize("place", EVENTS)
def test_what_an_error_says_is_not_logged_but_what_and_where_it_is(place, fail_in, broker, caplog):
    caplog.set_level(logging.INFO)
    caplog.handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    fail_in(place)
    if place.endswith("in the sweep"):
        caplog.clear()
        with time_machine.travel(timezone.now() + timedelta(hours=2)):
            sweep()
    told = caplog.text + repr([(record.args, record.exc_info) for record in caplog.records])
    assert EVENTS[place] in told
    assert "error=ValueError" in told
    assert "in take_a_number_that_is_taken" in told
    assert "IntegrityError" in told, "the cause"
    for private in (NUMBER, NUMBER[1:], NAME):
        assert private not in told, private
    assert Request.objects.count() == 1


def test_the_databases_code_is_logged(caplog):
    persons("ann")
    try:
        MobileNumber.objects.create(user=a_person("eve"), number=f"+{NUMBER}")
    except DatabaseError as error:
        log_failure("something.failed", error, request=7)
    assert "something.failed request=7 error=IntegrityError" in caplog.text
    assert any(code in caplog.text for code in ("23505", "SQLITE_CONSTRAINT_UNIQUE", "1062"))
    assert NUMBER not in caplog.text


def test_errors_that_cause_each_other_in_a_circle_are_logged(caplog):
    one, other = ValueError("one"), KeyError("other")
    one.__cause__, other.__cause__ = other, one
    log_failure("something.failed", one)
    assert caplog.text.count("ValueError") == 2  # in the line, and in the traceback
    assert caplog.text.count("KeyError") == 1


def test_an_error_about_code_says_what_is_wrong(caplog, broker, sandbox):
    ini, ann = persons("ini", "ann")
    submit(a_process(step(ann, condition="gone")), ini)
    assert "No predicate is registered as 'gone'" in caplog.text
