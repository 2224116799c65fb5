"""A broker that is down, restarted or silent: who queues a text does not wait for it, and no text is forgotten."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import pytest

from sms_services.choices import MessageStatus
from tests.simulators import TwilioSimulator
from tests.workers import (
    Console,
    Project,
    add_service,
    add_template,
    chinese_numbers,
    endpoints,
    eventually,
    queue,
    statuses,
)

#: Seconds that who queues a text may wait.
PATIENCE = 1.0
REDIS, RABBITMQ = pytest.param("redis_url"), pytest.param("rabbitmq_url")
REDIS_IN_SOAK = pytest.param("redis_url", marks=pytest.mark.soak)
RABBITMQ_IN_SOAK = pytest.param("rabbitmq_url", marks=pytest.mark.soak)


class Relay:
    """Passes connections on to a broker; a context manager. While it is stopped, connections are refused."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._port = 0
        self._silent = threading.Event()
        self._sockets: list[socket.socket] = []

    @property
    def url(self) -> str:
        login = "".join(self._url.netloc.rpartition("@")[:2])
        return self._url._replace(netloc=f"{login}127.0.0.1:{self._port}").geturl()

    def start(self) -> None:
        listener = socket.create_server(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        self._sockets = [listener]
        threading.Thread(target=self._accept, args=[listener], daemon=True).start()

    def stop(self) -> None:
        """Close all connections, as a broker that ends."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def hang(self) -> None:
        """Accept connections and say nothing on any, as a broker that is stuck."""
        self._silent.set()

    def recover(self) -> None:
        """Pass new connections on. The old ones stay silent, as those to a host that has vanished."""
        self._silent = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                self._sockets.append(client)
                if self._silent.is_set():
                    continue
                broker = socket.create_connection((self._url.hostname, self._url.port))
                self._sockets.append(broker)
                for source, sink in [(client, broker), (broker, client)]:
                    threading.Thread(target=self._pass_on, args=[source, sink, self._silent], daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, silent: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if silent.is_set():
                    return
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
def relay(broker: str) -> Iterator[Relay]:
    with Relay(broker) as relay:
        yield relay


@pytest.fixture
def simulator() -> Iterator[TwilioSimulator]:
    with TwilioSimulator() as simulator:
        yield simulator


@pytest.fixture
def project(postgresql_url: str, broker: str, simulator: TwilioSimulator, tmp_path: Path) -> Iterator[Project]:
    durations = {"SMS_SWEEP_SECONDS": 0.5, "SMS_REQUEUE_AFTER": 2}
    with Project(
        tmp_path, database=postgresql_url, broker=broker, **endpoints(twilio=simulator), **durations
    ) as project:
        yield project


@pytest.fixture
def caller(project: Project, relay: Relay, simulator: TwilioSimulator) -> Console:
    """Who queues texts, and knows the broker through the relay only."""
    caller = project.console(broker=relay.url)
    caller.call(add_service, "twilio", simulator.credentials)
    caller.call(add_template, "greeting", text="Hello ${name}")
    return caller


def queue_quickly(caller: Console, start: int, count: int = 10) -> None:
    seconds = caller.call(queue, "twilio", chinese_numbers(count, start), "greeting", {"name": "Ada"})
    print(f"queued in {seconds:.3f} s")
    assert seconds <= PATIENCE


@contextmanager
def delivered(simulator: TwilioSimulator, count: int, *, within: float) -> Iterator[None]:
    """After the block, so many more messages reach the provider in time."""
    goal = len(simulator.journal) + count
    yield
    eventually(lambda: len(simulator.journal) >= goal, within=within)


@pytest.mark.parametrize("broker", [REDIS_IN_SOAK, RABBITMQ], indirect=True)
def test_what_is_queued_while_the_broker_is_stopped_waits_for_the_sweep(
    project: Project, caller: Console, relay: Relay, simulator: TwilioSimulator
) -> None:
    project.worker().wait_until_ready()
    with delivered(simulator, 10, within=10):
        queue_quickly(caller, 0)
    relay.stop()
    for start in (10, 20, 30):
        queue_quickly(caller, start)
    assert caller.call(statuses)[MessageStatus.QUEUED] == 30

    relay.start()
    with delivered(simulator, 10, within=10):
        queue_quickly(caller, 40)
    assert caller.call(statuses)[MessageStatus.QUEUED] == 30
    with delivered(simulator, 30, within=30):
        project.beat()


@pytest.mark.parametrize("broker", [REDIS, RABBITMQ], indirect=True)
def test_what_is_queued_while_the_broker_is_silent_waits_for_the_sweep(
    project: Project, caller: Console, relay: Relay, simulator: TwilioSimulator
) -> None:
    project.worker().wait_until_ready()
    with delivered(simulator, 10, within=10):
        queue_quickly(caller, 0)
    relay.hang()
    for start in (10, 20, 30):
        queue_quickly(caller, start)
    assert caller.call(statuses)[MessageStatus.QUEUED] == 30

    relay.recover()
    eventually(lambda: reaches_the_provider(caller, simulator), within=30)
    project.beat()
    eventually(lambda: set(caller.call(statuses)) == {MessageStatus.SENT}, within=30, every=0.1)
    assert len(simulator.journal) == caller.call(statuses)[MessageStatus.SENT]


@pytest.mark.parametrize("broker", [REDIS, RABBITMQ_IN_SOAK], indirect=True)
def test_a_broker_that_was_restarted_is_used_at_once(
    project: Project, caller: Console, relay: Relay, simulator: TwilioSimulator
) -> None:
    project.worker().wait_until_ready()
    with delivered(simulator, 10, within=10):
        queue_quickly(caller, 0)
    relay.stop()
    relay.start()
    with delivered(simulator, 10, within=10):
        queue_quickly(caller, 10)


@pytest.mark.parametrize("broker", ["redis_url"], indirect=True)
def test_many_messages_wait_no_longer_for_a_silent_broker_than_few(caller: Console, relay: Relay) -> None:
    """A part that is not taken is the last one that is tried: else six parts would wait six times as long."""
    stored = caller.call(queue, "twilio", chinese_numbers(3000), "greeting", {"name": "Ada"})
    relay.hang()
    silent = caller.call(queue, "twilio", chinese_numbers(3000, 3000), "greeting", {"name": "Ada"})
    print(f"queued in {stored:.3f} s, with a silent broker in {silent:.3f} s")
    assert silent - stored <= 2 * PATIENCE


def reaches_the_provider(caller: Console, simulator: TwilioSimulator) -> bool:
    """Whether one more text arrives at once."""
    number = chinese_numbers(1, 5000 + sum(caller.call(statuses).values()))[0]
    caller.call(queue, "twilio", [number], "greeting", {"name": "Ada"})
    with suppress(AssertionError):
        return eventually(lambda: number in {entry.phone_number for entry in simulator.journal}, within=1)
    return False
