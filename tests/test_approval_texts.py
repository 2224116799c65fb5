"""Who is texted about a node, with which words, when; and what becomes of texts where something is broken."""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import DatabaseError, Error, IntegrityError, OperationalError, connection, transaction
from django.urls import reverse
from django.utils import timezone

from approvals.api import approve, reject, remind, resubmit, send_back, submit, transfer, withdraw
from approvals.choices import NodeKind, NodeMode, Reason, RequestStatus, TextState
from approvals.models import EngineSms, NodeText, Process, Request, Task
from approvals.signals import node_reached, request_changed, task_handled
from approvals.sweeping import sweep
from approvals.texting import hand_over
from notifications.models import Notification
from notifications.sweeping import sweep as sweep_notifications
from sms_services.choices import MessageStatus, Purpose
from sms_services.delivery.sweeping import sweep as sweep_messages
from sms_services.models import SmsMessage, SmsTemplate
from tests.approval_processes import (
    a_process,
    an_approval_template,
    number_of,
    orders,
    persons,
    step,
    task_of,
    texted,
    to_do,
)
from tests.people import a_department
from tests.services_under_test import (
    alibaba_cloud,
    broker,
    create_service,
    point_to,
    register,
    sandbox,
    service,
    simulator,
    twilio,
)
from tests.simulators import AlibabaCloudSimulator, Fault

__all__ = ["alibaba_cloud", "broker", "point_to", "sandbox", "service", "simulator", "twilio"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]


@pytest.fixture
def people():
    return persons("ini", "ann", "ben", "cat")


@pytest.fixture
def texting(sandbox):
    """What a node needs to text through the sandbox."""
    return {"sms_service": sandbox, "sms_template": an_approval_template(sandbox)}


def work(broker):
    """All that waits in the broker, and what follows from it."""
    while broker.work():
        pass


def new_texts(broker, seen):
    """To whom texts have been sent since the last look, by name."""
    work(broker)
    sent = SmsMessage.objects.filter(status=MessageStatus.SENT).order_by("phone_number")
    new = [message for message in sent if message.pk not in seen]
    seen.update(message.pk for message in new)
    return [message.recipient.user.username for message in new]


class TestThroughEveryProvider:
    def test_approver_and_cc_recipient_get_the_same_words(self, simulator, service, broker, people):
        ini, ann, _ben, cat = people
        approval = an_approval_template(service)
        cc = an_approval_template(service, key="copy", purpose=Purpose.CC)
        for template in (approval, cc):
            register(simulator, template)
        process = a_process(
            step(ann, sms_service=service, sms_template=approval),
            step(cat, kind=NodeKind.CC, sms_service=service, sms_template=cc),
        )
        request = submit(process, ini)
        work(broker)
        approve(task_of(request, ann), ann)
        work(broker)
        taken = simulator.journal
        assert [entry.phone_number for entry in taken] == [number_of(ann), number_of(cat)]
        if isinstance(simulator, AlibabaCloudSimulator):
            codes = [template.codes.get().code for template in (approval, cc)]
            assert [entry.template_code for entry in taken] == codes
            assert [entry.params for entry in taken] == [{"processTitle": "Travel", "userNick": "Ini Lee"}] * 2
        assert [entry.text for entry in taken] == [
            "Ini Lee asks for your approval: Travel",
            "For your information, from Ini Lee: Travel",
        ]
        assert all(entry.signed_correctly for entry in simulator.requests)
        assert list(SmsMessage.objects.order_by("pk").values_list("purpose", flat=True)) == ["approval", "cc"]

    def test_a_provider_that_hangs_holds_up_no_approval(self, simulator, service, broker, people, sms_settings):
        ini, ann, ben, _cat = people
        sms_settings(READ_TIMEOUT=0.3, CONNECT_TIMEOUT=0.3)
        texting = {"sms_service": service, "sms_template": an_approval_template(service)}
        register(simulator, texting["sms_template"])
        simulator.fail(Fault.SLOW, seconds=1.5, times=1)
        copies = step(people[3], kind=NodeKind.CC, **texting)
        request = submit(a_process(step(ann, **texting), copies, step(ben)), ini)
        approve(task_of(request, ann), ann)
        approve(task_of(request, ben), ben)
        assert Request.objects.get().status == RequestStatus.APPROVED
        assert simulator.requests == [], "nobody has talked to the provider yet: that is the workers' business"
        work(broker)
        assert simulator.requests
        assert SmsMessage.objects.get(phone_number=number_of(people[3])).status == MessageStatus.UNKNOWN


