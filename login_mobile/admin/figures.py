"""What became of the codes of a login: over time, and by country and prefix. A constant number of queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, Count, IntegerField, Q, QuerySet, Value, When
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ..choices import ChallengeState, Outcome, PauseScope, Sending
from ..countries import country_name
from ..models import Challenge, MobileLogin, Pause
from .chart import Series, StackedBars

#: Rows of the tables by country and by prefix.
MOST_ROWS = 25

_VERIFIED = Q(state__in=[ChallengeState.USED, ChallengeState.PROVED]) & ~Q(outcome=Outcome.REFUSED)
_SENT = Q(sending__in=[Sending.HANDED_OVER, Sending.REVIEW])
#: Each challenge counts in one: the first that fits.
_SERIES: Mapping[str, tuple[Any, Q]] = {
    "verified": (_("Code used"), _VERIFIED),
    "refused": (_("Refused after a right code"), Q(outcome=Outcome.REFUSED)),
    "unused": (_("Sent, not used"), _SENT),
    "failed": (_("Not sent: failed"), Q(sending=Sending.FAILED)),
    "suppressed": (_("Not sent: nobody to get or to use it"), Q(sending=Sending.SUPPRESSED)),
    "waiting": (_("Waiting for a worker"), Q(sending=Sending.WAITING)),
}


@dataclass(frozen=True)
class Span:
    """A time to look at, in equal parts."""

    key: str
    label: str | Promise
    parts: int
    part: timedelta

    def begin(self, now: datetime) -> datetime:
        """When the first part begins, so that the last one is that of now: parts begin on the hour or at midnight."""
        now = timezone.localtime(now)
        last = now.replace(minute=0, second=0, microsecond=0)
        if self.part >= timedelta(days=1):
            last = last.replace(hour=0)
        return last - self.part * (self.parts - 1)


SPANS = {
    span.key: span
    for span in (
        Span("day", _("24 hours"), 24, timedelta(hours=1)),
        Span("week", _("7 days"), 7, timedelta(days=1)),
        Span("month", _("30 days"), 30, timedelta(days=1)),
    )
}


@dataclass(frozen=True)
class Share:
    """What was sent to a country or prefix, and used."""

    name: str
    sent: int
    verified: int
    is_paused: bool

    @property
    def percent(self) -> int | None:
        return round(100 * self.verified / self.sent) if self.sent else None


@dataclass(frozen=True)
class Figures:
    """Everything that the page shows of one login and span."""

    chart: StackedBars
    countries: Sequence[Share]
    prefixes: Sequence[Share]
    pauses: Sequence[Pause]

    @classmethod
    def of(cls, login: MobileLogin, span: Span) -> "Figures":
        begin = span.begin(timezone.now())
        challenges = Challenge.objects.filter(login=login, created_at__gte=begin).order_by()
        pauses = list(login.pauses.active())
        paused = {(pause.scope, pause.value) for pause in pauses}
        return cls(
            chart=_chart(challenges, span, begin),
            countries=[
                Share(country_name(value), sent, verified, (PauseScope.COUNTRY, value) in paused)
                for value, sent, verified in _shares(challenges, "country")
            ],
            prefixes=[
                Share(f"{value}****", sent, verified, (PauseScope.PREFIX, value) in paused)
                for value, sent, verified in _shares(challenges, "prefix")
            ],
            pauses=pauses,
        )


def _chart(challenges: "QuerySet[Challenge]", span: Span, begin: datetime) -> StackedBars:
    starts = [begin + span.part * part for part in range(span.parts)]
    # Not by the database's own dates: MariaDB knows no time zones unless somebody has loaded them.
    part = Case(
        *(When(created_at__lt=start, then=Value(number)) for number, start in enumerate(starts[1:])),
        default=Value(span.parts - 1),
        output_field=IntegerField(),
    )
    kind = Case(
        *(When(condition, then=Value(number)) for number, (_label, condition) in enumerate(_SERIES.values())),
        default=Value(-1),
        output_field=IntegerField(),
    )
    counted = challenges.annotate(part=part, kind=kind).values_list("part", "kind").annotate(Count("pk"))
    counts = {(part, kind): count for part, kind, count in counted}
    hours = span.part < timedelta(days=1)
    return StackedBars(
        labels=[date_format(timezone.localtime(start), "H:i" if hours else "MONTH_DAY_FORMAT") for start in starts],
        series=[
            Series(key, label, [counts.get((part, number), 0) for part in range(span.parts)])
            for number, (key, (label, _condition)) in enumerate(_SERIES.items())
        ],
    )


def _shares(challenges: "QuerySet[Challenge]", field: str) -> Sequence[tuple[str, int, int]]:
    rows = challenges.values(field).annotate(sent=Count("pk", filter=_SENT), verified=Count("pk", filter=_VERIFIED))
    return list(rows.order_by("-sent", field).values_list(field, "sent", "verified")[:MOST_ROWS])
