"""The Alibaba Cloud provider, with the real SDK against the simulator."""

import json
import logging
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from types import FrameType

import django
import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.conf import settings
from django.test import override_settings

if not settings.configured:
    settings.configure(USE_I18N=True)
if not apps.ready:
    django.setup()

from sms_services.choices import ErrorKind, MessageStatus, Outcome
from sms_services.encryption import Secret
from sms_services.exceptions import EncryptionKeyError, LookUpFailed
from sms_services.providers.alibaba_cloud import AlibabaCloudConfiguration, AlibabaCloudProvider
from sms_services.providers.alibaba_cloud_errors import CONNECTION_ERRORS, ERRORS, NUMBER_ERRORS, VARIABLE_ERRORS
from sms_services.providers.base import OutgoingMessage, Result
from tests.provider_contract import BROKEN_NETWORKS
from tests.simulators import AlibabaCloudSimulator, Fault, Sign
from tests.simulators.alibaba_cloud import DELIVERED, FAILED

Build = Callable[..., AlibabaCloudProvider]
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
SDK_LOGGERS = ("alibabacloud-tea", "credentials", "darabonba-core")


@pytest.fixture(autouse=True)
def _keys() -> Iterator[None]:
    with override_settings(SMS_SERVICES={"ENCRYPTION_KEYS": [Fernet.generate_key().decode()]}):
        yield


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(autouse=True)
def _no_sessions() -> None:
    """The system gives a port to a later simulator again; a session of the earlier one must not wait for it."""
    if core := sys.modules.get("darabonba.core"):
        core.DaraCore._sessions.clear()


@pytest.fixture
def sim() -> Iterator[AlibabaCloudSimulator]:
    with AlibabaCloudSimulator() as simulator:
        yield simulator


@pytest.fixture
def build(sim: AlibabaCloudSimulator) -> Build:
    """A provider for the simulator; keyword arguments replace parts of its configuration."""

    def build(**changes: object) -> AlibabaCloudProvider:
        return AlibabaCloudProvider(replace(configuration(sim), **changes))  # type: ignore[arg-type]

    return build


@pytest.fixture
def provider(build: Build) -> AlibabaCloudProvider:
    return build()


def configuration(sim: AlibabaCloudSimulator) -> AlibabaCloudConfiguration:
    return AlibabaCloudConfiguration(
        access_key=sim.credentials["access_key"],
        access_secret=Secret.of(sim.credentials["access_secret"]),
        verify_sign=sim.credentials["verify_sign"],
        endpoint_url=sim.url,
        connect_timeout=1,
        read_timeout=3,
    )


def message(number: int | str = 0, *, purpose: str = "notification", text: str = "", **params: str) -> OutgoingMessage:
    phone_number = number if isinstance(number, str) else f"+86138{number:08d}"
    return OutgoingMessage(phone_number, purpose, text, "SMS_100000001", params or {"name": "Wang"})


def messages(count: int, *, different: bool = False) -> list[OutgoingMessage]:
    return [message(index, name=f"User {index}" if different else "Wang") for index in range(count)]


def send_all(provider: AlibabaCloudProvider, outgoing: Sequence[OutgoingMessage]) -> list[Result]:
    """Send as delivery does, group by group."""
    results: dict[int, Result] = {}
    for number, group in enumerate(provider.batches(outgoing)):
        answers = provider.send([outgoing[index] for index in group], f"batch-{number}")
        results.update(zip(group, answers, strict=True))
    return [results[index] for index in range(len(outgoing))]


def outcomes(results: Sequence[Result]) -> Counter[str]:
    return Counter(str(result.outcome.value) for result in results)


# Loading and configuration


