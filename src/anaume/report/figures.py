"""The paper figures: which there are, and how each becomes an SVG and a PNG (200 dpi).

Text in the SVG is paths: it looks the same everywhere, also where the Japanese font is missing.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from anaume.report import geometry, pseudo_perplexity, reading
from anaume.report.drawing import INK, grid
from anaume.report.panels import Panel, borders, training_panels
from anaume.report.sources import Source

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
    return grid(panels, columns=2, size=(3.5, 2.25), stages=borders(source)) if panels else None


def one(panel: Panel | None, size: tuple[float, float]) -> Figure | None:
    """A figure of one panel."""
    return grid([panel], columns=1, size=size) if panel else None


def similarities(sources: Sequence[Source]) -> Figure | None:
    """The paper's Figure 4: a small histogram a model."""
    panels = geometry.histograms(sources)
    return grid(panels, columns=3, size=(2.33, 1.75)) if panels else None


# Name → the figures for these sources: one for all of them, or one for each, None where there is nothing to draw.
FIGURES: dict[str, Callable[[Sequence[Source]], list[Figure | None]]] = {
    "figure-1-training": lambda sources: [training(source) for source in sources],
    "figure-2-pseudo-perplexity": lambda sources: [one(pseudo_perplexity.panel(sources), (5.5, 3.5))],
    "figure-3-alignment-uniformity": lambda sources: [one(geometry.plane(sources), (5.5, 4.0))],
    "figure-4-similarities": lambda sources: [similarities(sources)],
    "figure-5-lengths": lambda sources: [one(reading.length_panel(source), (5.5, 2.5)) for source in sources],
}


def render(sources: Sequence[Source]) -> dict[str, bytes]:
    """Every figure that there is data for, as file name → content; numbered where each source has its own."""
    files = {}
    for name, draw in FIGURES.items():
        with style():
            drawn = draw(sources)
            for number, figure in enumerate(drawn, start=1):
                if figure is None:
                    continue
                suffix = f"-{number}" if len(drawn) > 1 else ""
                for form, options in (("svg", {"metadata": {"Date": None}}), ("png", {"dpi": 200})):
                    content = BytesIO()
                    figure.savefig(content, format=form, **options)
                    files[f"{name}{suffix}.{form}"] = content.getvalue()
    return files


@contextmanager
def style() -> Iterator[None]:
    """The figures' settings, and none left after them (importing matplotlib_fontja sets a font for all)."""
    with matplotlib.rc_context():
        import matplotlib_fontja  # noqa: F401  registers IPAexGothic

        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield
