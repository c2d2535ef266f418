"""Panels → figures of matplotlib. What a panel holds is drawn, and nothing is computed from it."""

from collections.abc import Sequence
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from anaume.formats import number, short
from anaume.report.draw.palette import MARKERS, light
from anaume.report.draw.panels import Axis, Border, Line, Panel

INK = light("plain")
TITLE, LEGEND = 13, 15  # characters that an inch holds
ROW = 0.16  # inches that a row of a legend takes


def grid(
    panels: Sequence[Panel], *, columns: int, size: tuple[float, float], stages: tuple[Border, ...] = ()
) -> Figure:
    """Panels of this size in inches, row by row.

    With `stages` each has its own legend and title of x; else one stands under all, for they show the same things.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    for place, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, place)
        axes.set_title(fill(panel.title, int(TITLE * size[0])), pad=14 if panel.note or stages else 6)
        axes.text(0, 1.02, panel.note, transform=axes.transAxes, va="bottom", fontsize=6.5, color=INK)
        _draw(axes, panel, stages)
        if stages and any(line.name and line.style != "faint" for line in panel.lines):
            axes.legend(loc="best")
    if not stages:
        for axes in figure.axes[:-columns]:
            axes.set_xlabel("")
        _share_legend(figure, LEGEND * size[0] * columns)
    return figure


def _share_legend(figure: Figure, characters: float) -> None:
    """Put one legend under all panels, in as many columns as its names fit in, and make room for it."""
    handles, names = figure.axes[0].get_legend_handles_labels()
    if names:
        columns = min(len(names), max(1, int(characters / (max(map(len, names)) + 6))))
        figure.legend(handles, names, loc="outside lower center", ncols=columns)
        figure.set_figheight(figure.get_figheight() + ROW * -(-len(names) // columns))


def _draw(axes: Axes, panel: Panel, stages: tuple[Border, ...]) -> None:
    for line in panel.lines:
        _line(axes, line)
    for order, (name, value) in enumerate(panel.levels):
        axes.axhline(value, color=light("baseline"), linewidth=0.8, linestyle=("--", ":", "-.")[order % 3])
        place = axes.get_yaxis_transform()
        axes.text(0.995, value, name, transform=place, ha="right", va="bottom", fontsize=6.5, color=INK)
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
            axes.plot(
                line.x,
                line.y,
                marker=marker,
                color=colour,
                linewidth=1.2,
                markersize=2.6 if marker == "o" else 3.4,
                label=name,
                clip_on=False,
            )
        case "dots":
            axes.plot(line.x, line.y, "o", color=colour, alpha=0.25, markersize=1.8, markeredgewidth=0)
        case "bars":
            axes.stairs(line.y, line.x, color=colour, fill=True, alpha=0.4, label=name)
            axes.stairs(line.y, line.x, color=colour, linewidth=0.7)
    for x, y, text in zip(line.x, line.y, line.labels, strict=False):
        axes.annotate(text, (x, y), (0, 4), textcoords="offset points", ha="center", fontsize=6.5, color=INK)


def _scale(axes: Axes, which: str, spec: Axis) -> None:
    """Round numbers on an axis, unless it brings its own."""
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
    """A stage's name above its part of the axis, a line where the next one starts."""
    if stages:
        axes.set_xlim(0, stages[-1].end)
    for border in stages[1:]:
        axes.axvline(border.start, color=INK, linewidth=0.7, linestyle=(0, (2, 2)))
    for border in stages if len(stages) > 1 else ():
        axes.text(
            (border.start + border.end) / 2,
            1.02,
            border.stage,
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=6.5,
            color=INK,
        )
