import json
from pathlib import Path

from anaume.evals.record import Record, save_record
from anaume.report.headline import Fact, facts, subtitle
from anaume.report.inputs import read_inputs
from anaume.report.section import Page
from anaume.report.sections import PAGE


def test_the_headline_has_the_end_beside_step_0(whole_run: Path) -> None:
    page = Page(read_inputs([whole_run]), PAGE)
    assert facts(page.inputs[0], page.sections) == [
        Fact("Parameters", "6.4M", "6,431,744"),
        Fact("Training text", "9.3M", "tokens of 21,480 documents"),
        Fact("Tokens seen", "60k", "60,000"),
        Fact("Training time", "10 min 0 s", "in training steps"),  # 60,000 tokens at 100 a second
        Fact("Validation loss", "8.750", "9.375 at step 0"),
        Fact("Validation accuracy", "0.750", "0.125 at step 0"),
        Fact("Cloze accuracy", "0.740", "0.115 at step 0"),
        Fact("Recall@10", "0.850", "0.225 at step 0"),
    ]
    assert subtitle(page.inputs) == "ModernBERT encoder · 4 layers · 128 hidden · 2025-11-23"


def test_without_records_validation_is_that_of_training(run: Path) -> None:
    for record in (run / "evals").rglob("*.json"):
        record.unlink()
    page = Page(read_inputs([run]), PAGE)
    assert facts(page.inputs[0], page.sections)[4:] == [
        Fact("Validation loss", "3.062", "9.125 at step 0"),
        Fact("Validation accuracy", "0.600", "0.000 at step 0"),
        Fact("Cloze accuracy", "–", "not evaluated"),
        Fact("Recall@10", "–", "not evaluated"),
    ]


def test_the_time_names_the_machines_that_it_cost(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    for environment, note in (
        ({"device": "cuda:0", "cpu": "Xeon", "processes": 8}, "in training steps on 8 × GPU"),
        ({"device": "cpu", "cpu": "Xeon"}, "in training steps on 1 × Xeon"),
    ):
        (run / "manifest.json").write_text(json.dumps(manifest | {"environment": environment}), encoding="utf-8")
        page = Page(read_inputs([run]), PAGE)
        assert Fact("Training time", "10 min 0 s", note) in facts(page.inputs[0], page.sections)


def test_a_folder_of_records_says_how_many_models_it_has(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_record(Record(name, "retrieval", {"recall_at_10": 0.5}, 1, {}, 0), tmp_path)
    assert subtitle(read_inputs([tmp_path])) == "Evaluation records of 2 models"
