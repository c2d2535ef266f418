"""Several runs laid over each other."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anaume.report.draw.panels import Panel
from anaume.report.inputs import read_inputs
from anaume.report.section import Page
from anaume.report.sections import PAGE
from anaume.report.sections.runs import overlay

from ...conftest import train_line

MakeRun = Callable[..., Path]


def _page(*folders: Path) -> Page:
    return Page(read_inputs(folders), PAGE)


def _change(run: Path, *changes: tuple[str, str]) -> Path:
    recipe = run / "recipe.toml"
    text = recipe.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    recipe.write_text(text, encoding="utf-8")
    return run


def test_only_the_keys_that_differ_stand_in_the_table(make_run: MakeRun) -> None:
    stage = '[[stage]]\nname = "first"\nsteps = 1\n\n[[stage]]\nname = "short"'
    changed = _change(
        make_run("b"), ("hidden = 128", "hidden = 256"), ('[[stage]]\nname = "short"', stage), ("5e-5", "1e-4")
    )
    table = overlay.differences(_page(make_run("a"), changed).inputs)
    assert table is not None
    assert [column.title for column in table.columns] == ["Key", "箱庭", "箱庭 (2)"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["model.hidden", "128", "256"],
        ["stage.long.learning_rate", "5e-5", "1e-4"],
        ["stage.first.name", "–", "first"],
        ["stage.first.steps", "–", "1"],
    ]


def test_equal_recipes_and_runs_without_one_have_no_table(make_run: MakeRun) -> None:
    runs = make_run("a"), make_run("b")
    assert "The recipes are the same in every key." in overlay.content(_page(*runs)).lead
    (runs[1] / "recipe.toml").unlink()
    content = overlay.content(_page(*runs))
    assert content.tables == ()
    assert "the same" not in content.lead
    assert overlay.content(_page(runs[0])).empty


def test_curves_lie_over_the_tokens_that_each_run_had_seen(make_run: MakeRun) -> None:
    lines = [train_line("short", step, 8.0 - step, 5000 * step) for step in (1, 2, 3)]
    page = _page(make_run("a"), make_run("b", lines=lines, evals=False))
    panels: dict[str, Panel] = {panel.title: panel for panel, _ in overlay.overlaid(page)}
    # Validation, retrieval and cloze questions are curves of the first run alone.
    assert list(panels) == [
        "Masked-LM loss (nats, logarithmic): train, smoothed",
        "Learning rate",
        "Gradient norm",
        "Tokens a second",
        "Padding, share of token slots",
    ]
    first, second = panels["Learning rate"].lines
    assert (first.name, second.name) == ("箱庭", "箱庭 (2)")
    assert first.role != second.role
    np.testing.assert_array_equal(second.x, [5000, 10_000, 15_000])
    assert (first.x[0], first.x[-1], np.isnan(first.x).sum()) == (1000, 60_000, 1)  # two stages, a gap between


def test_a_curve_of_checkpoints_is_drawn_over_tokens_too(make_run: MakeRun) -> None:
    page = _page(make_run("a"), make_run("b"))
    overlays = {panel.title: (panel, in_print) for panel, in_print in overlay.overlaid(page)}
    recall, in_print = overlays["Zero-shot retrieval: Recall@10"]
    assert in_print
    assert recall.levels == ()
    for line in recall.lines:
        assert line.x.tolist() == pytest.approx([0, 9000, 40_000, 60_000])
        assert line.y.tolist() == pytest.approx([0.225, 0.35, 0.6, 0.85])