class TestWhoIsTexted:
    def test_each_at_the_moment_that_the_node_is_reached(self, broker, people, texting):
        ini, ann, ben, cat = people
        office = a_department("Office", [ann, ben])
        process = a_process(step(office, **texting), step(ann, cat, mode=NodeMode.ALL, **texting), step(ben))
        request, seen = submit(process, ini), set()
        assert new_texts(broker, seen) == ["ann", "ben"]
        approve(task_of(request, ben), ben)
        assert new_texts(broker, seen) == ["ann", "cat"]
        approve(task_of(request, cat), cat)
        assert new_texts(broker, seen) == []
        approve(task_of(request, ann), ann)
        assert new_texts(broker, seen) == [], "a node without a service texts nobody"
        assert len(set(orders())) == 2

    def test_one_after_the_other_each_in_their_turn(self, broker, people, texting):
        ini, ann, ben, cat = people
        request = submit(a_process(step(cat, ann, ben, mode=NodeMode.SEQUENTIAL, **texting)), ini)
        seen = set()
        for user in (cat, ann, ben):
            assert new_texts(broker, seen) == [user.username]
            approve(task_of(request, user), user)
        assert new_texts(broker, seen) == []

    def test_after_a_return_those_who_must_approve_again_are_texted_again(self, broker, people, texting):
        ini, ann, ben, cat = people
        request = submit(a_process(step(ann, **texting), step(ben, **texting), step(cat, **texting)), ini)
        seen = set()
        assert new_texts(broker, seen) == ["ann"]
        approve(task_of(request, ann), ann)
        assert new_texts(broker, seen) == ["ben"]
        approve(task_of(request, ben), ben)
        assert new_texts(broker, seen) == ["cat"]
        send_back(task_of(request, cat), cat, to="step-2")
        assert new_texts(broker, seen) == ["ben"]
        send_back(task_of(request, ben), ben)
        assert new_texts(broker, seen) == []
        resubmit(request, ini)
        assert new_texts(broker, seen) == ["ann"]

    def test_the_new_holder_of_a_task_and_who_is_reminded(self, broker, people, texting):
        ini, ann, ben, _cat = people
        request, seen = submit(a_process(step(ann, **texting)), ini), set()
        assert new_texts(broker, seen) == ["ann"]
        transfer(task_of(request, ann), ann, ben)
        assert new_texts(broker, seen) == ["ben"]
        remind(request, ini)
        assert new_texts(broker, seen) == ["ben"]
        assert list(NodeText.objects.order_by("pk").values_list("reason", flat=True)) == [
            Reason.REACHED,
            Reason.TRANSFERRED,
            Reason.REMINDER,
        ]

    def test_edits_of_a_process_change_no_text_of_running_requests(self, broker, people, texting):
        ini, ann, ben, _cat = people
        process = a_process(step(ann), step(ben, **texting))
        request = submit(process, ini)
        Process.objects.update(title="Journeys")
        process.nodes.update(sms_service=None, sms_template=None)
        approve(task_of(request, ann), ann)
        work(broker)
        assert [message.readable_text() for message in SmsMessage.objects.all()] == [
            "Ini Lee asks for your approval: Travel"
        ]

    def test_the_nickname_is_the_projects_choice(self, broker, people, texting, settings):
        settings.APPROVALS = {"USER_NICK": lambda user: f"@{user.username}"}
        submit(a_process(step(people[1], **texting)), people[0])
        submit(a_process(step(people[1], **texting), key="two"), people[0])
        settings.APPROVALS = {}
        submit(
            a_process(step(people[1], **texting), key="three"), get_user_model().objects.create(username="nameless-1")
        )
        work(broker)
        nicks = [message.params["userNick"] for message in SmsMessage.objects.order_by("pk")]
        assert nicks == ["@ini", "@ini", "nameless-1"]


