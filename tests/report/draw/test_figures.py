import struct
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from anaume.report.draw.figures import PrintFigure, render, style
from anaume.report.draw.grid import grid
from anaume.report.draw.panels import Border, Line, Panel
from anaume.report.inputs import ReportInput, read_inputs
from anaume.report.section import Page
from anaume.report.sections import PAGE

Write = Callable[..., None]
LINE = Line("正解", "train", "points", np.array([0.0, 9, 40]), np.array([1.0, 3, 2]))
FIGURE = PrintFigure((Panel("loss", "Loss", (LINE,)),), (3.5, 2.25), stages=(Border("short", 0, 40),))


def print_figures(inputs: tuple[ReportInput, ...]) -> dict[str, tuple[PrintFigure | None, ...]]:
    """Name → the figures of each section that has some."""
    contents = Page(inputs, PAGE).contents()
    return {section.figure: content.figures for section, content in contents if any(content.figures)}


def test_a_figure_is_an_svg_a_pdf_and_a_png_of_200_dpi() -> None:
    files = render("f", [FIGURE])
    assert set(files) == {"f.svg", "f.pdf", "f.png"}
    assert files["f.pdf"].startswith(b"%PDF-")
    assert b"/FontFile2" in files["f.pdf"]  # embedded TrueType
    assert struct.unpack(">II", files["f.png"][16:24]) == (700, 450)  # 3.5 × 2.25 inches
    svg = files["f.svg"].decode()
    assert svg.startswith("<?xml")
    assert "#0072b2" in svg  # the page's colour for training


def test_several_figures_are_numbered_by_their_input() -> None:
    files = render("f", [FIGURE, None, FIGURE])
    assert set(files) == {f"f-{number}.{form}" for number in (1, 3) for form in ("svg", "pdf", "png")}
    assert render("f", [None]) == {}


def test_the_same_panels_give_the_same_bytes_and_leave_the_settings_alone() -> None:
    before = dict(matplotlib.rcParams)
    assert render("f", [FIGURE]) == render("f", [FIGURE])
    assert dict(matplotlib.rcParams) == before


def test_japanese_stage_names_have_their_glyphs() -> None:
    """A missing glyph is a warning, and warnings are errors here."""
    stages = (Border("第一段階 $x_1$", 0, 40), Border("long", 40, 60))
    assert render("f", [PrintFigure(FIGURE.panels, FIGURE.size, stages=stages)])


def test_nothing_to_draw_is_no_figure() -> None:
    assert print_figures((ReportInput("empty"),)) == {}


@pytest.mark.parametrize("count", [1, 6, 10])
def test_one_model_or_ten_are_drawn_with_names_that_fit_in_the_picture(
    tmp_path: Path, count: int, by_length: Write, placed: Write
) -> None:
    for number in range(count):
        by_length(tmp_path, f"a-rather-long-organisation/第{number}-base-japanese-v3", number + 1)
        placed(tmp_path, f"a-rather-long-organisation/第{number}-base-japanese-v3", number / 10, -number)
    figures = [figure for of_section in print_figures(read_inputs([tmp_path])).values() for figure in of_section]
    with style():
        drawn = [grid(figure.panels, columns=figure.columns, size=figure.size) for figure in figures if figure]
        for picture in drawn:
            FigureCanvasAgg(picture).draw()  # type: ignore[no-untyped-call]
    for picture in drawn:
        (legend,) = picture.legends
        box = legend.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= picture.bbox.x1
        for axes in picture.axes:
            around = axes.get_tightbbox()
            assert around is not None
            assert around.x1 <= picture.bbox.x1 + 1
            assert not around.overlaps(box)
    assert [len(picture.axes) for picture in drawn] == [1, 1, count]  # a histogram for each


def test_the_names_of_levels_cover_neither_curves_nor_each_other() -> None:
    names = [f"A lexical baseline with a unit {number}" for number in range(5)]
    panel = Panel("retrieval", "Retrieval", (LINE,), levels=tuple((name, 1.5) for name in names))
    with style():
        picture = grid((panel,), columns=2, size=(3.5, 2.25), stages=FIGURE.stages)
        FigureCanvasAgg(picture).draw()  # type: ignore[no-untyped-call]
    (axes,) = picture.axes
    legend = axes.get_legend()
    assert legend is not None
    boxes = [text.get_window_extent() for text in legend.get_texts()]
    assert [text.get_text() for text in legend.get_texts()] == ["正解", *names]
    assert not any(one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number])
    below = min(axes.get_window_extent().y0, axes.xaxis.label.get_window_extent().y0)
    assert all(box.y0 >= 0 and box.y1 <= below for box in boxes)


def test_runs_have_a_figure_each_and_comparisons_one_for_all(
    make_run: Callable[..., Path], placed: Write, summarized: Write
) -> None:
    runs = [make_run("one"), make_run("two")]
    for folder in runs:
        placed(folder / "evals", folder.name, 0.5, -1)
    summarized(runs[1], {"length_histogram": [{"low": 0, "high": 128, "documents": 5}]})
    figures = print_figures(read_inputs(runs))
    assert {name: [figure is not None for figure in of_section] for name, of_section in figures.items()} == {
        "figure-runs-compared": [True],
        "figure-1-training": [True, True],
        "figure-3-alignment-uniformity": [True],
        "figure-4-similarities": [True],
        "figure-5-lengths": [False, True],
    }
