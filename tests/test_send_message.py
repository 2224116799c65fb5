"""`send_message`: one suite that every provider passes, with the vendors' real SDKs against the simulators."""

import logging
import re
from types import SimpleNamespace

import pytest
from django.db import connection, transaction
from django.db.models import ProtectedError
from django.utils.translation import gettext_lazy

from sms_services.advice import advice_for
from sms_services.api import send_message
from sms_services.choices import ErrorKind, MessageStatus, Outcome, Purpose
from sms_services.exceptions import (
    InactiveService,
    InvalidParams,
    InvalidPhoneNumber,
    NoRecipients,
    OpenTransaction,
    UnknownService,
    UnknownTemplate,
    UnusableTemplate,
)
from sms_services.models import SmsAttempt, SmsMessage, SmsTemplate, TemplateCode
from sms_services.signals import message_failed, message_sent
from tests.services_under_test import (
    CODE,
    NUMBER,
    OTHER_NUMBER,
    RECIPIENT_CODES,
    create_service,
    create_template,
    provider_name,
    register,
)
from tests.simulators import AlibabaCloudSimulator, AwsSnsSimulator, Fault, TwilioSimulator

pytest_plugins = ["tests.services_under_test"]


def fields_of(message: SmsMessage) -> dict[str, object]:
    return {item.attname: getattr(message, item.attname) for item in SmsMessage._meta.concrete_fields}


class TestWhatGoesOut:
    @pytest.mark.databases
    def test_a_text_goes_out_and_its_row_says_so(self, service, simulator, greeting):
        (message,) = send_message(service, NUMBER, greeting, {"name": "Ada"})

        (request,) = simulator.requests
        assert request.signed_correctly
        (accepted,) = simulator.journal
        assert (accepted.phone_number, accepted.text) == (NUMBER, "Hello Ada")
        row = SmsMessage.objects.get()
        assert row.status == MessageStatus.SENT
        assert (row.service_id, row.template_id, row.purpose) == (service.pk, greeting.pk, Purpose.NOTIFICATION)
        assert (row.phone_number, row.text, row.params) == (NUMBER, "Hello ${name}", {"name": "Ada"})
        assert row.provider_message_id == accepted.message_id
        assert (row.error_kind, row.provider_code, row.skip_reason) == ("", "", "")
        assert row.tries == 1
        assert row.created_at <= row.claimed_at <= row.sent_at
        assert (row.due_at, row.sweep_at) == (None, None)
        assert fields_of(message) == fields_of(row)
        assert not SmsAttempt.objects.exists()

    def test_an_edited_template_rewrites_no_history(self, service, simulator, greeting):
        (message,) = send_message(service, NUMBER, greeting, {"name": "Ada"})
        greeting.text, greeting.purpose = "Bye ${name}", Purpose.MARKETING
        greeting.save()
        message.refresh_from_db()
        assert (message.text, message.purpose) == ("Hello ${name}", Purpose.NOTIFICATION)
        greeting.delete()
        message.refresh_from_db()
        assert (message.template, message.text) == (None, "Hello ${name}")

    def test_a_one_time_code_arrives_and_leaves_nothing_behind(self, service, simulator, otp):
        send_message(service, NUMBER, otp, {"code": CODE})
        assert simulator.journal[0].text == f"Your code is {CODE}."
        row = SmsMessage.objects.get()
        assert (row.status, row.purpose) == (MessageStatus.SENT, Purpose.OTP)
        assert (row.text, row.params, row.sensitive_params) == ("Your code is ${code}.", {}, "")

    def test_values_are_never_read_as_placeholders(self, service, simulator, greeting):
        send_message(service, NUMBER, greeting, {"name": "${name} $& {0} %s"})
        assert simulator.journal[0].text == "Hello ${name} $& {0} %s"

    def test_a_wrong_secret_fails_with_kind_credentials_and_advice(self, simulator, broker, db):
        secret_field = create_service(simulator).secret_field
        service = create_service(simulator, key="wrong", **{secret_field: "not-the-secret"})
        template = create_template(service)
        (message,) = send_message(service, NUMBER, template, {"name": "Ada"})
        assert (message.status, message.error_kind) == (MessageStatus.FAILED, ErrorKind.CREDENTIALS)
        assert message.provider_code
        assert str(advice_for(message)).endswith(".")
        assert [request.signed_correctly for request in simulator.requests] == [False]
        assert simulator.journal == []
        assert (broker.take("sms"), message.due_at, message.sweep_at) == ([], None, None)

    def test_a_refusal_is_a_status_and_an_attempt_and_no_exception(self, service, simulator, greeting):
        code = RECIPIENT_CODES[provider_name(simulator)]
        simulator.refuse(code, message="Not this one.")
        (message,) = send_message(service, NUMBER, greeting, {"name": "Ada"})
        assert (message.status, message.error_kind) == (MessageStatus.FAILED, ErrorKind.RECIPIENT)
        assert (message.provider_code, message.provider_detail) == (code, "Not this one.")
        assert message.sent_at is None
        attempt = SmsAttempt.objects.get()
        assert (attempt.message, attempt.service_id) == (message, service.pk)
        assert (attempt.outcome, attempt.error_kind) == (Outcome.REFUSED, ErrorKind.RECIPIENT)
        assert (attempt.provider_code, attempt.provider_detail) == (code, "Not this one.")
        assert attempt.started_at <= attempt.finished_at
        assert len(simulator.requests) == 1

    def test_one_refused_number_fails_alone(self, service, simulator, greeting):
        simulator.refuse_numbers({OTHER_NUMBER: RECIPIENT_CODES[provider_name(simulator)]})
        messages = send_message(service, [NUMBER, OTHER_NUMBER, "+12065550125"], greeting, {"name": "Ada"})
        assert [message.status for message in messages] == ["sent", "failed", "sent"]
        assert sorted(accepted.phone_number for accepted in simulator.journal) == [NUMBER, "+12065550125"]

    def test_throttling_leaves_the_message_to_the_workers(self, service, simulator, greeting, broker):
        simulator.fail(Fault.THROTTLED, times=1)
        (message,) = send_message(service, NUMBER, greeting, {"name": "Ada"})
        assert (message.status, message.error_kind) == (MessageStatus.QUEUED, ErrorKind.THROTTLED)
        assert message.due_at < message.sweep_at
        (task,) = broker.take("sms")
        assert (task.args, task.has_eta) == ([[message.pk]], True)


