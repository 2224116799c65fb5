"""The sweep: what a broker or a worker has lost is rung for again. Any number of sweeps may run at once."""

import random
from datetime import timedelta

from django.utils import timezone

from .choices import ChallengeState, Sending
from .conf import get_settings
from .flows.sending import ring
from .rows import challenges

STEP = 500


def sweep() -> None:
    """Ring for codes that nobody came for, and give up those that have expired meanwhile."""
    now = timezone.now()
    challenges().overdue(now).filter(expires_at__lte=now).update(
        sending=Sending.FAILED, problem="expired", sweep_at=None
    )
    replaced = challenges().overdue(now).filter(state=ChallengeState.REPLACED)
    replaced.update(sending=Sending.SUPPRESSED, problem="replaced", sweep_at=None)
    # The new time, odd to the microsecond, is also the mark by which this sweep finds what it got.
    mark = now + timedelta(seconds=get_settings().REQUEUE_AFTER, microseconds=random.randrange(1_000_000))
    ids = list(challenges().overdue(now).values_list("pk", flat=True)[:STEP])
    challenges().filter(pk__in=ids).filter(sending=Sending.WAITING, sweep_at__lte=now).update(sweep_at=mark)
    mine = list(challenges().filter(pk__in=ids, sweep_at=mark).values_list("pk", flat=True))
    if mine:
        ring(mine)
