"""A chart of stacked bars as an SVG that the server draws: nothing but numbers here, the template writes them down."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from django.utils.functional import Promise

WIDTH, HEIGHT = 720, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 12, 32
_MOST_LABELS = 7


@dataclass(frozen=True)
class Series:
    """One colour of the bars. ``key`` ends its CSS class."""

    key: str
    label: str | Promise
    values: Sequence[int]

    @property
    def total(self) -> int:
        return sum(self.values)


@dataclass(frozen=True)
class Piece:
    """A rectangle of one colour. Coordinates are strings: a template would write numbers in the page's language."""

    key: str
    y: str
    height: str


@dataclass(frozen=True)
class Bar:
    label: str
    x: str
    width: str
    pieces: Sequence[Piece]
    shown: bool
    is_third: bool
    middle: str
    words: str


@dataclass(frozen=True)
class Tick:
    value: int
    y: str


@dataclass(frozen=True)
class StackedBars:
    """Values of several series by label, the first series at the bottom."""

    labels: Sequence[str]
    series: Sequence[Series]

    width, height, left, right = str(WIDTH), str(HEIGHT), str(_LEFT), str(WIDTH - _RIGHT)
    floor, beneath = str(HEIGHT - _BOTTOM), str(HEIGHT - 8)

    @property
    def is_empty(self) -> bool:
        return not any(series.total for series in self.series)

    @cached_property
    def ticks(self) -> Sequence[Tick]:
        step = _step(max(self._sums, default=0))
        return [Tick(value, _at(self._height_of(value))) for value in range(0, self._top + 1, step)]

    @cached_property
    def bars(self) -> Sequence[Bar]:
        slot = (WIDTH - _LEFT - _RIGHT) / max(len(self.labels), 1)
        every = math.ceil(len(self.labels) / _MOST_LABELS) or 1
        bars = []
        for place, label in enumerate(self.labels):
            x = _LEFT + slot * place
            # Counted from the newest: that one always has its label.
            age = len(self.labels) - 1 - place
            bars.append(
                Bar(
                    label=label,
                    x=_at(x + slot * 0.12),
                    width=_at(slot * 0.76),
                    pieces=list(self._pieces(place)),
                    shown=age % every == 0,
                    is_third=age % (3 * every) == 0,
                    middle=_at(x + slot / 2),
                    words=", ".join(f"{series.label}: {series.values[place]}" for series in self.series),
                )
            )
        return bars

    @cached_property
    def rows(self) -> Sequence[tuple[str, Sequence[int]]]:
        """The same as a table, the newest first, without what is empty."""
        rows = [(label, [series.values[place] for series in self.series]) for place, label in enumerate(self.labels)]
        return [row for row in reversed(rows) if any(row[1])]

    @cached_property
    def _sums(self) -> Sequence[int]:
        return [sum(values) for values in zip(*(series.values for series in self.series), strict=True)]

    @cached_property
    def _top(self) -> int:
        most = max(self._sums, default=0)
        step = _step(most)
        return max(math.ceil(most / step), 1) * step

    def _height_of(self, value: float) -> float:
        return HEIGHT - _BOTTOM - value / self._top * (HEIGHT - _TOP - _BOTTOM)

    def _pieces(self, place: int) -> Sequence[Piece]:
        pieces, below = [], 0
        for series in self.series:
            value = series.values[place]
            if value:
                bottom, top = self._height_of(below), self._height_of(below + value)
                pieces.append(Piece(series.key, _at(top), _at(bottom - top)))
            below += value
        return pieces


def _step(most: int) -> int:
    """A round number by which four or so steps reach ``most``."""
    least = max(most / 4, 1)
    power = 10 ** math.floor(math.log10(least))
    return int(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least))


def _at(number: float) -> str:
    return f"{number:.1f}"