class TestPhoneNumbers:
    def test_many_numbers_get_a_message_each_in_their_order(self, service, simulator, greeting):
        numbers = [f"+1206555010{n}" for n in (3, 1, 2)]
        messages = send_message(service, numbers, greeting, {"name": "Ada"})
        assert [message.phone_number for message in messages] == numbers
        assert len({message.pk for message in messages}) == 3
        ids = {accepted.phone_number: accepted.message_id for accepted in simulator.journal}
        assert [message.provider_message_id for message in messages] == [ids[number] for number in numbers]

    @pytest.mark.parametrize("wrap", [list, tuple, set, iter, lambda numbers: (number for number in numbers)])
    def test_numbers_come_in_any_iterable(self, sandbox, wrap):
        template = create_template()
        messages = send_message(sandbox, wrap([NUMBER, OTHER_NUMBER]), template, {"name": "Ada"})
        assert sorted(message.phone_number for message in messages) == [NUMBER, OTHER_NUMBER]

    def test_a_number_in_two_notations_gets_one_text(self, service, simulator, greeting):
        spellings = ["(206) 555-0123", OTHER_NUMBER, "+1 206 555 0123", "１２０６５５５０１２３"]
        messages = send_message(service, spellings, greeting, {"name": "Ada"})
        assert [message.phone_number for message in messages] == [NUMBER, OTHER_NUMBER]
        assert len(simulator.journal) == 2


