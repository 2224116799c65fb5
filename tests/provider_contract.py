"""What holds for every provider without batches: the same tests, with the vendor's real SDK against its simulator.

A vendor's test class inherits ``ProviderContract`` and says how its configuration is made. All numbers are fictional:
+1 206 555 01xx, and +86 138 0000 xxxx where many are needed.
"""

import json
import logging
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import django
import pytest
from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from django.conf import settings

if not settings.configured:  # without pytest-django
    settings.configure(SMS_SERVICES={"ENCRYPTION_KEYS": [Fernet.generate_key().decode()]}, USE_I18N=True)
    django.setup()

from sms_services.choices import ErrorKind, Outcome, Purpose
from sms_services.conf import get_settings
from sms_services.encryption import Secret
from sms_services.exceptions import MissingSDK
from sms_services.providers.base import OutgoingMessage, Provider, ProviderError, Result
from sms_services.providers.cache import forget_providers, get_provider
from tests.simulators import Fault, Simulator

NUMBER = "+12065550123"
CODE = "904417"
TEXT = f"Your code is {CODE}. It is valid for 5 minutes."

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def message(phone_number: str = NUMBER, text: str = TEXT, purpose: str = Purpose.OTP) -> OutgoingMessage:
    return OutgoingMessage(phone_number=phone_number, purpose=purpose, text=text, params={"code": CODE})


def messages(count: int, *, first: int = 0) -> list[OutgoingMessage]:
    """Messages to distinct numbers, each with a text of its own."""
    return [message(f"+86138000{number:05d}", f"Text {number}") for number in range(first, first + count)]


class StubService:
    """What ``get_provider`` needs of a service."""

    pk = 1

    def __init__(self, provider_class: type[Provider], configuration: Any) -> None:
        self.provider_class = provider_class
        self.configuration = configuration

    def provider_configuration(self) -> Any:
        return self.configuration

    def build_provider(self) -> Provider:
        return self.provider_class(self.configuration)  # type: ignore[call-arg]


