"""A panel: one pair of axes with lines, before anything draws it.

The page (plotly) and the print figures (matplotlib) draw the same panels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from anaume.formats import short
from anaume.report.curves import Values

GAP = np.array([np.nan])  # a value that interrupts a line


@dataclass(frozen=True)
class Line:
    """One series, in the colour of its role.

    `style`   "faint" for raw values, "clear" for smoothed ones, "points" where every value is marked, "dots" for many
              values without order, "bars" for a histogram, where x has one more value than y: the bins' edges
    `labels`  texts beside the points; empty ones are left out
    """

    name: str
    role: str
    style: Literal["faint", "clear", "points", "dots", "bars"]
    x: Values
    y: Values
    marker: str = "circle"
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Axis:
    """An axis.

    `form`, `tick`  d3's formats of a value under the pointer and of one on the axis; empty: plotly's own
    `ticks`         values marked on the axis, with their names; without them the drawing library chooses
    `span`          lowest and highest value on the axis; without it the axis holds all values
    """

    title: str = ""
    log: bool = False
    from_zero: bool = False
    form: str = ".3f"
    tick: str = ""
    ticks: tuple[tuple[float, str], ...] = ()
    span: tuple[float, float] | None = None


# (limit, digits): an axis whose highest value is less than `limit` times the lowest is marked at these digits in every
# power of ten.
ROUND = ((5, (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7)), (50, (1, 1.5, 2, 3, 5, 7)), (500, (1, 2, 5)), (np.inf, (1,)))
STEPS = Axis("Step", form=",d", tick="~s")
FROM_ZERO = Axis(from_zero=True)


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    `cells`   a heat map instead of lines: fractions from 0 to 1, (rows, columns), with a gap where one is not finite.
              Cell i of an axis spans i to i + 1; see `cell_axis`.
    `cell_range`   the fractions that have the palest and the strongest colour
    `cell_digits`  decimals of the percentages that are written into the cells
    `levels`  horizontal lines, as (name, value); the legend names them, so that no name covers a curve or another name
    `levels_of`  the line to which the levels compare
    `note`    a line under the title
    `hover`   the values that the pointer shows: all those at its x, or the nearest one
    """

    id: str
    title: str
    lines: tuple[Line, ...]
    x: Axis = STEPS
    y: Axis = FROM_ZERO
    levels: tuple[tuple[str, float], ...] = ()
    levels_of: str = ""
    note: str = ""
    hover: Literal["x", "nearest"] = "x"
    size: Literal["normal", "large", "small"] = "normal"
    cells: Values | None = None
    cell_range: tuple[float, float] = (0.0, 1.0)
    cell_digits: int = 0

    @property
    def heading(self) -> str:
        """The title, which says what the levels are."""
        return f"{self.title} (dashed: {self.levels_of})" if self.levels else self.title


@dataclass(frozen=True)
class Border:
    """First and last step of a stage on the common axis of a run."""

    stage: str
    start: int
    end: int


def cell_axis(title: str, names: Sequence[str], *, downwards: bool = False) -> Axis:
    """The axis of a heat map with the names of its cells; `downwards` puts the first of them on top."""
    ticks = tuple((place + 0.5, name) for place, name in enumerate(names))
    span = (0.0, float(len(names)))
    return Axis(title, ticks=ticks, span=span[::-1] if downwards else span)


def logarithmic(axis: Axis, lines: Sequence[Line]) -> Axis:
    """The axis with a logarithmic scale and round numbers marked on it, more of them where the lines span less."""
    values = np.concatenate([GAP, *(line.y for line in lines)])
    positive = values[np.isfinite(values) & (values > 0)]
    low, high = positive.min(initial=np.inf), positive.max(initial=0)
    digits = next(digits for limit, digits in ROUND if high / low < limit)
    round_numbers = [float(f"{digit}e{power}") for power in range(-6, 12) for digit in digits]
    ticks = tuple((n, f"{n:,g}" if n < 10_000 else short(n)) for n in round_numbers if low / 2 <= n <= 2 * high)
    return replace(axis, log=True, ticks=ticks)
