"""Wrong use of `notify()`: each kind has an error that names what is wrong, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.db.models import F, Value
from django.db.models.functions import Upper
from django.utils import timezone

from notifications.api import notify
from notifications.exceptions import (
    IdempotencyConflict,
    IncompleteNotification,
    InvalidArgument,
    InvalidIdempotencyKey,
    InvalidRecipients,
    InvalidTime,
    InvalidVariables,
    NoRecipients,
    UnknownPreset,
)
from notifications.models import Department, Notification, NotificationPreset, Recipient
from sms_services.choices import Purpose, TemplateStatus
from sms_services.exceptions import (
    InactiveService,
    InvalidParams,
    SmsError,
    UnknownService,
    UnknownTemplate,
    UnusableTemplate,
)
from sms_services.models import AlibabaCloudSms, SmsBatch, SmsMessage, SmsTemplate, TemplateCode
from tests.people import a_department, a_role, people
from tests.services_under_test import create_template

pytest_plugins = ["tests.services_under_test"]
pytestmark = pytest.mark.django_db

#: Nothing of this may stand in an error.
PRIVATE = "+12065550177"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def world(sandbox) -> None:
    """What the table below speaks of."""
    people(2)
    a_department("Sales", User.objects.all())
    a_department("Empty")
    a_role("On call", User.objects.all())
    a_role("Nobody")
    create_template(key="hello", text="Hello ${name}")
    create_template(key="login", text="Code ${code}", purpose=Purpose.OTP)
    create_template(key="long", text="x" * 1500 + "${name}")
    SmsTemplate.objects.create(key="wordless", name="Wordless", variables="name")
    china = AlibabaCloudSms.objects.create(
        key="china", name="China", access_key="LTAI5tKey", access_secret="secret", verify_sign="示例科技"
    )
    rejected = create_template(key="rejected", text="Hello ${name}")
    TemplateCode.objects.create(
        template=rejected, service=china, code="SMS_300001", platform_status=TemplateStatus.REJECTED
    )
    sandbox_off = type(sandbox).objects.create(key="off", name="Switched off", is_active=False)
    template = SmsTemplate.objects.get(key="hello")
    NotificationPreset.objects.create(key="nobody", name="For nobody", service=sandbox, template=template)
    off = NotificationPreset.objects.create(key="off", name="Off", service=sandbox_off, template=template)
    off.users.add(*User.objects.all())
    for key, filled_in in (
        ("lacking", {}),
        ("outdated", {"recipient_fields": {"name": "email"}}),
        ("numeric", {"variables": {"name": 5}}),
    ):
        preset = NotificationPreset.objects.create(key=key, name=key, service=sandbox, template=template, **filled_in)
        preset.users.add(*User.objects.all())


def a_user() -> Any:
    return User.objects.first()


def with_(**changes: Any) -> Callable[[], Any]:
    """A call that is right but for the changes; functions are called for their value."""

    def call() -> Any:
        given = {"users": a_user, "service": "sandbox", "template": "hello", "variables": {"name": "x"}, **changes}
        return notify(**{name: value() if callable(value) else value for name, value in given.items()})

    return call


def of_preset(preset: Any, **given: Any) -> Callable[[], Any]:
    return lambda: notify(preset, **given)


CASES: dict[str, tuple[Callable[[], Any], type[SmsError], str]] = {
    # Recipients
    "no recipients": (with_(users=None), NoRecipients, "users=, departments= or roles="),
    "empty list of users": (with_(users=[]), NoRecipients, "users= is empty"),
    "empty tuple of departments": (with_(departments=()), NoRecipients, "departments= is empty"),
    "empty queryset of roles": (with_(roles=lambda: Group.objects.none()), NoRecipients, "roles= is empty"),
    "queryset that finds no users": (with_(users=lambda: User.objects.filter(pk=0)), NoRecipients, "nobody"),
    "queryset that can find none": (with_(users=lambda: User.objects.none()), NoRecipients, "nobody"),
    "department without members": (
        with_(users=None, departments=lambda: Department.objects.get(name="Empty")),
        NoRecipients,
        "nobody",
    ),
    "role that nobody has": (with_(users=None, roles=lambda: Group.objects.get(name="Nobody")), NoRecipients, "nobody"),
    "unknown user": (with_(users=[987654]), InvalidRecipients, "users= holds ids that do not exist: 987654"),
    "unknown user among others": (
        with_(users=lambda: [a_user().pk, 987654, 987655]),
        InvalidRecipients,
        "987654, 987655",
    ),
    "negative id": (with_(users=-1), InvalidRecipients, "users= .* -1"),
    "id beyond any": (with_(users=2**70), InvalidRecipients, "users= holds ids that do not exist"),
    "unknown department": (with_(departments=987654), InvalidRecipients, "departments= .* 987654"),
    "unknown role": (with_(roles=[987654]), InvalidRecipients, "roles= .* 987654"),
    "a number for a user": (with_(users=PRIVATE), InvalidRecipients, "users= .* str"),
    "numbers for users": (with_(users=[PRIVATE]), InvalidRecipients, "users= .* str"),
    "a user's name": (with_(users=["ada"]), InvalidRecipients, "users= .* str"),
    "None among users": (with_(users=[None]), InvalidRecipients, "users= .* NoneType"),
    "True for a user": (with_(users=True), InvalidRecipients, "users= .* bool"),
    "a fraction": (with_(users=[1.5]), InvalidRecipients, "users= .* float"),
    "bytes": (with_(users=b"1"), InvalidRecipients, "users= .* bytes"),
    "a dict of users": (with_(users={1: 2}), InvalidRecipients, "users= .* dict"),
    "nobody logged in": (with_(users=AnonymousUser), InvalidRecipients, "users= .* AnonymousUser"),
    "a user that is not saved": (with_(users=lambda: User(username="new")), InvalidRecipients, "users= .* not saved"),
    "a role for a user": (with_(users=lambda: Group.objects.first()), InvalidRecipients, "users= .* Group"),
    "users for departments": (with_(departments=a_user), InvalidRecipients, "departments= .* User"),
    "a queryset of another model": (
        with_(users=lambda: Group.objects.all()),
        InvalidRecipients,
        "users= got a queryset of Group",
    ),
    "a department's name": (with_(departments="Sales"), InvalidRecipients, "departments= .* str"),
    "a role's name": (with_(roles=["On call"]), InvalidRecipients, "roles= .* str"),
    "sub-departments maybe": (with_(include_subdepartments="yes"), InvalidArgument, "include_subdepartments= .* str"),
    # Service and template
    "no service": (with_(service=None), IncompleteNotification, "service="),
    "no template": (with_(template=None), IncompleteNotification, "template="),
    "unknown service": (with_(service="carrier"), UnknownService, "carrier"),
    "empty service": (with_(service=""), UnknownService, "Known keys"),
    "a service's id": (with_(service=1), UnknownService, "int"),
    "inactive service": (with_(service="off"), InactiveService, "Switched off"),
    "unknown template": (with_(template="welcome"), UnknownTemplate, "welcome"),
    "a text for a template": (with_(template=f"Call {PRIVATE}"), UnknownTemplate, "template"),
    "a template's id": (with_(template=1), UnknownTemplate, "int"),
    "a code for a service of texts": (with_(template="SMS_123456"), UnusableTemplate, "SMS_123456"),
    "a code that no template has": (with_(service="china", template="SMS_123456"), UnknownTemplate, "SMS_123456"),
    "a template without a code": (with_(service="china"), UnusableTemplate, "China"),
    "a rejected template": (with_(service="china", template="rejected"), UnusableTemplate, "SMS_300001"),
    "a template without a text": (with_(template="wordless"), UnusableTemplate, "Wordless"),
    "a one-time code": (with_(template="login", variables={"code": "1"}), UnusableTemplate, "one-time codes"),
    "an unsaved template with a broken text": (
        with_(template=lambda: SmsTemplate(text="Hello ${name")),
        UnusableTemplate,
        r"\$\{",
    ),
    # Variables
    "missing variable": (with_(variables=None), InvalidParams, "name"),
    "unknown variable": (with_(variables={"name": "x", "city": "y"}), InvalidParams, "city"),
    "variables as a list": (with_(variables=["x"]), InvalidParams, "list"),
    "a number for a variable": (with_(variables={"name": 5}), InvalidParams, "“name” .* int"),
    "None for a variable": (with_(variables={"name": None}), InvalidParams, "“name” .* NoneType"),
    "a variable without a name": (with_(variables={1: "x"}), InvalidParams, "1"),
    "a variable that fits in no text": (with_(variables={"name": "x" * 1601}), InvalidParams, "1601"),
    "a variable with a NUL": (with_(variables={"name": "a\x00b"}), InvalidParams, "NUL"),
    "a text that is too long": (with_(template="long", variables={"name": "x" * 200}), InvalidParams, "1700"),
    "a field that is not allowed": (with_(variables={"name": F("email")}), InvalidVariables, "'email'"),
    "a password": (with_(variables={"name": F("password")}), InvalidVariables, "'password'"),
    "a field behind a relation": (with_(variables={"name": F("groups__name")}), InvalidVariables, "'groups__name'"),
    "an expression": (with_(variables={"name": Upper("first_name")}), InvalidVariables, "Upper"),
    "a value of the database": (with_(variables={"name": Value("x")}), InvalidVariables, "Value"),
    # Times
    "a date": (with_(send_at=date(2026, 1, 1)), InvalidTime, "send_at= .* date"),
    "a time as text": (with_(expires_at="2026-01-01"), InvalidTime, "expires_at= .* str"),
    "seconds": (with_(send_at=60), InvalidTime, "send_at= .* int"),
    "no time zone": (with_(send_at=datetime(2030, 1, 1)), InvalidTime, "send_at= has no time zone"),  # noqa: DTZ001
    "too late already": (with_(expires_at=NOW), InvalidTime, "passed already"),
    "over before it begins": (
        with_(
            send_at=lambda: timezone.now() + timedelta(hours=2), expires_at=lambda: timezone.now() + timedelta(hours=1)
        ),
        InvalidTime,
        "before the first",
    ),
    # Idempotency keys
    "an empty key": (with_(idempotency_key=""), InvalidIdempotencyKey, "1 to 200"),
    "a long key": (with_(idempotency_key="k" * 201), InvalidIdempotencyKey, "201"),
    "a number as key": (with_(idempotency_key=5), InvalidIdempotencyKey, "int"),
    "a key with spaces around": (with_(idempotency_key=" a"), InvalidIdempotencyKey, "spaces"),
    "a key with a NUL": (with_(idempotency_key="a\x00"), InvalidIdempotencyKey, "invisible"),
    # The rest
    "somebody who is not": (with_(created_by=lambda: User(username="new")), InvalidArgument, "created_by="),
    "an id for who sends it": (with_(created_by=1), InvalidArgument, "created_by= .* int"),
    "unknown preset": (of_preset("fire"), UnknownPreset, "'fire'.*lacking"),
    "a preset's id": (of_preset(1), UnknownPreset, "int"),
    "a number for a preset": (of_preset(PRIVATE), UnknownPreset, "Known keys"),
    "a preset without recipients": (of_preset("nobody", variables={"name": "x"}), NoRecipients, "For nobody"),
    "a preset's inactive service": (of_preset("off", variables={"name": "x"}), InactiveService, "Switched off"),
    "a preset's field that is not allowed any more": (of_preset("outdated"), InvalidVariables, "'email'"),
    "a preset's variable that is no string": (of_preset("numeric"), InvalidParams, "“name” .* int"),
    "what a preset leaves open": (of_preset("lacking"), InvalidParams, "name"),
    "what a preset's template has not": (of_preset("lacking", variables={"nick": "x"}), InvalidParams, "name"),
}


#: Of these, what is looked up in the database, or would be refused by one.
ASKED_OF_DATABASES = {
    "queryset that finds no users",
    "queryset that can find none",
    "department without members",
    "role that nobody has",
    "unknown user",
    "unknown user among others",
    "negative id",
    "id beyond any",
    "unknown department",
    "unknown role",
    "unknown service",
    "unknown template",
    "a code that no template has",
    "a variable with a NUL",
    "a long key",
    "a key with spaces around",
    "a key with a NUL",
    "unknown preset",
    "a preset without recipients",
}


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.databases] * (case in ASKED_OF_DATABASES)) for case in CASES]
)
def test_wrong_use_is_named_and_leaves_nothing(case, world, eager):
    call, error, words = CASES[case]
    with pytest.raises(error, match=words) as raised:
        call()
    assert PRIVATE not in str(raised.value)
    assert "206555" not in repr(raised.value)
    for model in (Notification, Recipient, SmsBatch, SmsMessage, Notification.users.through):
        assert not model.objects.exists()


def test_the_table_is_long_enough():
    assert len(CASES) >= 50
    assert set(CASES) >= ASKED_OF_DATABASES


@pytest.mark.databases
@pytest.mark.parametrize(
    "changes",
    [
        {"variables": {"name": "y"}},
        {"variables": {"name": F("first_name")}},
        {"users": lambda: User.objects.all()},
        {"roles": lambda: Group.objects.get(name="On call")},
        {"template": "long"},
        {"expires_at": datetime(2100, 1, 1, tzinfo=UTC)},
        {"include_subdepartments": False},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_one_key_with_other_arguments_raises(changes, world, eager):
    first = with_(idempotency_key="k")()
    with pytest.raises(IdempotencyConflict, match=str(first.pk)) as raised:
        with_(idempotency_key="k", **changes)()
    assert raised.value.notification_id == first.pk
    assert Notification.objects.count() == 1


@pytest.mark.databases
def test_one_key_with_the_same_arguments_returns_the_first(world, eager):
    users = list(User.objects.all())
    first = with_(idempotency_key="k", users=users)()
    assert with_(idempotency_key="k", users=[user.pk for user in reversed(users)])() == first
    assert Notification.objects.count() == 1


@pytest.mark.databases
def test_a_key_holds_whatever_becomes_of_service_and_preset(world, eager):
    first = notify("lacking", variables={"name": "x"}, idempotency_key="k")
    NotificationPreset.objects.filter(key="lacking").update(variables={"name": "z"})
    type(first.service).objects.update(is_active=False)
    assert notify("lacking", variables={"name": "x"}, idempotency_key="k") == first


@pytest.mark.databases
def test_a_key_survives_a_new_secret_key(world, eager, settings):
    first = with_(idempotency_key="k")()
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another"
    assert with_(idempotency_key="k")() == first
