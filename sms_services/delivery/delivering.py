"""The one path by which every text leaves: claim, call the provider, write the outcome; then the next ones.

A caller has at most ``CLAIM_SIZE`` messages claimed and not settled (of a provider with batches, those of one
request): so many are in doubt when its process is killed. Within that, a provider that takes one message per request
is kept busy: while half of them fly, the other half is settled and replaced by the next ones, in one statement. So
its threads wait neither for the slowest message of a part nor for the database.
"""

import logging
from collections import deque
from collections.abc import Iterator, Sequence

from django.views.decorators.debug import sensitive_variables

from ..choices import ErrorKind, Outcome, Purpose
from ..exceptions import EncryptionKeyError
from ..logs import log
from ..models import SmsMessage, SmsService
from ..providers import get_provider
from ..providers.base import CLAIM_SIZE, Provider, Result
from .claiming import Claim
from .flight import Departure, Flight
from .pacing import Pace
from .queueing import put_to_broker, ring, task_size
from .rows import insert
from .settling import settle

SERVICE_INACTIVE = "service_inactive"
SERVICE_UNUSABLE = "service_unusable"
#: Taken, and put back before the provider was called.
INTERRUPTED = "delivery_interrupted"


@sensitive_variables()
def deliver(service: SmsService, messages: Sequence[SmsMessage]) -> None:
    """Try queued messages of one service and purpose now, and put to the broker what has to wait.

    The instances get the outcomes. Messages that somebody else has taken are left to whoever took them.

    Raises:
        MissingSDK, EncryptionKeyError: nothing was tried; all messages are still queued.
    """
    if not messages:
        return
    if not service.is_active:
        _refuse(service, messages, SERVICE_INACTIVE)
        return
    _Delivery(service, get_provider(service), messages).go_on()


@sensitive_variables()
def insert_and_deliver(service: SmsService, messages: Sequence[SmsMessage]) -> None:
    """The same for messages that are not stored yet. Those that leave first are stored as claimed.

    Raises:
        MissingSDK, EncryptionKeyError: nothing was stored. Later errors are only logged: whoever saw one would send
            the messages again.
    """
    delivery = _Delivery(service, get_provider(service), messages)
    departures = delivery.next_departures()
    claim = Claim.of(service, [message for message, _ in departures])
    claim.mark(claim.messages)
    insert(messages)
    try:
        delivery.go_on(departures, claim)
    except Exception as error:  # noqa: BLE001 - see above
        log(logging.ERROR, "sms.delivery_interrupted", service=service.key, error=type(error).__name__)


