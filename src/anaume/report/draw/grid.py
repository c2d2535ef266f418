"""Panels → a figure of matplotlib. The content of a panel is drawn as it is; nothing is computed from it."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from anaume.formats import number, short
from anaume.report.curves import Values
from anaume.report.draw.palette import MARKERS, dashes, light
from anaume.report.draw.panels import Axis, Border, Line, Panel

INK = light("plain")
HEAT = ["#eef1f4", light("series1")]  # of a heat map's 0 and 1
TITLE, LEGEND = 13, 15  # characters per inch
BELOW = 4.2  # distance of a legend from the axes above it, over ticks and title, in units of its font
ROW = 0.16  # height of a row of a legend, in inches


def grid(
    panels: Sequence[Panel], *, columns: int, size: tuple[float, float], stages: tuple[Border, ...] = ()
) -> Figure:
    """A grid of panels of `size` (width, height) in inches, filled row by row.

    With `stages` every panel has its own legend and x title. Without them the panels show the same series, and one
    legend and the x titles of the last row stand for all.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    for place, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, place)
        axes.set_title(fill(panel.heading, int(TITLE * size[0])), pad=14 if panel.note or stages else 6)
        axes.text(0, 1.02, panel.note, transform=axes.transAxes, va="bottom", fontsize=6.5, color=INK)
        _draw(axes, panel, stages)
        if stages and panel.levels:  # their names are long: under the axes they cover no curve
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=BELOW, ncols=2, columnspacing=1)
            names = len(panel.levels) + len(panel.lines)
            figure.set_figheight(figure.get_figheight() + ROW * -(-names // 2))
        elif stages and any(line.name and line.style != "faint" for line in panel.lines):
            axes.legend(loc="best")
    if not stages:
        for axes in figure.axes[:-columns]:
            axes.set_xlabel("")
        _share_legend(figure, LEGEND * size[0] * columns)
    return figure


def _share_legend(figure: Figure, characters: float) -> None:
    """Put one legend under all panels, in columns that fit into `characters`, and add its height to the figure."""
    handles, names = figure.axes[0].get_legend_handles_labels()
    if names:
        columns = min(len(names), max(1, int(characters / (max(map(len, names)) + 6))))
        figure.legend(handles, names, loc="outside lower center", ncols=columns)
        figure.set_figheight(figure.get_figheight() + ROW * -(-len(names) // columns))


def _draw(axes: Axes, panel: Panel, stages: tuple[Border, ...]) -> None:
    if panel.cells is not None:
        _heat_map(axes, panel.cells, panel.cell_range, panel.cell_digits)
    for line in panel.lines:
        _line(axes, line)
    for order, (name, value) in enumerate(panel.levels):
        axes.axhline(value, color=light("baseline"), lw=0.8, linestyle=(0, dashes(order)), zorder=1.8, label=name)
    _mark_stages(axes, stages)
    _scale(axes, "x", panel.x)
    _scale(axes, "y", panel.y)


def _line(axes: Axes, line: Line) -> None:
    colour, marker, name = light(line.role), MARKERS[line.marker][0], line.name or None
    match line.style:
        case "faint":
            axes.plot(line.x, line.y, color=colour, alpha=0.25, linewidth=0.5)
        case "clear":
            axes.plot(line.x, line.y, color=colour, linewidth=1.2, label=name, clip_on=False)
        case "points":
            marks: dict[str, Any] = {"marker": marker, "markersize": 2.6 if marker == "o" else 3.4}
            axes.plot(line.x, line.y, color=colour, linewidth=1.2, label=name, clip_on=False, **marks)
        case "dots":
            axes.plot(line.x, line.y, "o", color=colour, alpha=0.25, markersize=1.8, markeredgewidth=0)
        case "bars":
            axes.stairs(line.y, line.x, color=colour, fill=True, alpha=0.4, label=name)
            axes.stairs(line.y, line.x, color=colour, linewidth=0.7)
    for x, y, text in zip(line.x, line.y, line.labels, strict=False):
        axes.annotate(text, (x, y), (0, 4), textcoords="offset points", ha="center", fontsize=6.5, color=INK)


def _heat_map(axes: Axes, cells: Values, span: tuple[float, float], digits: int) -> None:
    """Colour each cell by its value, write the value into it, and leave a gap empty."""
    low, high = span
    colours = LinearSegmentedColormap.from_list("heat", HEAT)
    axes.pcolormesh(np.ma.masked_invalid(cells), cmap=colours, vmin=low, vmax=high, edgecolors="white", linewidth=0.8)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for (row, column), value in np.ndenumerate(cells):
        if np.isfinite(value):
            ink = "white" if value > low + 0.55 * (high - low) else "black"
            axes.text(column + 0.5, row + 0.5, f"{value:.{digits}%}", ha="center", va="center", fontsize=6.5, color=ink)


def _scale(axes: Axes, which: str, spec: Axis) -> None:
    """Title, scale, span and ticks of an axis: its own ticks, else round numbers."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_label_text(spec.title)
    if spec.log:
        axes.set(**{f"{which}scale": "log"})
        axis.set_minor_locator(NullLocator())
    if spec.ticks:
        places, names = zip(*spec.ticks, strict=True)
        axis.set_major_locator(FixedLocator(places))
        axis.set_major_formatter(FixedFormatter(names))
    else:
        axis.set_major_locator(MaxNLocator(5, integer=spec.form == ",d", steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, spec)))
    low, high = spec.span or (0.0 if spec.from_zero else None, None)
    axes.set(**{f"{which}lim": (low, high)})


def _tick(value: float, spec: Axis) -> str:
    if spec.tick.endswith("%"):
        return f"{value:.0%}"
    if spec.form == ",d":
        return f"{value:,.0f}" if value < 10_000 else short(value)
    return number(value) if 0 < value < 0.001 else f"{value:g}"


def _mark_stages(axes: Axes, stages: tuple[Border, ...]) -> None:
    """Write the name of each stage above its part of the axis, and draw a line where the next one starts."""
    if stages:
        axes.set_xlim(0, stages[-1].end)
    for border in stages[1:]:
        axes.axvline(border.start, color=INK, linewidth=0.7, linestyle=(0, (2, 2)))
    for border in stages if len(stages) > 1 else ():
        middle, place = (border.start + border.end) / 2, axes.get_xaxis_transform()
        axes.text(middle, 1.02, border.stage, transform=place, ha="center", va="bottom", fontsize=6.5, color=INK)
