"""What an admin takes back: pauses, and used-up limits."""

from typing import Any

from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from .. import limits
from ..addresses import named
from ..models import MobileNumber, Pause
from ..rows import database, pauses


def resume(pause: Pause, by: Any = None) -> bool:
    """End a pause and begin its day's caps anew; returns whether it was still on. Permission: ``resume_pause``."""
    ended = pauses().filter(pk=pause.pk).active().update(resumed_at=timezone.now(), resumed_by=by, active_key=None)
    if ended:
        limits.begin_caps_anew(pause.login_id, pause.scope, pause.value)
    return bool(ended)


@sensitive_variables()
def lift_limits(number: str) -> int:
    """Let a number ask for codes and enter them again, whatever was used up. Permission: ``unblock_mobilelogin``.

    So may the user who has it. Users who have only asked for codes to it keep what they have used up.

    Args:
        number: E.164.

    Returns:
        how many limits that were.
    """
    owners = MobileNumber.objects.using(database()).filter(number=number).values_list("user", flat=True)
    return limits.lift(number, owners)


def lift_address_limits(address: str) -> int:
    """Let an address ask for codes and enter them again: of an IPv6 address, its /64, and what its /48 shares.

    Other /64 of the same /48 keep what they have used up. Permission: ``unblock_mobilelogin``.

    Args:
        address: in any notation, or what ``client_address`` says: a /64, or ``unknown``.

    Raises:
        ValueError: it is no IP address.

    Returns:
        how many limits that were.
    """
    subject = named(address)
    if subject is None:
        raise ValueError("This is no IP address.")
    return limits.lift_address(subject)
