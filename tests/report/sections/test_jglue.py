"""Table 2: the numbers of the records, the protocol named, an average only over what all models have."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from anaume.evals.record import Record, save_record
from anaume.report.inputs import read_inputs
from anaume.report.sections import PAGE, dynamics, jglue
from anaume.report.tables import Table

Write = Callable[..., None]
ONE_CELL = {"held_out": None, "learning_rates": [1e-4], "epochs": [5]}


def columns(table: Table) -> list[str]:
    return [column.title for column in table.columns]


def rows(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def tables(*folders: Path) -> Sequence[Table]:
    return jglue.tables(read_inputs(folders))


def test_scores_are_percent_with_their_deviation_and_the_best_stands_out(tmp_path: Path, fine_tuned: Write) -> None:
    fine_tuned(tmp_path, "a/bert", "jsts", {"pearson": 0.9204, "pearson_std": 0.0031, "spearman": 0.88})
    fine_tuned(tmp_path, "a/bert", "jnli", {"accuracy": 0.912, "accuracy_std": 0.0})
    fine_tuned(tmp_path, "b", "jsts", {"pearson": 0.9196, "pearson_std": 0.0125})
    fine_tuned(tmp_path, "b", "jnli", {"accuracy": 0.93})
    first, further = tables(tmp_path)
    assert columns(first) == ["Model", "JSTS (Pearson)", "JNLI", "Average"]
    assert rows(first) == [["a/bert", "92.0 ± 0.3", "91.2 ± 0.0", "91.6"], ["b", "92.0 ± 1.2", "93.0", "92.5"]]
    assert [[cell.strong for cell in row] for row in first.rows] == [
        [False, True, False, False],  # 0.9204 is more than 0.9196, though both are written 92.0
        [False, False, True, True],
    ]
    assert "mean ± standard deviation over 3 seeds" in first.caption
    assert "held-out part of the training split" in first.caption
    assert "over the tasks that all models of the table have: JSTS (Pearson) and JNLI." in first.caption
    assert rows(further) == [["a/bert", "88.0"]]


def test_the_average_leaves_out_what_one_model_lacks(tmp_path: Path, fine_tuned: Write) -> None:
    for task, metrics in (
        ("jsts", {"pearson": 0.5}),
        ("jcola", {"accuracy": 0.7}),
        ("jsquad", {"exact_match": 0.1, "f1": 0.9}),
        ("marc-ja", {"accuracy": 0.99}),
    ):
        fine_tuned(tmp_path, "whole", task, metrics)
        if task != "marc-ja":
            fine_tuned(tmp_path, "part", task, metrics)
    (table,) = tables(tmp_path)
    assert columns(table) == [
        "Model", "JSTS (Pearson)", "JCoLA", "JSQuAD (EM)", "JSQuAD (F1)", "MARC-ja", "Average",
    ]  # fmt: skip
    assert rows(table)[0] == ["part", "50.0", "70.0", "10.0", "90.0", "–", "70.0"]  # (50 + 70 + 90) / 3, F1 for JSQuAD
    assert rows(table)[1][-1] == "70.0"
    assert table.caption.endswith("have: JSTS (Pearson), JCoLA and JSQuAD (F1).")


def test_models_without_two_tasks_in_common_have_no_average(tmp_path: Path, fine_tuned: Write) -> None:
    fine_tuned(tmp_path, "a", "jsts", {"pearson": 0.5})
    fine_tuned(tmp_path, "b", "jnli", {"accuracy": 0.5})
    (table,) = tables(tmp_path)
    assert columns(table) == ["Model", "JSTS (Pearson)", "JNLI"]
    assert rows(table) == [["a", "50.0", "–"], ["b", "–", "50.0"]]
    assert "No average" in table.caption


@pytest.mark.parametrize(
    ("warmup", "training"), [(0.0, "without warm-up and clipping, as in"), (0.1, "with warm-up and clipping, unlike")]
)
def test_the_papers_protocol_has_a_table_of_its_own(
    warmup: float, training: str, tmp_path: Path, fine_tuned: Write
) -> None:
    fine_tuned(tmp_path, "both", "jsts", {"pearson": 0.9, "best_cell_pearson": 0.921})
    cells = [{"protocol": "paper", "warmup": warmup, "clip": 0.0}] * 2
    details = [*cells, {"protocol": "held-out", "warmup": 0.1, "clip": 1.0}]
    save_record(Record("paper", "jnli", {"best_cell_accuracy": 0.5}, 1, {}, 0, details=details), tmp_path)
    fair, best = tables(tmp_path)
    assert rows(fair) == [["both", "90.0"]]
    assert columns(best) == ["Model", "JSTS (Pearson)", "JNLI"]
    assert rows(best) == [["both", "92.1", "–"], ["paper", "–", "50.0"]]
    assert "the best of 2 cells of each grid (the paper's has 36)" in best.caption
    assert training in best.caption
    assert "selected on the validation data that is reported" in best.caption
    assert best.name == "jglue-best-cell"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ([{"seeds": 1}, {"seeds": 1}], "of a single training"),
        ([{"seeds": 3}, {"seeds": 5}], "over several seeds"),
        ([{"notes": ["x is not the published file"]}, {}], "Notes: x is not the published file."),
        ([{}, {}], "held-out part of the training split, not on the data of the scores."),
        ([ONE_CELL, ONE_CELL], "epochs were set beforehand; no data was held out to select them."),
        ([{}, ONE_CELL], "held-out part of the training split, but set beforehand for b (JNLI)."),
    ],
)
def test_the_caption_says_what_the_records_say(
    tmp_path: Path, fine_tuned: Write, settings: list[dict[str, object]], sentence: str
) -> None:
    for name, options in zip("ab", settings, strict=True):
        fine_tuned(tmp_path, name, "jnli", {"accuracy": 0.5}, **options)
    assert sentence in tables(tmp_path)[0].caption


def test_the_caption_quotes_no_record_that_is_not_in_the_table(tmp_path: Path, fine_tuned: Write) -> None:
    fine_tuned(tmp_path, "fair", "jnli", {"accuracy": 0.5})
    paper = {"seeds": 5, "notes": ["x is not the published file"], "held_out": None}
    fine_tuned(tmp_path, "paper", "jnli", {"best_cell_accuracy": 0.6}, **paper)
    fine_tuned(tmp_path, "some", "jsts", {"pearson": 0.7})
    fine_tuned(tmp_path, "some", "jnli", {"best_cell_accuracy": 0.6}, **paper)
    fair, best = tables(tmp_path)
    assert rows(fair) == [["fair", "–", "50.0"], ["some", "70.0", "–"]]
    assert "over 3 seeds." in fair.caption
    assert "Notes" not in fair.caption
    assert "Notes: x is not the published file." in best.caption


def test_models_that_were_not_measured_alike_have_no_best(tmp_path: Path, fine_tuned: Write) -> None:
    for name in "abc":
        fine_tuned(tmp_path, name, "jnli", {"accuracy": 0.5}, **(ONE_CELL if name == "c" else {}))
        files = {"jsts-v1.3/train-v1.3.json": "0123456789" if name == "a" else "abcdef0123"}
        fine_tuned(tmp_path, name, "jsts", {"pearson": 0.8 if name == "b" else 0.9}, files=files)
    (table,) = tables(tmp_path)
    assert not any(cell.strong for row in table.rows for cell in row)
    assert table.caution == (
        "Not measured alike, so no value is marked as best. Files of JSTS: train-v1.3.json (SHA-256 01234567) for a; "
        "train-v1.3.json (SHA-256 abcdef01) for all others. "
        "Grid of JNLI: learning rate 1e-4, epochs 5 for c; learning rate 2e-5/5e-5, epochs 3 for all others."
    )


def test_another_test_split_matters_to_its_own_scores_only(tmp_path: Path, fine_tuned: Write) -> None:
    for name, checksum, protocol in (("a", "0123", "both"), ("b", "4567", "held-out")):
        files = {"jsts-v1.3/valid-v1.3.json": "89ab", "jsts-v1.3/test-v1.3.json": checksum}
        metrics = {"pearson": 0.5, "test_pearson": 0.5, "spearman": 0.5}
        fine_tuned(tmp_path, name, "jsts", metrics, files=files, protocol=protocol)
    fair, further = tables(tmp_path)
    assert fair.caution == ""
    assert all(row[1].strong for row in fair.rows)
    assert "Files of JSTS, test: " in further.caution
    assert not any(cell.strong for row in further.rows for cell in row)


def test_a_row_of_several_weights_is_named(tmp_path: Path, fine_tuned: Write) -> None:
    for name, revision in (("a", "r1"), ("b", "r2")):
        fine_tuned(tmp_path, name, "jnli", {"accuracy": 0.5}, revision="r1")
        fine_tuned(tmp_path, name, "jsts", {"pearson": 0.5}, revision=revision)
    (table,) = tables(tmp_path)
    assert table.caution.endswith("no value is marked as best. Weights: not the same in all columns for b.")
    assert not any(cell.strong for row in table.rows for cell in row)


def test_test_splits_and_other_domains_stand_in_the_second_table(tmp_path: Path, fine_tuned: Write) -> None:
    metrics = {"accuracy": 0.8, "mcc": 0.4, "mcc_std": 0.01, "out_of_domain_accuracy": 0.75, "out_of_domain_mcc": 0.3}
    fine_tuned(tmp_path, "a", "jcola", metrics)
    fine_tuned(tmp_path, "a", "jsts", {"pearson": 0.9, "spearman": 0.8, "test_pearson": 0.7, "test_spearman": 0.6})
    _, further = tables(tmp_path)
    assert dict(zip(columns(further), rows(further)[0], strict=True)) == {
        "Model": "a",
        "JSTS (Spearman)": "80.0",
        "JSTS (Spearman), test": "60.0",
        "JSTS (Pearson), test": "70.0",
        "JCoLA (MCC)": "40.0 ± 1.0",
        "JCoLA, out of domain": "75.0",
        "JCoLA, out of domain (MCC)": "30.0",
    }


def test_checkpoints_come_first_and_all_of_them(run: Path, tmp_path: Path, fine_tuned: Write) -> None:
    fine_tuned(tmp_path / "others", "a", "jnli", {"accuracy": 0.9})
    for name, score in (("long-step-0000020", 0.75), ("short-step-0000009", 0.25)):
        fine_tuned(run / "evals", name, "jnli", {"accuracy": score})
    (table,) = tables(run, tmp_path / "others")
    assert rows(table) == [["箱庭: short, step 9", "25.0"], ["箱庭: long, step 20", "75.0"], ["a", "90.0"]]


def test_scores_join_the_dynamics_and_the_charts(run: Path, fine_tuned: Write) -> None:
    for name, score in (("long-step-0000020", 0.75), ("short-step-0000009", 0.25)):
        fine_tuned(run / "evals", name, "jnli", {"accuracy": score, "best_cell_accuracy": 0.9})
        fine_tuned(run / "evals", name, "jsts", {"best_cell_pearson": score})
    (entry,) = read_inputs([run])
    table = dynamics.table(entry, PAGE)
    assert table is not None
    assert columns(table)[-2:] == ["JSTS (Pearson), best cell", "JNLI"]
    assert [row[-1] for row in rows(table)] == ["–", "0.250", "–", "0.750"]
    (panel,) = jglue.over_steps(entry)
    assert [(line.name, line.x.tolist(), line.y.tolist()) for line in panel.lines] == [
        ("JSTS (Pearson), best cell", [9, 60], [0.25, 0.75]),
        ("JNLI", [9, 60], [0.25, 0.75]),
    ]


def test_no_record_no_table(run: Path) -> None:
    inputs = read_inputs([run])
    assert jglue.tables(inputs) == ()
    assert jglue.over_checkpoints(inputs[0]) == []


def test_every_task_has_its_column(tmp_path: Path, fine_tuned: Write) -> None:
    for task in ("jsts", "jnli", "jcola", "jsquad", "jcommonsenseqa", "marc-ja"):
        fine_tuned(tmp_path, "a", task, {"pearson": 0.5, "accuracy": 0.5, "f1": 0.5, "exact_match": 0.5})
    assert len(tables(tmp_path)[0].columns) == 1 + 7 + 1
