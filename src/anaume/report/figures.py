"""The paper figures: panels drawn by matplotlib, as SVG and PNG (200 dpi).

Text in the SVG is paths: it looks the same everywhere, also where the Japanese font is missing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from anaume.report.formats import number, short
from anaume.report.palette import light
from anaume.report.panels import Border, Panel, borders, training_panels
from anaume.report.sources import Source

INK = light("plain")
STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans", "IPAexGothic"],  # the second where the first has no glyph: Japanese
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 14,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#e3e6ea",
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "legend.handlelength": 1.6,
    "svg.fonttype": "path",
    "svg.hashsalt": "anaume",  # the same run gives the same bytes
    "text.parse_math": False,  # a stage may be called "$x$"
}


def training(source: Source) -> Figure | None:
    """The paper's Figure 1: loss, accuracy and retrieval over both stages, with the learning rate."""
    shown = ("loss", "accuracy", "retrieval", "learning-rate")
    panels = [panel for panel in training_panels(source) if panel.id in shown]
    if not panels:
        return None
    rows, columns = -(-len(panels) // 2), min(2, len(panels))
    figure = Figure(figsize=(3.5 * columns, 2.25 * rows), layout="constrained")
    for place, panel in enumerate(panels, start=1):
        _draw(figure.add_subplot(rows, columns, place), panel, borders(source))
    return figure


FIGURES: dict[str, Callable[[Source], Figure | None]] = {
    "figure-1-training": training,
}


def render(source: Source, suffix: str = "") -> dict[str, bytes]:
    """Every figure the source has data for, as file name → content."""
    files = {}
    for name, draw in FIGURES.items():
        with _style():
            figure = draw(source)
            if figure is None:
                continue
            for form, options in (("svg", {"metadata": {"Date": None}}), ("png", {"dpi": 200})):
                content = BytesIO()
                figure.savefig(content, format=form, **options)
                files[f"{name}{suffix}.{form}"] = content.getvalue()
    return files


@contextmanager
def _style() -> Iterator[None]:
    """The figures' settings, and none left after them (importing matplotlib_fontja sets a font for all)."""
    with matplotlib.rc_context():
        import matplotlib_fontja  # noqa: F401  registers IPAexGothic

        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def _draw(axes: Axes, panel: Panel, stages: tuple[Border, ...]) -> None:
    axes.set_title(panel.title)
    for line in panel.lines:
        colour = light(line.role)
        if line.style == "faint":
            axes.plot(line.x, line.y, color=colour, alpha=0.25, linewidth=0.5)
            continue
        marker = "o" if line.style == "points" else None
        axes.plot(
            line.x,
            line.y,
            marker=marker,
            color=colour,
            linewidth=1.2,
            markersize=2.6,
            label=line.name or None,
            clip_on=False,
        )
    for order, (name, value) in enumerate(panel.levels):
        axes.axhline(value, color=light("baseline"), linewidth=0.8, linestyle=":" if order else "--")
        place = axes.get_yaxis_transform()
        axes.text(0.995, value, name, transform=place, ha="right", va="bottom", fontsize=6.5, color=INK)
    _mark_stages(axes, stages)
    _scale(axes, panel)
    if any(line.name and line.style != "faint" for line in panel.lines):
        axes.legend(loc="best")


def _scale(axes: Axes, panel: Panel) -> None:
    """Round numbers on both axes."""
    axes.set_xlabel("Step")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}" if x < 10_000 else short(x)))
    if panel.log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 1.5, 2, 3, 5, 7)))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: number(y) if 0 < y < 0.001 else f"{y:g}"))
    if panel.from_zero:
        axes.set_ylim(bottom=0)


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
