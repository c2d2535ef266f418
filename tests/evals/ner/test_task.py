"""`anaume eval ner`: a record of the grid, mistakes in one line, the report."""

from collections.abc import Callable
from pathlib import Path

import pytest

from anaume.evals.jglue import processes
from anaume.evals.record import load_record
from anaume.report.inputs import read_inputs
from anaume.report.sections import ner

from ...conftest import Finished
from ...support.models import PLACES, sentences, write_rows

Command = Callable[..., Finished]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Texts whose places are marked, each cut out of its piece."""
    monkeypatch.setattr(processes, "WARM_UP", 1)
    monkeypatch.setattr(processes, "TIMED", 1)
    rows = [
        {
            "id": number // 2,
            "text": text,
            "entities": [
                {"start": i, "end": i + 1, "type": "地名"} for i in range(len(text)) if text[i : i + 2] in PLACES
            ],
        }
        for number, text in enumerate(sentences(50))
    ]
    write_rows(tmp_path / "ner.jsonl", rows)
    return tmp_path / "ner.jsonl"


@pytest.mark.slow
def test_a_record_of_the_grid(
    file: Path, modernbert_folder: Path, bert_folder: Path, tmp_path: Path, command_line: Command
) -> None:
    """Two settings, one of which is selected on a held-out tenth; two seeds; the report. Again: nothing to train."""
    words = ["eval", "ner", modernbert_folder, bert_folder, "--entities", file, "--learning-rates", "1e-3,4e-3"]
    words += ["--epochs", "1", "--seeds", "2", "--out", tmp_path / "out"]
    finished = command_line(*words)
    assert finished.status == 0, finished.err
    assert (
        "ner, tiny-modernbert: split kanji: a perfect tagger returns 100.00% of the entities exactly;" in finished.err
    )
    assert "ner, tiny-bert: split kanji: a perfect tagger returns 100.00%" in finished.err
    assert finished.err.index("perfect tagger") < finished.err.index("trainings to do")
    record = load_record(tmp_path / "out" / "tiny-modernbert" / "ner.json")
    assert record.settings["split"] == "kanji"
    assert record.settings["held_out"] >= 4
    assert record.settings["train"] + record.n == 50
    assert [row["split"] for row in record.details] == ["held_out"] * 2 + ["validation"] * 2
    assert {"f1", "f1_std", "precision", "recall", "f1 地名", "partial_f1", "ceiling"} < set(record.metrics)
    assert record.metrics["ceiling"] == 1.0
    inputs = read_inputs([tmp_path / "out"])
    overall, by_type = ner.overall(inputs), ner.by_type(inputs)
    assert overall is not None
    assert by_type is not None
    assert [column.title for column in by_type.columns] == ["Model", "地名"]
    assert [column.title for column in overall.columns][:3] == ["Model", "F1", "Precision"]
    assert {row[-1].text for row in overall.rows} == {"kanji"}
    assert not overall.caution
    again = command_line(*words)
    assert "trainings to do" not in again.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--entities absent.jsonl", "absent.jsonl: no such file"),
        ("--entities {file} --split words", "--split: words: unknown; expected one of auto, none, scripts, kanji"),
        ("--entities {file} --protocol best", "--protocol: best: unknown"),
        ("--entities {file} --data x", "eval ner: --data: not an option here; expected with jglue"),
        ("", "eval ner: --entities is missing; expected texts with entities"),
    ],
)
def test_a_mistake_is_told_before_a_model_is_opened(
    options: str, message: str, file: Path, tmp_path: Path, command_line: Command
) -> None:
    model = tmp_path / "model"  # which can't be opened
    model.mkdir()
    (model / "config.json").write_text("{}", encoding="utf-8")
    finished = command_line("eval", "ner", model, "--out", tmp_path / "out", *options.format(file=file).split())
    assert finished.status == 2
    assert message in finished.err
    assert finished.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
