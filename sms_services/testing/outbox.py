"""The outbox of a test: what was sent, what is to go wrong, and the workers that a test does not have."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import overload

from django.apps import apps
from django.utils import timezone

from ..choices import ErrorKind, MessageStatus
from ..delivery.broker import silence
from ..delivery.pacing import no_limits
from ..delivery.queueing import TASK_SIZE, chunks
from ..delivery.reconciling import reconcile
from ..models import SmsMessage, SmsService
from ..models.messages import SmsMessageQuerySet, is_sendable
from ..providers import replace_providers
from ..providers.base import Provider
from ..tasks import deliver_messages
from ..transactions import in_open_transaction
from .fake_provider import FakeProvider
from .faults import Faults
from .texts import SentText


class SmsOutbox(Sequence[SentText]):
    """The texts that went out, oldest first, like ``django.core.mail.outbox``.

    Reading it first does what workers would: other apps' part, such as resolving a notification's recipients, then the
    delivery of what is queued and due. A text that was queued in a transaction which is still open waits for its
    commit. What waits for its next try, waits for ``deliver()``.
    """

    def __init__(self) -> None:
        self._texts: list[SentText] = []
        #: So many of them were cleared. The vendor still knows them, if it is asked.
        self._cleared = 0
        self._faults = Faults()

    def __len__(self) -> int:
        return len(self._delivered())

    def __iter__(self) -> Iterator[SentText]:
        return iter(self._delivered())

    @overload
    def __getitem__(self, index: int) -> SentText: ...
    @overload
    def __getitem__(self, index: slice) -> list[SentText]: ...
    def __getitem__(self, index: int | slice) -> SentText | list[SentText]:
        return self._delivered()[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SmsOutbox):
            return self is other
        return list(self) == other if isinstance(other, list) else NotImplemented

    def __repr__(self) -> str:
        """What is there already: a debugger that looks at it delivers nothing."""
        return repr(self._texts[self._cleared :])

    def clear(self) -> None:
        """Deliver what is due, then forget all texts. Faults stay."""
        self._delivered()
        self._cleared = len(self._texts)

    def deliver(self) -> None:
        """Deliver what is queued, and let the time pass for which messages wait for their next try: one more try."""
        if not in_open_transaction():
            waiting = SmsMessage.objects.filter(status=MessageStatus.QUEUED, tries__gt=0)
            waiting.update(due_at=timezone.now())
            _work(waiting)
        self._delivered()

    def look_up(self) -> None:
        """Look messages in doubt up, as the sweep does in time, where their provider can be asked."""
        reconcile(list(SmsMessage.objects.filter(status=MessageStatus.UNKNOWN).values_list("pk", flat=True)))

    def fail(
        self,
        fault: str,
        *,
        times: int | None = None,
        numbers: str | Iterable[str] | None = None,
        service: SmsService | str | None = None,
        kind: str | None = None,
        code: str = "",
    ) -> None:
        """Let tries go wrong from now on.

        Args:
            fault: ``timeout`` (the text arrives, the answer is lost: ``unknown``), ``lost`` (nothing arrives:
                ``unknown``), ``throttled`` or ``down`` (tried again at ``deliver()``), ``refused`` (``failed``).
            times: how many tries, each of one message; without it, all until ``recover()``.
            numbers: only tries to this number or these, in any notation.
            service: only tries through this service, or the one with this key.
            kind: with ``refused``: the ``ErrorKind``, by default ``recipient``.
            code: with ``refused``: a code of a vendor's table of errors. It decides the kind, and whether the message
                is tried again; services of other vendors never answer with it.

        Raises:
            ValueError: there is no such fault, kind or code, or these do not go together.
            InvalidPhoneNumber: a number cannot be read.
        """
        self._faults.add(fault, times, numbers, service, kind, code)

    def recover(self) -> None:
        """Take all faults back."""
        self._faults.clear()

    def receipt(self, message: SmsMessage | SentText, status: str, *, code: str = "") -> bool:
        """The vendor says what became of a text: whether that moved the message on.

        Late and repeated receipts change nothing, as in production. The instance is read anew.

        Args:
            message: the row, or the text.
            status: ``delivered`` or ``undelivered``.
            code: with ``undelivered``: the vendor's code.

        Raises:
            ValueError: a receipt cannot say this.
        """
        row = message.message if isinstance(message, SentText) else message
        kind = ""
        if status == MessageStatus.UNDELIVERED:
            errors = SmsService.objects.get(pk=row.service_id).provider_class.errors
            kind = errors[code].kind if code in errors else ErrorKind.UNKNOWN
        changed = SmsMessage.objects.filter(pk=row.pk).apply_receipt(status, error_kind=kind, code=code)
        row.refresh_from_db()
        return bool(changed)

    def _delivered(self) -> list[SentText]:
        """The texts, once everything due has had its first try; that of receivers of signals included."""
        tried: set[int] = set()
        while not in_open_transaction():
            _let_apps_make_texts()
            new = _work(SmsMessage.objects.filter(is_sendable(timezone.now()), tries=0).exclude(pk__in=tried))
            if not new:
                break
            tried |= new
        return self._texts[self._cleared :]

    def _provider(self, service: SmsService) -> Provider:
        return FakeProvider(service.build_provider(), service.key, self._texts, self._faults)


def _let_apps_make_texts() -> None:
    """What other apps leave to their own workers: an AppConfig may have the method ``make_waiting_texts``."""
    for config in apps.get_app_configs():
        if make := getattr(config, "make_waiting_texts", None):
            make()


def _work(messages: SmsMessageQuerySet) -> set[int]:
    """What the workers would do for these messages; returns their ids."""
    ids = list(messages.order_by("pk").values_list("pk", flat=True))
    for chunk in chunks(ids, TASK_SIZE):
        deliver_messages(list(chunk))
    return set(ids)


@contextmanager
def capture_sms() -> Iterator[SmsOutbox]:
    """Keep every text of this process in an outbox while the block runs.

    Only vendor, broker and rate limits are replaced. Messages are checked, stored, claimed and settled as always.
    """
    outbox = SmsOutbox()
    with replace_providers(outbox._provider), silence(), no_limits():
        yield outbox
