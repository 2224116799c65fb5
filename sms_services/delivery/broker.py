"""Talking to the broker without waiting for it.

Clients of brokers wait long, some for ever, for a broker that is down or accepts connections and says nothing. The
rows are safe without it, so a caller waits a moment at most: one thread per process publishes, and while it is
stuck, further calls fail at once.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from queue import SimpleQueue

#: Seconds that a caller waits.
PATIENCE = 0.5


class BrokerUnavailable(Exception):
    """The broker did not take the task in time. It may still take it."""


class _Publisher:
    """A daemon thread, started at the first use: a stuck one never keeps a process from ending."""

    def __init__(self, give_up_after: float = 5.0) -> None:
        self.give_up_after = give_up_after
        self._calls: SimpleQueue[tuple[Callable[[], object], Future[None]]] = SimpleQueue()
        self._stuck: Future[None] | None = None
        self._stuck_since = 0.0
        self._abandoned = False
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None

    def successor(self) -> "_Publisher":
        """Itself; or, when its thread has been stuck for too long, a new one, which connects anew.

        Each is more patient than the last: a broker that hangs for hours must not collect threads.
        """
        if not self._is_stuck() or time.monotonic() < self._stuck_since + self.give_up_after:
            return self
        self._abandoned = True
        return _Publisher(min(2 * self.give_up_after, 300.0))

    def _is_stuck(self) -> bool:
        return self._stuck is not None and not self._stuck.done()

    def publish(self, call: Callable[[], object]) -> None:
        if self._is_stuck():
            raise BrokerUnavailable("An earlier task still waits for the broker.")
        self._ensure_thread()
        done: Future[None] = Future()
        self._calls.put((call, done))
        try:
            done.result(timeout=PATIENCE)
        except TimeoutError:
            if not done.done():
                self._stuck, self._stuck_since = done, time.monotonic()
            raise BrokerUnavailable("The broker did not answer in time.") from None

    def _ensure_thread(self) -> None:
        with self._start:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="sms-publisher", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._abandoned:
            call, done = self._calls.get()
            try:
                call()
            except Exception as error:  # noqa: BLE001 - handed to the caller
                done.set_exception(error)
            else:
                done.set_result(None)


_publisher = _Publisher()
_silent = False


def publish(call: Callable[[], object]) -> None:
    """Call something that publishes a task, and wait for it a moment at most.

    Raises:
        BrokerUnavailable: it took too long.
        Exception: whatever the call raises.
    """
    global _publisher
    if not _silent:
        _publisher = _publisher.successor()
        _publisher.publish(call)


@contextmanager
def silence() -> Iterator[None]:
    """For tests: publish nothing, as if a broker took every task and no worker came for it."""
    global _silent
    was_silent, _silent = _silent, True
    try:
        yield
    finally:
        _silent = was_silent


def _forget() -> None:
    """A child process has none of its parent's threads."""
    global _publisher
    _publisher = _Publisher()


os.register_at_fork(after_in_child=_forget)
