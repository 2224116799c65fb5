"""Twilio: its SDK itself against the simulator."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

pytest.register_assert_rewrite("tests.provider_contract")

from sms_services.choices import ErrorKind, MessageStatus, Outcome  # noqa: E402
from sms_services.exceptions import LookUpFailed  # noqa: E402
from sms_services.providers import twilio  # noqa: E402
from sms_services.providers.twilio import TwilioConfiguration, TwilioProvider  # noqa: E402
from sms_services.providers.twilio_errors import CONNECTION_ERRORS, DELIVERY_ERRORS, REQUEST_ERRORS  # noqa: E402
from tests.provider_contract import NUMBER, TEXT, ProviderContract, message, messages, secret  # noqa: E402
from tests.simulators import Fault, TwilioSimulator  # noqa: E402

MESSAGING_SERVICE = "MG" + "0a" * 16
OTHER_NUMBER = "+12065550199"


class TestTwilio(ProviderContract):
    provider_class = TwilioProvider
    simulator_class = TwilioSimulator
    sdk = ("twilio", "requests", "urllib3", "aiohttp")
    request_errors = REQUEST_ERRORS
    connection_errors = CONNECTION_ERRORS
    unmapped_code = "21999"

    def configuration(self, simulator, **changes):
        given = simulator.credentials
        values = {
            "account_sid": given["account_sid"],
            "auth_token": secret(changes.pop("secret", given["auth_token"])),
            "from_number": given["from_number"],
            "endpoint_url": simulator.url,
        }
        return TwilioConfiguration(**{**values, **changes})

    def secret_of(self, simulator):
        return simulator.credentials["auth_token"]

    def call_the_sdk(self, provider):
        from twilio.rest import Client

        configuration = provider.configuration
        client = Client(configuration.account_sid, configuration.auth_token.reveal())
        client.api.base_url = configuration.endpoint_url
        client.messages.create(to=NUMBER, from_=configuration.from_number, body=TEXT)

    # Sending

    @pytest.mark.parametrize(
        ("sender", "field"),
        [("+12065550100", "From"), ("Example", "From"), (MESSAGING_SERVICE, "MessagingServiceSid"), ("MG12", "From")],
    )
    def test_the_sender_is_a_number_a_name_or_a_messaging_service(self, simulator, sender, field):
        (result,) = self.build(simulator, from_number=sender).send([message()], "reference")
        assert result.outcome is Outcome.ACCEPTED
        assert simulator.journal[0].attributes == {field: sender}

    def test_segments_are_twilios_once_it_has_counted_them(self, simulator, provider):
        long = message(text="a" * 161)
        (counted,) = provider.send([long], "reference")
        (uncounted,) = self.build(simulator, from_number=MESSAGING_SERVICE).send([long], "reference")
        assert (counted.segments, uncounted.segments) == (2, None)

    @pytest.mark.parametrize("count", [None, "", "many", "1.5"])
    def test_a_count_that_is_none_does_not_cost_the_message_id(self, simulator, provider, monkeypatch, count):
        change_messages(monkeypatch, simulator, num_segments=count)
        (result,) = provider.send([message()], "reference")
        assert (result.outcome, result.segments) == (Outcome.ACCEPTED, None)
        assert result.message_id == simulator.journal[0].message_id

    def test_an_empty_answer_is_uncertain(self, simulator, provider):
        simulator.fail(Fault.EMPTY)
        (result,) = provider.send([message()], "reference")
        assert (result.outcome, result.code) == (Outcome.UNCERTAIN, "MissingMessageId")
        assert len(simulator.journal) == 1

    def test_the_request_id_is_kept(self, simulator, provider, monkeypatch):
        original = simulator.refusal

        def refusal(*arguments):
            reply = original(*arguments)
            reply.headers["Twilio-Request-Id"] = "RQ0123"
            return reply

        monkeypatch.setattr(simulator, "refusal", refusal)
        simulator.refuse("21610")
        assert provider.send([message()], "reference")[0].request_id == "RQ0123"

    # Errors

    @pytest.mark.parametrize("code", list(REQUEST_ERRORS))
    def test_every_code_of_a_request_has_its_kind_outcome_and_advice(self, simulator, provider, code):
        simulator.refuse(code)
        (result,) = provider.send([message()], "reference")
        entry, own_failure = REQUEST_ERRORS[code], code in {"20500", "20503"}
        outcome = Outcome.NOT_SENT if entry.retry else Outcome.UNCERTAIN if own_failure else Outcome.REFUSED
        assert (result.outcome, result.error_kind, result.code) == (outcome, entry.kind, code)
        assert str(provider.advice_for(code))
        assert "Unable to" not in result.detail
        assert len(simulator.requests) == 1

    @pytest.mark.parametrize("code", list(DELIVERY_ERRORS))
    @pytest.mark.parametrize("status", ["undelivered", "failed"])
    def test_every_code_of_a_delivery_has_its_kind_and_advice(self, simulator, provider, code, status):
        provider.send([message()], "reference")
        simulator.set_status(NUMBER, status, error_code=code)
        (record,) = look_up(provider)
        assert (record.status.value, record.code, record.error_kind) == (status, code, DELIVERY_ERRORS[code].kind)
        assert str(provider.advice_for(code))

    def test_no_code_stands_in_two_tables(self):
        assert not REQUEST_ERRORS.keys() & DELIVERY_ERRORS.keys()

    def test_an_rfc_9457_answer_is_read_by_its_own_status(self, simulator, provider, monkeypatch):
        """Its body says 400 while the answer is a 502: nobody knows what became of the text."""
        from tests.simulators.base import json_reply

        body = {"type": "about:blank", "title": "Bad", "status": 400, "code": 21211, "detail": "Bad number"}
        for status, outcome in ((400, Outcome.REFUSED), (502, Outcome.UNCERTAIN)):
            monkeypatch.setattr(simulator, "refusal", lambda *arguments, status=status: json_reply(body, status=status))
            simulator.refuse("21211", times=1)
            (result,) = provider.send([message()], "reference")
            assert (result.outcome, result.code, result.detail) == (outcome, "21211", "Bad number")

    @pytest.mark.parametrize("body", [b"[]", b'"x"', b"null", b'{"code": null, "message": null}', b"<html>", b""])
    def test_a_refusal_in_an_unknown_shape_is_one_by_its_status(self, simulator, provider, monkeypatch, body):
        from tests.simulators.http_server import HttpReply

        monkeypatch.setattr(simulator, "refusal", lambda *arguments: HttpReply(403, body))
        simulator.refuse("20003")
        (result,) = provider.send([message()], "reference")
        assert (result.outcome, result.error_kind, result.code) == (Outcome.REFUSED, ErrorKind.UNKNOWN, "403")

    def test_a_throttled_answer_does_not_lend_its_pause_to_the_next(self, simulator, provider):
        simulator.fail(Fault.THROTTLED, times=1, retry_after=9)
        simulator.fail(Fault.RESET_AFTER_ACCEPTING, times=1)
        simulator.fail(Fault.THROTTLED, times=1)
        results = [provider.send([message()], "reference")[0] for _ in range(3)]
        assert [result.retry_after for result in results] == [9.0, None, None]

    # Connections

    def test_more_callers_than_threads_wait_for_a_connection(self, simulator):
        provider = self.build(simulator, threads=4)
        simulator.latency = 0.005
        outcomes = []

        def send() -> None:
            outcomes.extend(provider.send_one(out).outcome for out in messages(10))

        callers = [threading.Thread(target=send) for _ in range(20)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert outcomes == [Outcome.ACCEPTED] * 200
        assert simulator.connections <= 4

    def test_redirects_are_not_followed(self, simulator, provider, monkeypatch):
        from tests.simulators.http_server import HttpReply

        location = {"Location": f"{simulator.url}/elsewhere"}
        monkeypatch.setattr(simulator, "refusal", lambda *arguments: HttpReply(307, b"{}", headers=location))
        simulator.refuse("20003")
        (result,) = provider.send([message()], "reference")
        assert result.outcome is Outcome.UNCERTAIN
        assert len(simulator.requests) == 1

    def test_the_client_keeps_no_request(self, simulator, provider):
        provider.send([message()], "reference")
        kept = vars(provider.client.http_client)
        assert set(kept) == {"timeout", "pools", "answer"}
        assert set(vars(kept["answer"])) == {"status", "headers"}

    def test_only_the_configuration_counts(self, simulator, monkeypatch, tmp_path):
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login somebody password else\n")
        for name, value in {
            "TWILIO_ACCOUNT_SID": "AC" + "9" * 32,
            "TWILIO_AUTH_TOKEN": "somebody-else",
            "TWILIO_EDGE": "sydney",
            "TWILIO_REGION": "au1",
            "NETRC": str(netrc),
        }.items():
            monkeypatch.setenv(name, value)
        (result,) = self.build(simulator).send([message()], "reference")
        assert result.outcome is Outcome.ACCEPTED
        client = self.build(simulator, endpoint_url="").client
        assert client.get_hostname(client.api.base_url) == "https://api.twilio.com"

    def test_timeouts_are_the_configurations(self, simulator):
        provider = self.build(simulator, connect_timeout=1.5, read_timeout=2.5, threads=7)
        http = provider.client.http_client
        assert (http.timeout.connect_timeout, http.timeout.read_timeout) == (1.5, 2.5)
        for url in ("https://api.twilio.com", simulator.url):
            pool = http.pools.connection_from_url(url)
            assert (pool.pool.maxsize, pool.block) == (7, True)

    def test_certificates_and_proxies_are_those_of_the_environment(self, simulator, monkeypatch, tmp_path):
        bundle = tmp_path / "bundle.pem"
        bundle.touch()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        monkeypatch.setenv("HTTPS_PROXY", "http://somebody:password@127.0.0.1:9")
        pools = self.build(simulator, endpoint_url="", threads=5).client.http_client.pools
        assert pools.proxy.netloc == "127.0.0.1:9"
        assert pools.proxy_headers == {"Proxy-Authorization": "Basic c29tZWJvZHk6cGFzc3dvcmQ="}
        assert pools.connection_pool_kw["ca_certs"] == str(bundle)
        assert pools.connection_pool_kw["cert_reqs"] == "CERT_REQUIRED"
        assert pools.connection_pool_kw["maxsize"] == 5
        monkeypatch.setenv("NO_PROXY", "api.twilio.com")
        assert self.build(simulator, endpoint_url="").client.http_client.pools.proxy is None

    # Verifying

    def test_verifying_shows_status_type_and_balance(self, simulator, provider):
        shown = {str(name): value for name, value in provider.verify().details}
        assert shown == {"Account status": "active", "Account type": "Full", "Balance": "42.50 USD"}

    def test_verifying_tells_of_a_trial(self, simulator, provider):
        simulator.account_type = "Trial"
        verification = provider.verify()
        assert verification.ok
        assert "verified numbers" in {str(name): value for name, value in verification.details}["Account type"]

    @pytest.mark.parametrize("status", ["suspended", "closed"])
    def test_an_account_that_is_not_active_fails_verification(self, simulator, provider, status):
        simulator.account_status = status
        verification = provider.verify()
        assert (verification.ok, verification.error_kind, verification.code) == (False, ErrorKind.QUOTA, status)
        assert str(verification.advice)
        assert (("Account status"), status) in [(str(name), value) for name, value in verification.details]

    @pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.MALFORMED, Fault.EMPTY, Fault.RESET_BEFORE_ACCEPTING])
    def test_verification_does_not_need_the_balance(self, simulator, provider, fault):
        simulator.fail(fault, actions=["FetchBalance"])
        verification = provider.verify()
        assert verification.ok
        assert [str(name) for name, _ in verification.details] == ["Account status", "Account type"]

    @pytest.mark.parametrize("fault", [Fault.MALFORMED, Fault.EMPTY, Fault.TRUNCATED, Fault.SERVER_ERROR])
    def test_an_unclear_answer_fails_verification(self, simulator, provider, fault):
        simulator.fail(fault, actions=["FetchAccount"])
        verification = provider.verify()
        assert (verification.ok, verification.error_kind) == (False, ErrorKind.TRANSIENT)

    def test_verifying_shows_nothing_secret(self, simulator, provider):
        assert self.secret_of(simulator) not in repr(provider.verify())


def look_up(provider, phone_number=NUMBER, *, since=-60, until=60):
    """The records of the last minute, or of other seconds around now."""
    now = datetime.now(UTC)
    return provider.records(phone_number, now + timedelta(seconds=since), now + timedelta(seconds=until), "reference")


class TestRecords:
    @pytest.fixture
    def simulator(self):
        with TwilioSimulator() as simulator:
            yield simulator

    @pytest.fixture
    def provider(self, simulator, monkeypatch):
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.delenv(name, raising=False)
        return TestTwilio().build(simulator)

    @pytest.fixture
    def service_provider(self, simulator, provider):
        return TestTwilio().build(simulator, from_number=MESSAGING_SERVICE)

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            *((name, MessageStatus.SENT) for name in ("accepted", "scheduled", "queued", "sending", "sent")),
            *((name, MessageStatus.DELIVERED) for name in ("delivered", "read")),
            ("undelivered", MessageStatus.UNDELIVERED),
            *((name, MessageStatus.FAILED) for name in ("failed", "canceled")),
        ],
    )
    def test_a_status_is_one_of_ours(self, simulator, provider, status, expected):
        (sent,) = provider.send([message()], "reference")
        simulator.set_status(NUMBER, status)
        (record,) = look_up(provider)
        assert (record.status, record.message_id, record.text) == (expected, sent.message_id, TEXT)
        assert record.segments == (None if status == "accepted" else 1)
        assert record.sent_at is not None
        assert abs(record.sent_at - datetime.now(UTC)) < timedelta(seconds=10)
        failed = expected in {MessageStatus.UNDELIVERED, MessageStatus.FAILED}
        assert (record.code, record.error_kind) == ("", ErrorKind.UNKNOWN if failed else None)

    def test_a_text_in_doubt_is_found(self, simulator, provider):
        simulator.fail(Fault.RESET_AFTER_ACCEPTING, times=1)
        assert provider.send([message()], "reference")[0].outcome is Outcome.UNCERTAIN
        (record,) = look_up(provider)
        assert record.message_id == simulator.journal[0].message_id

    def test_a_text_that_was_never_taken_is_not_found(self, simulator, provider):
        simulator.fail(Fault.RESET_BEFORE_ACCEPTING, times=1)
        assert provider.send([message()], "reference")[0].outcome is Outcome.UNCERTAIN
        assert look_up(provider) == []

    def test_records_come_oldest_first(self, simulator, provider):
        results = [provider.send([message(text=f"Text {number}")], "reference")[0] for number in range(5)]
        assert [record.message_id for record in look_up(provider)] == [result.message_id for result in results]

    def test_only_the_span_of_time_counts(self, simulator, provider):
        provider.send([message()], "reference")
        assert look_up(provider, since=5) == []
        assert look_up(provider, until=-5) == []
        assert len(look_up(provider)) == 1

    def test_twilios_whole_seconds_do_not_hide_a_text(self, simulator, provider):
        """Created at 12:00:00.9 is shown as 12:00:00, before a span that begins at 12:00:00.5."""
        provider.send([message()], "reference")
        created = datetime.fromtimestamp(simulator.journal[0].received_at, UTC)
        since = created.replace(microsecond=0) + timedelta(microseconds=999_999)
        assert len(provider.records(NUMBER, since, since + timedelta(seconds=1), "reference")) == 1

    def test_other_numbers_and_other_senders_do_not_count(self, simulator, provider, service_provider):
        provider.send([message(OTHER_NUMBER)], "reference")
        TestTwilio().build(simulator, from_number="+12065550101").send([message()], "reference")
        service_provider.send([message()], "reference")
        assert look_up(provider) == []
        assert len(look_up(service_provider)) == 1

    def test_a_sender_id_that_a_carrier_changed_still_counts(self, simulator, provider):
        TestTwilio().build(simulator, from_number="Example").send([message()], "reference")
        assert len(look_up(TestTwilio().build(simulator, from_number="Sample"))) == 1

    def test_what_the_number_itself_sent_does_not_count(self, simulator, provider, monkeypatch):
        provider.send([message()], "reference")
        change_messages(monkeypatch, simulator, direction="inbound", status="received")
        assert look_up(provider) == []

    def test_the_words_before_texts_of_trial_accounts_are_taken_off(self, simulator, provider, monkeypatch):
        provider.send([message()], "reference")
        change_messages(monkeypatch, simulator, body=f"Sent from your Twilio trial account - {TEXT}")
        (record,) = look_up(provider)
        assert record.text == TEXT

    def test_a_redacted_text_is_empty(self, simulator, provider, monkeypatch):
        provider.send([message()], "reference")
        change_messages(monkeypatch, simulator, body=None)
        assert look_up(provider)[0].text == ""

    # Pages

    def test_all_pages_are_read(self, simulator, provider, monkeypatch):
        monkeypatch.setattr(twilio, "PAGE_SIZE", 2)
        results = [provider.send([message()], "reference")[0] for _ in range(7)]
        assert [record.message_id for record in look_up(provider)] == [result.message_id for result in results]
        assert len(list_requests(simulator)) == 4

    def test_older_pages_are_not_read(self, simulator, provider, monkeypatch):
        monkeypatch.setattr(twilio, "PAGE_SIZE", 2)
        for _ in range(9):
            provider.send([message()], "reference")
        time.sleep(1.1)
        since = datetime.now(UTC)
        provider.send([message()], "reference")
        assert len(provider.records(NUMBER, since, since + timedelta(minutes=1), "reference")) == 1
        assert len(list_requests(simulator)) == 2

    def test_more_pages_than_are_read_are_no_clear_answer(self, simulator, provider, monkeypatch):
        monkeypatch.setattr(twilio, "PAGE_SIZE", 1)
        for _ in range(twilio.MAX_PAGES + 1):
            provider.send([message()], "reference")
        with pytest.raises(LookUpFailed, match="TooManyMessages"):
            look_up(provider)
        assert len(list_requests(simulator)) == twilio.MAX_PAGES

    def test_no_filter_by_date_hides_what_is_queued(self, simulator, provider):
        provider.send([message()], "reference")
        simulator.set_status(NUMBER, "queued")
        assert len(look_up(provider)) == 1
        (request,) = list_requests(simulator)
        assert request.parameters == {"To": NUMBER, "From": "+12065550100", "PageSize": "1000"}

    # No clear answer

    @pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.DRIP])
    def test_a_fault_fails_the_look_up_and_its_message_holds_no_number(self, simulator, fault):
        provider = TestTwilio().build(simulator, read_timeout=0.3)
        provider.send([message()], "reference")
        simulator.fail(fault, actions=["ListMessage"], seconds=1.0)
        with pytest.raises(LookUpFailed) as raised:
            look_up(provider)
        assert NUMBER[-7:] not in str(raised.value)
        assert raised.value.__cause__ is None
        assert raised.value.__context__ is None

    def test_a_fault_on_a_later_page_fails_the_look_up(self, simulator, provider, monkeypatch):
        monkeypatch.setattr(twilio, "PAGE_SIZE", 1)
        for _ in range(3):
            provider.send([message()], "reference")
        listed = simulator._list_messages

        def fail_second_page(path, parameters):
            if "PageToken" in parameters:
                simulator.fail(Fault.SERVER_ERROR, actions=["ListMessage"])
            return listed(path, parameters)

        monkeypatch.setattr(simulator, "_list_messages", fail_second_page)
        with pytest.raises(LookUpFailed):
            look_up(provider)

    def test_a_refused_look_up_names_the_code(self, simulator, provider):
        simulator.refuse("20003", actions=["ListMessage"])
        with pytest.raises(LookUpFailed, match="20003"):
            look_up(provider)

    @pytest.mark.parametrize("change", [{"status": "new"}, {"date_created": None}, {"date_created": "yesterday"}])
    def test_a_record_that_is_not_understood_fails_the_look_up(self, simulator, provider, monkeypatch, change):
        provider.send([message()], "reference")
        change_messages(monkeypatch, simulator, **change)
        with pytest.raises(LookUpFailed):
            look_up(provider)

    def test_a_record_of_somebody_else_that_is_not_understood_does_not_matter(self, simulator, provider, monkeypatch):
        provider.send([message()], "reference")
        change_messages(monkeypatch, simulator, status="new", direction="outbound-call")
        assert look_up(provider) == []


def list_requests(simulator):
    return [request for request in simulator.requests if request.action == "ListMessage"]


def change_messages(monkeypatch, simulator, **changes):
    """Let the simulator show its messages with other values."""
    show = simulator._message
    monkeypatch.setattr(simulator, "_message", lambda *arguments: {**show(*arguments), **changes})


def test_the_modules_tables_know_every_status_of_the_sdk():
    """All but those of incoming messages, and of messages to several numbers at once."""
    from twilio.rest.api.v2010.account.message import MessageInstance

    known = {value for name, value in vars(MessageInstance.Status).items() if name.isupper()}
    assert known - set(twilio.STATUSES) == {"receiving", "received", "partially_delivered"}
