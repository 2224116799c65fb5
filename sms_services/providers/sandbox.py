"""The sandbox: a provider without a vendor, whose documented numbers provoke every outcome."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ..choices import ErrorKind, Outcome
from ..exceptions import LookUpFailed
from .base import OutgoingMessage, Provider, ProviderError, Record, Result, Verification

#: Fictional numbers: +1 206 555 01xx and +86 138 0000 00xx. The last two digits choose what happens.
_FICTIONAL = re.compile(r"(?:\+120655501|\+86138000000)(\d\d)")

#: Last two digits of a fictional number → (code, what an admin or developer sees it described as).
SPECIAL_ENDINGS: Mapping[str, tuple[str, str | Promise]] = {
    "51": ("sandbox.recipient", _("refused: the number cannot receive texts")),
    "52": ("sandbox.template", _("refused: the template or its variables are wrong")),
    "53": ("sandbox.credentials", _("refused: wrong credentials")),
    "54": ("sandbox.quota", _("refused: the balance is used up")),
    "55": ("sandbox.throttled", _("throttled at every try, so tried again until the tries are used up")),
    "56": ("sandbox.transient", _("unreachable at every try, so tried again until the tries are used up")),
    "57": ("sandbox.unmapped", _("refused with a code that is in no table")),
    "58": ("sandbox.lost_answer", _("in doubt: accepted, but the answer is lost; found by the look-up")),
    "59": ("sandbox.lost_request", _("in doubt: the request is lost; the look-up finds no record")),
    "60": ("sandbox.unanswerable", _("in doubt: the answer is lost, and the look-up fails too")),
}


class Inbox(Protocol):
    """Where the sandbox's texts go."""

    def receive(self, messages: Sequence[OutgoingMessage], reference: str) -> list[str]: ...

    def records(self, phone_number: str, reference: str, since: datetime) -> list[Record]: ...


class SandboxProvider(Provider):
    """Delivers to an inbox in the database; the numbers in ``SPECIAL_ENDINGS`` misbehave as described there."""

    name = "sandbox"
    can_look_up = True
    concurrent = False  # its inbox is in the database, whose connections belong to one thread each
    errors = {
        "sandbox.recipient": ProviderError(
            ErrorKind.RECIPIENT,
            _("This sandbox number refuses every text. Send to another number to see a text arrive."),
        ),
        "sandbox.template": ProviderError(
            ErrorKind.TEMPLATE,
            _("This sandbox number refuses every template. Send to another number to see a text arrive."),
        ),
        "sandbox.credentials": ProviderError(
            ErrorKind.CREDENTIALS,
            _("This sandbox number acts as if credentials were wrong. Send to another number to see a text arrive."),
        ),
        "sandbox.quota": ProviderError(
            ErrorKind.QUOTA,
            _("This sandbox number acts as if the balance were used up. Send to another number to see a text arrive."),
        ),
        "sandbox.throttled": ProviderError(
            ErrorKind.THROTTLED,
            _("This sandbox number is throttled at every try. Send to another number to see a text arrive."),
            retry=True,
        ),
        "sandbox.transient": ProviderError(
            ErrorKind.TRANSIENT,
            _("This sandbox number can never be reached. Send to another number to see a text arrive."),
            retry=True,
        ),
        "sandbox.lost_answer": ProviderError(
            ErrorKind.TRANSIENT, _("This sandbox number loses the answer. Wait for the look-up, which finds the text.")
        ),
        "sandbox.lost_request": ProviderError(
            ErrorKind.TRANSIENT,
            _("This sandbox number loses the request. Wait for the look-up, which finds that nothing was sent."),
        ),
        "sandbox.unanswerable": ProviderError(
            ErrorKind.TRANSIENT,
            _("This sandbox number loses every answer. Look into the sandbox inbox, then decide whether to retry."),
        ),
    }

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def connect(self) -> Inbox:
        return self._inbox

    def send(self, messages: Sequence[OutgoingMessage], reference: str) -> list[Result]:
        codes = [self._provoked(message.phone_number) for message in messages]
        arriving = [i for i, code in enumerate(codes) if code in {"", "sandbox.lost_answer", "sandbox.unanswerable"}]
        ids = self._inbox.receive([messages[i] for i in arriving], reference)
        message_ids = dict(zip(arriving, ids, strict=True))
        return [self._result(code, message_ids.get(i, "")) for i, code in enumerate(codes)]

    def verify(self) -> Verification:
        return Verification(ok=True, details=((_("Inbox"), str(_("Texts arrive in the sandbox inbox."))),))

    def read_error(self, error: Exception) -> Result:
        return Result(Outcome.UNCERTAIN, ErrorKind.UNKNOWN, code=type(error).__name__)

    def records(self, phone_number: str, since: datetime, until: datetime, reference: str) -> list[Record]:
        if self._provoked(phone_number) == "sandbox.unanswerable":
            raise LookUpFailed("This sandbox number cannot be looked up.")
        return self._inbox.records(phone_number, reference, since)

    def _provoked(self, phone_number: str) -> str:
        found = _FICTIONAL.fullmatch(phone_number)
        return SPECIAL_ENDINGS[found[1]][0] if found and found[1] in SPECIAL_ENDINGS else ""

    def _result(self, code: str, message_id: str) -> Result:
        if code in {"sandbox.lost_answer", "sandbox.lost_request", "sandbox.unanswerable"}:
            return Result(Outcome.UNCERTAIN, ErrorKind.TRANSIENT, code)
        if code:
            return self.refusal(code)
        return Result(Outcome.ACCEPTED, message_id=message_id)
