"""The table of all models: their main scores, whatever kind of input they come from."""

from pathlib import Path

from anaume.evals.record import Record, save_record
from anaume.report.inputs import read_inputs
from anaume.report.section import Page
from anaume.report.sections import PAGE, overview


def test_a_row_for_each_model_and_a_column_for_each_score_that_one_has(tmp_path: Path) -> None:
    save_record(Record("a", "retrieval", {"recall_at_10": 0.5, "mrr_at_10": 0.25}, 9, {}, 0), tmp_path)
    save_record(Record("a", "jcola", {"accuracy": 0.75, "mcc": 0.5}, 9, {}, 0), tmp_path)
    save_record(Record("b", "retrieval", {"recall_at_10": 0.125, "mrr_at_10": 0.1}, 9, {}, 0), tmp_path)
    save_record(Record("bm25", "retrieval", {"recall_at_10": 1.0, "mrr_at_10": 0.9}, 9, {}, 0), tmp_path)
    table = overview.table(Page(tuple(read_inputs([tmp_path])), PAGE))
    assert table is not None
    assert [column.title for column in table.columns] == ["Model", "Recall@10", "MRR@10", "JCoLA"]
    cells = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    assert list(cells) == ["a", "b", "BM25"]
    assert cells["a"][2] == "0.750"
    assert cells["b"][2] == "–"
    assert not any(cell.strong for row in table.rows for cell in row)


def test_no_score_no_table(tmp_path: Path) -> None:
    save_record(Record("a", "own-task", {"x": 0.5}, 9, {}, 0), tmp_path)
    assert overview.table(Page(tuple(read_inputs([tmp_path])), PAGE)) is None