class _Delivery:
    """Messages of one service and purpose on their way from the queue to their outcomes."""

    def __init__(self, service: SmsService, provider: Provider, messages: Sequence[SmsMessage]) -> None:
        self._service, self._provider = service, provider
        self._pace, self._purpose = Pace.of(service), messages[0].purpose
        self._flight = Flight(provider)
        ready = list(_readable(messages))
        groups = provider.batches([outgoing for _, outgoing in ready], self._pace.batch_limit)
        self._groups = deque([ready[index] for index in group] for group in groups)
        self._wait = 0.0
        # What an error must not lose: outcomes that are not written yet, and messages that have not left yet.
        self._landed: list[tuple[SmsMessage, Result]] = []
        self._taken: list[SmsMessage] = []

    def go_on(self, departures: Sequence[Departure] = (), claim: Claim | None = None) -> None:
        """Settle what comes back and send what waits, until nothing of either is left.

        Whatever goes wrong, the outcomes of those in flight are written first; the others stay queued.

        Args:
            departures: those that leave first, already claimed.
        """
        try:
            if claim is not None:
                self._depart(departures, claim)
            self._go_on()
        except Exception:
            self._bring_home()
            raise

    def _go_on(self) -> None:
        while True:
            if self._wait:
                self._postpone()
            if not self._groups and not self._flight.count:
                return
            self._landed = self._flight.landed(self._seats_needed())
            departures = self.next_departures()
            claim = Claim.of(self._service, [message for message, _ in departures])
            self._turn_over(claim)
            taken = {message.pk for message in self._taken}
            self._depart([departure for departure in departures if departure.message.pk in taken], claim)

    def next_departures(self) -> list[Departure]:
        """What there is room for and the rate limit allows now."""
        departures: list[Departure] = []
        while self._groups and self._has_room(len(departures)):
            self._wait = self._pace.take(len(self._groups[0]), codes=self._purpose == Purpose.OTP)
            if self._wait:
                break
            departures += self._groups.popleft()
        return departures

    def _depart(self, departures: Sequence[Departure], claim: Claim) -> None:
        self._taken = []
        if departures:
            self._flight.start(departures, claim, are_all=not self._groups)

    def _has_room(self, taken: int) -> bool:
        """Whether the next group may be claimed beside those in flight and those just taken."""
        count = self._flight.count + taken
        return not count or (self._provider.overlaps and count + len(self._groups[0]) <= CLAIM_SIZE)

    def _seats_needed(self) -> int:
        """How many have to come back before the next group may be claimed."""
        flying = self._flight.count
        if not self._groups or not self._provider.overlaps:
            return flying
        return max(flying + len(self._groups[0]) - CLAIM_SIZE, 0)

    def _turn_over(self, claim: Claim) -> None:
        """Settle what has come back and claim the next messages."""
        if not self._landed:
            self._taken = claim.take()
            return
        # A claim of its own costs a statement, but one without values for each row: many rows are better off so.
        together = claim if claim.messages and self._provider.overlaps else None
        self._settle(together)
        if not together and claim.messages:
            self._taken = claim.take()

    def _settle(self, claim: Claim | None = None) -> None:
        """Write the outcomes that have come back, and put to the broker what is to be tried again."""
        messages, results = [message for message, _ in self._landed], [result for _, result in self._landed]
        settled = settle(self._service, messages, results, can_look_up=self._provider.can_look_up, claim=claim)
        self._landed, self._taken = [], settled.taken
        put_to_broker(settled.again, self._purpose, after=settled.pause)

    def _bring_home(self) -> None:
        """After an error: write what became of those in flight, and put back what was taken and has not left."""
        self._landed = [*self._landed, *self._flight.landed(self._flight.count)]
        back = Result(Outcome.NOT_SENT, ErrorKind.TRANSIENT, INTERRUPTED)
        self._landed += [(message, back) for message in self._taken]
        if not self._landed:
            return
        try:
            self._settle()
        except Exception as error:  # noqa: BLE001 - the first error is the one to raise
            log(logging.ERROR, "sms.outcomes_lost", service=self._service.key, error=type(error).__name__)

    def _postpone(self) -> None:
        """One task goes on when the limit allows it; what it cannot hold joins the line."""
        waiting = sorted(message.pk for group in self._groups for message, _ in group)
        size = task_size(self._pace)
        put_to_broker(waiting[:size], self._purpose, after=self._wait)
        ring(self._service, waiting[size:], self._purpose)
        self._groups.clear()
        self._wait = 0.0


def _readable(messages: Sequence[SmsMessage]) -> Iterator[Departure]:
    """What goes to the provider. A message whose variables no key opens stays queued until the key is back."""
    for message in messages:
        try:
            yield Departure(message, message.outgoing())
        except EncryptionKeyError:
            log(logging.ERROR, "sms.unreadable_variables", message=message.pk, service=message.service_id)


def _refuse(service: SmsService, messages: Sequence[SmsMessage], code: str) -> None:
    """Fail messages that cannot be tried at all, on the same path as all others."""
    refused = Claim.of(service, messages).take()
    if refused:
        results = [Result(Outcome.REFUSED, ErrorKind.CREDENTIALS, code)] * len(refused)
        settle(service, refused, results, can_look_up=False)
        log(logging.WARNING, "sms.refused", service=service.key, messages=len(refused), code=code)
