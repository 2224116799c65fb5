"""The log's way to a day: years, months, days, each a range of an index.

Django's ``date_hierarchy`` truncates the date of every row to find out which days there are.
"""

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db.models import Min
from django.utils import timezone
from django.utils.dateformat import format as format_date
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from ..models import SmsMessage
from ..models.messages import SmsMessageQuerySet


@dataclass(frozen=True)
class Period:
    """A year, a month or a day, in the current time zone; without a year, all time. ``str()`` and ``parse`` agree."""

    year: int | None = None
    month: int | None = None
    day: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Period":
        """Read ``2026``, ``2026-11`` or ``2026-11-22``.

        Raises:
            ValueError: it is none of these, or there is no such day.
        """
        if not text:
            return cls()
        numbers = [int(part) for part in text.split("-")]
        if len(numbers) > 3:
            raise ValueError("A period has a year, a month and a day at most.")
        period = cls(*numbers)
        if not 1900 <= period.first_day.year < 9999:
            raise ValueError("There was no SMS then.")
        return period

    def __str__(self) -> str:
        parts = (f"{part:02}" for part in (self.year, self.month, self.day) if part is not None)
        return "-".join(parts)

    @property
    def label(self) -> str:
        if self.day:
            return date_format(self.first_day, "MONTH_DAY_FORMAT")
        if self.month:
            return format_date(self.first_day, "F")
        return str(self.year) if self.year else _("All dates")

    @property
    def first_day(self) -> date:
        return date(self.year or 1900, self.month or 1, self.day or 1)

    @property
    def next_day(self) -> date:
        """The day after its last one."""
        if self.day:
            return self.first_day + timedelta(days=1)
        if self.month:
            return self.first_day + timedelta(days=calendar.monthrange(self.first_day.year, self.month)[1])
        return date(self.first_day.year + 1, 1, 1)

    @property
    def outer(self) -> "Sequence[Period]":
        """The periods that it is in, the widest first."""
        if not self.year:
            return ()
        if not self.month:
            return (Period(),)
        return (Period(), Period(self.year), Period(self.year, self.month))[: 3 if self.day else 2]

    def inner(self, first: date, last: date) -> "Sequence[Period]":
        """What it is made of, as far as there are messages between these days."""
        if self.day:
            return ()
        if self.month:
            days = range(1, calendar.monthrange(self.first_day.year, self.month)[1] + 1)
            periods = [Period(self.year, self.month, day) for day in days]
        elif self.year:
            periods = [Period(self.year, month) for month in range(1, 13)]
        else:
            periods = [Period(year) for year in range(first.year, last.year + 1)]
        return [period for period in periods if period.first_day <= last and period.next_day > first]

    def apply(self, messages: SmsMessageQuerySet) -> SmsMessageQuerySet:
        if not self.year:
            return messages
        return messages.filter(created_at__gte=_midnight(self.first_day), created_at__lt=_midnight(self.next_day))


@dataclass(frozen=True)
class Choice:
    label: str
    query_string: str


@dataclass(frozen=True)
class DrillDown:
    """The links above the list: back to wider periods, where one is, and on to narrower ones."""

    back: Sequence[Choice]
    here: str
    choices: Sequence[Choice]


def days_with_messages() -> tuple[date, date] | None:
    """The day of the oldest message, and today."""
    oldest = SmsMessage.objects.aggregate(oldest=Min("created_at"))["oldest"]
    return (timezone.localdate(oldest), timezone.localdate()) if oldest else None


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time()))
