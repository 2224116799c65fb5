"""Every failure of a provider, with every logger at DEBUG: no number, text, code or credential is told to anybody."""

import logging
import re
from collections.abc import Iterator, Sequence

import pytest

from sms_services.api import send_message
from sms_services.choices import MessageStatus
from sms_services.delivery.reconciling import reconcile
from sms_services.delivery.sweeping import sweep
from sms_services.exceptions import SmsError
from sms_services.models import SmsAttempt, SmsMessage
from sms_services.providers import get_provider
from sms_services.providers.cache import forget_providers
from sms_services.signals import message_sent
from sms_services.tasks import deliver_messages
from tests.services_under_test import NUMBER, OTHER_NUMBER, create_service, due
from tests.simulators import AlibabaCloudSimulator, AwsSnsSimulator, Fault, TwilioSimulator

pytest_plugins = ["tests.services_under_test"]

MAINLAND = "+8613800000123"
#: Harder to tell from the words around it than digits are.
CODE = "Zq7Kx9"
TEXT = f"Your code is {CODE}."
WRONG_SECRET = "wrong-secret-Xq81kd"
#: Refusals of each kind by provider, and a code that is in no table.
REFUSALS = {
    AlibabaCloudSimulator: [
        "isv.MOBILE_NUMBER_ILLEGAL", "isv.SMS_TEMPLATE_ILLEGAL", "isv.AMOUNT_NOT_ENOUGH", "isv.BUSINESS_LIMIT_CONTROL",
        "SignatureDoesNotMatch", "Throttling.User", "isv.NEVER_HEARD_OF",
    ],
    AwsSnsSimulator: [
        "InvalidParameter", "OptedOut", "AuthorizationError", "SignatureDoesNotMatch", "Throttling", "NeverHeardOf",
    ],
    TwilioSimulator: ["21211", "21610", "21617", "20003", "20429", "29999"],
}  # fmt: skip


class Told:
    """Everything that was logged: lines, arguments, extras, tracebacks."""

    def __init__(self) -> None:
        self.records: list[logging.LogRecord] = []

    def text(self) -> str:
        plain = logging.LogRecord("", 0, "", 0, "", (), None)
        lines = []
        for record in self.records:
            lines += [
                record.name,
                record.getMessage(),
                repr(record.args),
                record.exc_text or "",
                record.stack_info or "",
            ]
            if record.exc_info and record.exc_info[1]:
                lines += chain_of(record.exc_info[1])
            lines += [f"{name}={value!r}" for name, value in vars(record).items() if name not in vars(plain)]
        return "\n".join(lines)


def chain_of(error: BaseException | None) -> Iterator[str]:
    """An exception and what it came from, as a log would print them."""
    while error is not None:
        yield repr(error)
        yield str(error)
        error = error.__cause__ or error.__context__


@pytest.fixture
def told() -> Iterator[Told]:
    """Listens to all loggers at DEBUG, also to those that have a level of their own."""
    told = Told()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.records.append(record)

    handler = Handler(logging.DEBUG)
    root = logging.getLogger()
    loggers = [root, *(item for item in root.manager.loggerDict.values() if isinstance(item, logging.Logger))]
    levels = [(logger, logger.level) for logger in loggers]
    for logger in loggers[1:]:
        logger.setLevel(logging.NOTSET)
    root.setLevel(logging.DEBUG)
    root.addHandler(handler)
    yield told
    root.removeHandler(handler)
    for logger, level in levels:
        logger.setLevel(level)


def rows() -> str:
    """What stands in the rows beside the message itself: what was learnt about it."""
    columns = ("error_kind", "provider_code", "provider_detail", "provider_request_id", "provider_message_id")
    lines = [repr(row) for row in SmsMessage.objects.values_list(*columns)]
    lines += [repr(row) for row in SmsAttempt.objects.values_list(*columns[:4])]
    return "\n".join(lines)


def notations(number: str) -> list[str]:
    """A number as it is, without plus, as in a URL, without its country code, and as people write it."""
    national = number.removeprefix("+1").removeprefix("+86")
    return [number, number[1:], f"%2B{number[1:]}", national, f"{national[:3]}-{national[3:6]}-{national[6:]}"]


def credentials(simulator) -> list[str]:
    """What opens the account: its secret, and its key's id."""
    public = {"verify_sign", "region", "from_number"}
    return [value for name, value in simulator.credentials.items() if name not in public]


def assert_nothing_leaked(told: str, simulator, numbers: Sequence[str] = (NUMBER, OTHER_NUMBER, MAINLAND)) -> None:
    for number in numbers:
        for notation in notations(number):
            assert notation not in told, notation
    for secret in (CODE, TEXT, TEXT.replace(" ", "+"), TEXT.replace(" ", "%20"), WRONG_SECRET, *credentials(simulator)):
        assert secret not in told, secret
    assert not re.search(r"\bauthorization\b", told, re.IGNORECASE)


