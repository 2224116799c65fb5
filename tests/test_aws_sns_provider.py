"""Amazon SNS: boto3 itself against the simulator, and once against moto's server."""

import os
import sys
from dataclasses import replace

import pytest

pytest.register_assert_rewrite("tests.provider_contract")

from sms_services.choices import ErrorKind, Outcome, Purpose  # noqa: E402
from sms_services.exceptions import MissingSDK  # noqa: E402
from sms_services.providers.aws_sns import AwsSnsConfiguration, AwsSnsProvider, available_regions  # noqa: E402
from sms_services.providers.aws_sns_errors import CONNECTION_ERRORS, ERRORS, SERVICE_ERRORS  # noqa: E402
from tests.provider_contract import NUMBER, TEXT, ProviderContract, message, secret  # noqa: E402
from tests.simulators import AwsSnsSimulator, Fault  # noqa: E402


class TestAwsSns(ProviderContract):
    provider_class = AwsSnsProvider
    simulator_class = AwsSnsSimulator
    sdk = ("boto3", "botocore", "urllib3", "requests")
    request_errors = SERVICE_ERRORS
    connection_errors = CONNECTION_ERRORS
    unmapped_code = "SomethingNew"

    def configuration(self, simulator, **changes):
        given = dict(simulator.credentials)
        values = {
            "access_key": given["access_key"],
            "secret_key": secret(changes.pop("secret", given["secret_key"])),
            "region": given["region"],
            "endpoint_url": simulator.url,
        }
        return AwsSnsConfiguration(**{**values, **changes})

    def secret_of(self, simulator):
        return simulator.credentials["secret_key"]

    def call_the_sdk(self, provider):
        provider.client.publish(PhoneNumber=NUMBER, Message=TEXT)

    # Sending

    @pytest.mark.parametrize("purpose", list(Purpose))
    def test_marketing_is_promotional_and_everything_else_transactional(self, simulator, provider, purpose):
        provider.send([message(purpose=purpose)], "reference")
        expected = "Promotional" if purpose == Purpose.MARKETING else "Transactional"
        assert simulator.journal[0].attributes == {"AWS.SNS.SMS.SMSType": expected}

    def test_the_request_id_is_kept(self, simulator, provider):
        accepted = provider.send([message()], "reference")[0]
        simulator.refuse("OptedOut", times=1)
        refused = provider.send([message()], "reference")[0]
        assert accepted.request_id
        assert refused.request_id
        assert accepted.request_id != refused.request_id

    def test_an_answer_without_a_message_id_is_uncertain(self, simulator, provider, monkeypatch):
        monkeypatch.setattr(simulator, "_publish", lambda parameters: "")
        (result,) = provider.send([message()], "reference")
        assert (result.outcome, result.code) == (Outcome.UNCERTAIN, "MissingMessageId")
        assert result.request_id

    # Errors

    @pytest.mark.parametrize("code", list(SERVICE_ERRORS))
    def test_every_code_has_its_kind_outcome_and_advice(self, simulator, provider, code):
        simulator.refuse(code)
        (result,) = provider.send([message()], "reference")
        entry, own_failure = ERRORS[code], code in {"InternalError", "InternalFailure", "ServiceUnavailable"}
        outcome = Outcome.NOT_SENT if entry.retry else Outcome.UNCERTAIN if own_failure else Outcome.REFUSED
        assert (result.outcome, result.error_kind, result.code) == (outcome, entry.kind, code)
        assert str(provider.advice_for(code))
        assert len(simulator.requests) == 1

    @pytest.mark.parametrize(
        ("detail", "kind"),
        [
            (f"Invalid parameter: PhoneNumber Reason: {NUMBER} is not valid to publish to", ErrorKind.RECIPIENT),
            ("Invalid parameter: Empty message", ErrorKind.TEMPLATE),
            ("Invalid parameter: Message too long", ErrorKind.TEMPLATE),
            ("Invalid parameter: MessageAttributes Reason: bad", ErrorKind.RECIPIENT),
        ],
    )
    def test_an_invalid_parameter_is_the_recipients_or_the_templates(self, simulator, provider, detail, kind):
        simulator.refuse("InvalidParameter", message=detail)
        (result,) = provider.send([message()], "reference")
        assert (result.outcome, result.error_kind) == (Outcome.REFUSED, kind)
        assert NUMBER not in result.detail

    def test_throttling_with_a_server_error_is_not_sent(self, simulator, provider):
        simulator.refuse("ThrottlingException", status=503)
        (result,) = provider.send([message()], "reference")
        assert (result.outcome, result.error_kind) == (Outcome.NOT_SENT, ErrorKind.THROTTLED)

    def test_what_botocore_itself_refuses_is_refused_without_a_request(self, simulator, provider):
        client = provider.client
        result = provider.attempt(lambda: client.publish(PhoneNumber=12065550123, Message=TEXT), lambda response: None)
        assert (result.outcome, result.code, result.detail) == (Outcome.REFUSED, "ParamValidationError", "")
        assert simulator.requests == []

    # The environment

    def test_only_the_configuration_counts(self, simulator, monkeypatch, tmp_path):
        profile = tmp_path / "config"
        profile.write_text("[default]\nregion = eu-west-1\nendpoint_url = http://127.0.0.1:9\nmax_attempts = 9\n")
        for name, value in {
            "AWS_CONFIG_FILE": str(profile),
            "AWS_SHARED_CREDENTIALS_FILE": str(profile),
            "AWS_PROFILE": "no-such-profile",
            "AWS_ACCESS_KEY_ID": "somebody-else",
            "AWS_SECRET_ACCESS_KEY": "somebody-else",
            "AWS_SESSION_TOKEN": "somebody-else",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_ENDPOINT_URL_SNS": "http://127.0.0.1:9",
            "AWS_MAX_ATTEMPTS": "5",
            "AWS_RETRY_MODE": "adaptive",
            "AWS_DEFAULTS_MODE": "auto",
        }.items():
            monkeypatch.setenv(name, value)
        provider = self.build(simulator)
        assert provider.send([message()], "reference")[0].outcome is Outcome.ACCEPTED
        simulator.clear()
        simulator.fail(Fault.SERVER_ERROR)
        assert provider.send([message()], "reference")[0].outcome is Outcome.UNCERTAIN
        assert len(simulator.requests) == 1
        assert self.build(simulator, endpoint_url="").client.meta.endpoint_url == "https://sns.us-east-1.amazonaws.com"

    def test_no_file_of_the_users_aws_configuration_is_opened(self, simulator, monkeypatch, tmp_path):
        monkeypatch.setenv("HOME", str(tmp_path))
        directory = tmp_path / ".aws"
        directory.mkdir()
        for name in ("config", "credentials"):
            (directory / name).write_text("[default]\n")
        opened = []
        watching = [True]

        def audit(event, arguments):
            if watching[0] and event == "open" and isinstance(arguments[0], str | os.PathLike):
                opened.append(str(arguments[0]))

        sys.addaudithook(audit)
        self.build(simulator).send([message()], "reference")
        watching[0] = False
        assert opened
        assert [path for path in opened if str(directory) in path] == []

    def test_available_regions_are_those_of_the_sdk(self):
        regions = available_regions()
        assert {"us-east-1", "eu-west-1", "ap-southeast-1"} <= regions
        assert "us-nowhere-1" not in regions

    def test_regions_of_a_missing_sdk_name_the_extra(self, monkeypatch):
        available_regions.cache_clear()
        monkeypatch.setitem(sys.modules, "botocore.session", None)
        with pytest.raises(MissingSDK, match=r"django-sms-services\[aws-sns\]"):
            available_regions()

    # Verifying

    def test_verifying_shows_the_spending_limit(self, simulator, provider):
        shown = {str(name): value for name, value in provider.verify().details}
        assert shown == {"Monthly spending limit": "1 USD", "Default SMS type": "Transactional"}

    def test_verifying_tells_of_the_sandbox(self, simulator, provider, monkeypatch):
        perform = simulator.perform

        def with_sandbox(request):
            if request.action != "GetSMSSandboxAccountStatus":
                return perform(request)
            monkeypatch.setattr(simulator, "_get_sms_attributes", lambda parameters: "<IsInSandbox>true</IsInSandbox>")
            reply = perform(replace(request, action="GetSMSAttributes"))
            body = reply.body.replace(b"GetSMSAttributes", b"GetSMSSandboxAccountStatus")
            return replace(reply, body=body)

        monkeypatch.setattr(simulator, "perform", with_sandbox)
        shown = {str(name): value for name, value in provider.verify().details}
        assert shown["SMS sandbox"].startswith("Yes")

    def test_a_key_that_may_not_read_the_settings_is_told_which_permission_it_lacks(self, simulator, provider):
        simulator.refuse("AuthorizationError", actions=["GetSMSAttributes"])
        verification = provider.verify()
        assert (verification.ok, verification.error_kind) == (False, ErrorKind.CREDENTIALS)
        assert "sns:GetSMSAttributes" in str(verification.advice)
        assert "sns:Publish" in str(verification.advice)

    def test_an_unknown_access_key_is_told(self, simulator):
        verification = self.build(simulator, access_key="AKIAUNKNOWN").verify()
        assert (verification.ok, verification.code) == (False, "InvalidClientTokenId")

    # What is never taken

    def test_the_limit_is_in_bytes(self, simulator, provider):
        assert provider.problem_with(message(text="验" * 533)) is None
        assert "1602" in provider.problem_with(message(text="验" * 534)).replace(",", "")

    @pytest.mark.parametrize("character", ["\x00", "\x0c", "\x1b", "\ud83d", "\ufffe", "\uffff"])
    def test_characters_outside_xml_are_a_problem(self, provider, character):
        assert f"U+{ord(character):04X}" in provider.problem_with(message(text=f"a{character}"))

    @pytest.mark.parametrize("text", ["a\tb\r\nc", "\ue000\ufffd", "😀\U0010ffff"])
    def test_other_characters_are_none(self, provider, text):
        assert provider.problem_with(message(text=text)) is None


@pytest.fixture(scope="module")
def moto_url():
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class TestAgainstMoto:
    """moto's emulation of SNS, written by others than our simulator's."""

    @pytest.fixture
    def provider(self, moto_url, monkeypatch):
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.delenv(name, raising=False)
        return AwsSnsProvider(
            AwsSnsConfiguration("AKIAIOSFODNN7EXAMPLE", secret("moto-takes-any"), "us-east-1", endpoint_url=moto_url)
        )

    def test_publish_and_settings_work(self, provider):
        first, second = provider.send([message(), message("+8613800001234", "验证码 904417")], "reference")
        assert (first.outcome, second.outcome) == (Outcome.ACCEPTED, Outcome.ACCEPTED)
        assert first.message_id != second.message_id
        provider.client.set_sms_attributes(attributes={"MonthlySpendLimit": "25"})
        verification = provider.verify()
        assert verification.ok
        assert ("Monthly spending limit", "25 USD") in [(str(name), value) for name, value in verification.details]

    def test_motos_refusals_are_understood(self, provider):
        (result,) = provider.send([message("0")], "reference")
        assert (result.outcome, result.error_kind) == (Outcome.REFUSED, ErrorKind.RECIPIENT)
        assert result.code == "InvalidParameter"