class TestOncePerEvent:
    def test_an_event_that_comes_twice_texts_once(self, broker, people, texting):
        ini, ann, _ben, _cat = people
        heard = []

        def hear(sender, **arguments):
            heard.append((sender, arguments))

        node_reached.connect(hear)
        submit(a_process(step(ann, **texting)), ini)
        node_reached.disconnect(hear)
        ((sender, arguments),) = heard
        arguments.pop("signal")
        for _ in range(3):
            node_reached.send_robust(sender, **arguments)
            node_reached.send(sender, **arguments)
        work(broker)
        assert texted() == {number_of(ann): 1}
        assert orders() == [arguments["event_id"]]

    def test_killed_between_the_commit_and_the_notification(self, broker, people, texting, monkeypatch):
        monkeypatch.setattr("approvals.texting.hand_over", lambda pk: None)
        submit(a_process(step(people[1], **texting)), people[0])
        monkeypatch.undo()
        assert not Notification.objects.exists()
        with time_machine.travel(timezone.now() + timedelta(minutes=1)):
            for _ in range(2):
                sweep()
                work(broker)
        assert texted() == {number_of(people[1]): 1}

    def test_killed_before_it_is_noted_down_that_it_was_handed_over(self, broker, people, texting):
        ini, ann, ben, _cat = people
        request = submit(a_process(step(ann, ben, mode=NodeMode.ALL, **texting)), ini)
        NodeText.objects.update(state=TextState.WAITING, notification=None, sweep_at=timezone.now())
        approve(task_of(request, ann), ann)  # so that it would go to others now
        with time_machine.travel(timezone.now() + timedelta(minutes=1)):
            sweep()
        text = NodeText.objects.get()
        assert (text.state, text.notification) == (TextState.ORDERED, Notification.objects.get())
        assert {recipient.user for recipient in text.recipients.all()} == {ann, ben}


