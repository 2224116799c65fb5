"""What a provider is: the code that talks to one vendor, and the words in which it answers.

A provider knows nothing of models. It is built from a frozen configuration, gets ``OutgoingMessage``s and
answers with one ``Result`` each. It never raises for what the vendor says or fails to say: a refusal is data.

To add one: subclass ``Provider``, give its table of ``errors``, and write ``connect`` and, for a vendor without
batches, ``send_one``; for one with batches, ``has_batches``, ``batches`` and ``send``. Run every SDK call through
``attempt``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, TypeVar

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..choices import ErrorKind, MessageStatus, Outcome, TemplateKind, TemplateStatus
from ..exceptions import EncryptionKeyError, InvalidConfiguration, MissingSDK, SmsError
from ..logs import silenced_sdk_loggers
from ..phone_numbers import mask
from ..segments import SegmentCount, count_segments
from .pool import map_in_pool, start_in_pool
from .scrubbing import scrubbed

Response = TypeVar("Response")
Item = TypeVar("Item")
Answer = TypeVar("Answer")

#: Messages of one claim: what a killed worker leaves in doubt at most.
CLAIM_SIZE = 64


@dataclass(frozen=True)
class OutgoingMessage:
    """One text to one number, ready to go.

    ``text`` is rendered (empty where the service sends by code and the template has no text); ``params`` are
    the variables by name. ``template_kind`` is a ``TemplateKind``, or empty if the platform was never asked.
    """

    phone_number: str
    purpose: str
    text: str = field(default="", repr=False)
    template_code: str = ""
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    template_kind: str = ""

    def __repr__(self) -> str:
        return f"<OutgoingMessage to {mask(self.phone_number)}>"


@dataclass(frozen=True)
class Result:
    """What became of one message at one try.

    ``code``, ``detail`` and ``request_id`` are the provider's own, ``detail`` with everything personal taken
    out. ``retry_after`` is the pause in seconds that the provider asked for.
    """

    outcome: Outcome
    error_kind: ErrorKind | None = None
    code: str = ""
    detail: str = ""
    request_id: str = ""
    message_id: str = ""
    segments: int | None = None
    retry_after: float | None = None


@dataclass(frozen=True)
class ProviderError:
    """A row of a provider's error table: what one of its codes means, and what an admin can do about it.

    ``retry``: the provider took nothing and the same request may work later.
    ``single``: in a batch, the fault lies with single messages, so the batch is worth cutting up.
    """

    kind: ErrorKind
    advice: str | Promise
    retry: bool = False
    single: bool = False


@dataclass(frozen=True)
class Verification:
    """The provider's answer to "would these credentials work?". ``details`` are lines to show, such as a balance.

    ``signature_status`` is a ``TemplateStatus``; empty if the platform does not say; ``None`` if it was not asked.
    """

    ok: bool
    error_kind: ErrorKind | None = None
    code: str = ""
    detail: str = ""
    advice: str | Promise = ""
    details: Sequence[tuple[str | Promise, str]] = ()
    signature_status: str | None = None


@dataclass(frozen=True)
class Record:
    """What the provider knows of one message that it took: used to settle messages in doubt.

    ``reference`` is the batch reference that went out with it, where the provider keeps one. ``sent_at`` is
    when the provider took it.
    """

    status: MessageStatus
    sent_at: datetime | None = None
    message_id: str = ""
    reference: str = ""
    text: str = field(default="", repr=False)
    code: str = ""
    error_kind: ErrorKind | None = None
    segments: int | None = None


@dataclass(frozen=True)
class RegisteredTemplate:
    """A template as the provider's platform has it.

    ``kind`` is ``None`` for one that this project cannot send. ``reason`` says why it is not approved, in the
    platform's words.
    """

    code: str
    name: str
    text: str
    kind: TemplateKind | None
    status: TemplateStatus
    reason: str = ""
    created_at: datetime | None = None


#: Of a message that waited for a thread until nobody could say any more whether its sender was still alive.
TOO_LATE = Result(Outcome.NOT_SENT, ErrorKind.TRANSIENT, code="waited_too_long")


class Provider(ABC):
    """One configured account at one vendor. One instance per service, configuration and process.

    Instances are shared by threads. A child process never uses one that its parent made.
    """

    #: Spelling in settings and log lines: ``aws_sns``.
    name: ClassVar[str]
    #: The extra of this distribution that installs the SDK: ``aws-sns``.
    extra: ClassVar[str] = ""
    #: Sends a template code with parameters instead of a text.
    sends_by_code: ClassVar[bool] = False
    #: Can be asked later what became of a message (``records``).
    can_look_up: ClassVar[bool] = False
    #: Can tell which templates are registered (``registered_templates``).
    lists_templates: ClassVar[bool] = False
    #: The provider's error table, by its codes.
    errors: ClassVar[Mapping[str, ProviderError]] = {}
    #: May be called by several threads at once.
    concurrent: ClassVar[bool] = True
    #: Takes many messages in one request.
    has_batches: ClassVar[bool] = False
    #: Texts longer than this are refused before they are sent.
    max_characters: ClassVar[int] = 1600

    # What a vendor's module writes

    @abstractmethod
    def connect(self) -> Any:
        """Import the SDK and build its client. Called once per instance, under a lock."""

    def send_one(self, message: OutgoingMessage) -> Result:
        """Send one message (vendors without batches)."""
        raise TypeError(f"{type(self).__name__} sends batches.")

    def batches(self, messages: Sequence[OutgoingMessage], limit: int | None = None) -> Iterator[list[int]]:
        """Cut messages into groups that are claimed and sent together; yields lists of indexes.

        Every index comes once. ``limit`` caps a group (the rate limit). No number comes twice in a group that is
        sent as one request.
        """
        size = CLAIM_SIZE // 2 if self.overlaps else CLAIM_SIZE
        size = min(size, limit or size)
        for start in range(0, len(messages), size):
            yield list(range(start, min(start + size, len(messages))))

    def send(self, messages: Sequence[OutgoingMessage], reference: str) -> list[Result]:
        """Send one group as ``batches`` cut it: one result per message, in their order.

        Args:
            reference: an id of this group, unique for ever; providers that keep one get it.
        """
        return self.map(self.send_one, messages)

    @abstractmethod
    def verify(self) -> Verification:
        """Ask the vendor whether the credentials work, without sending anything."""

    @abstractmethod
    def read_error(self, error: Exception) -> Result:
        """What an exception of the SDK means. Must not keep anything of it but code, request id and clean detail."""

    def records(self, phone_number: str, since: datetime, until: datetime, reference: str) -> list[Record]:
        """What the vendor knows of messages to one number in a span of time, oldest first.

        A vendor that keeps references returns only records with this one.

        Raises:
            LookUpFailed: it could not be asked, or did not understand; ask again later.
        """
        raise TypeError(f"{type(self).__name__} cannot be asked.")

    def registered_templates(self) -> list[RegisteredTemplate]:
        """All templates of the account, whatever their status, each code once.

        Raises:
            ListingFailed: the vendor refused, could not be reached, or gave anything but a clear and whole answer.
        """
        raise TypeError(f"{type(self).__name__} does not list templates.")

    def problem_with(self, message: OutgoingMessage) -> str | None:
        """Why this vendor would never take this message, in words for the caller; ``None`` if it may."""
        if len(message.text) > self.max_characters:
            return str(_("The text has %(count)d characters; at most %(limit)d can be sent.")) % {
                "count": len(message.text),
                "limit": self.max_characters,
            }
        return None

    def count_segments(self, text: str, phone_number: str = "") -> SegmentCount:
        """How many segments this vendor would charge for a text (to this number, where that matters)."""
        return count_segments(text)

    # What all vendors share

    @property
    def overlaps(self) -> bool:
        """Whether others can follow while some are being sent: each is a request of its own, in its own thread."""
        return self.concurrent and not self.has_batches

    def start(
        self, messages: Sequence[OutgoingMessage], land: Callable[[int, Result], None], *, before: datetime
    ) -> None:
        """Start sending messages side by side (vendors without batches).

        Args:
            land: gets each message's index and result, in a thread of the pool.
            before: what no thread was free for until then is not sent.
        """

        def send(index: int) -> None:
            try:
                result = self.send_one(messages[index]) if timezone.now() < before else TOO_LATE
            except Exception as error:  # noqa: BLE001 - somebody waits for a result
                result = Result(Outcome.UNCERTAIN, ErrorKind.TRANSIENT, code=type(error).__name__)
            land(index, result)

        for index in range(len(messages)):
            try:
                start_in_pool(send, [index])
            except RuntimeError:  # the process ends, and takes no new work
                land(index, Result(Outcome.NOT_SENT, ErrorKind.TRANSIENT, code="process_ends"))

    def map(self, function: Callable[[Item], Answer], items: Sequence[Item]) -> list[Answer]:
        """Call a function with every item, side by side where the provider allows it; answers in the items' order."""
        if self.concurrent:
            return map_in_pool(function, items)
        return [function(item) for item in items]

    @cached_property
    def client(self) -> Any:
        """The SDK's client, made at the first use.

        Raises:
            MissingSDK: the SDK is not installed.
            EncryptionKeyError: a stored secret cannot be decrypted.
            InvalidConfiguration: the SDK refuses a value, such as a region.
        """
        with silenced_sdk_loggers():
            try:
                return self.connect()
            except ImportError as error:
                problem: SmsError = self.missing_sdk(error)
            except EncryptionKeyError:
                raise
            except Exception as error:  # noqa: BLE001 - the SDKs raise their own; their words may hold a secret
                problem = InvalidConfiguration(
                    gettext(
                        "The SDK of %(provider)s refuses this configuration (%(error)s). Check the service's fields in "
                        "admin."
                    )
                    % {"provider": self.name, "error": type(error).__name__}
                )
        raise problem

    @classmethod
    def missing_sdk(cls, error: ImportError) -> MissingSDK:
        """What to raise when the SDK cannot be imported."""
        return MissingSDK(
            gettext(
                "The SDK of %(provider)s is not installed (no module named %(module)s). Install it with: %(command)s"
            )
            % {
                "provider": cls.name,
                "module": error.name,
                "command": f"pip install 'django-sms-services[{cls.extra}]'",
            }
        )

    def attempt(
        self,
        call: Callable[[], Response],
        read: Callable[[Response], Result],
        messages: Sequence[OutgoingMessage] = (),
    ) -> Result:
        """Call the SDK, read its answer; whatever goes wrong becomes a ``Result``.

        An answer that ``read`` does not understand is uncertain: the provider may have taken the message.
        ``messages`` are those of the call; what they hold is taken out of the result's detail.
        """
        with silenced_sdk_loggers():
            try:
                response = call()
            except Exception as error:  # noqa: BLE001 - the SDKs raise far more than they document
                result = self._read_any_error(error)
            else:
                try:
                    result = read(response)
                except Exception as error:  # noqa: BLE001 - an answer can be wrong in any way
                    result = Result(Outcome.UNCERTAIN, ErrorKind.TRANSIENT, code=type(error).__name__)
        return scrubbed(result, messages)

    def _read_any_error(self, error: Exception) -> Result:
        try:
            return self.read_error(error)
        except Exception as unexpected:  # noqa: BLE001 - whatever it was, other messages of the batch may have left
            return Result(Outcome.UNCERTAIN, ErrorKind.TRANSIENT, code=type(unexpected).__name__)

    def refusal(self, code: str, detail: str = "", request_id: str = "", retry_after: float | None = None) -> Result:
        """The result for a code with which the vendor refused a request, by the error table."""
        entry = self.errors.get(code)
        if entry is None:
            return Result(Outcome.REFUSED, ErrorKind.UNKNOWN, code, detail, request_id)
        outcome = Outcome.NOT_SENT if entry.retry else Outcome.REFUSED
        return Result(outcome, entry.kind, code, detail, request_id, retry_after=retry_after)

    @classmethod
    def advice_for(cls, code: str, kind: str = "") -> str | Promise:
        """What an admin can do about one of the vendor's codes (or, if it is not in the table, about a kind)."""
        if code in cls.errors:
            return cls.errors[code].advice
        return GENERAL_ADVICE.get(kind, "")


GENERAL_ADVICE: Mapping[str, str | Promise] = {
    ErrorKind.RECIPIENT: _("Check the phone number."),
    ErrorKind.TEMPLATE: _("Check the template's text, code and variables."),
    ErrorKind.CREDENTIALS: _("Check the service's credentials with “Verify credentials”."),
    ErrorKind.QUOTA: _("Check the account's balance and limits in the provider's console."),
    ErrorKind.THROTTLED: _("The provider asks for fewer messages. Lower “messages per second” of the service."),
    ErrorKind.TRANSIENT: _("The provider could not be reached or did not answer. If it lasts, check its status page."),
    ErrorKind.UNKNOWN: _("Look the code up in the provider's documentation."),
}
