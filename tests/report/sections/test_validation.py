from pathlib import Path

from anaume.evals.record import Record, save_record
from anaume.report.inputs import read_inputs
from anaume.report.sections import validation

SETTINGS = {"texts": "t", "texts_sha256": "0123456789", "tokens": 1_048_576}


def test_validation_names_what_differs_and_has_no_best(tmp_path: Path) -> None:
    metrics = {"loss": 2.5, "accuracy": 0.5, "long_loss": 2.25, "loss [0, 1024]": 3.0}
    save_record(Record("a", "validation", metrics, 1, SETTINGS, 0), tmp_path)
    save_record(Record("b", "validation", metrics | {"loss": 2.0}, 1, SETTINGS, 0), tmp_path)
    inputs = read_inputs([tmp_path])
    overall, by_length = validation.overall(inputs), validation.by_length(inputs)
    assert overall is not None
    assert by_length is not None
    assert [column.title for column in overall.columns] == ["Model", "Loss", "Accuracy", "Loss past 1,024 tokens", "n"]
    assert [cell.text for cell in overall.rows[1]] == ["b", "2.000", "0.500", "2.250", "1"]
    assert not any(cell.strong for row in overall.rows for cell in row)
    assert overall.caution + by_length.caution == ""
    save_record(Record("b", "validation", metrics, 1, SETTINGS | {"tokens": 262_144}, 0), tmp_path)
    inputs = read_inputs([tmp_path])
    for table in (validation.overall(inputs), validation.by_length(inputs)):
        assert table is not None
        assert table.caution.endswith("Tokens read at most: 1,048,576 for a; 262,144 for b.")


def test_bins_of_length_come_from_short_to_long(tmp_path: Path) -> None:
    metrics = {"loss (8192, …)": 1.0, "loss (1024, 2048]": 2.0, "loss [0, 1024]": 3.0}
    save_record(Record("a", "validation", metrics, 1, SETTINGS, 0), tmp_path)
    table = validation.by_length(read_inputs([tmp_path]))
    assert table is not None
    assert [column.title for column in table.columns] == ["Model", "[0, 1024]", "(1024, 2048]", "(8192, …)"]