@pytest.fixture
def everything_told(told, broker, simulator, db):
    """Fails the test if anything leaked into a log line, a row or a task."""
    yield
    tasks = "\n".join(task.raw for queue in ("sms", "sms-codes") for task in broker.take(queue))
    assert "sms_services" in told.text(), "nothing was logged"
    assert_nothing_leaked("\n".join([told.text(), rows(), tasks]), simulator)


@pytest.fixture(autouse=True)
def _short_waits(sms_settings):
    sms_settings(READ_TIMEOUT=0.3, CONNECT_TIMEOUT=0.5, RECONCILE_DELAYS=(0.0, 0.0), RETRY_DELAY=0.1)


@pytest.mark.usefixtures("everything_told")
class TestLeaks:
    @pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name)
    def test_no_fault_tells_anything(self, fault, service, simulator, otp):
        simulator.fail(fault, seconds=0.6)
        messages = send_message(service, [NUMBER, MAINLAND], otp, {"code": CODE})
        simulator.clear()
        due(messages)
        sweep()
        deliver_messages([message.pk for message in messages])
        reconcile([message.pk for message in messages])

    @pytest.mark.parametrize(
        "fault", [fault for fault in Fault if fault is not Fault.SLOW], ids=lambda fault: fault.name
    )
    def test_no_failed_look_up_tells_anything(self, fault, service, simulator, otp):
        simulator.fail(Fault.RESET_AFTER_ACCEPTING, times=1)
        (message,) = send_message(service, NUMBER, otp, {"code": CODE})
        simulator.fail(fault, actions=["QuerySendDetails", "ListMessage"], seconds=0.1)
        reconcile([message.pk])

    @pytest.mark.parametrize("number", [NUMBER, MAINLAND], ids=["abroad", "mainland"])
    def test_no_refusal_tells_anything(self, number, service, simulator, otp):
        """Also where the provider repeats what it got, in whatever notation."""
        for code in REFUSALS[type(simulator)]:
            echo = f"{' '.join(notations(number))} {TEXT} {CODE}"
            for words in (None, f"Refused: {echo}"):
                simulator.refuse(code, times=1, message=words)
                (message,) = send_message(service, number, otp, {"code": CODE})
                assert message.status in {MessageStatus.FAILED, MessageStatus.QUEUED}

    def test_a_closed_port_tells_nothing(self, service, simulator, otp):
        simulator.stop()
        send_message(service, [NUMBER, MAINLAND], otp, {"code": CODE})
        get_provider(service).verify()

    def test_an_address_where_nobody_ever_was_tells_nothing(self, service, simulator, otp, sms_settings):
        sms_settings(ENDPOINT_URLS=dict.fromkeys(("alibaba_cloud", "aws_sns", "twilio"), "http://127.0.0.1:1"))
        send_message(service, NUMBER, otp, {"code": CODE})

    def test_a_wrong_secret_tells_nothing(self, service, simulator, otp):
        setattr(service, service.secret_field, WRONG_SECRET)
        service.save()
        send_message(service, [NUMBER, MAINLAND], otp, {"code": CODE})
        get_provider(service).verify()

    def test_success_tells_nothing(self, service, simulator, otp):
        send_message(service, [NUMBER, OTHER_NUMBER, MAINLAND], otp, {"code": CODE})
        get_provider(service).verify()

    def test_wrong_use_tells_nothing(self, service, simulator, otp):
        for arguments in (
            (service, "+1 206 555 0123 ext. 9", otp, {"code": CODE}),
            (service, [NUMBER, "+120655501234567"], otp, {"code": CODE}),
            (service, NUMBER, otp, {"code": CODE, "more": TEXT}),
            (service, NUMBER, TEXT, {}),
            (service, NUMBER, NUMBER, {}),
            (NUMBER, service.key, otp, {"code": CODE}),
            (service, NUMBER, otp, {"code": CODE * 400}),
        ):
            with pytest.raises(SmsError) as raised:
                send_message(*arguments)
            assert_nothing_leaked("\n".join(chain_of(raised.value)), simulator)
        send_message(service, NUMBER, otp, {"code": CODE})

    def test_a_receiver_that_fails_tells_nothing(self, service, simulator, otp):
        def fail(**kwargs):
            raise ZeroDivisionError

        message_sent.connect(fail)
        try:
            send_message(service, NUMBER, otp, {"code": CODE})
        finally:
            message_sent.disconnect(fail)


def test_the_sdks_do_log_outside_of_our_calls(simulator, broker, told, db):
    """What this suite listens to is where the SDKs talk, and we silence them only while we use them."""
    service = create_service(simulator)
    provider = get_provider(service)
    client = provider.client
    try:
        if isinstance(simulator, AlibabaCloudSimulator):
            from alibabacloud_dysmsapi20170525 import models

            client.query_sms_sign_list(models.QuerySmsSignListRequest())
        elif isinstance(simulator, AwsSnsSimulator):
            client.get_sms_attributes()
        else:
            client.api.account.fetch()
    finally:
        forget_providers()
    assert "urllib3" in told.text()
