"""Twilio's REST API, version 2010-04-01: messages, the account and its balance."""

from __future__ import annotations

import hmac
import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from email.utils import format_datetime
from itertools import dropwhile, islice
from typing import Any
from urllib.parse import urlencode

from .base import RefusedError, Simulator, form_parameters, json_reply
from .http_server import HttpReply, HttpRequest
from .records import Accepted, Request
from .signatures import basic_credentials

VERSION = "2010-04-01"
E164 = re.compile(r"\+[1-9][0-9]{6,14}")
MAX_BODY_CHARACTERS = 1600

ROUTES = [
    (method, re.compile(rf"/{VERSION}/Accounts/(?P<account>[^/]+){path}\.json"), action)
    for method, path, action in [
        ("POST", "/Messages", "CreateMessage"),
        ("GET", "/Messages", "ListMessage"),
        ("GET", r"/Messages/(?P<sid>[^/]+)", "FetchMessage"),
        ("GET", "/Balance", "FetchBalance"),
        ("GET", "", "FetchAccount"),
    ]
]

# HTTP statuses ("Error and Warning Dictionary"); anything else is a 400.
STATUSES = {
    "20003": 401,
    "20005": 403,
    "20404": 404,
    "20429": 429,
    "20500": 500,
    "20503": 503,
    "429": 429,
    "63038": 429,
}
MESSAGES = {
    "20003": "Authenticate",
    "20429": "Too Many Requests",
    "20500": "Internal Server Error",
    "20503": "Service Unavailable",
    "21408": "Permission to send an SMS has not been enabled for the region indicated by the 'To' number.",
    "21602": "Message body is required.",
    "21603": "A 'From' phone number is required.",
    "21604": "A 'To' phone number is required.",
    "21608": "The number is unverified. Trial accounts cannot send messages to unverified numbers.",
    "21610": "Attempt to send to unsubscribed recipient",
    "21614": "'To' number is not a valid mobile number",
    "21617": "The concatenated message body exceeds the 1600 character limit.",
    "63038": "Account exceeded the daily messages limit",
}

# The GSM 03.38 alphabet; the characters of its extension table take two places.
GSM_7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_7_EXTENSION = frozenset("\f^{}\\[~]|€")

NOT_SENT_YET = frozenset({"accepted", "scheduled", "queued", "sending"})


