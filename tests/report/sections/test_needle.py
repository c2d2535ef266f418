from pathlib import Path

import numpy as np
import pytest

from anaume.evals.record import Record, save_record
from anaume.report.draw.charts import chart_data
from anaume.report.draw.figures import render
from anaume.report.inputs import read_inputs
from anaume.report.section import Page
from anaume.report.sections.long_context import needle


def _save(folder: Path, model: str, tests: tuple[str, ...], lengths: list[int]) -> None:
    cells = [
        {"test": test, "length": length, "depth": depth, "score": depth / (1 + place), "n": 4}
        for test in tests
        for place, length in enumerate(lengths)
        for depth in (1.0, 0.0, 0.5)
    ]
    metrics = dict.fromkeys(tests, 0.25)
    save_record(Record(model, "needle", metrics, 24, {"lengths": lengths}, 0, details=cells), folder)


def test_a_heat_map_for_each_model_and_test(tmp_path: Path) -> None:
    _save(tmp_path, "long", ("retrieval", "bag_of_words", "cloze"), [512, 1024])
    _save(tmp_path, "short", ("retrieval", "bag_of_words"), [512])
    content = needle.content(Page(read_inputs([tmp_path])))
    shown = {title: [chart.panel for chart in charts] for title, charts in content.charts}
    assert {title: [panel.title for panel in panels] for title, panels in shown.items()} == {
        "Retrieval": ["long", "short"],
        "Bag of words": ["long", "short"],
        "Cloze": ["long"],
    }
    panel = shown["Cloze"][0]
    assert panel.cells is not None
    np.testing.assert_array_equal(panel.cells, [[0, 0], [0.5, 0.25], [1, 0.5]])  # rows are depths, columns lengths
    assert panel.x.ticks == ((0.5, "512"), (1.5, "1,024"))
    assert panel.y.ticks == ((0.5, "0%"), (1.5, "50%"), (2.5, "100%"))
    assert panel.y.span == (3, 0)  # the beginning of the document is on top
    (table,) = content.tables
    assert [column.title for column in table.columns] == ["Model", "Retrieval", "Bag of words", "Cloze", "n"]
    assert "Lengths" in table.caution


def test_heat_maps_are_drawn_on_the_page_and_in_print(tmp_path: Path) -> None:
    _save(tmp_path, "long", ("cloze",), [512, 1024])
    content = needle.content(Page(read_inputs([tmp_path])))
    ((_, (chart,)),) = content.charts
    assert '"cells":[[0,0],[0.5,0.25],[1,0.5]]' in chart_data([chart])
    (figure,) = content.figures
    files = render("needle", [figure])
    assert "#0072b2" in files["needle.svg"].decode()  # the cell of 100 %


@pytest.mark.parametrize("details", [[], [{"test": "cloze", "length": 512}], [{"loss": 1.0}]])
def test_a_record_without_cells_has_no_heat_map(tmp_path: Path, details: list[dict[str, object]]) -> None:
    save_record(Record("a", "needle", {"retrieval": 0.5}, 1, {}, 0, details=details), tmp_path)
    content = needle.content(Page(read_inputs([tmp_path])))
    assert content.charts == ()
    assert len(content.tables) == 1
