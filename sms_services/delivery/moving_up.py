"""When some of those who wait in the line of a service's rate limit do not need their places any more."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import OperationalError
from django.db.models import Count, DateTimeField, F, Min, Q, Value
from django.db.models.functions import Greatest
from django.utils import timezone

from ..choices import MessageStatus
from ..conf import get_settings
from ..models import SmsService
from .pacing import Pace, in_line
from .queueing import start
from .rows import messages

#: Messages of one statement.
STEP = 2_000


def give_up_places(service: SmsService, batch_id: int) -> None:
    """A batch does not send any more: the line gets shorter by its places, and those behind them move up.

    The latter is a task's. Where no broker is reached, they keep their old places.
    """
    from ..tasks import move_up

    pace, now = Pace.of(service), timezone.now()
    if pace.max_per_second is None:
        return
    waiting = in_line(service.pk, now).filter(batch=batch_id, sweep_at__gt=now)
    places = waiting.aggregate(count=Count("pk"), first=Min("sweep_at"))
    if not places["count"]:
        return
    first = places["first"].timestamp()
    if first > pace.end_of_line():  # no place, but the time after which a lost bell is noticed: it is at the broker
        first = now.timestamp()
    pace.shorten_line(places["count"])
    move = [service.pk, batch_id, first, pace.seconds(places["count"]), now.timestamp()]
    start(move_up, move, get_settings().QUEUE or None)


def move_up_behind(service_id: int, batch_id: int, place: float, seconds: float, given_up_at: float) -> None:
    """Those who waited behind a batch in the line when it gave up its places wait so many seconds less.

    Args:
        place: where the batch began in it, in seconds since 1970.
        given_up_at: whoever came later has found a shorter line already; in seconds since 1970 as well.
    """
    now = timezone.now()
    sooner = Greatest(F("sweep_at") - timedelta(seconds=seconds), Value(now), output_field=DateTimeField())
    waiting = in_line(service_id, now).filter(created_at__lte=datetime.fromtimestamp(given_up_at, UTC))
    behind = waiting.exclude(batch=batch_id).order_by("sweep_at", "pk")
    last: tuple[Any, int] = max(datetime.fromtimestamp(place, UTC), now), 0
    while True:
        further = behind.filter(Q(sweep_at__gt=last[0]) | Q(sweep_at=last[0], pk__gt=last[1]))
        step = list(further.values_list("sweep_at", "pk")[:STEP])
        if not step:
            return
        rows = messages().by_id(sorted(pk for _, pk in step), MessageStatus.QUEUED)
        with suppress(OperationalError):  # a deadlock with workers: these keep their places
            rows.filter(sweep_at__gt=now).update(sweep_at=sooner)
        last = step[-1]