class TestServices:
    @pytest.mark.parametrize("name", ["instance", "key"])
    def test_a_service_is_an_instance_or_its_key(self, service, simulator, greeting, name):
        given = {"instance": service, "key": service.key}[name]
        (message,) = send_message(given, NUMBER, greeting, {"name": "Ada"})
        assert (message.status, message.service_id) == (MessageStatus.SENT, service.pk)

    def test_every_service_has_the_method(self, service, simulator, greeting):
        (message,) = service.send_message([NUMBER], greeting.key, {"name": "Ada"})
        assert message.status == MessageStatus.SENT
        assert simulator.journal[0].text == "Hello Ada"

    def test_all_arguments_have_names(self, service, simulator, greeting):
        (message,) = send_message(service=service, phone_numbers=NUMBER, template=greeting, params={"name": "Ada"})
        assert message.status == MessageStatus.SENT

    def test_a_changed_secret_counts_from_the_next_send_on(self, service, simulator, greeting):
        """The instance in the caller's hands may be hours old; the row decides."""
        send_message(service, NUMBER, greeting, {"name": "Ada"})
        changed = type(service).objects.get(pk=service.pk)
        setattr(changed, changed.secret_field, "rotated-at-the-provider")
        changed.save()
        (message,) = send_message(service, NUMBER, greeting, {"name": "Ada"})
        assert message.error_kind == ErrorKind.CREDENTIALS
        setattr(changed, changed.secret_field, simulator.credentials[changed.secret_field])
        changed.save()
        (message,) = send_message(service, NUMBER, greeting, {"name": "Ada"})
        assert message.status == MessageStatus.SENT

    def test_a_service_that_was_deactivated_elsewhere_refuses(self, service, simulator, greeting):
        type(service).objects.filter(pk=service.pk).update(is_active=False)
        assert service.is_active
        with pytest.raises(InactiveService, match="Activate it in admin"):
            send_message(service, NUMBER, greeting, {"name": "Ada"})
        assert simulator.requests == []
        assert not SmsMessage.objects.exists()

    def test_a_service_that_has_sent_cannot_be_deleted(self, service, simulator, greeting):
        send_message(service, NUMBER, greeting, {"name": "Ada"})
        with pytest.raises(ProtectedError):
            service.delete()
        assert type(service).objects.filter(pk=service.pk).exists()


class TestTemplates:
    def test_a_template_is_an_instance_or_its_key(self, service, simulator, greeting):
        for given in (greeting, greeting.key):
            (message,) = send_message(service, NUMBER, given, {"name": "Ada"})
            assert (message.status, message.template_id) == (MessageStatus.SENT, greeting.pk)
        assert [accepted.text for accepted in simulator.journal] == ["Hello Ada", "Hello Ada"]

    def test_an_unsaved_template_is_sent_by_services_that_send_texts(self, service, simulator):
        template = SmsTemplate(text="Once for ${name}", purpose=Purpose.MARKETING)
        if service.sends_by_code:
            with pytest.raises(UnusableTemplate, match="no template code"):
                send_message(service, NUMBER, template, {"name": "Ada"})
            assert simulator.requests == []
        else:
            (message,) = send_message(service, NUMBER, template, {"name": "Ada"})
            assert simulator.journal[0].text == "Once for Ada"
            assert (message.template_id, message.text) == (None, "Once for ${name}")
            assert message.purpose == Purpose.MARKETING

    def test_a_code_that_a_template_has_stands_for_it(self, alibaba_cloud, broker, db):
        service = create_service(alibaba_cloud)
        template = create_template(service, code="SMS_123456")
        register(alibaba_cloud, template)
        (message,) = send_message(service, NUMBER, "SMS_123456", {"name": "Ada"})
        assert (message.template, message.text, message.template_code) == (template, "Hello ${name}", "SMS_123456")
        assert alibaba_cloud.journal[0].text == "Hello Ada"

    def test_a_codes_variables_are_checked_where_a_template_has_it(self, alibaba_cloud, broker, db):
        service = create_service(alibaba_cloud)
        create_template(service, code="SMS_123456")
        with pytest.raises(InvalidParams, match="also needs: name"):
            send_message(service, NUMBER, "SMS_123456")
        assert alibaba_cloud.requests == []

    def test_a_bare_code_needs_a_purpose_and_is_sent_as_it_is(self, alibaba_cloud, broker, db):
        service = create_service(alibaba_cloud)
        with pytest.raises(UnknownTemplate, match="purpose= one of otp"):
            send_message(service, NUMBER, "SMS_654321", {"code": CODE})
        with pytest.raises(UnknownTemplate, match="purpose= one of otp"):
            send_message(service, NUMBER, "SMS_654321", {"code": CODE}, purpose="login")
        (message,) = send_message(service, NUMBER, "SMS_654321", {"code": CODE}, purpose=Purpose.OTP)
        assert message.status == MessageStatus.SENT
        (accepted,) = alibaba_cloud.journal
        assert (accepted.template_code, accepted.params) == ("SMS_654321", {"code": CODE})
        row = SmsMessage.objects.get()
        assert (row.template, row.purpose, row.params, row.sensitive_params) == (None, Purpose.OTP, {}, "")

    def test_a_code_belongs_to_one_service(self, alibaba_cloud, broker, db):
        first, second = (create_service(alibaba_cloud, key=key) for key in ("first", "second"))
        template = create_template(first, code="SMS_123456")
        TemplateCode.objects.create(template=template, service=second, code="SMS_222222")
        (message,) = send_message(second, NUMBER, template, {"name": "Ada"})
        assert message.template_code == "SMS_222222"
        with pytest.raises(UnknownTemplate, match="No template has the code SMS_123456"):
            send_message(second, NUMBER, "SMS_123456", {"name": "Ada"})

    def test_a_template_with_only_declared_variables_is_checked_too(self, alibaba_cloud, broker, db):
        service = create_service(alibaba_cloud)
        template = create_template(service, text="")
        SmsTemplate.objects.filter(pk=template.pk).update(variables="name, place")
        with pytest.raises(InvalidParams, match="also needs: place"):
            send_message(service, NUMBER, template.key, {"name": "Ada"})
        (message,) = send_message(service, NUMBER, template.key, {"name": "Ada", "place": "Paris"})
        assert message.status == MessageStatus.SENT
        assert alibaba_cloud.journal[0].params == {"name": "Ada", "place": "Paris"}


