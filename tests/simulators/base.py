"""What all simulators share: the API that tests use, and the way of a request."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl

from .faults import EITHER_WAY, NOT_ACCEPTED, Fault, Rule
from .http_server import HttpReply, HttpRequest, HttpServer
from .records import Accepted, Journal, Request

RUBBISH = b"%% neither JSON nor XML %%"


class RefusedError(Exception):
    """The provider does not take the request; `status` overrides the documented HTTP status of `code`."""

    def __init__(self, code: str, message: str | None = None, *, status: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.status = status


class Simulator(ABC):
    """A provider on 127.0.0.1 for its vendor's real SDK; a context manager that listens while it is open.

    A stopped simulator refuses connections; `start()` opens the same port again. All public methods may be
    called from any thread, and faults may be changed while requests are under way.
    """

    sends: ClassVar[frozenset[str]]
    """The actions that send messages: what faults hit unless they name actions."""
    throttled: ClassVar[str]
    server_error: ClassVar[str]
    unavailable: ClassVar[str]
    """The provider's codes of these answers."""

    def __init__(
        self, *, credentials: dict[str, str], port: int = 0, latency: float = 0.0, keep_requests: bool = True
    ) -> None:
        self.credentials = credentials
        self.latency = latency
        self.keep_requests = keep_requests
        self._lock = threading.RLock()
        self._server = HttpServer(self._handle, port=port)
        self._control_connections: set[int] = set()
        self.clear()

    # Life

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    # What happened

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def requests(self) -> list[Request]:
        """Every request to the provider's API, in order of arrival."""
        with self._lock:
            return list(self._requests)

    @property
    def journal(self) -> list[Accepted]:
        """Every message that the provider took, in order."""
        with self._lock:
            return list(self._journal.entries)

    @property
    def connections(self) -> int:
        """TCP connections accepted so far, those of the simulator's own pages left out."""
        return self._server.connections - len(self._control_connections)

    # What shall happen

    def fail(
        self,
        fault: Fault,
        *,
        times: int | None = None,
        numbers: Iterable[str] | None = None,
        actions: Iterable[str] | None = None,
        seconds: float = 1.0,
        accepted: bool | None = None,
        status: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        """Let requests meet a fault.

        `times`: the next so many (None: all, until `clear()`). `numbers`: only requests that name one of these
        (E.164). `actions`: these instead of the ones that send. `seconds`: for SLOW and DRIP. `accepted`: for
        SERVER_ERROR and UNAVAILABLE. `status`: another HTTP status than the fault's own. `retry_after`: for
        THROTTLED, the value of the provider's header. Several faults: the earliest that concerns a request.
        """
        if accepted is not None and fault not in EITHER_WAY:
            raise ValueError(f"{fault.name} says by itself whether the message is accepted.")
        if accepted is None:
            accepted = fault not in NOT_ACCEPTED
        codes = {
            Fault.THROTTLED: self.throttled,
            Fault.SERVER_ERROR: self.server_error,
            Fault.UNAVAILABLE: self.unavailable,
        }
        self._add_rule(
            fault, times, numbers, actions, accepted=accepted, code=codes.get(fault, ""), status=status,
            seconds=seconds, retry_after=retry_after,
        )  # fmt: skip

    def refuse(
        self,
        code: str | int,
        *,
        times: int | None = None,
        numbers: Iterable[str] | None = None,
        actions: Iterable[str] | None = None,
        status: int | None = None,
        message: str | None = None,
    ) -> None:
        """Answer requests with one of the provider's error codes, in its documented shape and HTTP status."""
        self._add_rule(None, times, numbers, actions, code=str(code), status=status, message=message)

    def refuse_numbers(self, codes: Mapping[str, str | int]) -> None:
        """Refuse every send to these numbers (E.164) with their codes, until `clear()`."""
        with self._lock:
            self._refused_numbers.update({number: str(code) for number, code in codes.items()})

    def set_status(self, phone_number: str, status: Any, *, error_code: str | int = "", message_id: str = "") -> None:
        """What the provider answers when asked for the messages to this number (or for one of them).

        `status` is a value of the provider's: an int for Alibaba Cloud, a word for Twilio.
        """
        with self._lock:
            self._journal.statuses[phone_number, message_id] = status, str(error_code)

    def clear(self) -> None:
        """Forget requests, messages, statuses, faults and refusals."""
        with self._lock:
            self._requests: list[Request] = []
            self._journal = Journal()
            self._rules: list[Rule] = []
            self._refused_numbers: dict[str, str] = {}

    # What a provider adds

    @abstractmethod
    def read(self, http: HttpRequest) -> tuple[str, dict[str, str]]:
        """The action that is asked for, and its parameters."""

    @abstractmethod
    def authenticate(self, http: HttpRequest) -> None:
        """Raise `RefusedError` unless the request is signed with the credentials."""

    @abstractmethod
    def numbers(self, request: Request) -> list[str]:
        """The numbers (E.164) that a request names, as far as they are readable."""

    @abstractmethod
    def perform(self, request: Request) -> HttpReply:
        """Do it: record what is accepted, and answer. Raises `RefusedError`."""

    @abstractmethod
    def refusal(self, code: str, message: str | None, status: int | None, retry_after: int | None) -> HttpReply:
        """The documented answer for an error code."""

    # The way of a request (in the server's thread)

    def _handle(self, http: HttpRequest) -> HttpReply:
        if http.path.startswith("/_simulator/"):
            return self._control(http)
        with self._lock:
            reply = self._answer(http)
        return replace(reply, delay=reply.delay + self.latency) if self.latency else reply

    def _answer(self, http: HttpRequest) -> HttpReply:
        action, parameters = self.read(http)
        refused = None
        try:
            self.authenticate(http)
        except RefusedError as exception:
            refused = exception
        request = Request(
            action, parameters, http.headers, http.received_at, http.connection, refused is None,
            http.method, http.target, http.body,
        )  # fmt: skip
        if self.keep_requests:
            self._requests.append(request)
        if refused:
            return self._refusal(refused)

        numbers = self.numbers(request) if self._rules or self._refused_numbers else []
        rule = self._take_rule(action, numbers)
        if rule and not rule.accepted:
            return self._fault(rule, HttpReply())
        try:
            self._check_numbers(action, numbers)
            reply = self.perform(request)
        except RefusedError as exception:
            return self._refusal(exception)
        return self._fault(rule, reply) if rule else reply

    def _check_numbers(self, action: str, numbers: list[str]) -> None:
        if self._refused_numbers and action in self.sends:
            for number in numbers:
                if number in self._refused_numbers:
                    raise RefusedError(self._refused_numbers[number])

    def _refusal(self, refused: RefusedError) -> HttpReply:
        return self.refusal(refused.code, refused.message, refused.status, None)

    def _fault(self, rule: Rule, reply: HttpReply) -> HttpReply:
        match rule.fault:
            case Fault.SLOW:
                return replace(reply, delay=rule.seconds)
            case Fault.DRIP:
                return replace(reply, drip=rule.seconds)
            case Fault.RESET_AFTER_ACCEPTING | Fault.RESET_BEFORE_ACCEPTING:
                return replace(reply, reset=True)
            case Fault.MALFORMED:
                return replace(reply, body=RUBBISH, status=rule.status or reply.status)
            case Fault.EMPTY:
                return replace(reply, body=b"", status=rule.status or reply.status)
            case Fault.TRUNCATED:
                return replace(reply, truncated=True)
            case _:
                return self.refusal(rule.code, rule.message, rule.status, rule.retry_after)

    def _add_rule(
        self,
        fault: Fault | None,
        times: int | None,
        numbers: Iterable[str] | None,
        actions: Iterable[str] | None,
        **details: Any,
    ) -> None:
        if times is not None and times < 1:
            raise ValueError("times must be at least 1; None means always.")
        rule = Rule(
            fault,
            actions=self.sends if actions is None else frozenset(actions),
            numbers=None if numbers is None else frozenset(numbers),
            times=times,
            **details,
        )
        with self._lock:
            self._rules.append(rule)

    def _take_rule(self, action: str, numbers: list[str]) -> Rule | None:
        for rule in self._rules:
            if rule.concerns(action, numbers):
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times == 0:
                        self._rules.remove(rule)
                return rule
        return None

    # For a simulator in another process

    def _control(self, http: HttpRequest) -> HttpReply:
        """`GET /_simulator/journal[?since=INDEX]` and `POST /_simulator/clear`, unsigned and without latency."""
        self._control_connections.add(http.connection)
        match http.method, http.path:
            case "GET", "/_simulator/journal":
                since = dict(parse_qsl(http.query)).get("since")
                return json_reply(self._journal_page(None if since is None else int(since)))
            case "POST", "/_simulator/clear":
                self.clear()
                return json_reply({"count": 0})
        return json_reply({"error": "no such page"}, status=404)

    def _journal_page(self, since: int | None) -> dict[str, Any]:
        with self._lock:
            entries = self._journal.entries
            page: dict[str, Any] = {"count": len(entries), "connections": self.connections}
            if since is not None:
                page["entries"] = [asdict(entry) for entry in entries[since:]]
            return page


def json_reply(content: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> HttpReply:
    return HttpReply(status, json.dumps(content, ensure_ascii=False).encode(), headers=headers or {})


def form_parameters(raw: str | bytes) -> dict[str, str]:
    """The pairs of a query string or form body; of a repeated name, the last one."""
    text = raw.decode() if isinstance(raw, bytes) else raw
    return dict(parse_qsl(text, keep_blank_values=True))
