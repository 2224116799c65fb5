"""What a test's transaction leaves undone, for ``sms_outbox``: hooks for its commit never run."""

from notifications.testing import advance_all

from .rows import texts
from .texting import sweep_text


def hand_over_all() -> None:
    """Do what is to be done after a commit for every text, and what the workers do for the notifications they make."""
    for text in texts().filter(sweep_at__isnull=False).order_by("pk"):
        sweep_text(text)
    advance_all()