#: What is wrong with a call: what differs from a right one (given the fixtures), the exception, and its words.
WRONG_USES = {
    "no numbers": (lambda given: {"phone_numbers": []}, NoRecipients, "No phone number"),
    "an empty generator": (lambda given: {"phone_numbers": iter(())}, NoRecipients, "No phone number"),
    "an empty string": (lambda given: {"phone_numbers": ""}, InvalidPhoneNumber, "phone number"),
    "an unreadable number": (
        lambda given: {"phone_numbers": [NUMBER, "+1206555012"]},
        InvalidPhoneNumber,
        "number 2 of 2.*not a valid",
    ),
    "letters in a number": (lambda given: {"phone_numbers": "+1 206 555 CALL"}, InvalidPhoneNumber, "only digits"),
    "a number that is no string": (lambda given: {"phone_numbers": [12065550123]}, InvalidPhoneNumber, "string"),
    "no number in a list": (lambda given: {"phone_numbers": [None]}, InvalidPhoneNumber, "string, not NoneType"),
    "None for numbers": (lambda given: {"phone_numbers": None}, (NoRecipients, InvalidPhoneNumber), "number"),
    "an int for numbers": (lambda given: {"phone_numbers": 12065550123}, InvalidPhoneNumber, "string"),
    "an unknown service": (lambda given: {"service": "nowhere"}, UnknownService, "nowhere.*Known keys: [a-z]+"),
    "an unsaved service": (lambda given: {"service": type(given.service)(name="x")}, UnknownService, "no SMS service"),
    "a number for a service": (lambda given: {"service": NUMBER}, UnknownService, "no SMS service"),
    "an unknown template": (lambda given: {"template": "farewell"}, UnknownTemplate, "key.*farewell"),
    "no template": (lambda given: {"template": None}, UnknownTemplate, "not NoneType"),
    "an empty template": (lambda given: {"template": SmsTemplate()}, UnusableTemplate, "no (text|template code)"),
    "a text for a template": (
        lambda given: {"template": f"Your code is {CODE}", "params": {}},
        UnknownTemplate,
        "no SMS template",
    ),
    "a number for a template": (lambda given: {"template": NUMBER}, UnknownTemplate, "no SMS template"),
    "a missing variable": (lambda given: {"params": {}}, InvalidParams, "also needs: name"),
    "no variables": (lambda given: {"params": None}, InvalidParams, "also needs: name"),
    "an unknown variable": (
        lambda given: {"params": {"name": "Ada", "nmae": "Ada"}},
        InvalidParams,
        "nmae.*It takes: name",
    ),
    "an int for a value": (lambda given: {"params": {"name": 5}}, InvalidParams, "name.* must be a string, not int"),
    "None for a value": (lambda given: {"params": {"name": None}}, InvalidParams, "name.* must be a string"),
    "a lazy value": (lambda given: {"params": {"name": gettext_lazy("x")}}, InvalidParams, "must be a string"),
    # PostgreSQL stores neither, and its error repeats the row, number and all.
    "a NUL in a value": (lambda given: {"params": {"name": "a\0b"}}, InvalidParams, "name"),
    "half a character in a value": (lambda given: {"params": {"name": "\ud83d"}}, InvalidParams, "name"),
    "an unknown purpose": (
        lambda given: {"template": SmsTemplate(text="${name}", purpose="fun")},
        UnusableTemplate,
        "purpose|choice|template code",
    ),
    "an incomplete placeholder": (
        lambda given: {"template": SmsTemplate(text="${name} ${")},
        UnusableTemplate,
        "complete|template code",
    ),
    "a list of values": (lambda given: {"params": ["Ada"]}, InvalidParams, "dict of strings, not list"),
    "a very long value": (lambda given: {"params": {"name": "a" * 1601}}, InvalidParams, "1601 characters"),
    "a long text": (lambda given: {"params": {"name": "a" * 1600}}, InvalidParams, r"at most \d+"),
}


