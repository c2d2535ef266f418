"""Print figures → SVG, PDF and PNG (200 dpi).

Text in the SVG is paths, and the PDF embeds its fonts, so that both look the same where the Japanese font is missing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import matplotlib

from anaume.report.draw.grid import INK, grid
from anaume.report.draw.panels import Border, Panel

STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans", "IPAexGothic"],  # Japanese glyphs come from the second
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
    "pdf.fonttype": 42,  # TrueType: text that can be selected, and that publishers accept
    "svg.hashsalt": "anaume",  # one run always gives the same bytes
    "text.parse_math": False,  # the name of a stage may be "$x$"
}


# Suffix of a file → the options of `savefig`; without a date, one run always gives the same bytes.
FORMS: dict[str, dict[str, Any]] = {
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None}},
    "png": {"dpi": 200},
}


@dataclass(frozen=True)
class PrintFigure:
    """Panels of one size in inches, in rows of `columns`; with `stages` they have the borders of a run's stages."""

    panels: tuple[Panel, ...]
    size: tuple[float, float]
    columns: int = 1
    stages: tuple[Border, ...] = ()


def render(name: str, figures: Sequence[PrintFigure | None]) -> dict[str, bytes]:
    """File name → content, each figure in every form; several are numbered, and None keeps its number."""
    files = {}
    for number, figure in enumerate(figures, start=1):
        if figure is None:
            continue
        suffix = f"-{number}" if len(figures) > 1 else ""
        with style():
            drawn = grid(figure.panels, columns=figure.columns, size=figure.size, stages=figure.stages)
            for form, options in FORMS.items():
                content = BytesIO()
                drawn.savefig(content, format=form, **options)
                files[f"{name}{suffix}.{form}"] = content.getvalue()
    return files


@contextmanager
def style() -> Iterator[None]:
    """Use the figures' settings within this block. Afterwards matplotlib has its former settings and font again."""
    with matplotlib.rc_context():
        import matplotlib_fontja  # noqa: F401  registers IPAexGothic

        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield
