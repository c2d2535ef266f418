"""Several validation sets with names: each is measured apart, and a run with them resumes exactly."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from anaume import recipe as recipes
from anaume.errors import UserError
from anaume.pretrain.loop import pretrain
from anaume.progress import TrainingProgress
from anaume.recipe import Recipe
from anaume.report.inputs import read_inputs
from anaume.run import Run
from anaume.tokenizer.load import load_tokenizer


def with_validation(tiny: Recipe, tokens: int, *sources: dict[str, Any]) -> Recipe:
    """The first stage of the tiny recipe with other validation text."""
    table = tiny.model_dump()
    table["corpus"]["validation"] = [*sources]
    table["stage"] = [table["stage"][0] | {"steps": 4, "validation_tokens": tokens, "validate_every": 2}]
    return recipes.parse(table, "test")


@pytest.fixture(scope="module")
def texts(tiny: Recipe) -> dict[str, str]:
    folder = Path(tiny.corpus.train[0].path).parent
    return {"train": str(folder / "train.jsonl"), "validation": str(folder / "validation.jsonl")}


@pytest.fixture(scope="module")
def named(tiny: Recipe, texts: dict[str, str]) -> Recipe:
    """The set "general" of two sources with the set "domain" between them."""
    general = {"path": texts["validation"], "name": "general"}
    domain = {"path": texts["train"], "name": "domain", "max_documents": 20}
    return with_validation(tiny, 1024, general | {"max_documents": 5}, domain, general | {"skip_documents": 5})


@pytest.fixture(scope="module")
def run(named: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return pretrain(named, tmp_path_factory.mktemp("named") / "run")


def validations(run: Run) -> list[dict[str, Any]]:
    lines = map(json.loads, run.metrics_file.read_text(encoding="utf-8").splitlines())
    return [{key: line[key] for key in line if key != "seconds"} for line in lines if line["kind"] == "validation"]


@pytest.mark.slow
def test_each_set_has_a_line_of_its_own(run: Run, tiny: Recipe, texts: dict[str, str], tmp_path: Path) -> None:
    lines = validations(run)
    assert [(line["step"], line["set"]) for line in lines] == [
        (step, name) for step in (0, 2, 4) for name in ("general", "domain")
    ]
    # Alone and without a name, the set has the numbers that it has beside another, with half of the tokens.
    domain = {"path": texts["train"], "max_documents": 20}
    alone = validations(pretrain(with_validation(tiny, 512, domain), tmp_path / "alone"))
    assert [line | {"set": "domain"} for line in alone] == lines[1::2]
    assert "set" not in alone[0]


@pytest.mark.slow
def test_bits_per_character_are_those_of_the_whole_set(run: Run, tiny: Recipe, texts: dict[str, str]) -> None:
    documents = [json.loads(line)["text"] for line in Path(texts["train"]).read_text("utf-8").splitlines()[:20]]
    tokens = sum(map(len, load_tokenizer(tiny.tokenizer.load).encode(documents)))
    for line in validations(run)[1::2]:
        bits = line["loss"] * tokens / sum(map(len, documents)) / math.log(2)
        assert line["bits_per_character"] == pytest.approx(bits)


@pytest.mark.slow
def test_a_run_with_named_sets_resumes_exactly(run: Run, named: Recipe, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path / "again")
    again = Run(tmp_path / "again")
    for name in again.checkpoints()[2:]:
        shutil.rmtree(again.checkpoint(name))
    pretrain(named, again.folder)
    assert validations(again) == validations(run)


@pytest.mark.slow
def test_the_report_reads_each_set(run: Run) -> None:
    (entry,) = read_inputs([run.folder])
    assert list(entry.validation_sets) == ["general", "domain"]
    assert entry.validation is entry.validation_sets["general"]
    expected = [line["loss"] for line in validations(run) if line["set"] == "domain"]
    assert entry.validation_sets["domain"]["first"]["loss"].tolist() == expected


def test_the_terminal_names_the_sets(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress("first", 4, 0) as progress:
        for name in ("general", "domain"):
            progress.show_validation(2, {"set": name, "loss": 2.0, "accuracy": 0.5})
    shown = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[1] for line in shown] == [
        f"validation {name} loss 2.000, accuracy 50.0 % at step 2" for name in ("general", "domain")
    ]


def test_training_text_has_no_set(tiny: Recipe) -> None:
    table = tiny.model_dump()
    table["corpus"]["train"][0]["name"] = "general"
    with pytest.raises(UserError, match=r"name = 'general': a source of training text; expected no name, or \[\[corp"):
        recipes.parse(table, "test")
