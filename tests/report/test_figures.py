import struct
from pathlib import Path

import matplotlib
import numpy as np

from anaume.report.figures import FIGURES, render
from anaume.report.panels import borders, training_panels
from anaume.report.sources import Source, read_sources


def test_every_figure_is_drawn_as_svg_and_as_png_of_200_dpi(run: Path) -> None:
    (source,) = read_sources([run])
    files = render(source, "-1")
    assert set(files) == {f"{name}-1.{form}" for name in FIGURES for form in ("svg", "png")}
    png = files["figure-1-training-1.png"]
    assert struct.unpack(">II", png[16:24]) == (1400, 900)  # 7 × 4.5 inches
    svg = files["figure-1-training-1.svg"].decode()
    assert svg.startswith("<?xml")
    assert "#0072b2" in svg  # the page's colour for training


def test_the_same_run_gives_the_same_bytes_and_leaves_the_settings_alone(run: Path) -> None:
    (source,) = read_sources([run])
    before = dict(matplotlib.rcParams)
    assert render(source) == render(source)
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
    assert render(source)


def test_nothing_to_draw_is_no_figure() -> None:
    assert render(Source("empty")) == {}


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