class TestHandledMeanwhile:
    """The broker is down, so that texts wait while people act."""

    def test_a_text_whose_task_was_handled_is_skipped(self, broker, people, texting):
        ini, ann, ben, _cat = people
        process = a_process(step(ann, ben, mode=NodeMode.ALL, **texting), step(ini))
        request = submit(process, ini)
        approve(task_of(request, ann), ann)  # before the recipients are resolved
        work(broker)
        assert texted() == {number_of(ben): 1}
        sweep_after(broker, 1)
        assert NodeText.objects.get().sweep_at is None

    @pytest.mark.parametrize(
        "act",
        [
            lambda request, ann, ini: approve(task_of(request, ann), ann),
            lambda request, ann, ini: reject(task_of(request, ann), ann),
            lambda request, ann, ini: send_back(task_of(request, ann), ann),
            lambda request, ann, ini: withdraw(request, ini),
        ],
        ids=["approved", "rejected", "returned", "withdrawn"],
    )
    def test_whatever_ends_a_task_ends_the_texts_of_all(self, broker, people, texting, act):
        ini, ann, ben, _cat = people
        request = submit(a_process(step(ann, ben, **texting)), ini)
        broker.app.tasks["notifications.advance"]([Notification.objects.get().pk])  # messages are queued
        assert SmsMessage.objects.filter(status=MessageStatus.QUEUED).count() == 2
        act(request, ann, ini)
        work(broker)
        skipped = SmsMessage.objects.values_list("status", "skip_reason")
        assert list(skipped) == [(MessageStatus.SKIPPED, "cancelled")] * 2
        sweep_after(broker, 1)
        assert Notification.objects.get().status == "finished"

    def test_of_a_transfer_only_the_new_holder_is_texted(self, broker, people, texting):
        ini, ann, ben, _cat = people
        request = submit(a_process(step(ann, **texting)), ini)
        transfer(task_of(request, ann), ann, ben)
        work(broker)
        assert texted() == {number_of(ben): 1}

    def test_a_text_that_is_to_be_tried_again_is_skipped_when_it_comes_back(
        self, broker, people, twilio, sms_settings, monkeypatch
    ):
        ini, ann, _ben, _cat = people
        service = create_service(twilio)
        texting = {"sms_service": service, "sms_template": an_approval_template(service)}
        request = submit(a_process(step(ann, **texting), step(ini)), ini)
        broker.app.tasks["notifications.advance"]([Notification.objects.get().pk])
        SmsMessage.objects.update(status=MessageStatus.SENDING)  # a worker has it in hand
        approve(task_of(request, ann), ann)
        SmsMessage.objects.update(status=MessageStatus.QUEUED)  # the provider was down: another try
        sweep_after(broker, 1)
        work(broker)
        assert SmsMessage.objects.get().status == MessageStatus.SKIPPED
        assert twilio.journal == []

    def test_a_text_that_waits_for_the_sweep_goes_only_to_those_who_are_still_asked(
        self, broker, people, texting, monkeypatch
    ):
        ini, ann, ben, _cat = people
        monkeypatch.setattr("approvals.texting.hand_over", lambda pk: None)
        for number, actors in enumerate([(ann,), (ann, ben)]):
            request = submit(a_process(step(ann, ben, mode=NodeMode.ALL, **texting), key=f"p{number}"), ini)
            for actor in actors:
                approve(task_of(request, actor), actor)
        monkeypatch.undo()
        sweep_after(broker, 1)
        assert texted() == {number_of(ben): 1}
        assert list(NodeText.objects.order_by("pk").values_list("state", flat=True)) == [
            TextState.ORDERED,
            TextState.SKIPPED,
        ]

    @pytest.mark.parametrize("act", ["approved", "withdrawn"])
    def test_a_receiver_that_goes_on_at_once_ends_the_texts_too(self, broker, people, texting, act):
        """What it does is said before the rest of what the engine was saying."""
        ini, ann, ben, _cat = people

        def go_on(sender, *, request, status, **kwargs):
            if status == RequestStatus.RUNNING:
                approve(task_of(request, ann), ann) if act == "approved" else withdraw(request, ini)

        request_changed.connect(go_on)
        try:
            submit(a_process(step(ann, **texting), step(ben)), ini)
        finally:
            request_changed.disconnect(go_on)
        work(broker)
        assert (NodeText.objects.get().state, texted()) == (TextState.SKIPPED, {})


@pytest.fixture
def lose_transaction():
    """Something that a receiver may run into, by which the database rolls all of the transaction back."""
    if connection.vendor == "mysql":
        with deadlock() as run_into:
            yield run_into
        return
    statements = {
        "postgresql": ["SELECT pg_terminate_backend(pg_backend_pid())"],
        "sqlite": ["INSERT OR ROLLBACK INTO lost_by_a_receiver VALUES (1)"] * 2,
    }[connection.vendor]
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE lost_by_a_receiver (id integer PRIMARY KEY)")

    def run_into():
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    yield run_into
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE lost_by_a_receiver")


@contextmanager
def deadlock():
    """Another transaction that has one row and wants the other. It has changed more, so InnoDB spares it."""
    mine, other = (Process.objects.create(key=key, title=key) for key in ("mine", "other"))
    has_begun, may_go_on = Event(), Event()

    def change(process):
        Process.objects.filter(pk=process.pk).update(title=uuid.uuid4().hex)

    def meet():
        try:
            with transaction.atomic():
                SmsTemplate.objects.bulk_create(
                    [SmsTemplate(key=f"heavy-{n}", name="Heavy", text="x") for n in range(300)]
                )
                change(other)
                has_begun.set()
                assert may_go_on.wait(10)
                change(mine)
                transaction.set_rollback(True)
        finally:
            connection.close()

    def run_into():
        assert has_begun.wait(10)
        change(mine)
        may_go_on.set()
        time.sleep(0.2)  # the other one waits for mine by then
        change(other)

    thread = Thread(target=meet)
    thread.start()
    yield run_into
    may_go_on.set()
    thread.join(10)


