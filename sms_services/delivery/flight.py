"""Messages that are with the provider, and the results that have come back."""

from collections.abc import Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import NamedTuple

from django.utils import timezone

from ..choices import Outcome
from ..models import SmsMessage
from ..providers.base import TOO_LATE, OutgoingMessage, Provider, Result
from .claiming import Claim


class Departure(NamedTuple):
    """A message, and what the provider gets of it."""

    message: SmsMessage
    outgoing: OutgoingMessage


class Flight:
    """What one caller has claimed and not settled. Only the results come from other threads."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._back: SimpleQueue[tuple[Departure, Result]] = SimpleQueue()
        self.count = 0

    def start(self, departures: Sequence[Departure], claim: Claim, *, are_all: bool) -> None:
        """Send claimed messages. Returns at once where the provider takes one message per request.

        What could not leave in time is not sent: the sweep may call it lost before the provider has answered.

        Args:
            are_all: no others will follow. A single one needs no other thread then.
        """

        def land(index: int, result: Result) -> None:
            self._back.put((departures[index], result))

        outgoing = [outgoing for _, outgoing in departures]
        if self._provider.overlaps and not (are_all and len(outgoing) == 1 and not self.count):
            self._provider.start(outgoing, land, before=claim.leaves_before)
        else:
            in_time = timezone.now() < claim.leaves_before
            results = self._provider.send(outgoing, claim.id) if in_time else [TOO_LATE] * len(outgoing)
            for index, result in enumerate(results):
                land(index, result)
        self.count += len(departures)

    def landed(self, at_least: int) -> list[tuple[SmsMessage, Result]]:
        """What has come back, once there is so much of it, oldest first; from then on it counts as settled."""
        back = [self._back.get() for _ in range(at_least)]
        while True:
            try:
                back.append(self._back.get_nowait())
            except Empty:
                break
        self.count -= len(back)
        back.sort(key=lambda pair: pair[0].message.pk)
        return [(message, _counted(self._provider, outgoing, result)) for (message, outgoing), result in back]


def _counted(provider: Provider, outgoing: OutgoingMessage, result: Result) -> Result:
    """The result with the segments that we count, where the provider does not say; in doubt, those it would have."""
    if result.outcome not in {Outcome.ACCEPTED, Outcome.UNCERTAIN} or result.segments is not None or not outgoing.text:
        return result
    return replace(result, segments=provider.count_segments(outgoing.text, outgoing.phone_number).segments)
