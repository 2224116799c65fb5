"""Paging by position instead of by number: the log's last page costs what its first one does."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import models
from django.db.models import DateTimeField, F, Func, Value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Position:
    """A place in the order of creation; the primary key decides between rows of one moment."""

    created_at: datetime
    pk: int

    def __str__(self) -> str:
        return f"{(self.created_at - _EPOCH) // _MICROSECOND}-{self.pk}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Read what ``str()`` wrote.

        Raises:
            ValueError: it is something else.
        """
        moment, _, pk = text.partition("-")
        try:
            if not 0 <= int(pk) < 2**63:
                raise OverflowError
            return cls(_EPOCH + int(moment) * _MICROSECOND, int(pk))
        except OverflowError:
            raise ValueError("There is no such moment.") from None


class _Row(Func):
    template = "(%(expressions)s)"


class _Comparison(Func):
    template = "%(expressions)s"
    output_field = models.BooleanField()


def _compared(position: Position, sign: str) -> _Comparison:
    """All three databases compare rows; PostgreSQL and SQLite find the place in an index by it."""
    there = _Row(
        Value(position.created_at, output_field=DateTimeField()),
        Value(position.pk, output_field=models.BigIntegerField()),
    )
    return _Comparison(_Row(F("created_at"), F("pk")), there, arg_joiner=f" {sign} ")


def is_before(position: Position) -> _Comparison:
    return _compared(position, "<")


def is_after(position: Position) -> _Comparison:
    return _compared(position, ">")
