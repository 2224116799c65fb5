"""The work of the workers that tests do not have, for ``sms_outbox``."""

from django.utils import timezone

from .expansion.expanding import is_due
from .rows import notifications
from .tasks import advance


def advance_all() -> None:
    """Go on with every notification whose time has come and that is neither paused nor finished.

    Also with those that a receiver of ``notification_finished`` makes meanwhile.
    """
    advanced: set[int] = set()
    while new := _waiting() - advanced:
        advance(sorted(new))
        advanced |= new


def _waiting() -> set[int]:
    return set(notifications().filter(is_due(timezone.now()), finished_at=None).values_list("pk", flat=True))