#: Of these, what is looked up in the database, or would be refused by one.
ASKED_OF_DATABASES = {
    "an unknown service",
    "an unknown template",
    "a text for a template",
    "a NUL in a value",
    "half a character in a value",
    "a very long value",
}


class TestWrongUse:
    @pytest.mark.parametrize("simulator", [AlibabaCloudSimulator, TwilioSimulator], indirect=True)
    @pytest.mark.parametrize(
        "wrong",
        [pytest.param(wrong, marks=[pytest.mark.databases] * (wrong in ASKED_OF_DATABASES)) for wrong in WRONG_USES],
    )
    def test_wrong_use_raises_before_anything_is_stored_or_sent(self, wrong, service, simulator, greeting):
        change, error, words = WRONG_USES[wrong]
        arguments = {"service": service, "phone_numbers": NUMBER, "template": greeting, "params": {"name": "Ada"}}
        arguments.update(change(SimpleNamespace(service=service)))
        with pytest.raises(error) as raised:
            send_message(**arguments)
        text = str(raised.value)
        assert re.search(words, text), text
        assert not re.search(r"\d{7}", text), "a full number"
        assert CODE not in text
        assert not SmsMessage.objects.exists()
        assert simulator.requests == []

    @pytest.mark.parametrize("purpose", [Purpose.OTP, "nonsense"])
    def test_a_purpose_is_refused_where_it_would_be_ignored(self, purpose, service, greeting):
        """Whoever calls a text a one-time code expects its variables to be unreadable at rest."""
        with pytest.raises((InvalidParams, UnknownTemplate, UnusableTemplate)):
            send_message(service, NUMBER, greeting, {"name": "Ada"}, purpose=purpose)

    @pytest.mark.parametrize("simulator", [AwsSnsSimulator, TwilioSimulator], indirect=True)
    def test_a_code_is_for_services_that_send_by_code(self, service, simulator):
        with pytest.raises(UnusableTemplate, match="sends texts, not template codes"):
            send_message(service, NUMBER, "SMS_123456", purpose=Purpose.OTP)
        assert simulator.requests == []

    def test_an_error_in_one_number_keeps_all_from_going_out(self, service, simulator, greeting):
        with pytest.raises(InvalidPhoneNumber, match="Phone number 3 of 3"):
            send_message(service, [NUMBER, OTHER_NUMBER, "911"], greeting, {"name": "Ada"})
        assert simulator.requests == []
        assert not SmsMessage.objects.exists()

    def test_what_a_provider_would_never_take_names_the_number_masked(self, alibaba_cloud, broker, db):
        service = create_service(alibaba_cloud)
        template = create_template(service)
        with pytest.raises(InvalidParams, match=r"^\+86 138\*\*\*\*0000: .*35 characters"):
            send_message(service, [NUMBER, "+8613800000000"], template, {"name": "a" * 36})
        with pytest.raises(InvalidParams, match="link"):
            send_message(service, "+8613800000000", template, {"name": "https://example.com"})
        assert alibaba_cloud.requests == []