def sweep_after(broker, minutes):
    with time_machine.travel(timezone.now() + timedelta(minutes=minutes)):
        for run in (sweep, sweep_notifications, sweep_messages):
            run()
            work(broker)


class TestBrokenParts:
    @pytest.mark.parametrize("failure", ["raises", "breaks the transaction"])
    @pytest.mark.parametrize("signal", [node_reached, task_handled, request_changed])
    def test_a_receiver_that_fails_harms_nobody(self, broker, people, texting, caplog, signal, failure):
        ini, ann, ben, _cat = people

        def fail(sender, **kwargs):
            Process.objects.create(key="written-by-receiver", title="x")
            if failure == "raises":
                raise ZeroDivisionError
            with connection.cursor() as cursor:
                cursor.execute("SELECT nonsense FROM nowhere")

        heard = []

        def hear(sender, **kwargs):
            heard.append(Process.objects.count())  # the transaction is usable

        signal.connect(fail)
        signal.connect(hear)
        try:
            request = submit(a_process(step(ann, **texting), step(ben, **texting)), ini)
            approve(task_of(request, ann), ann)
            approve(task_of(request, ben), ben)
        finally:
            signal.disconnect(fail)
            signal.disconnect(hear)
        work(broker)
        assert Request.objects.get().status == RequestStatus.APPROVED
        assert heard == [1] * len(heard) != []
        assert "fail" in caplog.text
        assert NodeText.objects.count() == 2

    def test_with_the_broker_down_the_approval_goes_through_and_the_text_follows(self, broker, people, texting):
        ini, ann, ben, _cat = people
        with broker.down():
            request = submit(a_process(step(ann, **texting), step(ben, **texting)), ini)
            approve(task_of(request, ann), ann)
        assert to_do(request) == ["ben"]
        work(broker)
        assert not SmsMessage.objects.exists()
        for minutes in (1, 3, 5):
            sweep_after(broker, minutes)
        assert texted() == {number_of(ben): 1}
        assert SmsMessage.objects.get().status == MessageStatus.SENT

    def test_what_notify_refuses_is_recorded_with_advice(self, broker, people, texting, sandbox):
        ini, ann, ben, _cat = people
        sandbox.is_active = False
        sandbox.save()
        request = submit(a_process(step(ann, **texting), step(ben)), ini)
        text = NodeText.objects.get()
        assert (text.state, text.sweep_at) == (TextState.FAILED, None)
        assert "Activate it in admin" in text.problem
        approve(task_of(request, ann), ann)
        assert to_do(request) == ["ben"]

    def test_what_was_refused_is_sent_again_once(self, broker, people, texting, sandbox, client, admin_client):
        ini, ann, ben, _cat = people
        type(sandbox).objects.update(is_active=False)
        request = submit(a_process(step(ann, ben, **texting)), ini)
        text = NodeText.objects.get()
        url = reverse("admin:approvals_nodetext_send_again", args=[text.pk])
        page = reverse("admin:approvals_nodetext_change", args=[text.pk])
        failed = f"?request__id__exact={request.pk}&amp;state__exact=failed"
        assert failed in admin_client.get(reverse("admin:approvals_request_change", args=[request.pk])).text
        assert url in admin_client.get(page).text
        assert admin_client.get(url).url == page
        assert "Activate it in admin" in admin_client.post(url, follow=True).text
        assert NodeText.objects.get().state == TextState.FAILED
        type(sandbox).objects.update(is_active=True)
        staff = get_user_model().objects.create_user("staff", is_staff=True)
        staff.user_permissions.add(Permission.objects.get(codename="view_nodetext"))
        client.force_login(staff)
        assert url not in client.get(page).text
        assert client.post(url).status_code == 403
        for words in ("It was handed over once more.", "There is nothing to send again."):
            assert words in admin_client.post(url, follow=True).text
            work(broker)
        assert texted() == {number_of(ann): 1, number_of(ben): 1}
        assert url not in admin_client.get(page).text
        assert failed not in admin_client.get(reverse("admin:approvals_request_change", args=[request.pk])).text

    def test_what_was_refused_goes_to_nobody_who_is_done(self, broker, people, texting, sandbox, admin_client):
        ini, ann, ben, _cat = people
        type(sandbox).objects.update(is_active=False)
        request = submit(a_process(step(ann, **texting), step(ben)), ini)
        type(sandbox).objects.update(is_active=True)
        approve(task_of(request, ann), ann)
        text = NodeText.objects.get()
        url = reverse("admin:approvals_nodetext_send_again", args=[text.pk])
        assert url not in admin_client.get(reverse("admin:approvals_nodetext_change", args=[text.pk])).text
        assert "All were done already" in admin_client.post(url, follow=True).text
        work(broker)
        assert texted() == {}
        assert NodeText.objects.get().state == TextState.SKIPPED

    def test_no_copy_of_what_was_withdrawn_is_sent_again(self, broker, people, texting, sandbox, admin_client):
        ini, ann, ben, _cat = people
        type(sandbox).objects.update(is_active=False)
        request = submit(a_process(step(ann, kind=NodeKind.CC, **texting), step(ben)), ini)
        type(sandbox).objects.update(is_active=True)
        withdraw(request, ini)
        url = reverse("admin:approvals_nodetext_send_again", args=[NodeText.objects.get().pk])
        assert "There is nothing to send again." in admin_client.post(url, follow=True).text
        work(broker)
        assert texted() == {}

    def test_nor_is_one_handed_over_by_the_sweep(self, broker, people, texting, settings):
        ini, ann, ben, _cat = people

        def broken(user):
            raise RuntimeError

        settings.APPROVALS = {"USER_NICK": broken}
        request = submit(a_process(step(ann, kind=NodeKind.CC, **texting), step(ben)), ini)
        settings.APPROVALS = {}
        withdraw(request, ini)
        sweep_after(broker, 10)
        assert NodeText.objects.get().state == TextState.SKIPPED
        assert texted() == {}

    def test_a_template_that_was_deleted_is_said_to_be(self, broker, people, texting):
        ini, ann, ben, _cat = people
        process = a_process(step(ann), step(ben, **texting))
        request = submit(process, ini)
        process.nodes.update(sms_service=None, sms_template=None)
        texting["sms_template"].delete()
        approve(task_of(request, ann), ann)
        assert NodeText.objects.get().state == TextState.FAILED
        assert "deleted" in NodeText.objects.get().problem

    def test_where_service_and_template_were_deleted_it_is_said_too(self, broker, people, texting):
        ini, ann, ben, _cat = people
        process = a_process(step(ann), step(ben, **texting))
        request = submit(process, ini)
        process.nodes.update(sms_service=None, sms_template=None)
        for row in texting.values():
            row.delete()
        approve(task_of(request, ann), ann)
        text = NodeText.objects.get()
        assert (text.state, list(text.recipients.values_list("user", flat=True))) == (TextState.FAILED, [ben.pk])
        assert "Choose another for the step" in text.problem
        assert to_do(request) == ["ben"]

    def test_an_action_whose_text_cannot_be_written_fails_and_can_be_repeated(self, broker, people, texting):
        ini, ann, ben, _cat = people
        request = submit(a_process(step(ann), step(ben, **texting)), ini)
        task = task_of(request, ann)

        def locked(execute, sql, *more):
            if sql.startswith("INSERT") and "approvals_nodetext" in sql:
                raise OperationalError("Lock wait timeout exceeded")
            return execute(sql, *more)

        with connection.execute_wrapper(locked), pytest.raises(OperationalError):
            approve(task, ann)
        assert to_do(request) == ["ann"]
        approve(task, ann)
        work(broker)
        assert texted() == {number_of(ben): 1}

    @pytest.mark.parametrize("act", ["submit", "approve"])
    def test_an_action_whose_transaction_a_receiver_loses_fails(self, broker, people, texting, lose_transaction, act):
        """Else it would be taken for done, and be gone."""
        ini, ann, ben, _cat = people
        process = a_process(step(ann, **texting), step(ben, **texting))
        request = submit(process, ini) if act == "approve" else None

        def lose(sender, **kwargs):
            lose_transaction()

        node_reached.connect(lose)
        try:
            with pytest.raises(DatabaseError):
                approve(task_of(request, ann), ann) if request else submit(process, ini)
        finally:
            node_reached.disconnect(lose)
        connection.close()  # it may be broken
        assert Request.objects.count() == NodeText.objects.count() == (1 if request else 0)
        if request:
            assert to_do(request) == ["ann"]
            approve(task_of(request, ann), ann)
            assert to_do(request) == ["ben"]

    def test_an_action_fails_with_the_error_that_lost_its_transaction(self, broker, people, texting, lose_transaction):
        """Not with one that harmed nobody, nor with what follows from the loss."""
        raised = []

        def receiver(do):
            def receive(sender, **kwargs):
                try:
                    do()
                except Error as error:
                    raised.append(error)
                    raise

            return receive

        def refused():
            raise IntegrityError("An error that its savepoint undoes.")

        receivers = [receiver(do) for do in (refused, lose_transaction, Process.objects.count)]
        for receive in receivers:
            node_reached.connect(receive)
        try:
            with pytest.raises(Error) as failed:
                submit(a_process(step(people[1], **texting)), people[0])
        finally:
            for receive in receivers:
                node_reached.disconnect(receive)
            connection.close()  # it may be broken
        assert len(raised) == 3
        assert failed.value is raised[1]

    def test_what_fails_for_unknown_reasons_is_tried_again_for_a_day(self, broker, people, texting, settings):
        def broken(user):
            raise RuntimeError

        settings.APPROVALS = {"USER_NICK": broken}
        submit(a_process(step(people[1], **texting)), people[0])
        sweep_after(broker, 10)
        assert NodeText.objects.get().state == TextState.WAITING
        settings.APPROVALS = {}
        sweep_after(broker, 20)
        assert texted() == {number_of(people[1]): 1}
        NodeText.objects.update(state=TextState.WAITING)
        settings.APPROVALS = {"USER_NICK": broken}
        NodeText.objects.update(sweep_at=timezone.now())
        sweep_after(broker, 60 * 25)
        assert NodeText.objects.get().state == TextState.FAILED

    def test_a_rollback_of_the_caller_sends_nothing(self, broker, people, texting):
        ini, ann, ben, _cat = people
        process = a_process(step(ann, **texting), step(ben, **texting))
        with transaction.atomic():
            submit(process, ini)
            transaction.set_rollback(True)
        assert not Request.objects.exists()
        with transaction.atomic():
            request = submit(process, ini)
            with transaction.atomic():
                approve(task_of(request, ann), ann)
                transaction.set_rollback(True)
        sweep_after(broker, 1)
        assert texted() == {number_of(ann): 1}
        assert Task.objects.count() == 1


