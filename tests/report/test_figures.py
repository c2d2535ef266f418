import json
import struct
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from anaume.report.figures import FIGURES, render, style
from anaume.report.panels import borders, training_panels
from anaume.report.sources import Source, read_sources

Write = Callable[..., None]


def test_every_figure_is_drawn_as_svg_and_as_png_of_200_dpi(run: Path, by_length: Write, placed: Write) -> None:
    for step in (0, 9, 40):
        place = {"stage": "short", "step": step, "tokens": step}
        by_length(run / "evals", f"short-step-{step:07d}", step + 1, checkpoint=place)
        placed(run / "evals", f"short-step-{step:07d}", 1 / (step + 1), -step, checkpoint=place)
    bins = [{"low": 0, "high": 128, "documents": 5}, {"low": 128, "high": None, "documents": 900}]
    (run / "tokens" / "train").mkdir(parents=True)
    (run / "tokens" / "train" / "summary.json").write_text(json.dumps({"length_histogram": bins}))
    files = render(read_sources([run]))
    assert set(files) == {f"{name}.{form}" for name in FIGURES for form in ("svg", "png")}
    png = files["figure-1-training.png"]
    assert struct.unpack(">II", png[16:24]) == (1400, 900)  # 7 × 4.5 inches
    svg = files["figure-1-training.svg"].decode()
    assert svg.startswith("<?xml")
    assert "#0072b2" in svg  # the page's colour for training


def test_the_same_run_gives_the_same_bytes_and_leaves_the_settings_alone(
    run: Path, by_length: Write, placed: Write
) -> None:
    by_length(run / "evals", "other", 1)
    placed(run / "evals", "other", 0.5, -1)
    sources = read_sources([run])
    before = dict(matplotlib.rcParams)
    assert render(sources) == render(sources)
    assert dict(matplotlib.rcParams) == before


def test_japanese_stage_names_have_their_glyphs(run: Path) -> None:
    """A missing glyph is a warning, and warnings are errors here."""
    for name in ("recipe.toml", "metrics.jsonl"):
        text = (run / name).read_text(encoding="utf-8").replace('"short"', '"第一段階 $x_1$"')
        (run / name).write_text(text, encoding="utf-8")
    for record in (run / "evals").rglob("*.json"):
        record.unlink()
    (source,) = read_sources([run])
    assert source.stages == ("第一段階 $x_1$", "long")
    assert render([source])


def test_nothing_to_draw_is_no_figure() -> None:
    assert render([Source("empty")]) == {}


@pytest.mark.parametrize("count", [1, 6, 10])
def test_one_model_or_ten_are_drawn_with_names_that_fit_in_the_picture(
    tmp_path: Path, count: int, by_length: Write, placed: Write
) -> None:
    for number in range(count):
        by_length(tmp_path, f"a-rather-long-organisation/第{number}-base-japanese-v3", number + 1)
        placed(tmp_path, f"a-rather-long-organisation/第{number}-base-japanese-v3", number / 10, -number)
    sources = read_sources([tmp_path])
    with style():
        drawn = [figure for draw in FIGURES.values() for figure in draw(sources) if figure]
        for figure in drawn:
            FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    for figure in drawn:
        (legend,) = figure.legends
        box = legend.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        for axes in figure.axes:
            around = axes.get_tightbbox()
            assert around is not None
            assert around.x1 <= figure.bbox.x1 + 1
            assert not around.overlaps(box)
    assert [len(figure.axes) for figure in drawn] == [1, 1, count]  # a histogram for each


def test_runs_have_a_figure_each_and_comparisons_one_for_all(make_run: Callable[..., Path], placed: Write) -> None:
    runs = [make_run("one"), make_run("two")]
    for folder in runs:
        placed(folder / "evals", folder.name, 0.5, -1)
    names = {Path(name).stem for name in render(read_sources(runs))}
    assert names == {
        "figure-1-training-1", "figure-1-training-2", "figure-3-alignment-uniformity", "figure-4-similarities"
    }  # fmt: skip


def test_both_stages_lie_on_one_axis_with_a_gap_between(run: Path) -> None:
    (source,) = read_sources([run])
    panels = {panel.id: panel for panel in training_panels(source)}
    assert [(b.stage, b.start, b.end) for b in borders(source)] == [("short", 0, 40), ("long", 40, 60)]
    raw, clear, validation = panels["loss"].lines
    assert (raw.x[0], raw.x[-1]) == (1, 60)
    assert np.isnan(raw.x[40])
    assert np.isnan(clear.y[40])
    np.testing.assert_array_equal(validation.x, [0, 40, np.nan, 40, 60])
    recall = panels["retrieval"].lines[0]
    np.testing.assert_array_equal(recall.x, [0, 9, 40, 60])
    np.testing.assert_allclose(recall.y, [0.225, 0.35, 0.6, 0.85])
    assert panels["retrieval"].levels == (
        ("Edit distance (Recall@10)", 0.289),
        ("Jaccard (Recall@10)", 0.031),
    )
    assert "mfu" not in panels  # null on every line
