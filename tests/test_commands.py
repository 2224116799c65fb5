"""`send_sms` and `check_sms_services`."""

import io
import re

import pytest
from django.core.management import CommandError, call_command, execute_from_command_line

from sms_services.choices import MessageStatus, Purpose
from sms_services.models import SandboxSms, SmsMessage
from tests.services_under_test import (
    CODE,
    NUMBER,
    OTHER_NUMBER,
    RECIPIENT_CODES,
    create_service,
    create_template,
    foreign_secret,
    provider_name,
)
from tests.simulators import Fault

pytest_plugins = ["tests.services_under_test"]


def run(name: str, *arguments: str) -> str:
    """What a command prints; a refusal is a `CommandError`."""
    out = io.StringIO()
    call_command(name, *arguments, stdout=out, no_color=True)
    return out.getvalue()


def run_and_fail(name: str, *arguments: str, match: str) -> str:
    out = io.StringIO()
    with pytest.raises(CommandError, match=match):
        call_command(name, *arguments, stdout=out, no_color=True)
    return out.getvalue()


class TestSendSms:
    def test_it_sends_a_template_and_shows_a_table(self, service, simulator, greeting):
        table = run(
            "send_sms", service.key, "(206) 555-0123", OTHER_NUMBER, "--template", "greeting", "--var", "name=Ada"
        )
        assert [accepted.text for accepted in simulator.journal] == ["Hello Ada"] * 2
        header, *lines = table.splitlines()
        assert header.split() == ["number", "status", "kind", "code", "what", "to", "do"]
        assert [line.split() for line in lines] == [["+1", "206****0123", "sent"], ["+1", "206****0124", "sent"]]

    def test_a_refusal_is_a_line_with_advice_and_a_non_zero_exit(self, service, simulator, greeting):
        code = RECIPIENT_CODES[provider_name(simulator)]
        simulator.refuse_numbers({OTHER_NUMBER: code})
        table = run_and_fail(
            "send_sms", service.key, NUMBER, OTHER_NUMBER, "--template", "greeting", "--var", "name=Ada",
            match="^1 of 2 messages",
        )  # fmt: skip
        sent, failed = table.splitlines()[1:]
        assert "sent" in sent
        assert re.match(rf"\+1 206\*{{4}}0124 +failed +recipient +{re.escape(code)} +[A-Z].*\.$", failed)

    def test_doubt_exits_non_zero_too(self, service, simulator, greeting):
        simulator.fail(Fault.RESET_AFTER_ACCEPTING)
        table = run_and_fail(
            "send_sms", service.key, NUMBER, "--template", "greeting", "--var", "name=Ada", match="in doubt"
        )
        assert "unknown" in table

    def test_a_text_needs_no_template(self, sandbox):
        run("send_sms", "sandbox", NUMBER, "--text", "Hello ${name}, 1=1", "--var", "name=a=b")
        message = SmsMessage.objects.get()
        assert (message.status, message.purpose, message.template) == ("sent", Purpose.NOTIFICATION, None)
        assert message.outgoing().text == "Hello a=b, 1=1"

    def test_a_text_has_the_purpose_that_it_is_given(self, sandbox):
        run("send_sms", "sandbox", NUMBER, "--text", "${code}", "--var", f"code={CODE}", "--purpose", "otp")
        message = SmsMessage.objects.get()
        assert (message.purpose, message.params) == (Purpose.OTP, {})

    def test_a_bare_code_needs_a_purpose(self, alibaba_cloud, broker, db):
        create_service(alibaba_cloud)
        arguments = ("send_sms", "alibaba-cloud", NUMBER, "--template", "SMS_100001", "--var", f"code={CODE}")
        run_and_fail(*arguments, match="purpose")
        run(*arguments, "--purpose", "otp")
        assert alibaba_cloud.journal[0].template_code == "SMS_100001"

    def test_it_queues(self, sandbox, broker, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            table = run("send_sms", "sandbox", NUMBER, "--text", "Hello", "--queue")
        assert "queued" in table
        assert SmsMessage.objects.get().status == MessageStatus.QUEUED
        assert broker.work() == 1
        assert SmsMessage.objects.get().status == MessageStatus.SENT

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["nowhere", NUMBER, "--text", "x"], "Known keys: sandbox"),
            (["sandbox", "12", "--text", "x"], "not a valid phone number"),
            (["sandbox", NUMBER, "--template", "nothing"], "nothing"),
            (["sandbox", NUMBER, "--template", "greeting"], "also needs: name"),
            (["sandbox", NUMBER, "--text", "${name}"], "also needs: name"),
            (["sandbox", NUMBER, "--text", "x", "--var", "name"], "NAME=VALUE"),
            (["sandbox", NUMBER, "--text", "x", "--var", "name=Ada"], "name"),
            (["sandbox", NUMBER, "--template", "SMS_1"], "template codes"),
            (["sandbox", NUMBER, "--text", ""], "template|text"),
            (["sandbox", NUMBER, "--text", "Hello ${name"], "complete"),
            (["sandbox", NUMBER], "--template --text is required"),
            (["sandbox", "--text", "x"], "required: numbers|numbers"),
            (["sandbox", NUMBER, "--text", "x", "--template", "greeting"], "not allowed with"),
            (["sandbox", NUMBER, "--text", "x", "--purpose", "fun"], "invalid choice"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_wrong_use_is_told_in_one_line(self, sandbox, arguments, words):
        create_template()
        run_and_fail("send_sms", *arguments, match=words)
        assert not SmsMessage.objects.exists()

    def test_an_inactive_service_is_refused(self, sandbox):
        SandboxSms.objects.update(is_active=False)
        run_and_fail("send_sms", "sandbox", NUMBER, "--text", "x", match="deactivated")

    def test_a_wrong_key_is_told_in_one_line(self, twilio, broker, db):
        service = create_service(twilio)
        type(service).objects.update(auth_token=foreign_secret())
        run_and_fail("send_sms", "twilio", NUMBER, "--text", "x", match="ENCRYPTION_KEYS")


class TestCheckSmsServices:
    def test_right_credentials_are_right_and_nothing_is_sent(self, service, simulator):
        out = run("check_sms_services")
        assert f"{service.key}: OK" in out
        assert "1 service" in out
        assert simulator.journal == []

    def test_the_balance_is_shown(self, twilio, broker, db):
        create_service(twilio)
        assert "Balance: 42.50 USD" in run("check_sms_services")

    def test_a_wrong_secret_is_told_with_code_and_advice_and_a_non_zero_exit(self, simulator, broker, db):
        right = create_service(simulator, key="right")
        create_service(simulator, key="wrong", **{right.secret_field: "not-the-secret"})
        out = run_and_fail("check_sms_services", match="^1 of 2 services")
        assert "right: OK" in out
        (line,) = (line for line in out.splitlines() if line.startswith("wrong:"))
        assert "not-the-secret" not in line
        assert line.endswith(".")

    def test_a_closed_port_is_told(self, service, simulator):
        simulator.stop()
        out = run_and_fail("check_sms_services", match="^1 of 1 services")
        assert f"{service.key}: " in out

    def test_one_broken_service_hides_no_other(self, simulator, broker, db):
        right = create_service(simulator, key="right", name="Z")
        broken = create_service(simulator, key="broken", name="A")
        type(broken).objects.filter(pk=broken.pk).update(**{broken.secret_field: foreign_secret()})
        out = run_and_fail("check_sms_services", match="^1 of 2 services")
        assert f"{right.key}: OK" in out
        assert "broken: A stored secret cannot be decrypted" in out

    def test_inactive_services_are_left_out(self, simulator, broker, db):
        service = create_service(simulator)
        create_service(simulator, key="off", is_active=False)
        out = run("check_sms_services")
        assert f"{service.key}: OK" in out
        assert "off" not in out
        run_and_fail("check_sms_services", "off", match="off")

    def test_only_the_named_ones_are_asked(self, simulator, broker, db):
        create_service(simulator, key="one")
        create_service(simulator, key="two")
        out = run("check_sms_services", "two")
        assert "two: OK" in out
        assert "one" not in out
        run_and_fail("check_sms_services", "two", "three", match="three")


@pytest.mark.parametrize("name", ["send_sms", "check_sms_services", "reencrypt_sms_secrets"])
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as ended:
        execute_from_command_line(["manage.py", name, "--help"])
    assert ended.value.code == 0
    assert f"usage: manage.py {name}" in capsys.readouterr().out