class TestOtherEngines:
    def reached(self, *recipients, event_id="task-7", **changes):
        arguments = {
            "event_id": event_id,
            "kind": NodeKind.APPROVAL,
            "reason": Reason.REACHED,
            "process_key": "order",
            "process_title": "Order",
            "node_key": "check",
            "initiator": recipients[0],
            "recipients": recipients,
            "engine": "other",
        }
        node_reached.send_robust(self, **{**arguments, **changes})

    def test_the_service_of_the_node_else_of_its_process(self, broker, people, texting, sandbox):
        ini, ann, _ben, _cat = people
        self.reached(ann)
        assert not NodeText.objects.exists(), "no service, no text"
        EngineSms.objects.create(engine="other", process_key="order", **texting)
        own = an_approval_template(sandbox, key="own", purpose=Purpose.CC)
        EngineSms.objects.create(
            engine="other", process_key="order", node_key="check", sms_service=sandbox, sms_template=own
        )
        self.reached(ann, event_id="task-8", initiator=ini)
        self.reached(ann, event_id="task-9", initiator=ini, node_key="sign")
        self.reached(ann, event_id="task-10", initiator=ini, engine="another")
        work(broker)
        assert [message.readable_text() for message in SmsMessage.objects.order_by("pk")] == [
            "For your information, from Ini Lee: Order",
            "Ini Lee asks for your approval: Order",
        ]

    def test_what_they_handle_is_skipped(self, broker, people, texting):
        _ini, ann, ben, _cat = people
        EngineSms.objects.create(engine="other", process_key="order", **texting)
        self.reached(ann, ben, task_keys={ann.pk: "other:1", ben.pk: "other:2"})
        task_handled.send_robust(self, engine="other", task_keys=["other:1"])
        work(broker)
        assert texted() == {number_of(ben): 1}