def test_the_module_loads_no_sdk_until_a_client_is_needed() -> None:
    script = """
import sys
from django.conf import settings
settings.configure()
import sms_services.providers.alibaba_cloud
loaded = [name for name in sys.modules if name.startswith(("alibabacloud", "darabonba", "Tea", "requests", "aiohttp"))]
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_no_representation_shows_the_secret(sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider) -> None:
    assert sim.credentials["access_secret"] not in repr(provider.configuration)


def test_the_vendors_own_endpoint_is_the_default(build: Build) -> None:
    client = build(endpoint_url="").client
    assert (client._protocol, client._endpoint) == ("https", "dysmsapi.aliyuncs.com")


def test_the_client_gets_timeouts_in_milliseconds_and_no_retries(build: Build) -> None:
    client = build(connect_timeout=2.5, read_timeout=7).client
    assert (client._connect_timeout, client._read_timeout, client._retry_options) == (2500, 7000, None)


def test_handlers_of_the_sdks_packages_are_taken_off(provider: AlibabaCloudProvider) -> None:
    assert provider.client
    for name in SDK_LOGGERS:
        assert (logging.getLogger(name).handlers, logging.getLogger(name).level) == ([], logging.NOTSET)


def test_handlers_of_the_host_project_stay(provider: AlibabaCloudProvider) -> None:
    handler = logging.NullHandler()
    logging.getLogger("credentials").addHandler(handler)
    try:
        assert provider.client
        assert logging.getLogger("credentials").handlers == [handler]
    finally:
        logging.getLogger("credentials").removeHandler(handler)


def test_a_secret_that_cannot_be_decrypted_is_no_answer_of_the_vendor(provider: AlibabaCloudProvider) -> None:
    with (
        override_settings(SMS_SERVICES={"ENCRYPTION_KEYS": [Fernet.generate_key().decode()]}),
        pytest.raises(EncryptionKeyError),
    ):
        provider.send([message()], "batch")


# Sending


def test_an_accepted_message_has_the_vendors_ids(sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider) -> None:
    [result] = provider.send([message(7, text="Hello Wang", name="Wang")], "batch-1")
    [accepted] = sim.journal
    assert result.outcome == Outcome.ACCEPTED
    assert result.message_id == accepted.message_id
    assert result.request_id
    assert result.segments == 1
    assert (accepted.phone_number, accepted.params, accepted.reference, accepted.template_code, accepted.signature) == (
        "+8613800000007",
        {"name": "Wang"},
        "batch-1",
        "SMS_100000001",
        sim.credentials["verify_sign"],
    )


def test_numbers_go_out_as_the_vendor_writes_them(sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider) -> None:
    send_all(provider, [message(7), message("+12065550100")])
    assert [request.parameters["PhoneNumbers"] for request in sim.requests] == ["13800000007", "12065550100"]
    assert {accepted.phone_number for accepted in sim.journal} == {"+8613800000007", "+12065550100"}


def test_variables_of_any_script_arrive_unchanged(sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider) -> None:
    values = {"name": '王 "明" & <b>', "note": "a\nb=c%41+🎉"}
    provider.send([message(1, **values)], "equal")
    provider.send([message(1, **values), message(2)], "different")
    assert [accepted.params for accepted in sim.journal[:2]] == [values, values]


def test_a_message_without_variables_is_sent_without(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider
) -> None:
    [result] = provider.send([replace(message(1), params={})], "batch")
    assert result.outcome == Outcome.ACCEPTED
    assert "TemplateParam" not in sim.requests[0].parameters


def test_every_message_of_a_group_gets_its_own_variables(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider
) -> None:
    outgoing = messages(100, different=True)
    results = provider.send(outgoing, "batch")
    assert [request.action for request in sim.requests] == ["SendBatchSms"]
    assert {accepted.phone_number: accepted.params for accepted in sim.journal} == {
        each.phone_number: each.params for each in outgoing
    }
    assert outcomes(results) == {"accepted": 100}


def test_a_group_of_two_templates_is_refused_by_us(provider: AlibabaCloudProvider) -> None:
    with pytest.raises(ValueError, match="one template"):
        provider.send([message(1), replace(message(2), template_code="SMS_100000002")], "batch")


def test_nothing_is_asked_for_an_empty_group(sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider) -> None:
    assert provider.send([], "batch") == []
    assert sim.requests == []


def test_a_number_that_reads_as_one_of_the_mainland_is_never_sent_to(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider
) -> None:
    """+1 380 000 0001 would go out as 13800000001, the notation of +86 138 0000 0001."""
    lookalike = message("+13800000001")
    assert provider.problem_with(lookalike)
    results = provider.send([lookalike, message("+12065550100")], "batch")
    assert [result.outcome for result in results] == [Outcome.REFUSED, Outcome.ACCEPTED]
    assert [accepted.phone_number for accepted in sim.journal] == ["+12065550100"]


# Groups


def test_a_thousand_equal_messages_take_two_requests(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider
) -> None:
    assert outcomes(send_all(provider, messages(1000))) == {"accepted": 1000}
    assert [request.action for request in sim.requests] == ["SendSms"] * 2
    assert len(sim.journal) == 1000


def test_a_thousand_different_messages_take_ten_requests(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider
) -> None:
    assert outcomes(send_all(provider, messages(1000, different=True))) == {"accepted": 1000}
    assert [request.action for request in sim.requests] == ["SendBatchSms"] * 10
    assert len({accepted.phone_number for accepted in sim.journal}) == 1000


def test_what_many_share_goes_apart_and_the_rest_together(provider: AlibabaCloudProvider) -> None:
    outgoing = messages(450) + [message(1000 + index, name=f"User {index}") for index in range(150)]
    random.Random(1).shuffle(outgoing)
    groups = list(provider.batches(outgoing))
    assert [len(group) for group in groups] == [450, 100, 50]
    assert all(group == sorted(group) for group in groups)


def test_templates_and_regions_never_share_a_group(provider: AlibabaCloudProvider) -> None:
    outgoing = [message(1), message("+12065550100"), replace(message(2), template_code="SMS_100000002"), message(3)]
    assert list(provider.batches(outgoing)) == [[0, 3], [1], [2]]


def test_a_second_message_to_a_number_comes_in_a_later_group(provider: AlibabaCloudProvider) -> None:
    outgoing = [message(index % 150, name="Wang") for index in range(600)]
    groups = list(provider.batches(outgoing))
    assert [len(group) for group in groups] == [150] * 4
    assert [index for group in groups for index in group] == list(range(600))


@pytest.mark.parametrize("limit", [None, 1, 7, 250, 5000])
def test_groups_hold_every_message_once_and_keep_all_limits(provider: AlibabaCloudProvider, limit: int | None) -> None:
    chance = random.Random(2)
    outgoing = [
        replace(
            message(chance.randrange(700), name=chance.choice(["Wang", "Li", f"User {chance.randrange(999)}"])),
            template_code=chance.choice(["SMS_100000001", "SMS_100000002"]),
        )
        for _ in range(2000)
    ]
    groups = list(provider.batches(outgoing, limit))
    assert sorted(index for group in groups for index in group) == list(range(2000))
    for group in groups:
        members = [outgoing[index] for index in group]
        equal = len({each.params["name"] for each in members}) == 1
        assert len(group) <= min(500 if equal else 100, limit or 500)
        assert len({each.phone_number for each in members}) == len(group)
        assert len({each.template_code for each in members}) == 1


@pytest.mark.parametrize("numbers", [10_000, 1], ids=["different numbers", "one number"])
def test_cutting_takes_linear_time(provider: AlibabaCloudProvider, numbers: int) -> None:
    """Ten times as many messages take ten times as many steps."""

    def steps(count: int) -> int:
        outgoing = [message(index % numbers, name=f"User {index}") for index in range(count)]
        lines = 0

        def count_lines(frame: FrameType, event: str, argument: object) -> Callable[..., object]:
            nonlocal lines
            lines += event == "line"
            return count_lines

        sys.settrace(count_lines)
        try:
            groups = list(provider.batches(outgoing))
        finally:
            sys.settrace(None)
        assert sum(map(len, groups)) == count
        return lines

    assert steps(10_000) < 11 * steps(1_000)


# Refusals


@pytest.mark.parametrize("code", sorted(ERRORS.keys() - CONNECTION_ERRORS.keys()))
def test_every_code_of_the_table_is_understood(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider, code: str
) -> None:
    # Codes that otherwise come with HTTP 500 and 503, which nobody can be certain of.
    sim.refuse(code, status=400 if code in ("InternalError", "ServiceUnavailable") else None)
    [result] = provider.send([message()], "batch")
    assert (result.outcome, result.error_kind) == (
        Outcome.NOT_SENT if ERRORS[code].retry else Outcome.REFUSED,
        ERRORS[code].kind,
    )
    assert result.code == code
    assert result.request_id
    assert str(provider.advice_for(code)).endswith(".")
    assert sim.journal == []


@pytest.mark.parametrize("code", ["InternalError", "ServiceUnavailable", "isv.MOBILE_NUMBER_ILLEGAL", "isv.NEW"])
def test_no_code_is_certain_with_a_server_error(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider, code: str
) -> None:
    sim.refuse(code, status=502)
    results = provider.send(messages(4), "batch")
    assert outcomes(results) == {"uncertain": 4}
    assert len(sim.requests) == 1


@pytest.mark.parametrize("status", [200, 400, 403])
def test_an_unknown_code_is_a_refusal_of_unknown_kind(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider, status: int
) -> None:
    sim.refuse("isv.SOMETHING_NEW", status=status)
    results = provider.send(messages(8), "batch")
    assert {(result.outcome, result.error_kind, result.code) for result in results} == {
        (Outcome.REFUSED, ErrorKind.UNKNOWN, "isv.SOMETHING_NEW")
    }
    assert len(sim.requests) == 1


@pytest.mark.parametrize(
    ("code", "status"), [("Throttling.Something.New", 400), ("Throttling.User", 503), ("TooManyRequests", 429)]
)
def test_flow_control_in_any_shape_was_certainly_not_sent(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider, code: str, status: int
) -> None:
    sim.refuse(code, status=status)
    [result] = provider.send([message()], "batch")
    assert (result.outcome, result.error_kind) == (Outcome.NOT_SENT, ErrorKind.THROTTLED)


def test_the_pause_that_flow_control_asks_for_is_kept_in_seconds(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider
) -> None:
    sim.fail(Fault.THROTTLED, retry_after=1500)
    results = provider.send(messages(4), "batch")
    assert {(result.outcome, result.error_kind, result.retry_after) for result in results} == {
        (Outcome.NOT_SENT, ErrorKind.THROTTLED, 1.5)
    }
    assert len(sim.requests) == 1


def test_an_access_key_that_no_header_can_hold_is_a_matter_of_credentials(
    sim: AlibabaCloudSimulator, build: Build
) -> None:
    for key in ("LTAI“quoted”", "LTAI\nsecond line"):
        [result] = build(access_key=key).send([message()], "batch")
        assert (result.outcome, result.error_kind) == (Outcome.REFUSED, ErrorKind.CREDENTIALS)
    assert sim.journal == []


def test_wrong_credentials_are_named(sim: AlibabaCloudSimulator, build: Build) -> None:
    [result] = build(access_secret=Secret.of("wrong")).send([message()], "batch")
    assert (result.error_kind, result.code) == (ErrorKind.CREDENTIALS, "SignatureDoesNotMatch")
    [result] = build(access_key="LTAIwrong").send([message()], "batch")
    assert (result.error_kind, result.code) == (ErrorKind.CREDENTIALS, "InvalidAccessKeyId.NotFound")


# Faults


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault.SLOW, Outcome.UNCERTAIN),
        (Fault.RESET_AFTER_ACCEPTING, Outcome.UNCERTAIN),
        (Fault.RESET_BEFORE_ACCEPTING, Outcome.UNCERTAIN),
        (Fault.SERVER_ERROR, Outcome.UNCERTAIN),
        (Fault.UNAVAILABLE, Outcome.UNCERTAIN),
        (Fault.MALFORMED, Outcome.UNCERTAIN),
        (Fault.EMPTY, Outcome.UNCERTAIN),
        (Fault.TRUNCATED, Outcome.UNCERTAIN),
        (Fault.THROTTLED, Outcome.NOT_SENT),
    ],
)
@pytest.mark.parametrize("different", [False, True], ids=["SendSms", "SendBatchSms"])
def test_a_fault_is_never_taken_for_more_than_is_known(
    sim: AlibabaCloudSimulator, build: Build, fault: Fault, outcome: Outcome, different: bool
) -> None:
    sim.fail(fault)
    results = build(read_timeout=0.3).send(messages(3, different=different), "batch")
    assert {result.outcome for result in results} == {outcome}
    assert {result.message_id for result in results} == {""}
    assert all(result.code for result in results)
    assert len(sim.requests) == 1, "what nobody is certain of is not sent again"


def test_a_failed_connection_sends_nothing(sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider) -> None:
    sim.stop()
    [result] = provider.send([message()], "batch")
    assert (result.outcome, result.error_kind, result.code) == (
        Outcome.NOT_SENT,
        ErrorKind.TRANSIENT,
        "NewConnectionError",
    )


@pytest.mark.parametrize("name", sorted(BROKEN_NETWORKS))
def test_only_what_never_left_is_certain(build: Build, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    prepare, outcome = BROKEN_NETWORKS[name]
    with prepare() as (endpoint_url, environment):
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        provider = build(endpoint_url=endpoint_url, connect_timeout=0.5, read_timeout=0.5)
        [result] = provider.send([message()], "batch")
    assert (result.outcome, result.error_kind, result.detail) == (outcome, ErrorKind.TRANSIENT, "")
    if outcome == Outcome.NOT_SENT:
        assert result.code in CONNECTION_ERRORS


@pytest.mark.parametrize("body", [{}, [], None, "OK", {"Code": None, "BizId": "1"}, {"Code": ""}, {"code": "OK"}])
def test_an_answer_without_a_code_is_uncertain(provider: AlibabaCloudProvider, body: object) -> None:
    answer = {"body": body, "headers": {}, "statusCode": 200}
    provider.client.call_api = lambda params, request, runtime: answer
    [result] = provider.send([message()], "batch")
    assert (result.outcome, result.error_kind) == (Outcome.UNCERTAIN, ErrorKind.TRANSIENT)


def test_a_redirect_is_not_followed(sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider) -> None:
    sim.refuse("Moved", status=307)
    sim.refusal = lambda *args: replace(  # type: ignore[method-assign]
        AlibabaCloudSimulator.refusal(sim, *args), headers={"Location": f"{sim.url}/again"}
    )
    [result] = provider.send([message()], "batch")
    assert result.outcome == Outcome.UNCERTAIN
    assert len(sim.requests) == 1


# The search for the message at fault


@pytest.mark.parametrize("seed", range(5))
def test_three_bad_numbers_of_a_thousand_cost_nobody_else(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider, seed: int
) -> None:
    outgoing = messages(1000)
    bad = set(random.Random(seed).sample(range(1000), 3))
    sim.refuse_numbers({outgoing[index].phone_number: "isv.MOBILE_NUMBER_ILLEGAL" for index in bad})
    results = send_all(provider, outgoing)
    for index, result in enumerate(results):
        assert result.outcome == (Outcome.REFUSED if index in bad else Outcome.ACCEPTED)
    assert Counter(accepted.phone_number for accepted in sim.journal) == Counter(
        each.phone_number for index, each in enumerate(outgoing) if index not in bad
    )
    assert len(sim.requests) <= 70


@pytest.mark.parametrize("code", sorted({**NUMBER_ERRORS, **VARIABLE_ERRORS}))
def test_one_fault_among_different_messages_is_found(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider, code: str
) -> None:
    outgoing = messages(100, different=True)
    sim.refuse_numbers({outgoing[42].phone_number: code})
    results = provider.send(outgoing, "batch")
    assert outcomes(results) == {"accepted": 99, "refused": 1}
    assert (results[42].code, results[42].error_kind) == (code, ERRORS[code].kind)
    assert len(sim.requests) <= 16


@pytest.mark.parametrize("code", sorted(VARIABLE_ERRORS))
def test_a_fault_of_equal_variables_is_everybodys(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider, code: str
) -> None:
    sim.refuse(code)
    assert outcomes(provider.send(messages(100), "batch")) == {"refused": 100}
    assert len(sim.requests) == 1


@pytest.mark.parametrize(
    "code", ["SignatureDoesNotMatch", "isv.AMOUNT_NOT_ENOUGH", "isv.SMS_TEMPLATE_ILLEGAL", "isp.SYSTEM_ERROR"]
)
def test_a_refusal_for_everybody_takes_one_request(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider, code: str
) -> None:
    sim.refuse(code)
    assert outcomes(provider.send(messages(100), "batch")) == {"refused": 100}
    assert len(sim.requests) == 1


def test_when_the_balance_runs_out_during_the_search_it_ends(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider
) -> None:
    outgoing = messages(64)
    sim.refuse("isv.MOBILE_NUMBER_ILLEGAL", times=1)
    sim.refuse("isv.AMOUNT_NOT_ENOUGH", numbers=[outgoing[0].phone_number])
    sim.refuse_numbers({each.phone_number: "isv.BUSINESS_LIMIT_CONTROL" for each in outgoing[32:]})
    results = provider.send(outgoing, "batch")
    assert {result.code for result in results} == {"isv.AMOUNT_NOT_ENOUGH"}
    assert len(sim.requests) == 3


def test_flow_control_during_the_search_leaves_the_rest_for_later(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider
) -> None:
    outgoing = messages(64)
    sim.refuse("isv.MOBILE_NUMBER_ILLEGAL", times=1)
    sim.fail(Fault.THROTTLED, numbers=[outgoing[32].phone_number], times=1, retry_after=2000)
    results = provider.send(outgoing, "batch")
    assert outcomes(results[:32]) == {"accepted": 32}
    assert {(result.outcome, result.retry_after) for result in results[32:]} == {(Outcome.NOT_SENT, 2.0)}


def test_an_uncertain_half_stays_uncertain_and_the_other_goes_on(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider
) -> None:
    outgoing = messages(64)
    sim.refuse("isv.MOBILE_NUMBER_ILLEGAL", times=1)
    sim.fail(Fault.RESET_AFTER_ACCEPTING, numbers=[outgoing[0].phone_number])
    sim.refuse_numbers({outgoing[63].phone_number: "isv.MOBILE_NUMBER_ILLEGAL"})
    results = provider.send(outgoing, "batch")
    assert outcomes(results[:32]) == {"uncertain": 32}
    assert outcomes(results[32:]) == {"accepted": 31, "refused": 1}
    assert max(Counter(accepted.phone_number for accepted in sim.journal).values()) == 1


def test_a_group_of_only_bad_numbers_ends_too(sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider) -> None:
    sim.refuse("isv.BUSINESS_LIMIT_CONTROL")
    results = provider.send(messages(64), "batch")
    assert {(result.outcome, result.error_kind) for result in results} == {(Outcome.REFUSED, ErrorKind.THROTTLED)}
    assert len(sim.requests) == 127


# Looking up


def look_up(provider: AlibabaCloudProvider, reference: str = "batch", number: int = 1) -> list:
    now = datetime.now(UTC)
    return provider.records(message(number).phone_number, now - timedelta(hours=1), now, reference)


@pytest.mark.parametrize(
    ("status", "code", "expected", "kind"),
    [
        (1, "", MessageStatus.SENT, None),
        (DELIVERED, "", MessageStatus.DELIVERED, None),
        (FAILED, "MOBILE_NOT_ON_SERVICE", MessageStatus.UNDELIVERED, ErrorKind.RECIPIENT),
        (FAILED, "MK:0001", MessageStatus.UNDELIVERED, ErrorKind.UNKNOWN),
    ],
)
def test_records_tell_what_became_of_a_message(
    sim: AlibabaCloudSimulator,
    provider: AlibabaCloudProvider,
    status: int,
    code: str,
    expected: MessageStatus,
    kind: ErrorKind | None,
) -> None:
    provider.send([message(1)], "batch")
    sim.set_status(message(1).phone_number, status, error_code=code)
    [record] = look_up(provider)
    assert (record.status, record.code, record.error_kind, record.reference) == (expected, code, kind, "batch")
    assert record.sent_at is not None
    assert abs(datetime.now(UTC) - record.sent_at) < timedelta(seconds=10)


def test_records_are_those_of_the_reference_from_all_pages(provider: AlibabaCloudProvider) -> None:
    for number in range(120):
        provider.send([message(1)], f"batch-{number % 60}")
    assert len(look_up(provider, "batch-0")) == 2
    assert look_up(provider, "another") == []
    assert look_up(provider, "batch-0", number=2) == []


def test_every_day_of_the_span_is_asked_for_in_chinas_time(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider
) -> None:
    midnight = (datetime.now(UTC) - timedelta(days=3)).replace(hour=16, minute=0, second=0, microsecond=0)
    provider.records("+12065550100", midnight - timedelta(seconds=1), midnight + timedelta(seconds=1), "batch")
    assert [request.parameters["SendDate"] for request in sim.requests] == [
        f"{midnight:%Y%m%d}",
        f"{midnight + timedelta(days=1):%Y%m%d}",
    ]
    assert {request.parameters["PhoneNumber"] for request in sim.requests} == {"12065550100"}


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.DRIP])
def test_no_clear_answer_is_no_answer(sim: AlibabaCloudSimulator, build: Build, fault: Fault) -> None:
    sim.fail(fault, actions=["QuerySendDetails"])
    with pytest.raises(LookUpFailed) as raised:
        look_up(build(read_timeout=0.3))
    assert "1380000" not in str(raised.value)


@pytest.mark.parametrize("code", ["isv.INVALID_PARAMETERS", "isp.RAM_PERMISSION_DENY", "isv.NEW"])
def test_a_refused_look_up_is_no_answer(sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider, code: str) -> None:
    sim.refuse(code, actions=["QuerySendDetails"])
    with pytest.raises(LookUpFailed, match=code):
        look_up(provider)


@pytest.mark.parametrize(
    "answer",
    [
        {"Code": "OK"},
        {"Code": "OK", "TotalCount": "some"},
        {"Code": "OK", "TotalCount": "1"},
        {"Code": "OK", "TotalCount": "1", "SmsSendDetailDTOs": {}},
        {"Code": "OK", "TotalCount": "1", "SmsSendDetailDTOs": {"SmsSendDetailDTO": []}},
        {"Code": "OK", "TotalCount": "1", "SmsSendDetailDTOs": {"SmsSendDetailDTO": [{"OutId": "batch"}]}},
        {
            "Code": "OK",
            "TotalCount": "1",
            "SmsSendDetailDTOs": {"SmsSendDetailDTO": [{"OutId": "batch", "SendStatus": 9}]},
        },
    ],
)
def test_half_an_answer_is_no_answer(provider: AlibabaCloudProvider, answer: dict) -> None:
    provider.client.call_api = lambda params, request, runtime: {"body": answer, "headers": {}, "statusCode": 200}
    with pytest.raises(LookUpFailed):
        look_up(provider)


def test_what_is_too_old_to_be_known_is_no_answer(provider: AlibabaCloudProvider) -> None:
    now = datetime.now(UTC)
    with pytest.raises(LookUpFailed, match="30 days"):
        provider.records("+12065550100", now - timedelta(days=31), now, "batch")


# Verifying


def test_an_approved_signature_verifies(sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider) -> None:
    sim.signs = [Sign(f"示例{index}") for index in range(60)] + [Sign(sim.credentials["verify_sign"])]
    verification = provider.verify()
    assert verification.ok
    assert [(str(label), value) for label, value in verification.details] == [("Signature", "approved")]
    assert len(sim.requests) == 2
    assert sim.journal == []


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ("AUDIT_STATE_INIT", "under review"),
        ("AUDIT_STATE_NOT_PASS", "rejected"),
        ("AUDIT_STATE_CANCEL", "review cancelled"),
        (None, "missing in this account"),
    ],
)
def test_a_signature_that_cannot_be_used_does_not_verify(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider, state: str | None, shown: str
) -> None:
    sim.signs = [Sign("另一个"), *([Sign(sim.credentials["verify_sign"], state)] if state else [])]
    verification = provider.verify()
    assert not verification.ok
    assert (verification.error_kind, verification.code) == (ErrorKind.TEMPLATE, "isv.SMS_SIGNATURE_ILLEGAL")
    assert verification.details[0][1] == shown
    assert str(verification.advice)


def test_an_approved_signature_verifies_beside_a_rejected_one_of_the_same_name(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider
) -> None:
    name = sim.credentials["verify_sign"]
    sim.signs = [Sign(name), Sign(name, "AUDIT_STATE_NOT_PASS")]
    assert provider.verify().ok


def test_an_account_that_lists_no_signatures_verifies_with_a_remark(provider: AlibabaCloudProvider) -> None:
    verification = provider.verify()
    assert verification.ok
    assert "console" in verification.details[0][1]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"access_key": "LTAIwrong"}, "InvalidAccessKeyId.NotFound"),
        ({"access_secret": "wrong"}, "SignatureDoesNotMatch"),
    ],
)
def test_wrong_credentials_do_not_verify(build: Build, changes: dict[str, str], code: str) -> None:
    if secret := changes.get("access_secret"):
        changes = {"access_secret": Secret.of(secret)}  # type: ignore[dict-item]
    verification = build(**changes).verify()
    assert (verification.ok, verification.error_kind, verification.code) == (False, ErrorKind.CREDENTIALS, code)
    assert str(verification.advice)


def test_a_missing_permission_is_told_from_a_wrong_key(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider
) -> None:
    sim.refuse("isp.RAM_PERMISSION_DENY", actions=["QuerySmsSignList"])
    verification = provider.verify()
    assert verification.error_kind == ErrorKind.CREDENTIALS
    assert "dysms:QuerySmsSignList" in str(verification.advice)


def test_a_vendor_out_of_reach_does_not_verify(sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider) -> None:
    sim.stop()
    verification = provider.verify()
    assert (verification.ok, verification.error_kind) == (False, ErrorKind.TRANSIENT)
    assert str(verification.advice)


# What can be said beforehand


@pytest.mark.parametrize(
    "outgoing",
    [
        replace(message(1), template_code=""),
        message(1, purpose="otp", code="123"),
        message(1, purpose="otp", code="1234567"),
        message(1, purpose="otp", code="12 34"),
        message(1, purpose="otp", code="١٢٣٤"),
        message(1, purpose="approval", processTitle=""),
        message(1, purpose="cc", processTitle="a" * 36),
        message(1, name="see https://example.com"),
        message(1, name="WWW.example.com"),
        message(1, text="a" * 500),
    ],
)
def test_what_the_vendor_never_takes_is_said_beforehand(
    provider: AlibabaCloudProvider, outgoing: OutgoingMessage
) -> None:
    problem = provider.problem_with(outgoing)
    assert problem
    assert not any(len(value) > 3 and value in problem for value in outgoing.params.values())


@pytest.mark.parametrize(
    "outgoing",
    [
        message(1),
        message(1, purpose="otp", code="A1b2C3"),
        message(1, purpose="otp", code="1234", minutes="5"),
        message(1, purpose="approval", processTitle="采购" * 17, userNick="王"),
        message("+12065550100", purpose="otp", code="12345678"),
        message("+12065550100", name="see https://example.com"),
        replace(message(1), params={}),
        message(1, text="a" * 494),
    ],
)
def test_what_the_vendor_may_take_is_let_through(provider: AlibabaCloudProvider, outgoing: OutgoingMessage) -> None:
    assert provider.problem_with(outgoing) is None


def test_a_signature_with_brackets_is_a_problem(build: Build) -> None:
    assert "brackets" in (build(verify_sign="【示例公司】").problem_with(message(1)) or "")


@pytest.mark.parametrize(
    ("characters", "segments"),
    [(64, 1), (65, 2), (128, 2), (129, 3)],
)
def test_mainland_segments_count_the_signature_and_never_gsm_7(
    provider: AlibabaCloudProvider, characters: int, segments: int
) -> None:
    """The signature 【示例公司】 takes 6 characters; 70 fit into one text, 67 into each part."""
    for number in ("+8613800000000", ""):
        assert provider.count_segments("a" * characters, number).segments == segments


def test_segments_elsewhere_follow_the_signatures_script(build: Build) -> None:
    chinese, english = build(), build(verify_sign="Example")
    assert chinese.count_segments("a" * 65, "+12065550100").segments == 2
    # [Example] takes 11 septets: its brackets are extended characters.
    assert english.count_segments("a" * 149, "+12065550100").segments == 1
    assert english.count_segments("a" * 150, "+12065550100").segments == 2


# Connections, processes, proxies


def test_threads_that_begin_together_share_one_session(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider
) -> None:
    from darabonba.core import DaraCore

    start = threading.Barrier(16)
    sim.latency = 0.05

    def send(number: int) -> Result:
        start.wait()
        return provider.send([message(number)], "batch")[0]

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(send, range(16)))
        results += pool.map(send, range(16, 160))
    assert outcomes(results) == {"accepted": 160}
    assert sim.connections <= 16
    # The SDK uses the session that we made; were its key different, it would have made one of its own.
    assert [session.max_redirects for session in DaraCore._sessions.values()] == [0]


def test_a_hundred_messages_keep_one_connection(sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider) -> None:
    for number in range(100):
        provider.send([message(number)], "batch")
    assert sim.connections == 1


def _send_in_child(config: AlibabaCloudConfiguration, name: str, start, pipe) -> None:
    from darabonba.core import DaraCore

    inherited = len(DaraCore._sessions)
    provider = AlibabaCloudProvider(config)
    start.wait()
    with ThreadPoolExecutor(4) as pool:
        numbers = range(100)
        sent = pool.map(lambda number: provider.send([message(number)], f"{name}-{number}")[0], numbers)
        pipe.send((inherited, [(number, result.message_id) for number, result in zip(numbers, sent, strict=True)]))
    pipe.close()
    os._exit(0)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_children_get_their_own_answers(sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: provider.send([message(number)], f"parent-{number}"), range(40)))
    context = get_context("fork")
    start = context.Barrier(2)
    children = {}
    for name in ("one", "two"):
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_send_in_child, args=(provider.configuration, name, start, sender))
        child.start()
        children[name] = child, receiver
    answers = {name: receiver.recv() for name, (_, receiver) in children.items() if receiver.poll(30)}
    for child, _ in children.values():
        child.join(10)
    [after] = provider.send([message(1)], "parent-after")

    taken = {accepted.reference: accepted for accepted in sim.journal}
    assert taken["parent-after"].message_id == after.message_id
    assert len(sim.journal) == 40 + 200 + 1
    for name in ("one", "two"):
        inherited, sent = answers[name]
        assert inherited == 0
        for number, message_id in sent:
            accepted = taken[f"{name}-{number}"]
            assert (accepted.message_id, accepted.phone_number) == (message_id, message(number).phone_number)


def test_a_proxy_is_used_but_not_for_what_no_proxy_names(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.com,127.0.0.0/8")
    assert provider.send([message()], "batch")[0].outcome == Outcome.ACCEPTED

    monkeypatch.setenv("NO_PROXY", "example.com")
    with AlibabaCloudSimulator() as other:
        [result] = AlibabaCloudProvider(configuration(other)).send([message()], "batch")
    assert (result.outcome, result.code) == (Outcome.NOT_SENT, "ProxyError")


# Nothing personal leaves


CODE, NAME, NUMBER = "482913", "王小明·Wang", "+8613800004711"


@pytest.mark.parametrize("fault", [*Fault, "refused", "offline", "wrong secret"])
def test_no_log_line_and_no_result_holds_anything_personal(
    sim: AlibabaCloudSimulator,
    build: Build,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    fault: Fault | str,
) -> None:
    provider = build(
        read_timeout=0.3, **({"access_secret": Secret.of("Wr0ng-S3cret")} if fault == "wrong secret" else {})
    )
    if isinstance(fault, Fault):
        sim.fail(fault, seconds=0.5)
    elif fault == "refused":
        sim.refuse("isv.INVALID_PARAMETERS", message=f"{NUMBER} {NUMBER[3:]} {CODE} {NAME} {json.dumps(NAME)}")
    elif fault == "offline":
        sim.stop()
    outgoing = [
        message(NUMBER, purpose="otp", text=f"{NAME}: {CODE}", code=CODE, name=NAME),
        message(NUMBER[:-1] + "2", code="000000"),
    ]
    with caplog.at_level(logging.DEBUG):
        results = provider.send(outgoing, "batch") + provider.send(outgoing[:1], "batch")
    written = caplog.text + "".join(capfd.readouterr()) + repr(results) + repr(outgoing)
    for secret in (
        NUMBER[1:],
        NUMBER[3:],
        CODE,
        NAME,
        json.dumps(NAME)[1:-1],
        sim.credentials["access_secret"],
        "Wr0ng",
    ):
        assert secret not in written


def test_the_leak_test_would_see_a_leak(provider: AlibabaCloudProvider, caplog: pytest.LogCaptureFixture) -> None:
    from alibabacloud_dysmsapi20170525.models import SendSmsRequest

    request = SendSmsRequest(phone_numbers=NUMBER[3:], sign_name="x", template_code="SMS_1")
    with caplog.at_level(logging.DEBUG):
        provider.client.send_sms(request)
    assert NUMBER[3:] in caplog.text


def test_the_echo_of_a_request_in_a_wrong_signatures_answer_is_dropped(
    sim: AlibabaCloudSimulator, provider: AlibabaCloudProvider
) -> None:
    """As the vendor answers: the string to sign, encoded twice, with number and variables."""
    sim.refuse(
        "SignatureDoesNotMatch",
        message="Specified signature is not matched with our calculation. server string to sign is:POST&%2F&Action"
        "%3DSendSms%26PhoneNumbers%3D13800004711%26TemplateParam%3D%257B%2522code%2522%253A%2522Ab3X%2522%257D",
    )
    [result] = provider.send([message(NUMBER, code="Ab3X")], "batch")
    assert result.detail == "Specified signature is not matched with our calculation."
    assert result.code == "SignatureDoesNotMatch"