class TestTransactions:
    @pytest.mark.databases
    def test_an_open_transaction_is_refused(self, service, simulator, greeting):
        with pytest.raises(OpenTransaction, match="queue_message"), transaction.atomic():
            send_message(service, NUMBER, greeting, {"name": "Ada"})
        assert simulator.requests == []
        assert not SmsMessage.objects.exists()

    @pytest.mark.databases
    def test_a_connection_that_does_not_commit_by_itself_is_refused(self, transactional_db, sandbox):
        """Every statement is part of a transaction then, whose rollback would forget the text."""
        template = create_template()
        transaction.set_autocommit(False)
        try:
            with pytest.raises(OpenTransaction):
                send_message(sandbox, NUMBER, template, {"name": "Ada"})
        finally:
            transaction.rollback()
            transaction.set_autocommit(True)

    def test_a_refusal_does_not_break_the_callers_transaction(self, sandbox):
        with transaction.atomic():
            template = create_template()
            with pytest.raises(OpenTransaction):
                send_message(sandbox, NUMBER, template, {"name": "Ada"})
        assert SmsTemplate.objects.get() == template

    @pytest.mark.databases
    def test_the_row_is_committed_before_the_provider_is_called(self, transactional_db, sandbox):
        template = create_template()
        (message,) = send_message(sandbox, NUMBER, template, {"name": "Ada"})
        assert not connection.in_atomic_block
        assert SmsMessage.objects.get(pk=message.pk).status == MessageStatus.SENT


class TestSignals:
    def test_each_outcome_is_told_once(self, service, simulator, greeting, heard):
        simulator.refuse_numbers({OTHER_NUMBER: RECIPIENT_CODES[provider_name(simulator)]})
        sent, failed = send_message(service, [NUMBER, OTHER_NUMBER], greeting, {"name": "Ada"})
        assert (heard.sent, heard.failed) == ([sent], [failed])
        assert [message.status for message in (*heard.sent, *heard.failed)] == ["sent", "failed"]

    def test_what_is_tried_again_or_in_doubt_is_not_told(self, service, simulator, greeting, heard):
        simulator.fail(Fault.THROTTLED, times=1)
        simulator.fail(Fault.RESET_AFTER_ACCEPTING, times=1)
        send_message(service, NUMBER, greeting, {"name": "Ada"})
        send_message(service, NUMBER, greeting, {"name": "Ada"})
        assert (heard.sent, heard.failed) == ([], [])

    @pytest.mark.databases
    @pytest.mark.parametrize(("number", "signal"), [(NUMBER, message_sent), ("+12065550151", message_failed)])
    def test_signals_come_after_the_commit(self, transactional_db, sandbox, number, signal):
        template = create_template()
        seen = []

        def receive(sender, message, **kwargs):
            seen.append((sender, connection.in_atomic_block, SmsMessage.objects.get(pk=message.pk).status))

        signal.connect(receive)
        try:
            (message,) = send_message(sandbox, number, template, {"name": "Ada"})
        finally:
            signal.disconnect(receive)
        assert seen == [(SmsMessage, False, message.status)]

    def test_a_failing_receiver_harms_nobody(self, service, simulator, greeting, heard, caplog):
        def fail(**kwargs):
            raise ZeroDivisionError

        message_sent.connect(fail)
        try:
            messages = send_message(service, [NUMBER, OTHER_NUMBER], greeting, {"name": "Ada"})
        finally:
            message_sent.disconnect(fail)
        assert [message.status for message in messages] == ["sent", "sent"]
        assert heard.sent == messages
        assert "ZeroDivisionError" in caplog.text


class TestLog:
    def test_every_outcome_is_one_structured_line(self, service, simulator, greeting, caplog):
        caplog.set_level(logging.INFO, "sms_services")
        code = RECIPIENT_CODES[provider_name(simulator)]
        simulator.refuse_numbers({OTHER_NUMBER: code})
        sent, failed = send_message(service, [NUMBER, OTHER_NUMBER], greeting, {"name": "Ada"})
        first, second = (record for record in caplog.records if record.name == "sms_services")
        assert (first.levelno, second.levelno) == (logging.INFO, logging.WARNING)
        assert first.getMessage() == (
            f"sms.sent message={sent.pk} service={service.key} number=+1 206****0123 purpose=notification tries=1 "
            "kind= code="
        )
        assert (second.sms_message, second.sms_service, second.sms_number) == (failed.pk, service.key, "+1 206****0124")
        assert (second.sms_kind, second.sms_code) == ("recipient", code)
