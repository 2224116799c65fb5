"""How many people a selection of recipients is, before anything is sent."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RecipientsSummary:
    """What would become of each person. ``people`` is the sum of all others: each is counted once.

    Attributes:
        people: how many there are, each once, however many departments and roles include them.
        reachable: how many would get a text: one per number.
        duplicates: have the same number as somebody who would get one.
        without_number: are active and have no number.
        inactive: have a deactivated account.
        suppressed: have a number to which no notifications go.
    """

    people: int
    reachable: int
    duplicates: int
    without_number: int
    inactive: int
    suppressed: int
