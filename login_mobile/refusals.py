"""How many requests were refused in the last day, and why: for those who look after a login.

They are counted in a bucket per login and reason, so nothing is kept of whoever asked.
"""

from collections.abc import Mapping
from contextlib import suppress

from . import buckets
from .choices import RefusalReason
from .exceptions import Refusal
from .models import MobileLogin

#: More than anybody can ask for in a day: a figure, and no limit.
_BOUNDLESS = 10**9
_DAY = 86_400


def count(login: MobileLogin, reason: RefusalReason) -> None:
    """Count one. If that fails, the figure is wrong by one, and nothing else."""
    with suppress(buckets.Full, Refusal):
        buckets.take([_counter(login, reason)])


def counted(login: MobileLogin) -> Mapping[RefusalReason, int]:
    """The refusals of the last day by reason, the most frequent first, without those that there were none of."""
    counters = {reason: _counter(login, reason) for reason in RefusalReason}
    counts = buckets.counts(list(counters.values()))
    found = [(reason, counts[counter.key]) for reason, counter in counters.items() if counts.get(counter.key)]
    return dict(sorted(found, key=lambda pair: -pair[1]))


def _counter(login: MobileLogin, reason: RefusalReason) -> buckets.Counter:
    return buckets.Counter("refused", f"{login.pk}:{reason.value}", (buckets.Window(_DAY, _BOUNDLESS),))