def segments(text: str) -> int:
    """Parts that a text is billed as: 160 or 70 characters, 153 or 67 each when there are several."""
    if all(character in GSM_7 or character in GSM_7_EXTENSION for character in text):
        length, single, part = sum(2 if character in GSM_7_EXTENSION else 1 for character in text), 160, 153
    else:
        length, single, part = len(text.encode("utf-16-be")) // 2, 70, 67
    return 1 if length <= single else -(-length // part)


class TwilioSimulator(Simulator):
    """Create, list and fetch messages; fetch the account and its balance.

    The answer to a new message says `queued` (`accepted` through a messaging service). When read later it has
    the status of `set_status(number, "delivered")`, by default `sent`. `balance`, `currency`, `account_status`
    and `account_type` may be set. Texts of a Content template (`ContentSid`) are not rendered.
    """

    sends = frozenset({"CreateMessage"})
    throttled = "20429"
    server_error = "20500"
    unavailable = "20503"

    def __init__(
        self,
        *,
        account_sid: str = "AC" + "5" * 32,
        auth_token: str = "simulated-auth-token-twilio",
        from_number: str = "+12065550100",
        port: int = 0,
        latency: float = 0.0,
        keep_requests: bool = True,
    ) -> None:
        credentials = {"account_sid": account_sid, "auth_token": auth_token, "from_number": from_number}
        self.balance = "42.50"
        self.currency = "USD"
        self.account_status = "active"
        self.account_type = "Full"
        super().__init__(credentials=credentials, port=port, latency=latency, keep_requests=keep_requests)

    # Reading

    def read(self, http: HttpRequest) -> tuple[str, dict[str, str]]:
        parameters = form_parameters(http.body if http.method == "POST" else http.query)
        return route(http.method, http.path)[0], parameters

    def authenticate(self, http: HttpRequest) -> None:
        expected = f"{self.credentials['account_sid']}:{self.credentials['auth_token']}"
        if not hmac.compare_digest(":".join(basic_credentials(http)).encode(), expected.encode()):
            raise RefusedError("20003")

    def numbers(self, request: Request) -> list[str]:
        return [request.parameters["To"]] if "To" in request.parameters else []

    # Doing

    def perform(self, request: Request) -> HttpReply:
        path = request.target.partition("?")[0]
        action, account, sid = route(request.method, path)
        if account != self.credentials["account_sid"]:
            raise not_found(path)
        actions: dict[str, Callable[[], HttpReply]] = {
            "CreateMessage": lambda: self._create_message(request.parameters),
            "ListMessage": lambda: self._list_messages(path, request.parameters),
            "FetchMessage": lambda: self._fetch_message(path, sid),
            "FetchAccount": self._fetch_account,
            "FetchBalance": self._fetch_balance,
        }
        return actions[action]()

    def _create_message(self, parameters: dict[str, str]) -> HttpReply:
        to, text = parameters.get("To", ""), parameters.get("Body", "")
        if not to:
            raise RefusedError("21604")
        if not E164.fullmatch(to):
            raise RefusedError("21211", f"Invalid 'To' Phone Number: {to}")
        if not parameters.get("From") and not parameters.get("MessagingServiceSid"):
            raise RefusedError("21603")
        if not text and not parameters.get("ContentSid"):
            raise RefusedError("21602")
        if len(text) > MAX_BODY_CHARACTERS:
            raise RefusedError("21617")
        message = Accepted(
            phone_number=to,
            message_id=f"SM{secrets.token_hex(16)}",
            received_at=time.time(),
            text=text,
            template_code=parameters.get("ContentSid", ""),
            params=content_variables(parameters.get("ContentVariables")),
            attributes={name: value for name, value in parameters.items() if name not in ("To", "Body")},
        )
        self._journal.add(message)
        status = "accepted" if "MessagingServiceSid" in parameters else "queued"
        return json_reply(self._message(message, status), status=201)

    def _fetch_message(self, path: str, sid: str) -> HttpReply:
        message = self._journal.by_message_id.get(sid)
        if message is None:
            raise not_found(path)
        return json_reply(self._message(message))

    def _list_messages(self, path: str, parameters: dict[str, str]) -> HttpReply:
        """The newest first; a page is asked for with the sid that the one before it ended with."""
        size, number = page_size(parameters), int(parameters.get("Page") or 0)
        matching = self._matching(parameters)
        if last_seen := parameters.get("PageToken", "").removeprefix("PA"):
            matching = islice(dropwhile(lambda message: message.message_id != last_seen, matching), 1, None)
        messages = list(islice(matching, size + 1))
        page, more = messages[:size], len(messages) > size

        def uri(page_number: int, **token: str) -> str:
            filters = {name: value for name, value in parameters.items() if not name.startswith("Page")}
            return f"{path}?{urlencode({**filters, 'PageSize': size, 'Page': page_number, **token})}"

        return json_reply(
            {
                "messages": [self._message(message) for message in page],
                "first_page_uri": uri(0),
                "next_page_uri": uri(number + 1, PageToken=f"PA{page[-1].message_id}") if more else None,
                "previous_page_uri": None,
                "uri": uri(number),
                "page": number,
                "page_size": size,
                "start": number * size,
                "end": number * size + max(len(page) - 1, 0),
            }
        )

    def _matching(self, parameters: dict[str, str]) -> Iterator[Accepted]:
        to, sender = parameters.get("To"), parameters.get("From")
        bounds = [(name, parameters[name]) for name in ("DateSent", "DateSent<", "DateSent>") if parameters.get(name)]
        for message in reversed(self._journal.by_number.get(to, []) if to else self._journal.entries):
            if sender and message.attributes.get("From") != sender:
                continue
            if bounds and self._status(message)[0] in NOT_SENT_YET:
                continue
            if all(sent_within(message, name, value) for name, value in bounds):
                yield message

    def _fetch_account(self) -> HttpReply:
        sid = self.credentials["account_sid"]
        uri = f"/{VERSION}/Accounts/{sid}"
        created = rfc2822(datetime(2026, 1, 5, 10, tzinfo=UTC).timestamp())
        return json_reply(
            {
                "sid": sid,
                "owner_account_sid": sid,
                "friendly_name": "Simulated account",
                "status": self.account_status,
                "type": self.account_type,
                "auth_token": self.credentials["auth_token"],
                "date_created": created,
                "date_updated": created,
                "uri": f"{uri}.json",
                "subresource_uris": {"messages": f"{uri}/Messages.json", "balance": f"{uri}/Balance.json"},
            }
        )

    def _fetch_balance(self) -> HttpReply:
        return json_reply(
            {
                "account_sid": self.credentials["account_sid"],
                "balance": self.balance,
                "currency": self.currency,
            }
        )

    # Showing

    def _status(self, message: Accepted) -> tuple[str, str]:
        return self._journal.status(message, "sent")

    def _message(self, message: Accepted, status: str | None = None) -> dict[str, Any]:
        """The Message resource. What is known only after sending is null, or 0, before."""
        error_code = ""
        if status is None:
            status, error_code = self._status(message)
        waiting = status in NOT_SENT_YET
        stamp = rfc2822(message.received_at)
        count = segments(message.text)
        account = self.credentials["account_sid"]
        uri = f"/{VERSION}/Accounts/{account}/Messages/{message.message_id}"
        service = message.attributes.get("MessagingServiceSid")
        sender = message.attributes.get("From")
        return {
            "account_sid": account,
            "api_version": VERSION,
            "body": message.text,
            "date_created": stamp,
            "date_sent": None if waiting else stamp,
            "date_updated": stamp,
            "direction": "outbound-api",
            "error_code": int(error_code) if error_code else None,
            "error_message": MESSAGES.get(error_code, "Delivery failed") if error_code else None,
            "from": None if service and waiting else sender or self.credentials["from_number"],
            "messaging_service_sid": service,
            "num_media": "0",
            "num_segments": "0" if status == "accepted" else str(count),
            "price": None if waiting else f"-{0.0079 * count:.4f}",
            "price_unit": "USD",
            "sid": message.message_id,
            "status": status,
            "subresource_uris": {"media": f"{uri}/Media.json"},
            "to": message.phone_number,
            "uri": f"{uri}.json",
        }

    # Refusing

    def refusal(self, code: str, message: str | None, status: int | None, retry_after: int | None) -> HttpReply:
        status = status or STATUSES.get(code, 400)
        return json_reply(
            {
                "code": int(code),
                "message": message or MESSAGES.get(code, f"Error {code}"),
                "more_info": f"https://www.twilio.com/docs/errors/{code}",
                "status": status,
            },
            status=status,
            headers={} if retry_after is None else {"Retry-After": str(retry_after)},
        )


def route(method: str, path: str) -> tuple[str, str, str]:
    """The action, account and message that a path stands for; empty for an unknown one."""
    for route_method, pattern, action in ROUTES:
        if route_method == method and (found := pattern.fullmatch(path)):
            return action, found["account"], found.groupdict().get("sid", "")
    return "", "", ""


def page_size(parameters: dict[str, str]) -> int:
    """50 unless asked otherwise, at most 1,000 ("Twilio's Response", paging)."""
    size = parameters.get("PageSize") or "50"
    if not (size.isdecimal() and int(size) >= 1):
        raise RefusedError("20001", f"Invalid PageSize {size}")
    return min(int(size), 1000)


def not_found(path: str) -> RefusedError:
    return RefusedError("20404", f"The requested resource {path} was not found")


def rfc2822(timestamp: float) -> str:
    return format_datetime(datetime.fromtimestamp(timestamp, UTC))


def content_variables(raw: str | None) -> dict[str, str]:
    try:
        variables = json.loads(raw or "{}")
    except ValueError:
        variables = None
    if not isinstance(variables, dict):
        raise RefusedError("21656", "The Content Variables parameter is invalid.")
    return variables


def sent_within(message: Accepted, name: str, value: str) -> bool:
    """The filters `DateSent`, `DateSent<` and `DateSent>`: a GMT date, or an instant as the SDK sends it.

    "On", "on and before", "on and after" that date; an instant is compared to the second, both ends included.
    """
    sent_at = datetime.fromtimestamp(int(message.received_at), UTC)
    try:
        whole_day = "T" not in value
        bound: Any = date.fromisoformat(value) if whole_day else datetime.fromisoformat(value)
    except ValueError:
        raise RefusedError("20001", f"Invalid {name}") from None
    if name == "DateSent":
        return sent_at.date() == (bound if whole_day else bound.date())
    sent: Any = sent_at.date() if whole_day else sent_at
    return sent <= bound if name == "DateSent<" else sent >= bound
