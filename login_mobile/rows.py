"""Where the rows of this app are: the database that is written to, for reading too. A replica may lag behind."""

from django.db import router
from django.db.models import F, QuerySet

from .models import Challenge, MobileNumber, Pause
from .models.challenges import ChallengeQuerySet
from .models.pauses import PauseQuerySet


def database() -> str:
    """The alias of the database that challenges are written to, and everything else of this app."""
    return router.db_for_write(Challenge)


def challenges() -> ChallengeQuerySet:
    return Challenge.objects.using(database())


def pauses() -> PauseQuerySet:
    return Pause.objects.using(database())


def delete_unchanged(rows: QuerySet[MobileNumber]) -> bool:
    """Delete a number if it is still as the conditions of ``rows`` say. Call it inside a transaction.

    Where something listens to deletions, Django reads the rows and deletes them by their keys, whatever has become of
    them in between: the UPDATE locks them before.
    """
    return bool(rows.update(number=F("number"))) and bool(rows.delete()[0])


def number_row(number: str) -> MobileNumber | None:
    """Whose number this is, verified; ``None``: nobody's."""
    return MobileNumber.objects.using(database()).select_related("user").filter(number=number).first()