def test_signals_say_what_the_documentation_says(broker, people, texting):
    ini, ann, ben, _cat = people
    heard = []

    def hear(sender, signal, **arguments):
        heard.append((signal, arguments))

    for signal in (node_reached, task_handled, request_changed):
        signal.connect(hear)
    try:
        request = submit(a_process(step(ann, ben, **texting)), ini)
        approve(task_of(request, ann), ann)
    finally:
        for signal in (node_reached, task_handled, request_changed):
            signal.disconnect(hear)
    changed, reached, handled, cancelled, finished = heard
    assert [signal for signal, _ in heard] == [
        request_changed,
        node_reached,
        task_handled,
        task_handled,
        request_changed,
    ]
    assert (changed[1]["old_status"], changed[1]["status"], changed[1]["actor"]) == ("", "running", ini)
    assert (finished[1]["old_status"], finished[1]["status"]) == ("running", "approved")
    first, second = Task.objects.order_by("pk")
    event_id = reached[1].pop("event_id")
    assert event_id == request.events.get(kind="reached").event_id
    assert reached[1] == {
        "engine": "approvals",
        "kind": "approval",
        "reason": "reached",
        "process_key": "travel",
        "process_title": "Travel",
        "node_key": "step-1",
        "initiator": ini,
        "recipients": [ann, ben],
        "task_keys": {ann.pk: first.key, ben.pk: second.key},
        "service": texting["sms_service"],
        "template": texting["sms_template"],
        "request": request,
    }
    assert (handled[1]["task"], handled[1]["status"], handled[1]["task_keys"]) == (first, "approved", [first.key])
    assert (cancelled[1]["task"], cancelled[1]["task_keys"]) == (None, [second.key])


def test_receivers_do_not_hear_of_those_who_are_deactivated(broker, people, texting):
    ini, ann, ben, _cat = people
    heard = []

    def hear(sender, **arguments):
        heard.append((arguments["reason"], arguments["recipients"], set(arguments["task_keys"])))

    request = submit(a_process(step(ann, ben, mode=NodeMode.ALL, **texting)), ini)
    get_user_model().objects.filter(pk=ben.pk).update(is_active=False)
    node_reached.connect(hear)
    try:
        remind(request, ini)
        get_user_model().objects.filter(pk=ann.pk).update(is_active=False)
        with time_machine.travel(timezone.now() + timedelta(days=1)):
            remind(request, ini)  # nobody is left who could be told
    finally:
        node_reached.disconnect(hear)
    assert heard == [("reminder", [ann], {ann.pk})]


def test_an_outdated_hand_over_does_nothing(broker, people, texting):
    submit(a_process(step(people[1], **texting)), people[0])
    text = NodeText.objects.get()
    hand_over(text.pk)
    hand_over(text.pk + 1)
    assert len(orders()) == 1
