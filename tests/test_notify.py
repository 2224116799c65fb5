"""`notify()`: whom it reaches, once each, with what, and what the record says of everybody."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from notifications.api import notify, recipients_summary
from notifications.choices import NotificationStatus
from notifications.exceptions import NoRecipients
from notifications.models import Department, Notification, NotificationPreset, Recipient, SuppressedNumber
from notifications.summary import RecipientsSummary
from notifications.sweeping import sweep
from notifications.tasks import advance
from sms_services.choices import MessageStatus
from sms_services.models import SmsBatch, SmsMessage
from tests.people import a_department, a_person, a_role, number_of, people, record, states
from tests.services_under_test import create_service, create_template, register

pytest_plugins = ["tests.services_under_test"]
pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]

SENT = MessageStatus.SENT


@pytest.fixture
def text(sandbox):
    return create_template(key="news", text="News for ${name}")


def tell(text, **options):
    return notify(**{"service": "sandbox", "template": text, "variables": {"name": "you"}, **options})


def texts() -> dict[str, str]:
    """What each number got."""
    rows = SmsMessage.objects.filter(status=SENT)
    return {row.phone_number: row.readable_text() for row in rows}


class TestWhoGetsAText:
    def test_a_person_who_is_included_many_times_gets_one_text(self, eager, text):
        ada, bob, cleo = (a_person(name, number_of(n)) for n, name in enumerate(("ada", "bob", "cleo")))
        sales = a_department("Sales", [ada, bob])
        support = a_department("Support", [ada])
        role = a_role("On call", [ada, cleo])
        sent = tell(text, users=[ada], departments=[sales, support], roles=[role])
        assert record(sent) == {
            "ada": (SENT, [["user"], ["department", sales.pk], ["department", support.pk], ["role", role.pk]]),
            "bob": (SENT, [["department", sales.pk]]),
            "cleo": (SENT, [["role", role.pk]]),
        }
        assert texts() == {number_of(n): "News for you" for n in range(3)}
        assert sent.counts() == {**dict.fromkeys(MessageStatus.values, 0), "sent": 3, "total": 3}

    def test_two_people_with_one_number_get_one_text(self, eager, text, settings):
        settings.NOTIFICATIONS = {"PHONE_NUMBER": "last_name"}
        a_person("ada", last_name=number_of(1))
        a_person("bob", last_name="+86 138 0000 0001")
        sent = tell(text, users=User.objects.all())
        assert states(sent) == {"ada": SENT, "bob": "duplicate"}
        assert list(texts()) == [number_of(1)]

    def test_a_number_is_known_again_on_a_later_page(self, eager, text, settings, monkeypatch):
        monkeypatch.setattr("notifications.expansion.pages.PAGE", 2)
        settings.NOTIFICATIONS = {"PHONE_NUMBER": "last_name"}
        for n in range(5):
            a_person(f"p{n}", last_name=number_of(n % 2))
        assert Counter(states(tell(text, users=User.objects.all())).values()) == {SENT: 2, "duplicate": 3}

    def test_the_record_says_why_somebody_gets_none(self, eager, text, settings):
        settings.NOTIFICATIONS = {"PHONE_NUMBER": "last_name"}
        a_person("gone", last_name=number_of(1), is_active=False)
        a_person("without")
        a_person("unreadable", last_name="call me")
        a_person("opted-out", last_name=number_of(2))
        a_person("reached", last_name=number_of(1))
        SuppressedNumber.objects.create(phone_number=number_of(2))
        sent = tell(text, users=User.objects.all())
        assert states(sent) == {
            "gone": "inactive",
            "without": "no_number",
            "unreadable": "unreadable",
            "opted-out": "suppressed",
            "reached": SENT,
        }
        assert sent.counts()["skipped"] == 4
        assert sent.counts()["total"] == 5

    def test_a_department_includes_what_is_below_it_unless_told_otherwise(self, eager, text):
        top, middle, bottom, other = people(4)
        root = a_department("Root", [top])
        child = a_department("Child", [middle], below=root)
        leaf = a_department("Leaf", [bottom], below=Department.objects.get(pk=child.pk))
        a_department("Other", [other])
        assert record(tell(text, departments=root)) == {
            top.username: (SENT, [["department", root.pk]]),
            middle.username: (SENT, [["department", child.pk]]),
            bottom.username: (SENT, [["department", leaf.pk]]),
        }
        assert set(states(tell(text, departments=root, include_subdepartments=False))) == {top.username}

    def test_pages_leave_nobody_out(self, eager, text, monkeypatch):
        monkeypatch.setattr("notifications.expansion.pages.PAGE", 3)
        everybody = people(20)
        sales, support = a_department("Sales", everybody[::2]), a_department("Support", everybody[::3])
        role = a_role("On call", everybody[::5])
        sent = tell(text, users=everybody[7:9], departments=[sales, support], roles=[role])
        asked = {*everybody[7:9], *everybody[::2], *everybody[::3], *everybody[::5]}
        assert states(sent) == {user.username: SENT for user in asked}
        assert SmsMessage.objects.count() == len(asked)


class TestWaysToGiveRecipients:
    @pytest.mark.parametrize(
        "given",
        [
            lambda users: users,
            lambda users: [user.pk for user in users],
            lambda users: (user.pk for user in users),
            lambda users: User.objects.filter(username__startswith="p"),
            lambda users: User.objects.order_by("-username")[:3],
            lambda users: User.objects.filter(pk=users[0].pk).union(User.objects.exclude(pk=users[0].pk)),
            lambda users: User.objects.filter(departments__name__startswith="D"),  # a join, with everybody twice
            lambda users: [*users, users[0], users[1].pk],
        ],
        ids=["instances", "ids", "generator", "queryset", "slice", "union", "join", "mixed"],
    )
    def test_users(self, given, eager, text):
        users = people(3)
        a_department("D1", users)
        a_department("D2", users)
        assert states(tell(text, users=given(users))) == {user.username: SENT for user in users}

    def test_one_is_as_good_as_many(self, eager, text):
        ada, bob, cleo = people(3)
        sales, role = a_department("Sales", [bob]), a_role("On call", [cleo])
        assert set(states(tell(text, users=ada, departments=sales.pk, roles=role))) == {
            user.username for user in (ada, bob, cleo)
        }

    def test_departments_and_roles_as_querysets(self, eager, text):
        ada, bob = people(2)
        a_department("Sales", [ada])
        a_role("On call", [bob])
        assert len(states(tell(text, departments=Department.objects.all(), roles=Group.objects.all()))) == 2

    def test_nobody_is_an_error(self, sandbox, text):
        empty, role = a_department("Empty"), a_role("Nobody")
        for given in (
            {},
            {"users": []},
            {"users": User.objects.none()},
            {"users": User.objects.all()},
            {"departments": [empty]},
            {"departments": Department.objects.none()},
            {"roles": role},
        ):
            with pytest.raises(NoRecipients):
                tell(text, **given)
        assert not Notification.objects.exists()
        assert not SmsBatch.objects.exists()


class TestVariables:
    def test_each_person_gets_their_own(self, eager, text):
        everybody = people(3)
        tell(text, users=everybody, variables={"name": F("first_name")})
        assert texts() == {number_of(n): f"News for N{n:04}" for n in range(3)}

    def test_common_and_own_ones_together(self, eager, sandbox):
        both = create_template(key="both", text="${greeting}, ${name}!")
        ada = a_person("ada", number_of(1), last_name='"Ü 😀 \\ <b>%s {}')
        notify(users=ada, service=sandbox, template=both, variables={"greeting": 'Hi "you"%s', "name": F("last_name")})
        message = SmsMessage.objects.get()
        assert message.params == {"greeting": 'Hi "you"%s', "name": ada.last_name}
        assert message.outgoing().text == f'Hi "you"%s, {ada.last_name}!'

    def test_sensitive_ones_are_encrypted_and_wiped_at_the_end(self, broker, sandbox):
        from tests.services_under_test import all_rows

        secret = create_template(key="secret", text="Door ${pin} for ${name}")
        ada = a_person("ada", number_of(1))
        sent = notify(users=ada, service=sandbox, template=secret, variables={"pin": "zq7788", "name": F("first_name")})
        assert "zq7788" not in all_rows()
        for _ in range(3):
            broker.work()
        assert SmsMessage.objects.get().status == SENT
        assert "zq7788" not in all_rows()
        Notification.objects.update(sweep_at=timezone.now())
        sweep()
        assert "zq7788" not in "".join(task.raw for task in broker.take())
        advance([sent.pk])
        sent.refresh_from_db()
        assert sent.status == NotificationStatus.FINISHED
        assert sent.sensitive_variables == ""

    def test_an_own_sensitive_one_reaches_its_owner(self, eager, sandbox, alibaba_cloud):
        service = create_service(alibaba_cloud)
        template = create_template(service, key="pin", text="Your ${pin} and ${name}")
        register(alibaba_cloud, template)
        users = people(3)
        notify(users=users, service=service, template=template, variables={"pin": F("first_name"), "name": "x"})
        assert {entry.phone_number: entry.text for entry in alibaba_cloud.journal} == {
            number_of(n): f"Your N{n:04} and x" for n in range(3)
        }
        assert {tuple(message.hidden_names) for message in SmsMessage.objects.all()} == {("pin",)}


class TestPresets:
    @pytest.fixture
    def china(self, alibaba_cloud, broker, db):
        return create_service(alibaba_cloud, key="china")

    @pytest.fixture
    def alarm(self, china, alibaba_cloud):
        template = create_template(china, key="alarm", text="${device} of ${name}: ${level}", code="SMS_200001")
        register(alibaba_cloud, template)
        preset = NotificationPreset.objects.create(
            key="device-alarm",
            name="Alarm",
            service=china,
            template=template,
            variables={"level": "high", "unused": "x"},
            recipient_fields={"name": "first_name"},
        )
        preset.departments.add(a_department("Operators", people(150)))
        return preset

    def test_a_preset_goes_out_by_batches_with_its_code_and_variables(self, eager, alarm, alibaba_cloud):
        sent = notify("device-alarm", variables={"device": "Pump 1"})
        assert sent.key == "device-alarm"
        assert [request.action for request in alibaba_cloud.requests] == ["SendBatchSms"] * 2
        assert {request.parameters["TemplateCode"] for request in alibaba_cloud.requests} == {"SMS_200001"}
        assert {entry.phone_number: entry.text for entry in alibaba_cloud.journal} == {
            number_of(n): f"Pump 1 of N{n:04}: high" for n in range(150)
        }

    def test_equal_variables_need_one_request(self, eager, alarm, alibaba_cloud):
        notify("device-alarm", variables={"device": "Pump 1", "name": "all", "level": "low"})
        assert [request.action for request in alibaba_cloud.requests] == ["SendSms"]
        assert {entry.text for entry in alibaba_cloud.journal} == {"Pump 1 of all: low"}
        assert len(alibaba_cloud.journal) == 150

    def test_a_call_overrides_the_recipients_altogether(self, eager, alarm):
        boss = a_person("boss", "+8613800009999")
        assert set(states(notify(alarm, users=boss, variables={"device": "Pump 1"}))) == {"boss"}

    def test_a_call_overrides_service_and_template(self, eager, alarm, sandbox, text):
        sent = notify("device-alarm", service="sandbox", template="news", users=people(1, 500))
        assert (sent.service_id, sent.template) == (sandbox.pk, text)
        assert texts() == {number_of(500): "News for N0500"}

    def test_what_was_sent_stays_whatever_becomes_of_the_preset(self, broker, alarm, alibaba_cloud):
        sent = notify("device-alarm", variables={"device": "Pump 1"}, send_at=timezone.now() + timedelta(hours=1))
        alarm.template.text = "Changed"
        alarm.template.save()
        alarm.delete()
        Notification.objects.update(send_at=timezone.now(), sweep_at=timezone.now())
        sweep()
        while broker.work():
            pass
        assert sent.counts()["sent"] == 150
        assert "Pump 1 of N0000: high" in {m.readable_text() for m in SmsMessage.objects.all()}


class TestTransactions:
    def test_a_rollback_leaves_nothing(self, eager, text, sandbox):
        users = people(3)
        with transaction.atomic():
            tell(text, users=users)
            transaction.set_rollback(True)
        for model in (Notification, Recipient, SmsMessage, SmsBatch, Notification.users.through):
            assert not model.objects.exists()

    def test_nothing_begins_before_the_commit(self, broker, text):
        with transaction.atomic():
            tell(text, users=people(3))
            assert broker.take() == []
        assert [task.name for task in broker.take()] == ["notifications.advance"]

    def test_tasks_carry_ids_only(self, broker, text):
        tell(text, users=people(3), variables={"name": "Zq7Kx9"})
        seen = []
        while tasks := broker.take():
            seen += tasks
            for task in tasks:
                broker.app.tasks[task.name](*task.args)
        names = [task.name for task in seen]
        assert names == ["notifications.advance", "sms_services.deliver_messages", "notifications.advance"]
        raw = "".join(task.raw for task in seen)
        assert "1380000" not in raw
        assert "Zq7Kx9" not in raw
        assert SmsMessage.objects.filter(status=SENT).count() == 3


class TestSummary:
    def test_it_counts_everybody_once(self, text, settings):
        settings.NOTIFICATIONS = {"PHONE_NUMBER": "last_name"}
        users = [a_person(f"p{n}", last_name=number_of(n)) for n in range(5)]
        a_person("same", last_name=number_of(0))
        a_person("without")
        a_person("gone", last_name=number_of(7), is_active=False)
        a_person("out", last_name=number_of(8))
        SuppressedNumber.objects.create(phone_number=number_of(8))
        sales = a_department("Sales", User.objects.all())
        summary = recipients_summary(users=users, departments=sales, roles=a_role("x", users[:2]))
        assert summary == RecipientsSummary(
            people=9, reachable=5, duplicates=1, without_number=1, inactive=1, suppressed=1
        )

    def test_it_agrees_with_what_happens(self, eager, text):
        users = people(4)
        a_person("without")
        User.objects.filter(pk=users[0].pk).update(is_active=False)
        summary = recipients_summary(users=User.objects.all())
        counts = tell(text, users=User.objects.all()).counts()
        assert (summary.people, summary.reachable) == (counts["total"], counts["sent"]) == (5, 3)

    def test_its_queries_do_not_grow(self, text, django_assert_num_queries):
        root = a_department("Root", people(3))
        for n in range(10):
            a_department(f"D{n}", people(2, 10 + 2 * n), below=Department.objects.get(pk=root.pk))
        with django_assert_num_queries(4):
            assert recipients_summary(departments=[root], users=User.objects.filter(pk__gt=0)).people == 23