class ProviderContract(ABC):
    provider_class: ClassVar[type[Provider]]
    simulator_class: ClassVar[type[Simulator]]
    #: The SDK's packages, itself first, none of which may be imported with the provider's module.
    sdk: ClassVar[Sequence[str]]
    #: What the provider's table says of the answers to a request to send, and of a missing connection.
    request_errors: ClassVar[Mapping[str, ProviderError]]
    connection_errors: ClassVar[Mapping[str, ProviderError]]
    #: A code that is in no table.
    unmapped_code: ClassVar[str]

    @abstractmethod
    def configuration(self, simulator: Simulator, **changes: Any) -> Any:
        """The configuration for a simulator; ``secret`` is the secret's plain text."""

    @pytest.fixture(autouse=True)
    def _without_proxies(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in PROXY_VARIABLES:
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)

    @pytest.fixture
    def simulator(self) -> Iterator[Simulator]:
        with self.simulator_class() as simulator:
            yield simulator

    @pytest.fixture
    def provider(self, simulator: Simulator) -> Provider:
        return self.build(simulator)

    def build(self, simulator: Simulator, **changes: Any) -> Provider:
        return self.provider_class(self.configuration(simulator, **changes))  # type: ignore[call-arg]

    def result_without_connection(self, simulator: Simulator, endpoint_url: str) -> Result:
        provider = self.build(simulator, endpoint_url=endpoint_url, connect_timeout=0.5, read_timeout=0.5)
        (result,) = provider.send([message()], "reference")
        assert simulator.requests == []
        return result

    # Sending

    def test_an_accepted_text_has_the_providers_id(self, simulator, provider):
        (result,) = provider.send([message()], "reference")
        assert result.outcome is Outcome.ACCEPTED
        (accepted,) = simulator.journal
        assert (accepted.phone_number, accepted.text) == (NUMBER, TEXT)
        assert result.message_id == accepted.message_id
        assert len(simulator.requests) == 1

    def test_results_come_in_the_order_of_their_messages(self, simulator, provider):
        simulator.latency = 0.005
        batch = messages(200)
        results = provider.send(batch, "reference")
        ids = {accepted.phone_number: accepted.message_id for accepted in simulator.journal}
        assert [result.message_id for result in results] == [ids[out.phone_number] for out in batch]
        assert {accepted.phone_number: accepted.text for accepted in simulator.journal} == {
            out.phone_number: out.text for out in batch
        }

    @pytest.mark.parametrize("text", ["验证码 904417", "emoji 😀 & <xml> + 100% = “x”", "a\nb\r\nc", " kept ", "€{}[]"])
    def test_texts_arrive_as_they_were_written(self, simulator, provider, text):
        (result,) = provider.send([message(text=text)], "reference")
        assert result.outcome is Outcome.ACCEPTED
        assert simulator.journal[0].text == text

    # Faults

    @pytest.mark.parametrize("fault", list(Fault))
    def test_a_fault_has_its_outcome_after_exactly_one_request(self, simulator, fault):
        provider = self.build(simulator, read_timeout=0.4)
        simulator.fail(fault, seconds=0.2 if fault is Fault.DRIP else 1.5)
        (result,) = provider.send([message()], "reference")
        expected = {Fault.THROTTLED: Outcome.NOT_SENT, Fault.DRIP: Outcome.ACCEPTED}.get(fault, Outcome.UNCERTAIN)
        assert result.outcome is expected
        assert len(simulator.requests) == 1
        if expected is not Outcome.ACCEPTED:
            kind = ErrorKind.THROTTLED if fault is Fault.THROTTLED else ErrorKind.TRANSIENT
            assert result.error_kind is kind
            assert result.code
            assert str(provider.advice_for(result.code, result.error_kind))

    @pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.UNAVAILABLE])
    def test_a_server_error_is_uncertain_whatever_became_of_the_text(self, simulator, provider, fault):
        for accepted in (True, False):
            simulator.fail(fault, accepted=accepted, times=1)
            (result,) = provider.send([message()], "reference")
            assert result.outcome is Outcome.UNCERTAIN

    def test_the_pause_that_a_provider_asks_for_is_passed_on(self, simulator, provider):
        simulator.fail(Fault.THROTTLED, times=1, retry_after=7)
        simulator.fail(Fault.THROTTLED, times=1)
        first, second = (provider.send([message()], "reference")[0] for _ in range(2))
        assert (first.outcome, first.retry_after) == (Outcome.NOT_SENT, 7.0)
        assert (second.outcome, second.retry_after) == (Outcome.NOT_SENT, None)

    def test_an_unknown_429_is_throttling(self, simulator, provider):
        simulator.refuse(self.unmapped_code, status=429)
        (result,) = provider.send([message()], "reference")
        assert (result.outcome, result.error_kind) == (Outcome.NOT_SENT, ErrorKind.THROTTLED)

    @pytest.mark.parametrize("status", [301, 408, 500, 502, 504])
    def test_only_a_clear_no_is_a_refusal(self, simulator, provider, status):
        simulator.refuse(self.unmapped_code, status=status)
        (result,) = provider.send([message()], "reference")
        assert result.outcome is Outcome.UNCERTAIN

    def test_an_answer_that_nobody_understands_is_uncertain(self, simulator, provider):
        simulator.fail(Fault.MALFORMED, status=400)
        (result,) = provider.send([message()], "reference")
        assert result.outcome in {Outcome.UNCERTAIN, Outcome.REFUSED}
        assert result.detail == ""

    def test_broken_answers_do_not_use_the_pool_up(self, simulator):
        provider = self.build(simulator, threads=2, read_timeout=0.3)
        for fault in (Fault.TRUNCATED, Fault.MALFORMED, Fault.EMPTY, Fault.RESET_AFTER_ACCEPTING, Fault.SLOW):
            simulator.fail(fault, times=3, seconds=0.6)
        outcomes = []

        def send() -> None:
            outcomes.extend(provider.send_one(out).outcome for out in messages(16))

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        sender.join(20)
        assert outcomes == [Outcome.UNCERTAIN] * 15 + [Outcome.ACCEPTED]

    def test_a_connection_that_the_provider_closed_costs_no_text(self, simulator, provider):
        provider.send([message()], "reference")
        simulator.stop()
        simulator.start()
        (result,) = provider.send([message()], "reference")
        assert result.outcome is Outcome.ACCEPTED

    # Refusals

    def test_an_unmapped_code_is_refused_with_kind_unknown(self, simulator, provider):
        simulator.refuse(self.unmapped_code)
        (result,) = provider.send([message()], "reference")
        assert (result.outcome, result.error_kind) == (Outcome.REFUSED, ErrorKind.UNKNOWN)
        assert result.code == self.unmapped_code
        assert str(provider.advice_for(result.code, result.error_kind))

    def test_details_hold_the_providers_words_and_nothing_personal(self, simulator, provider):
        simulator.refuse(self.unmapped_code, message=f"Number {NUMBER} may not get “{TEXT}” nor {CODE}.")
        (result,) = provider.send([message()], "reference")
        assert result.detail == "Number *** may not get “***” nor ***."
        for secret in (NUMBER, TEXT, CODE):
            assert secret not in repr(result)

    def test_one_refused_number_refuses_no_other(self, simulator, provider):
        batch = messages(10)
        code = next(iter(self.request_errors))
        simulator.refuse_numbers({batch[3].phone_number: code})
        results = provider.send(batch, "reference")
        assert [result.outcome is Outcome.ACCEPTED for result in results] == [index != 3 for index in range(10)]
        assert results[3].code == code

    def test_every_row_has_advice_and_retries_only_what_may_work_later(self):
        for code, entry in self.provider_class.errors.items():
            assert str(entry.advice).endswith("."), code
            if entry.retry:
                assert entry.kind in {ErrorKind.THROTTLED, ErrorKind.TRANSIENT}, code

    # No connection

    def test_a_refused_connection_sends_nothing(self, simulator):
        url = simulator.url
        simulator.stop()
        result = self.result_without_connection(simulator, url)
        assert (result.outcome, result.error_kind, result.detail) == (Outcome.NOT_SENT, ErrorKind.TRANSIENT, "")

    def test_connections_that_never_were_send_nothing(self, simulator, monkeypatch):
        seen = set()
        for name, (prepare, outcome) in BROKEN_NETWORKS.items():
            with prepare() as (endpoint_url, environment), monkeypatch.context() as patch:
                for variable, value in environment.items():
                    patch.setenv(variable, value)
                result = self.result_without_connection(simulator, endpoint_url)
            assert result.outcome is outcome, name
            assert (result.error_kind, result.detail) == (ErrorKind.TRANSIENT, ""), name
            if outcome is Outcome.NOT_SENT:
                seen.add(result.code)
                assert result.code in self.connection_errors, name
        assert seen == set(self.connection_errors)

    # Connections

    def test_a_thousand_texts_open_no_more_connections_than_threads(self, simulator):
        threads = get_settings().THREADS
        provider = self.build(simulator, threads=threads)
        simulator.latency = 0.002
        results = provider.send(messages(1000), "reference")
        assert {result.outcome for result in results} == {Outcome.ACCEPTED}
        assert len(simulator.journal) == 1000
        assert simulator.connections <= threads

    def test_forked_children_get_their_own_message_ids(self, simulator):
        forget_providers()
        service = StubService(self.provider_class, self.configuration(simulator))
        parent = get_provider(service)
        assert {result.outcome for result in parent.send(messages(50), "reference")} == {Outcome.ACCEPTED}
        simulator.latency = 0.002

        def child(first: int) -> dict[str, str]:
            provider = get_provider(service)
            assert provider is not parent
            batch = messages(100, first=first)
            results = provider.send(batch, "reference")
            return {out.phone_number: result.message_id for out, result in zip(batch, results, strict=True)}

        answers = run_in_children([lambda: child(1000), lambda: child(2000)])
        after = messages(50, first=3000)
        mine = {
            out.phone_number: result.message_id
            for out, result in zip(after, parent.send(after, "reference"), strict=True)
        }
        journal = {accepted.phone_number: accepted.message_id for accepted in simulator.journal}
        assert len(journal) == 300
        for ids in (*answers, mine):
            assert ids == {number: journal[number] for number in ids}
        forget_providers()

    # Secrets

    def test_nothing_personal_is_logged_at_any_level_in_any_fault(self, simulator, caplog):
        caplog.set_level(logging.DEBUG)
        provider = self.build(simulator, read_timeout=0.3)
        for fault in Fault:
            simulator.fail(fault, times=1, seconds=0.5)
            provider.send([message()], "reference")
        simulator.refuse(self.unmapped_code, times=1, message=f"{NUMBER} {TEXT}")
        provider.send([message()], "reference")
        provider.send([message()] * 3, "reference")
        provider.verify()
        self.look_up(provider)
        simulator.stop()
        provider.send([message()], "reference")
        logged = everything_in(caplog.records)
        for secret in self.secrets(simulator):
            assert secret not in logged
        # The SDK does log: the same call outside of ours is full of it.
        simulator.start()
        caplog.clear()
        self.call_the_sdk(provider)
        assert everything_in(caplog.records)

    def secrets(self, simulator: Simulator) -> list[str]:
        """What no log line may hold, as it is or as it stands in a URL or body."""
        digits = NUMBER.removeprefix("+")
        return [digits, digits[-10:], TEXT, TEXT.replace(" ", "+"), CODE, "Authorization", self.secret_of(simulator)]

    def look_up(self, provider: Provider) -> None:
        if provider.can_look_up:
            now = datetime.now(UTC)
            provider.records(NUMBER, now - timedelta(minutes=5), now, "reference")

    @abstractmethod
    def secret_of(self, simulator: Simulator) -> str:
        """The secret that no ``repr`` may show."""

    @abstractmethod
    def call_the_sdk(self, provider: Provider) -> None:
        """Send a text with the provider's client itself."""

    def test_the_configuration_shows_no_secret(self, simulator):
        assert self.secret_of(simulator) not in repr(self.configuration(simulator))

    # The SDK

    def test_importing_the_module_imports_no_sdk(self):
        code = (
            f"import sys, {self.provider_class.__module__}\n"
            f"print([name for name in {list(self.sdk)} if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"

    def test_a_missing_sdk_is_named_with_the_extra_that_installs_it(self, simulator, monkeypatch):
        for name in {self.sdk[0], *(name for name in sys.modules if name.startswith(f"{self.sdk[0]}."))}:
            monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(MissingSDK, match=rf"django-sms-services\[{self.provider_class.extra}\]"):
            self.build(simulator).client  # noqa: B018

    # Verifying

    def test_right_credentials_are_verified_without_sending(self, simulator, provider):
        verification = provider.verify()
        assert verification.ok
        assert verification.error_kind is None
        assert verification.details
        assert simulator.journal == []

    def test_a_wrong_secret_is_told(self, simulator):
        verification = self.build(simulator, secret="wrong-secret").verify()
        assert not verification.ok
        assert verification.error_kind is ErrorKind.CREDENTIALS
        assert verification.code in self.provider_class.errors
        assert str(verification.advice)

    def test_verifying_without_a_connection_is_told(self, simulator):
        provider = self.build(simulator)
        simulator.stop()
        verification = provider.verify()
        assert (verification.ok, verification.error_kind) == (False, ErrorKind.TRANSIENT)
        assert str(verification.advice)

    # What is never taken

    @pytest.mark.parametrize("text", ["", " ", "\n"])
    def test_an_empty_text_is_a_problem(self, simulator, provider, text):
        assert "empty" in provider.problem_with(message(text=text))

    def test_1600_characters_are_no_problem_and_1601_are(self, simulator, provider):
        assert provider.problem_with(message(text="a" * 1600)) is None
        assert "1601" in provider.problem_with(message(text="a" * 1601)).replace(",", "")
        (result,) = provider.send([message(text="a" * 1600)], "reference")
        assert result.outcome is Outcome.ACCEPTED

    def test_a_text_that_no_encoding_holds_is_refused_without_a_request(self, simulator, provider):
        (result,) = provider.send([message(text="\ud83d")], "reference")
        assert result.outcome is Outcome.REFUSED
        assert simulator.requests == []


def everything_in(records: Sequence[logging.LogRecord]) -> str:
    """All that the log's records hold: lines, arguments, tracebacks, extras."""
    lines = []
    for record in records:
        lines.append(logging.Formatter().format(record))
        lines.append(repr(vars(record)))
    return "\n".join(lines)


def run_in_children(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Fork a child for each work, all at the same time, and return what they return."""
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.NamedTemporaryFile("w+")) for _ in works]
        children = []
        for work, file in zip(works, files, strict=True):
            pid = os.fork()
            if not pid:
                status = 1
                try:
                    json.dump(work(), file)
                    file.flush()
                    status = 0
                finally:
                    os._exit(status)
            children.append(pid)
        statuses = [os.waitpid(pid, 0)[1] for pid in children]
        assert statuses == [0] * len(children)
        answers = []
        for file in files:
            file.seek(0)
            answers.append(json.load(file))
        return answers


# Networks that are broken in one way each: (endpoint URL, environment) to send with, and the outcome that is right.

Broken = Iterator[tuple[str, dict[str, str]]]


@contextmanager
def listening(serve: Callable[[socket.socket], None], *, backlog: int = 16) -> Iterator[int]:
    """A server on a port of its own that gives every connection to ``serve`` and closes it afterwards."""
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as server:

        def run() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        serve(connection)
                    except OSError:
                        continue

        threading.Thread(target=run, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def read_request(connection: socket.socket) -> None:
    connection.settimeout(5)
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536) or b"\r\n\r\n"


@contextmanager
def unknown_host() -> Broken:
    original = socket.getaddrinfo

    def fail(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == "sms.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return original(host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", fail)
        yield "http://sms.invalid", {}


@contextmanager
def closed_port() -> Broken:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    yield f"http://127.0.0.1:{port}", {}


@contextmanager
def full_backlog() -> Broken:
    """A host that does not answer: connections beyond the backlog are never taken."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = server.getsockname()[1]
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        yield f"http://127.0.0.1:{port}", {}


@contextmanager
def untrusted_certificate() -> Broken:
    with tempfile.NamedTemporaryFile() as file:
        file.write(self_signed_certificate())
        file.flush()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file.name)

        def serve(connection: socket.socket) -> None:
            with context.wrap_socket(connection, server_side=True) as secured:
                read_request(secured)

        with listening(serve) as port:
            yield f"https://127.0.0.1:{port}", {}


@contextmanager
def closed_in_the_handshake() -> Broken:
    with listening(lambda connection: None) as port:
        yield f"https://127.0.0.1:{port}", {}


@contextmanager
def closed_proxy() -> Broken:
    with closed_port() as (proxy, _):
        yield "http://sms.invalid", {"HTTP_PROXY": proxy}


@contextmanager
def proxy_without_tunnel() -> Broken:
    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    with listening(serve) as port:
        yield "https://sms.invalid", {"HTTPS_PROXY": f"http://127.0.0.1:{port}"}


@contextmanager
def proxy_that_breaks_after_the_request() -> Broken:
    """The request may be at the provider already; the SDKs call it a failure to connect to the proxy."""
    with listening(read_request) as port:
        yield "http://sms.invalid", {"HTTP_PROXY": f"http://127.0.0.1:{port}"}


BROKEN_NETWORKS: dict[str, tuple[Callable[[], Any], Outcome]] = {
    "unknown host": (unknown_host, Outcome.NOT_SENT),
    "closed port": (closed_port, Outcome.NOT_SENT),
    "silent host": (full_backlog, Outcome.NOT_SENT),
    "untrusted certificate": (untrusted_certificate, Outcome.NOT_SENT),
    "closed proxy": (closed_proxy, Outcome.NOT_SENT),
    "proxy that refuses the tunnel": (proxy_without_tunnel, Outcome.NOT_SENT),
    "proxy that breaks after the request": (proxy_that_breaks_after_the_request, Outcome.UNCERTAIN),
    "closed in the TLS handshake": (closed_in_the_handshake, Outcome.UNCERTAIN),
}


def self_signed_certificate() -> bytes:
    """A certificate for 127.0.0.1 that nobody trusts, with its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM) + private


def secret(plaintext: str) -> Secret:
    return Secret.of(plaintext)
