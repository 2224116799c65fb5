"""Twilio: Programmable Messaging (REST API version 2010-04-01, SDK: twilio), one request for each text.

Twilio keeps no reference of ours, but lists an account's messages, so a text in doubt can be looked up.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ..choices import ErrorKind, MessageStatus, Outcome
from ..encryption import Secret
from ..exceptions import LookUpFailed
from .base import OutgoingMessage, Provider, Record, Result, Verification
from .connection_errors import never_connected
from .twilio_errors import ERRORS

if TYPE_CHECKING:
    from twilio.rest import Client
    from twilio.rest.api.v2010.account import AccountInstance
    from twilio.rest.api.v2010.account.message import MessageInstance

DEFAULT_ENDPOINT_URL = "https://api.twilio.com"

E164_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
MESSAGING_SERVICE_SID = re.compile(r"MG[0-9a-fA-F]{32}")

#: What Twilio writes before the texts of trial accounts, and what its SDK writes before Twilio's messages.
_TRIAL_PREFIX = "Sent from your Twilio trial account - "
_SDKS_WORDS = re.compile(r"^Unable to (create record|fetch record|fetch page)(: |$)")

#: Messages of one page of a list, Twilio's largest, and how many pages of one number are read.
PAGE_SIZE = 1000
MAX_PAGES = 5

#: Source: "Message resource", message status values. ``scheduled`` to ``sending``: taken, and not with a carrier yet.
STATUSES: Mapping[str, MessageStatus] = {
    "accepted": MessageStatus.SENT,
    "scheduled": MessageStatus.SENT,
    "queued": MessageStatus.SENT,
    "sending": MessageStatus.SENT,
    "sent": MessageStatus.SENT,
    "delivered": MessageStatus.DELIVERED,
    "read": MessageStatus.DELIVERED,
    "undelivered": MessageStatus.UNDELIVERED,
    "failed": MessageStatus.FAILED,
    "canceled": MessageStatus.FAILED,
}


@dataclass(frozen=True)
class TwilioConfiguration:
    """One Twilio account and a sender. Timeouts are seconds; ``read_timeout`` is per received piece.

    ``from_number`` is a number in E.164, an alphanumeric sender ID or the SID of a messaging service.
    """

    account_sid: str
    auth_token: Secret
    from_number: str = field(repr=False)
    endpoint_url: str = ""
    connect_timeout: float = 3.0
    read_timeout: float = 8.0
    threads: int = 32


class TwilioProvider(Provider):
    """Sends through Twilio, from a number, a sender ID or a messaging service."""

    name = "twilio"
    extra = "twilio"
    can_look_up = True
    errors = ERRORS

    def __init__(self, configuration: TwilioConfiguration) -> None:
        self.configuration = configuration
        self.sends_from_service = MESSAGING_SERVICE_SID.fullmatch(configuration.from_number) is not None
        self.sends_from_number = E164_NUMBER.fullmatch(configuration.from_number) is not None

    def connect(self) -> "Client":
        from twilio.rest import Client

        from .twilio_http import TwilioHttpClient

        configuration = self.configuration
        client = Client(
            username=configuration.account_sid,
            password=configuration.auth_token.reveal(),
            http_client=TwilioHttpClient(
                configuration.endpoint_url or DEFAULT_ENDPOINT_URL,
                connect_timeout=configuration.connect_timeout,
                read_timeout=configuration.read_timeout,
                threads=configuration.threads,
            ),
            # A service is what its row says: TWILIO_EDGE, TWILIO_REGION and the rest must not change it.
            environment={"TWILIO_EDGE": "", "TWILIO_REGION": ""},
        )
        # Also without an endpoint of ours: the first use of ``api`` imports most of the SDK.
        client.api.base_url = configuration.endpoint_url or DEFAULT_ENDPOINT_URL
        return client

    def send_one(self, message: OutgoingMessage) -> Result:
        client = self.client
        sender = "messaging_service_sid" if self.sends_from_service else "from_"
        return self.attempt(
            lambda: client.messages.create(
                to=message.phone_number, body=message.text, **{sender: self.configuration.from_number}
            ),
            self._read_created,
            [message],
        )

    def verify(self) -> Verification:
        client = self.client
        accounts: list[AccountInstance] = []

        def read(account: "AccountInstance") -> Result:
            if not account.status:
                return Result(Outcome.UNCERTAIN, ErrorKind.TRANSIENT, "MissingStatus")
            accounts.append(account)
            return Result(Outcome.ACCEPTED)

        result = self.attempt(client.api.account.fetch, read)
        if not accounts:
            advice = self.advice_for(result.code, result.error_kind or "")
            return Verification(False, result.error_kind, result.code, result.detail, advice)
        status, details = str(accounts[0].status), [*_account_details(accounts[0]), *self._balance_details()]
        if status == "active":
            return Verification(ok=True, details=details)
        advice = _("The account is not active, so nothing is sent. See why in the Twilio console.")
        return Verification(False, ErrorKind.QUOTA, status, advice=advice, details=details)

    def records(self, phone_number: str, since: datetime, until: datetime, reference: str) -> list[Record]:
        """What Twilio knows of messages from this sender to one number, created in a span of time, oldest first.

        Twilio keeps no reference of ours, so ``reference`` is not looked at. Its times are whole seconds.

        Raises:
            LookUpFailed: Twilio could not be asked, or its answer was not clear.
        """
        client, since = self.client, since.replace(microsecond=0)
        found: list[Record] = []

        def read(listed: "list[MessageInstance] | None") -> Result:
            if listed is None:
                return Result(Outcome.UNCERTAIN, ErrorKind.UNKNOWN, "TooManyMessages")
            found.extend(self._record(message) for message in listed if self._is_ours(message, since, until))
            return Result(Outcome.ACCEPTED)

        result = self.attempt(lambda: self._listed(client, phone_number, since), read)
        if result.outcome is not Outcome.ACCEPTED:
            raise LookUpFailed(f"Twilio gave no clear answer about its messages ({result.code}). Ask again later.")
        found.reverse()
        return sorted(found, key=lambda record: record.sent_at or since)

    def problem_with(self, message: OutgoingMessage) -> str | None:
        if not message.text.strip():
            return str(_("The text is empty. Write one into the template."))
        return super().problem_with(message)

    def read_error(self, error: Exception) -> Result:
        from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException
        from twilio.base.version import Version

        if type(error) is TwilioException and len(error.args) == 2:
            # A list that was refused: the SDK leaves the answer unread.
            error = Version.exception("GET", "", error.args[1], "Unable to fetch page")
        if isinstance(error, TwilioRestException):
            return self._read_answer(error.code, error.msg)
        if isinstance(error, TwilioServiceException):
            return self._read_answer(error.code, error.detail or error.title)
        if isinstance(error, UnicodeError):
            return Result(Outcome.REFUSED, ErrorKind.UNKNOWN, type(error).__name__)
        outcome = Outcome.NOT_SENT if _never_left(error) else Outcome.UNCERTAIN
        return Result(outcome, ErrorKind.TRANSIENT, type(error).__name__)

    def _read_created(self, created: "MessageInstance") -> Result:
        request_id = self._answer_header("Twilio-Request-Id")
        if not created.sid:
            # An empty answer of success is no exception for the SDK.
            return Result(Outcome.UNCERTAIN, ErrorKind.TRANSIENT, "MissingMessageId", request_id=request_id)
        segments = _segments(created.num_segments)
        return Result(Outcome.ACCEPTED, request_id=request_id, message_id=created.sid, segments=segments)

    def _read_answer(self, given_code: object, message: object) -> Result:
        """What Twilio refused, or what it says of its own failure.

        The status is the answer's own: the SDK takes it from the body of some errors.
        """
        status = getattr(self.client.http_client.answer, "status", 0)
        code, detail = str(given_code or status), _SDKS_WORDS.sub("", str(message))
        request_id, entry = self._answer_header("Twilio-Request-Id"), self.errors.get(code)
        throttled = entry.kind is ErrorKind.THROTTLED if entry else status == 429
        if throttled:
            # "Never processed and always safe to retry" (error 20429).
            pause = self._answer_header("Retry-After")
            seconds = float(pause) if pause.isdecimal() else None
            return Result(Outcome.NOT_SENT, ErrorKind.THROTTLED, code, detail, request_id, retry_after=seconds)
        if 400 <= status < 500 and status != 408:
            return self.refusal(code, detail, request_id)
        # A 5xx of a new message says nothing about it (error 20500: "is the request safe to retry?").
        return Result(Outcome.UNCERTAIN, ErrorKind.TRANSIENT, code, detail, request_id)

    def _answer_header(self, name: str) -> str:
        """A header of the last answer that this thread got; empty without one."""
        return str(getattr(self.client.http_client.answer, "headers", {}).get(name) or "")

    def _balance_details(self) -> list[tuple[str | Promise, str]]:
        """The balance; empty where it cannot be read (subaccounts have none, restricted keys may not ask)."""
        client = self.client
        details: list[tuple[str | Promise, str]] = []

        def read(balance: Any) -> Result:
            if balance.balance:
                details.append((_("Balance"), f"{balance.balance} {balance.currency or ''}".strip()))
            return Result(Outcome.ACCEPTED)

        self.attempt(client.api.account.balance.fetch, read)
        return details

    def _listed(self, client: "Client", phone_number: str, since: datetime) -> "list[MessageInstance] | None":
        """The account's messages to a number back to ``since``; ``None`` if they do not end in time.

        Twilio sorts by the date of sending, which queued messages do not have: filters by date would leave them out,
        and where they stand in the list is not documented. So whole pages are read, until one holds older ones only.
        """
        filters = {"from_": self.configuration.from_number} if self.sends_from_number else {}
        page, listed = None, []
        for _number in range(MAX_PAGES):
            page = page.next_page() if page else client.messages.page(to=phone_number, page_size=PAGE_SIZE, **filters)
            messages = list(page)
            listed += messages
            if not page.next_page_url or all(message.date_created < since for message in messages):
                return listed
        return None

    def _is_ours(self, message: "MessageInstance", since: datetime, until: datetime) -> bool:
        """Whether this service may have sent a message in that span. Sender IDs do not count: carriers change them."""
        sender = self.configuration.from_number
        if self.sends_from_number and message.from_ != sender:
            return False
        if self.sends_from_service and message.messaging_service_sid != sender:
            return False
        return message.direction == "outbound-api" and since <= message.date_created <= until

    def _record(self, message: "MessageInstance") -> Record:
        status = STATUSES[message.status]
        failed = status in {MessageStatus.FAILED, MessageStatus.UNDELIVERED}
        code = str(message.error_code or "") if failed else ""
        entry = self.errors.get(code)
        return Record(
            status=status,
            sent_at=message.date_created,
            message_id=message.sid,
            text=(message.body or "").removeprefix(_TRIAL_PREFIX),
            code=code,
            error_kind=(entry.kind if entry else ErrorKind.UNKNOWN) if failed else None,
            segments=_segments(message.num_segments),
        )


def _segments(given: str | None) -> int | None:
    """Twilio's count; a messaging service says 0 until it has chosen a sender."""
    return int(given) or None if given and given.isdecimal() else None


def _account_details(account: "AccountInstance") -> list[tuple[str | Promise, str]]:
    kind = str(_("Trial: only verified numbers get texts")) if account.type == "Trial" else str(account.type or "")
    return [(_("Account status"), str(account.status)), (_("Account type"), kind)]


def _never_left(error: Exception) -> bool:
    """Whether the request certainly did not reach Twilio."""
    from urllib3.exceptions import LocationValueError

    return isinstance(error, LocationValueError) or never_connected(error)
