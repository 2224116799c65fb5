"""The simulators, against the vendors' real SDKs: what a test proves with them is worth what they are."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import boto3
import pytest
from alibabacloud_dysmsapi20170525 import models
from alibabacloud_dysmsapi20170525.client import Client as AlibabaCloudClient
from alibabacloud_tea_openapi.utils_models import Config as AlibabaCloudConfig
from botocore.config import Config as BotoConfig
from botocore.exceptions import ClientError
from darabonba.exceptions import DaraException
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client as TwilioClient

from tests.simulators import (
    AlibabaCloudSimulator,
    AwsSnsSimulator,
    Fault,
    Request,
    Sign,
    Simulator,
    Template,
    TwilioSimulator,
)
from tests.simulators.alibaba_cloud import DELIVERED, FAILED, WAITING

US = [f"+120655501{n:02}" for n in range(100)]
CHINA = [f"+861380000{n:04}" for n in range(100)]


def alibaba_cloud_client(sim: Simulator, timeout: float = 3, **credentials: str) -> AlibabaCloudClient:
    account = sim.credentials | credentials
    return AlibabaCloudClient(
        AlibabaCloudConfig(
            access_key_id=account["access_key"],
            access_key_secret=account["access_secret"],
            endpoint=sim.url.removeprefix("http://"),
            protocol="http",
            connect_timeout=int(timeout * 1000),
            read_timeout=int(timeout * 1000),
        )
    )


@cache
def boto3_session() -> boto3.session.Session:
    return boto3.session.Session()


def aws_sns_client(sim: Simulator, timeout: float = 3, **credentials: str) -> Any:
    account = sim.credentials | credentials
    return boto3_session().client(
        "sns",
        aws_access_key_id=account["access_key"],
        aws_secret_access_key=account["secret_key"],
        region_name=account["region"],
        endpoint_url=sim.url,
        config=BotoConfig(retries={"total_max_attempts": 1}, connect_timeout=timeout, read_timeout=timeout),
    )


def twilio_client(sim: Simulator, timeout: float = 3, **credentials: str) -> TwilioClient:
    account = sim.credentials | credentials
    client = TwilioClient(account["account_sid"], account["auth_token"], http_client=TwilioHttpClient(timeout=timeout))
    client.api.base_url = sim.url
    return client


def send_by_alibaba_cloud(client: AlibabaCloudClient, number: str) -> str:
    body = client.send_sms(
        models.SendSmsRequest(
            phone_numbers=number.removeprefix("+"),
            sign_name="示例公司",
            template_code="SMS_100000001",
            template_param='{"code": "1 +%/~é码"}',
            out_id="out-1",
        )
    ).body
    if body.code != "OK":
        raise DaraException({"code": body.code})
    return body.biz_id


def send_by_aws_sns(client: Any, number: str) -> str:
    return client.publish(PhoneNumber=number, Message="Your code is 1 +%/~é码")["MessageId"]


def send_by_twilio(client: TwilioClient, number: str) -> str | None:
    return client.messages.create(to=number, from_="+12065550100", body="Your code is 1 +%/~é码").sid


@dataclass(frozen=True)
class Provider:
    """How the tests that hold for all providers talk to one of them."""

    simulator: type[Simulator]
    client: Callable[..., Any]
    send: Callable[[Any, str], str | None]
    numbers: list[str]
    error_code: Callable[[Exception], str]
    wrong_key: dict[str, str]
    unknown_key_code: str
    wrong_secret: dict[str, str]
    wrong_secret_code: str
    refusal_code: str
    throttling_code: str


PROVIDERS = {
    "alibaba_cloud": Provider(
        AlibabaCloudSimulator, alibaba_cloud_client, send_by_alibaba_cloud, CHINA,
        error_code=lambda error: error.code,
        wrong_key={"access_key": "LTAI-unknown"}, unknown_key_code="InvalidAccessKeyId.NotFound",
        wrong_secret={"access_secret": "wrong"}, wrong_secret_code="SignatureDoesNotMatch",
        refusal_code="isv.AMOUNT_NOT_ENOUGH", throttling_code="Throttling.User",
    ),
    "aws_sns": Provider(
        AwsSnsSimulator, aws_sns_client, send_by_aws_sns, US,
        error_code=lambda error: error.response["Error"]["Code"],
        wrong_key={"access_key": "AKIA-unknown"}, unknown_key_code="InvalidClientTokenId",
        wrong_secret={"secret_key": "wrong"}, wrong_secret_code="SignatureDoesNotMatch",
        refusal_code="AuthorizationError", throttling_code="Throttling",
    ),
    "twilio": Provider(
        TwilioSimulator, twilio_client, send_by_twilio, US,
        error_code=lambda error: str(error.code),
        wrong_key={"account_sid": "AC" + "0" * 32}, unknown_key_code="20003",
        wrong_secret={"auth_token": "wrong"}, wrong_secret_code="20003",
        refusal_code="21610", throttling_code="20429",
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alibaba Cloud's SDK sends everything to a proxy of the environment and ignores NO_PROXY."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> Provider:
    return PROVIDERS[request.param]


@pytest.fixture
def sim(provider: Provider) -> Iterator[Simulator]:
    with provider.simulator() as simulator:
        yield simulator


@pytest.fixture
def alibaba_cloud() -> Iterator[AlibabaCloudSimulator]:
    with AlibabaCloudSimulator() as simulator:
        yield simulator


@pytest.fixture
def aws_sns() -> Iterator[AwsSnsSimulator]:
    with AwsSnsSimulator() as simulator:
        yield simulator


@pytest.fixture
def twilio() -> Iterator[TwilioSimulator]:
    with TwilioSimulator() as simulator:
        yield simulator


def attempt(provider: Provider, client: Any, number: str) -> str | None:
    """The message id that a client gets to know, if any."""
    try:
        return provider.send(client, number)
    except Exception:  # of whatever kind: the client has not got to know any
        return None


def replay(sim: Simulator, request: Request, *, target: str = "", body: bytes | None = None, **headers: str) -> int:
    """Send a recorded request again, changed or not, and return the HTTP status."""
    connection = http.client.HTTPConnection(sim.url.removeprefix("http://"), timeout=3)
    connection.request(
        request.method,
        target or request.target,
        body=request.body if body is None else body,
        headers={name: value for name, value in request.headers.items() if name != "content-length"} | headers,
    )
    status = connection.getresponse().status
    connection.close()
    return status


def twilio_request(sim: TwilioSimulator, number: str = US[1]) -> Request:
    """A request as the SDK sends it, forgotten again by the simulator."""
    send_by_twilio(twilio_client(sim), number)
    request = sim.requests[-1]
    sim.clear()
    return request


class TestEveryProvider:
    def test_the_sdk_learns_the_id_that_stands_in_the_journal(self, provider: Provider, sim: Simulator) -> None:
        client = provider.client(sim)
        ids = [provider.send(client, number) for number in provider.numbers[:3]]

        assert [(entry.phone_number, entry.message_id) for entry in sim.journal] == list(
            zip(provider.numbers[:3], ids, strict=True)
        )
        assert len(set(ids)) == 3
        assert all(request.signed_correctly for request in sim.requests)
        assert [request.action in sim.sends for request in sim.requests] == [True] * 3

    def test_a_client_keeps_its_connection(self, provider: Provider, sim: Simulator) -> None:
        client = provider.client(sim)
        for number in provider.numbers[:3]:
            provider.send(client, number)

        assert sim.connections == 1
        assert {request.connection for request in sim.requests} == {1}

    @pytest.mark.parametrize("wrong", ["wrong_key", "wrong_secret"])
    def test_wrong_credentials_are_refused(self, provider: Provider, sim: Simulator, wrong: str) -> None:
        client = provider.client(sim, **getattr(provider, wrong))
        with pytest.raises((DaraException, ClientError, TwilioRestException)) as error:
            provider.send(client, provider.numbers[0])

        expected = provider.unknown_key_code if wrong == "wrong_key" else provider.wrong_secret_code
        assert provider.error_code(error.value) == expected
        assert not sim.journal
        assert not sim.requests[0].signed_correctly

    @pytest.mark.parametrize("fault", [fault for fault in Fault if fault not in (Fault.SLOW, Fault.DRIP)])
    def test_a_fault_hides_the_id_and_the_journal_knows_the_truth(
        self, provider: Provider, sim: Simulator, fault: Fault
    ) -> None:
        client = provider.client(sim)
        sim.fail(fault, times=1)

        assert not attempt(provider, client, provider.numbers[0])
        refused = fault in (Fault.RESET_BEFORE_ACCEPTING, Fault.UNAVAILABLE, Fault.THROTTLED)
        assert len(sim.journal) == (0 if refused else 1)
        assert len(sim.requests) == 1
        assert attempt(provider, client, provider.numbers[0]) == sim.journal[-1].message_id

    def test_a_slow_answer_comes_too_late_for_a_message_that_was_taken(
        self, provider: Provider, sim: Simulator
    ) -> None:
        sim.fail(Fault.SLOW, seconds=0.4, times=2)

        assert not attempt(provider, provider.client(sim, timeout=0.1), provider.numbers[0])
        assert len(sim.journal) == 1
        assert attempt(provider, provider.client(sim), provider.numbers[0]) == sim.journal[1].message_id

    def test_a_dripping_answer_outlives_the_read_timeout(self, provider: Provider, sim: Simulator) -> None:
        sim.fail(Fault.DRIP, seconds=0.4)
        began = time.monotonic()

        assert attempt(provider, provider.client(sim, timeout=0.2), provider.numbers[0]) == sim.journal[0].message_id
        assert time.monotonic() - began > 0.3

    def test_a_code_is_refused_in_the_providers_shape(self, provider: Provider, sim: Simulator) -> None:
        sim.refuse(provider.refusal_code, times=1)
        client = provider.client(sim)
        with pytest.raises((DaraException, ClientError, TwilioRestException)) as error:
            provider.send(client, provider.numbers[0])

        assert provider.error_code(error.value) == provider.refusal_code
        assert not sim.journal
        assert provider.send(client, provider.numbers[0])

    def test_throttling_has_the_providers_code(self, provider: Provider, sim: Simulator) -> None:
        sim.fail(Fault.THROTTLED)
        with pytest.raises((DaraException, ClientError, TwilioRestException)) as error:
            provider.send(provider.client(sim), provider.numbers[0])

        assert provider.error_code(error.value) == provider.throttling_code

    def test_faults_and_refusals_can_concern_some_numbers_only(self, provider: Provider, sim: Simulator) -> None:
        client, (faulty, refused, fine) = provider.client(sim), provider.numbers[:3]
        sim.fail(Fault.SERVER_ERROR, numbers={faulty}, accepted=False)
        sim.refuse_numbers({refused: provider.refusal_code})

        results = [attempt(provider, client, number) for number in (faulty, refused, fine) * 2]

        assert [bool(result) for result in results] == [False, False, True] * 2
        assert {entry.phone_number for entry in sim.journal} == {fine}
        sim.clear()
        assert attempt(provider, client, faulty)
        assert attempt(provider, client, refused)

    def test_a_fault_can_hit_a_query_instead_of_a_send(self, provider: Provider, sim: Simulator) -> None:
        sim.fail(Fault.UNAVAILABLE, actions={"QuerySendDetails", "GetSMSAttributes", "FetchAccount"})

        assert provider.send(provider.client(sim), provider.numbers[0])

    def test_latency_delays_every_answer(self, provider: Provider, sim: Simulator) -> None:
        sim.latency = 0.1
        began = time.monotonic()
        provider.send(provider.client(sim), provider.numbers[0])

        assert time.monotonic() - began >= 0.1

    def test_threads_get_the_ids_of_their_own_messages(self, provider: Provider, sim: Simulator) -> None:
        def send(number: str) -> tuple[str, str | None]:
            return number, provider.send(provider.client(sim), number)

        provider.client(sim)
        with ThreadPoolExecutor(4) as threads:
            sent = dict(threads.map(send, provider.numbers[:40]))

        assert sent == {entry.phone_number: entry.message_id for entry in sim.journal}
        assert len(set(sent.values())) == 40

    def test_a_stopped_provider_refuses_connections_until_it_is_back(self, provider: Provider, sim: Simulator) -> None:
        client, url = provider.client(sim), sim.url
        assert attempt(provider, client, provider.numbers[0])
        sim.stop()
        assert not attempt(provider, client, provider.numbers[0])
        sim.start()

        assert sim.url == url
        assert attempt(provider, client, provider.numbers[0])

    def test_contradictory_faults_are_an_error(self, sim: Simulator) -> None:
        with pytest.raises(ValueError):
            sim.fail(Fault.RESET_AFTER_ACCEPTING, accepted=False)
        with pytest.raises(ValueError):
            sim.fail(Fault.EMPTY, times=0)


class TestTamperedRequests:
    @pytest.mark.parametrize(
        ("old", "new"), [("13800000001", "13800000002"), ("out-1", "out-2"), ("SMS_100000001", "SMS_100000002")]
    )
    def test_alibaba_cloud_signs_the_query(self, alibaba_cloud: AlibabaCloudSimulator, old: str, new: str) -> None:
        send_by_alibaba_cloud(alibaba_cloud_client(alibaba_cloud), CHINA[1])
        request = alibaba_cloud.requests[0]
        alibaba_cloud.clear()

        assert replay(alibaba_cloud, request, target=request.target.replace(old, new)) == 400
        assert not alibaba_cloud.journal
        assert replay(alibaba_cloud, request) == 200

    def test_alibaba_cloud_signs_the_body_and_the_headers(self, alibaba_cloud: AlibabaCloudSimulator) -> None:
        alibaba_cloud_client(alibaba_cloud).send_batch_sms(batch(CHINA[:2]))
        request = alibaba_cloud.requests[0]
        alibaba_cloud.clear()

        assert replay(alibaba_cloud, request, body=request.body.replace(b"13800000001", b"13800000002")) == 400
        assert replay(alibaba_cloud, request, **{"x-acs-action": "SendSms"}) == 400
        assert replay(alibaba_cloud, request, **{"x-acs-extra": "unsigned"}) == 400
        assert not any(request.signed_correctly for request in alibaba_cloud.requests)
        assert replay(alibaba_cloud, request) == 200

    def test_alibaba_cloud_takes_a_nonce_once(self, alibaba_cloud: AlibabaCloudSimulator) -> None:
        send_by_alibaba_cloud(alibaba_cloud_client(alibaba_cloud), CHINA[1])

        assert replay(alibaba_cloud, alibaba_cloud.requests[0]) == 400
        assert len(alibaba_cloud.journal) == 1

    def test_aws_signs_the_body_and_the_headers(self, aws_sns: AwsSnsSimulator) -> None:
        send_by_aws_sns(aws_sns_client(aws_sns), US[1])
        request = aws_sns.requests[0]
        aws_sns.clear()

        assert replay(aws_sns, request, body=request.body.replace(b"5550101", b"5550102")) == 403
        assert replay(aws_sns, request, target="/?Action=Publish") == 403
        assert replay(aws_sns, request, **{"x-amz-date": "20200101T000000Z"}) == 403
        assert not aws_sns.journal
        assert replay(aws_sns, request) == 200

    def test_aws_credentials_belong_to_a_region(self, aws_sns: AwsSnsSimulator) -> None:
        with pytest.raises(ClientError, match="valid region"):
            send_by_aws_sns(aws_sns_client(aws_sns, region="eu-west-1"), US[1])

    def test_twilio_checks_every_byte_of_the_credentials(self, twilio: TwilioSimulator) -> None:
        request = twilio_request(twilio)
        authorization = request.headers["authorization"]

        assert replay(twilio, request, authorization=authorization[:-4] + "AAA=") == 401
        assert replay(twilio, request, authorization="") == 401
        assert not twilio.journal


class TestFaultsOnTheWire:
    """Seen by a plain HTTP client, because an SDK turns most of them into one exception."""

    @pytest.mark.parametrize(
        ("fault", "options", "status"),
        [
            (Fault.SERVER_ERROR, {}, 500),
            (Fault.UNAVAILABLE, {}, 503),
            (Fault.THROTTLED, {}, 429),
            (Fault.MALFORMED, {}, 201),
            (Fault.MALFORMED, {"status": 502}, 502),
            (Fault.EMPTY, {}, 201),
            (Fault.SLOW, {"seconds": 0.1}, 201),
            (Fault.DRIP, {"seconds": 0.1}, 201),
        ],
    )
    def test_status(self, twilio: TwilioSimulator, fault: Fault, options: dict[str, Any], status: int) -> None:
        request = twilio_request(twilio)
        twilio.fail(fault, **options)

        assert replay(twilio, request) == status

    @pytest.mark.parametrize("fault", [Fault.RESET_AFTER_ACCEPTING, Fault.RESET_BEFORE_ACCEPTING])
    def test_reset(self, twilio: TwilioSimulator, fault: Fault) -> None:
        request = twilio_request(twilio)
        twilio.fail(fault)

        with pytest.raises(ConnectionResetError):
            replay(twilio, request)

    def test_truncated(self, twilio: TwilioSimulator) -> None:
        request = twilio_request(twilio)
        twilio.fail(Fault.TRUNCATED)
        connection = http.client.HTTPConnection(twilio.url.removeprefix("http://"), timeout=3)
        connection.request(request.method, request.target, request.body, request.headers)

        with pytest.raises(http.client.IncompleteRead):
            connection.getresponse().read()
        connection.close()

    def test_alibaba_cloud_throttles_with_400_or_429_and_may_say_how_long(
        self, alibaba_cloud: AlibabaCloudSimulator
    ) -> None:
        client = alibaba_cloud_client(alibaba_cloud)
        alibaba_cloud.fail(Fault.THROTTLED, times=1)
        alibaba_cloud.fail(Fault.THROTTLED, times=1, status=429, retry_after=2000)
        errors = []
        for _ in range(2):
            with pytest.raises(DaraException) as error:
                send_by_alibaba_cloud(client, CHINA[1])
            errors.append(error.value)

        assert [error.status_code for error in errors] == [400, 429]
        assert errors[1].retry_after == 2000


class TestHttp:
    def test_pipelined_and_split_requests_are_answered_in_order(self, twilio: TwilioSimulator) -> None:
        twilio.latency = 0.02
        request = twilio_request(twilio)
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items() if name != "content-length")

        def raw(number: str) -> bytes:
            body = request.body.replace(b"5550101", number[-7:].encode())
            return f"POST {request.target} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

        stream = b"".join(raw(number) for number in US[10:20])
        with socket.create_connection(("127.0.0.1", int(twilio.url.rpartition(":")[2])), timeout=3) as connection:
            for start in range(0, len(stream), 77):
                connection.sendall(stream[start : start + 77])
            connection.shutdown(socket.SHUT_WR)
            received = b""
            while piece := connection.recv(65536):
                received += piece

        sids = [json.loads(part[: part.rindex(b"}") + 1])["sid"] for part in received.split(b"\r\n\r\n")[1:]]
        assert sids == [entry.message_id for entry in twilio.journal]
        assert [entry.phone_number for entry in twilio.journal] == US[10:20]

    @pytest.mark.parametrize(
        ("raw", "status"),
        [
            (b"nonsense\r\n\r\n", b"400"),
            (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"501"),
            (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        ],
    )
    def test_what_is_no_request_ends_the_connection(self, twilio: TwilioSimulator, raw: bytes, status: bytes) -> None:
        with socket.create_connection(("127.0.0.1", int(twilio.url.rpartition(":")[2])), timeout=3) as connection:
            connection.sendall(raw)
            received = b""
            while piece := connection.recv(65536):
                received += piece

        assert received.split()[1] == status

    def test_a_process_shows_its_journal_and_forgets_it(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.simulators", "twilio", "--latency", "0.01"], stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout
            url = process.stdout.readline().strip()
            connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=3)

            def page(method: str, path: str) -> dict[str, Any]:
                connection.request(method, f"/_simulator/{path}")
                return json.loads(connection.getresponse().read())

            account = TwilioSimulator().credentials
            client = TwilioClient(account["account_sid"], account["auth_token"])
            client.api.base_url = url
            sids = [send_by_twilio(client, number) for number in US[:3]]

            assert page("GET", "journal") == {"count": 3, "connections": 1}
            assert [entry["message_id"] for entry in page("GET", "journal?since=1")["entries"]] == sids[1:]
            page("POST", "clear")
            assert page("GET", "journal")["count"] == 0
            connection.close()
        finally:
            process.terminate()
            assert process.wait(timeout=3) == 0


def batch(numbers: list[str], **changes: Any) -> models.SendBatchSmsRequest:
    fields = {
        "phone_number_json": json.dumps([number.removeprefix("+") for number in numbers]),
        "sign_name_json": json.dumps([f"签名{n}" for n in range(len(numbers))]),
        "template_param_json": json.dumps([{"code": f"{n:04}"} for n in range(len(numbers))]),
        "template_code": "SMS_100000001",
        "out_id": "batch-1",
    }
    return models.SendBatchSmsRequest(**fields | changes)


class TestAlibabaCloud:
    def send(self, sim: AlibabaCloudSimulator, numbers: str, **changes: str) -> str:
        fields = {"sign_name": "示例公司", "template_code": "SMS_100000001", "template_param": '{"code": "1234"}'}
        request = models.SendSmsRequest(phone_numbers=numbers, **fields | changes)
        return alibaba_cloud_client(sim).send_sms(request).body.code

    @pytest.mark.parametrize("prefix", ["", "+", "86", "+86", "0086"])
    def test_mainland_numbers_have_five_notations(self, alibaba_cloud: AlibabaCloudSimulator, prefix: str) -> None:
        assert self.send(alibaba_cloud, f"{prefix}13800000001") == "OK"
        assert alibaba_cloud.journal[0].phone_number == "+8613800000001"

    def test_other_numbers_have_a_country_code_and_no_plus(self, alibaba_cloud: AlibabaCloudSimulator) -> None:
        assert self.send(alibaba_cloud, "12065550101") == "OK"
        assert alibaba_cloud.journal[0].phone_number == "+12065550101"

    @pytest.mark.parametrize("illegal", ["+12065550101", "0012065550101", "8610000", "123", "", "1380000000a"])
    def test_one_illegal_number_refuses_the_whole_request(
        self, alibaba_cloud: AlibabaCloudSimulator, illegal: str
    ) -> None:
        assert self.send(alibaba_cloud, f"13800000001,{illegal}") == "isv.MOBILE_NUMBER_ILLEGAL"
        assert not alibaba_cloud.journal

    def test_a_request_takes_a_thousand_numbers_under_one_id(self, alibaba_cloud: AlibabaCloudSimulator) -> None:
        numbers = [f"1380000{n:04}" for n in range(1001)]

        assert self.send(alibaba_cloud, ",".join(numbers)) == "isv.MOBILE_COUNT_OVER_LIMIT"
        assert self.send(alibaba_cloud, ",".join(numbers[:1000])) == "OK"
        assert len(alibaba_cloud.journal) == 1000
        assert len({entry.message_id for entry in alibaba_cloud.journal}) == 1

    def test_a_batch_has_a_signature_and_variables_for_each_number(self, alibaba_cloud: AlibabaCloudSimulator) -> None:
        body = alibaba_cloud_client(alibaba_cloud).send_batch_sms(batch(CHINA)).body

        assert body.code == "OK"
        assert len(alibaba_cloud.journal) == 100
        entry = alibaba_cloud.journal[7]
        assert (entry.phone_number, entry.message_id, entry.signature) == (CHINA[7], body.biz_id, "签名7")
        assert (entry.params, entry.reference) == ({"code": "0007"}, "batch-1")

    @pytest.mark.parametrize(
        ("request_", "code"),
        [
            (batch([*CHINA, CHINA[0]]), "isv.MOBILE_COUNT_OVER_LIMIT"),
            (batch(CHINA[:2], sign_name_json='["one"]'), "isv.INVALID_PARAMETERS"),
            (batch(CHINA[:2], template_param_json="[{}, "), "isv.INVALID_JSON_PARAM"),
            (batch(CHINA[:1], template_param_json='[{"code": 1234}]'), "isv.INVALID_JSON_PARAM"),
            (batch([CHINA[0], "+86123"]), "isv.MOBILE_NUMBER_ILLEGAL"),
        ],
    )
    def test_a_wrong_batch_is_refused_whole(
        self, alibaba_cloud: AlibabaCloudSimulator, request_: models.SendBatchSmsRequest, code: str
    ) -> None:
        assert alibaba_cloud_client(alibaba_cloud).send_batch_sms(request_).body.code == code
        assert not alibaba_cloud.journal

    def test_templates_and_signs_that_are_set_must_be_approved(self, alibaba_cloud: AlibabaCloudSimulator) -> None:
        alibaba_cloud.signs = [Sign("示例公司"), Sign("其他公司", audit_status="AUDIT_STATE_INIT")]
        alibaba_cloud.templates = [
            Template("SMS_100000001", "您的验证码为${code}"),
            Template("SMS_100000002", "待审核", audit_status="AUDIT_STATE_INIT"),
        ]

        assert self.send(alibaba_cloud, "13800000001") == "OK"
        assert alibaba_cloud.journal[0].text == "您的验证码为1234"
        assert self.send(alibaba_cloud, "13800000001", sign_name="其他公司") == "isv.SMS_SIGNATURE_ILLEGAL"
        assert self.send(alibaba_cloud, "13800000001", template_code="SMS_100000002") == "isv.SMS_TEMPLATE_ILLEGAL"
        assert self.send(alibaba_cloud, "13800000001", template_param="{}") == "isv.TEMPLATE_MISSING_PARAMETERS"

    def details(self, sim: AlibabaCloudSimulator, number: str, **changes: Any) -> Any:
        today = f"{datetime.now(UTC) + timedelta(hours=8):%Y%m%d}"
        fields = {"send_date": today, "current_page": 1, "page_size": 50} | changes
        request = models.QuerySendDetailsRequest(phone_number=number, **fields)
        return alibaba_cloud_client(sim).query_send_details(request).body

    def test_details_are_found_by_number_day_and_batch(self, alibaba_cloud: AlibabaCloudSimulator) -> None:
        client = alibaba_cloud_client(alibaba_cloud)
        ids = [send_by_alibaba_cloud(client, CHINA[1]) for _ in range(3)]
        send_by_alibaba_cloud(client, US[1])

        body = self.details(alibaba_cloud, "13800000001", page_size=2)
        assert (body.code, body.total_count, len(body.sms_send_detail_dtos.sms_send_detail_dto)) == ("OK", "3", 2)
        detail = body.sms_send_detail_dtos.sms_send_detail_dto[0]
        assert (detail.phone_num, detail.out_id, detail.send_status) == ("13800000001", "out-1", WAITING)
        assert self.details(alibaba_cloud, "13800000001", biz_id=ids[0]).total_count == "1"
        assert self.details(alibaba_cloud, "13800000001", send_date="20200101").total_count == "0"
        assert self.details(alibaba_cloud, "12065550101").total_count == "1"
        with pytest.raises(DaraException, match="PageSize"):
            self.details(alibaba_cloud, "13800000001", page_size=None)

    def test_details_have_the_status_that_was_set(self, alibaba_cloud: AlibabaCloudSimulator) -> None:
        client = alibaba_cloud_client(alibaba_cloud)
        first, _ = (send_by_alibaba_cloud(client, CHINA[1]) for _ in range(2))
        alibaba_cloud.set_status(CHINA[1], DELIVERED)
        alibaba_cloud.set_status(CHINA[1], FAILED, error_code="MOBILE_NOT_ON_SERVICE", message_id=first)

        found = self.details(alibaba_cloud, "13800000001").sms_send_detail_dtos.sms_send_detail_dto
        assert [(detail.send_status, detail.err_code) for detail in found] == [
            (DELIVERED, "DELIVERED"),
            (FAILED, "MOBILE_NOT_ON_SERVICE"),
        ]

    def test_templates_and_signs_are_listed_in_pages(self, alibaba_cloud: AlibabaCloudSimulator) -> None:
        alibaba_cloud.templates = [Template(f"SMS_10000000{n}", "${code}") for n in range(5)]
        alibaba_cloud.signs = [Sign("示例公司")]
        client = alibaba_cloud_client(alibaba_cloud)

        page = client.query_sms_template_list(models.QuerySmsTemplateListRequest(page_index=2, page_size=3)).body
        assert [template.template_code for template in page.sms_template_list] == ["SMS_100000003", "SMS_100000004"]
        assert (page.code, page.total_count, page.current_page) == ("OK", 5, 2)
        signs = client.query_sms_sign_list(models.QuerySmsSignListRequest()).body.sms_sign_list
        assert [(sign.sign_name, sign.audit_status) for sign in signs] == [("示例公司", "AUDIT_STATE_PASS")]


class TestAwsSns:
    def test_the_journal_has_text_and_attributes(self, aws_sns: AwsSnsSimulator) -> None:
        attributes = {"AWS.SNS.SMS.SMSType": "Transactional", "AWS.SNS.SMS.SenderID": "EXAMPLE"}
        aws_sns_client(aws_sns).publish(
            PhoneNumber=US[1],
            Message="你好 <&>",
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )

        assert (aws_sns.journal[0].text, aws_sns.journal[0].attributes) == ("你好 <&>", attributes)

    @pytest.mark.parametrize(("number", "text"), [("2065550101", "x"), ("+0123456789", "x"), (US[1], "x" * 1601)])
    def test_what_cannot_be_published_is_an_invalid_parameter(
        self, aws_sns: AwsSnsSimulator, number: str, text: str
    ) -> None:
        client = aws_sns_client(aws_sns)
        with pytest.raises(client.exceptions.InvalidParameterException):
            client.publish(PhoneNumber=number, Message=text)
        assert not aws_sns.journal

    def test_a_number_that_opted_out_is_known_and_yet_accepted(self, aws_sns: AwsSnsSimulator) -> None:
        aws_sns.opted_out = {US[1]}
        client = aws_sns_client(aws_sns)

        assert [client.check_if_phone_number_is_opted_out(phoneNumber=number)["isOptedOut"] for number in US[1:3]] == [
            True,
            False,
        ]
        assert send_by_aws_sns(client, US[1])

    def test_attributes_are_readable_without_sending(self, aws_sns: AwsSnsSimulator) -> None:
        client = aws_sns_client(aws_sns)

        assert client.get_sms_attributes()["attributes"] == aws_sns.sms_attributes
        assert client.get_sms_attributes(attributes=["MonthlySpendLimit"])["attributes"] == {"MonthlySpendLimit": "1"}
        with pytest.raises(ClientError) as error:
            client.list_topics()
        assert error.value.response["Error"]["Code"] == "InvalidAction"

    def test_errors_have_the_statuses_of_the_documentation(self, aws_sns: AwsSnsSimulator) -> None:
        client = aws_sns_client(aws_sns)
        aws_sns.refuse("Throttled", times=1)
        with pytest.raises(ClientError) as error:
            send_by_aws_sns(client, US[1])

        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
        assert error.value.response["ResponseMetadata"]["RequestId"]


class TestTwilio:
    def test_a_new_message_is_queued_and_later_sent(self, twilio: TwilioSimulator) -> None:
        client = twilio_client(twilio)
        created = client.messages.create(to=US[1], from_="+12065550100", body="x" * 161)
        fetched = client.messages(created.sid).fetch()

        assert (created.status, created.num_segments, created.price, created.date_sent) == ("queued", "2", None, None)
        assert (fetched.status, fetched.body, fetched.to, fetched.price) == ("sent", "x" * 161, US[1], "-0.0158")
        assert fetched.direction == "outbound-api"
        assert abs(datetime.now(UTC) - fetched.date_created) < timedelta(seconds=5)

    def test_a_messaging_service_accepts_and_chooses_the_sender_later(self, twilio: TwilioSimulator) -> None:
        client = twilio_client(twilio)
        created = client.messages.create(to=US[1], messaging_service_sid="MG" + "1" * 32, body="你好")

        assert (created.status, created.num_segments, created.from_) == ("accepted", "0", None)
        assert client.messages(created.sid).fetch().from_ == "+12065550100"
        assert twilio.journal[0].attributes == {"MessagingServiceSid": "MG" + "1" * 32}

    def test_a_status_can_be_set(self, twilio: TwilioSimulator) -> None:
        client = twilio_client(twilio)
        sid = send_by_twilio(client, US[1])
        twilio.set_status(US[1], "undelivered", error_code=30003)

        message = client.messages(sid).fetch()
        assert (message.status, message.error_code) == ("undelivered", 30003)

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"to": "12065550101"}, 21211),
            ({"to": ""}, 21604),
            ({"from_": ""}, 21603),
            ({"body": ""}, 21602),
            ({"body": "x" * 1601}, 21617),
        ],
    )
    def test_a_wrong_message_is_refused(self, twilio: TwilioSimulator, changes: dict[str, str], code: int) -> None:
        fields = {"to": US[1], "from_": "+12065550100", "body": "x"} | changes
        with pytest.raises(TwilioRestException) as error:
            twilio_client(twilio).messages.create(**fields)

        assert (error.value.status, error.value.code) == (400, code)
        assert not twilio.journal

    def test_messages_are_listed_in_pages_the_newest_first(self, twilio: TwilioSimulator) -> None:
        client = twilio_client(twilio)
        sids = [send_by_twilio(client, US[n % 2]) for n in range(10)]

        assert [message.sid for message in client.messages.list(page_size=3)] == sids[::-1]
        assert [message.sid for message in client.messages.list(to=US[1], page_size=2)] == sids[::-2]
        assert client.messages.list(from_="+12065550199") == []

    def test_messages_are_listed_by_date(self, twilio: TwilioSimulator) -> None:
        client = twilio_client(twilio)
        sid, now = send_by_twilio(client, US[1]), datetime.now(UTC)

        def found(**filters: Any) -> bool:
            return [message.sid for message in client.messages.list(to=US[1], **filters)] == [sid]

        assert found(date_sent=now.date())
        assert found(date_sent_after=now - timedelta(minutes=1), date_sent_before=now + timedelta(minutes=1))
        assert found(date_sent_after=str(now.date()), date_sent_before=str(now.date()))
        assert not found(date_sent=now.date() - timedelta(days=2))
        assert not found(date_sent_after=now + timedelta(minutes=1))
        assert not found(date_sent_before=now - timedelta(minutes=1))

    def test_the_account_and_its_balance(self, twilio: TwilioSimulator) -> None:
        client, sid = twilio_client(twilio), twilio.credentials["account_sid"]

        account = client.api.accounts(sid).fetch()
        assert (account.sid, account.status, account.type) == (sid, "active", "Full")
        assert client.api.accounts(sid).balance.fetch().balance == "42.50"
        assert [request.action for request in twilio.requests] == ["FetchAccount", "FetchBalance"]

    @pytest.mark.parametrize("path", ["messages", "accounts"])
    def test_what_does_not_exist_is_not_found(self, twilio: TwilioSimulator, path: str) -> None:
        api = twilio_client(twilio).api
        resource = api.account.messages("SM" + "0" * 32) if path == "messages" else api.accounts("AC" + "0" * 32)
        with pytest.raises(TwilioRestException) as error:
            resource.fetch()

        assert (error.value.status, error.value.code) == (404, 20404)
