from pathlib import Path

from anaume.evals.record import Record, save_record
from anaume.report.inputs import read_inputs
from anaume.report.sections import PAGE, dynamics


def test_every_checkpoint_has_a_row_in_the_order_of_the_run(whole_run: Path) -> None:
    table = dynamics.table(read_inputs([whole_run])[0], PAGE)
    assert table is not None
    assert [[cell.text for cell in row[:2]] for row in table.rows] == [
        ["short", "0"], ["short", "9"], ["short", "40"], ["long", "20"]
    ]  # fmt: skip


def test_checkpoints_that_were_not_measured_alike_are_named(run: Path) -> None:
    table = dynamics.table(read_inputs([run])[0], PAGE)
    assert table is not None
    assert table.caution == ""
    place = {"stage": "short", "step": 9, "tokens": 9000}
    save_record(Record("short-step-0000009", "validation", {"loss": 1.0}, 412, {}, 7, checkpoint=place), run / "evals")
    table = dynamics.table(read_inputs([run])[0], PAGE)
    assert table is not None
    assert table.caution == (
        "Not measured alike, so no value is marked as best. Seed of validation: 7 for short, step 9; 0 for all others."
    )
