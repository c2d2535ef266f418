"""A best value is marked where all models were measured alike, and nowhere else."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from anaume.evals.record import Record, save_record
from anaume.report.inputs import ReportInput, read_inputs
from anaume.report.sections import fill_mask, geometry, retrieval
from anaume.report.tables import Table


@pytest.mark.parametrize(
    ("task", "metric", "table"),
    [
        ("retrieval", "recall_at_10", retrieval.scores),
        ("fill-mask", "mrr", fill_mask.scores),
        ("geometry", "auc", geometry.cosine_table),
    ],
)
def test_a_best_value_is_marked_on_the_same_data_only(
    tmp_path: Path, task: str, metric: str, table: Callable[[Sequence[ReportInput]], Table]
) -> None:
    settings = {"data": "p.jsonl", "sha256": "0123456789"}
    for name, value in (("a", 0.25), ("b", 0.5)):
        save_record(Record(name, task, {metric: value}, 1, settings, 0), tmp_path)
    alike = table(read_inputs([tmp_path]))
    assert [row[1].strong for row in alike.rows] == [False, True]
    assert alike.caution == ""
    settings = {"data": "q.jsonl", "sha256": "fedcba9876"}
    save_record(Record("c", task, {metric: 0.75}, 1, settings, 0), tmp_path)
    unlike = table(read_inputs([tmp_path]))
    assert not any(cell.strong for row in unlike.rows for cell in row)
    assert unlike.caution == (
        "Not measured alike, so no value is marked as best. "
        "Data: q.jsonl (SHA-256 fedcba98) for c; p.jsonl (SHA-256 01234567) for all others."
    )
