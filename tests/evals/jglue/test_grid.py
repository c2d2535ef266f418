"""Grids on a tiny model: what a record says, what is trained again and what is not, forecasts, the command."""

import json
import shutil
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from anaume.cli import app
from anaume.encoder.load import revision_of
from anaume.errors import UserError
from anaume.evals.jglue import grid, processes, trials
from anaume.evals.jglue.grid import Grid, parse
from anaume.evals.jglue.tasks import TASKS
from anaume.evals.jglue.trials import open_experiments
from anaume.evals.record import Record, load_record
from anaume.finetune import train

from .conftest import SMALL, fine_tune

slow = pytest.mark.slow
# A single training.
ONE = Grid(("jcola",), learning_rates=(1e-3,), epochs=(1,), seeds=1)


def run(model: Path, data: Path, out: Path, options: Grid) -> Record:
    (path,) = fine_tune(model, data, out, options)
    assert path == out / model.name / f"{options.tasks[0]}.json"
    return load_record(path)


def rows_of(record: Record, protocol: str, split: str) -> list[dict[str, Any]]:
    return [row for row in record.details if (row["protocol"], row["split"]) == (protocol, split)]


def trial_files(out: Path) -> dict[str, int]:
    """Each trial's file and the time when it was written."""
    return {path.name: path.stat().st_mtime_ns for path in (out / ".cells").rglob("*.json")}


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """The records and trials of `SMALL`, to change."""
    return shutil.copytree(finished, tmp_path / "out")


@slow
def test_both_protocols(modernbert_folder: Path, small: Path, tmp_path: Path) -> None:
    result = run(modernbert_folder, small, tmp_path / "out", parse("jcola", "both", "1e-3,4e-3", "1,2", seeds=2))
    settings = {(rate, epochs) for rate in (1e-3, 4e-3) for epochs in (1, 2)}
    selection, repeated = rows_of(result, "held-out", "held_out"), rows_of(result, "held-out", "validation")
    paper = rows_of(result, "paper", "validation")
    assert {(row["learning_rate"], row["epochs"]) for row in selection} == settings
    assert {(row["learning_rate"], row["epochs"]) for row in paper} == settings
    assert len(result.details) == 4 + 2 + 4
    # The paper's trials have no warm-up and no clipping, so no training serves both protocols.
    names = sorted(trial_files(tmp_path / "out"))
    assert [name.partition("-0.0")[0] for name in names] == ["held-out-0"] * 4 + ["train"] * 6

    best = max(selection, key=lambda row: (row["accuracy"], -row["epochs"], -row["learning_rate"]))
    assert {(row["learning_rate"], row["epochs"]) for row in repeated} == {(best["learning_rate"], best["epochs"])}
    for name in ("accuracy", "mcc", "out_of_domain_accuracy", "out_of_domain_mcc"):
        assert result.metrics[name] == pytest.approx(statistics.mean(row[name] for row in repeated))
    assert result.metrics["best_cell_accuracy"] == max(row["accuracy"] for row in paper)
    assert result.settings["precision"] == "float32"
    assert result.settings["revision"] == revision_of(str(modernbert_folder))
    assert (result.model, result.task, result.n, result.seed) == ("tiny-modernbert", "jcola", 24, 0)
    assert result.settings["train"] == 24
    assert result.settings["held_out"] == 3  # the first whole number from a tenth on
    assert result.settings["attention"] == "anaume_packed"


@slow
def test_same_seed_same_numbers(bert_folder: Path, small: Path, tmp_path: Path) -> None:
    """On BERT, which has dropout. Another seed changes the held-out part and the trainings."""
    options = replace(ONE, epochs=(1, 2))
    first = run(bert_folder, small, tmp_path / "a", options)
    assert run(bert_folder, small, tmp_path / "b", options) == first
    other = run(bert_folder, small, tmp_path / "c", replace(ONE, seeds=2, seed=5))
    assert [row["seed"] for row in other.details] == [5, 6]


@slow
def test_settings_without_an_alternative_hold_nothing_out(
    modernbert_folder: Path, jglue_folder: Path, tmp_path: Path
) -> None:
    """The test split of JSTS is scored too."""
    result = run(modernbert_folder, jglue_folder, tmp_path, replace(ONE, tasks=("jsts",)))
    assert [name.partition("-0.0")[0] for name in trial_files(tmp_path)] == ["train"]
    assert "held_out" not in result.settings
    assert list(result.metrics) == ["pearson", "spearman", "test_pearson", "test_spearman"]


@slow
def test_a_killed_grid_continues(
    modernbert_folder: Path, small: Path, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped within the third training. What was written before stays, and the record is that of a whole run."""
    whole = load_record(copied / "tiny-modernbert" / "jcola.json")
    out, run_trial = tmp_path / "killed", trials.run_trial

    def stop(*arguments: Any) -> Any:
        if len(trial_files(out)) == 2:
            raise KeyboardInterrupt
        return run_trial(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(trials, "run_trial", stop)
        with pytest.raises(KeyboardInterrupt):
            run(modernbert_folder, small, out, SMALL)
    before = trial_files(out)
    assert len(before) == 2
    assert run(modernbert_folder, small, out, SMALL) == whole
    after = trial_files(out)
    assert len(after) == 4
    assert after == after | before
    assert run(modernbert_folder, small, out, SMALL) == whole
    assert trial_files(out) == after


@slow
def test_other_inputs_are_trained_anew(modernbert_folder: Path, small: Path, tmp_path: Path) -> None:
    model, data, out = tmp_path / "model", tmp_path / "data", tmp_path / "out"
    shutil.copytree(modernbert_folder, model)
    shutil.copytree(small, data)
    counts = []
    path = data / "jcola-v1.0" / "in_domain_train-v1.0.json"
    config = json.loads((model / "config.json").read_text())
    for file, text in (
        (model / "README.md", ""),
        (model / "README.md", "no weight changed"),
        (path, path.read_text(encoding="utf-8").replace('"label": 1', '"label": 0', 1)),
        (model / "config.json", json.dumps(config | {"classifier_pooling": "mean"})),
    ):
        file.write_text(text, encoding="utf-8")
        run(model, data, out, ONE)
        counts.append(len(trial_files(out)))
    assert counts == [1, 1, 2, 3]


@slow
def test_the_forecast_counts_what_is_missing(
    modernbert_folder: Path, small: Path, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each training once; with both protocols, those of the paper's grid are added."""
    run(modernbert_folder, small, copied, SMALL)
    assert capsys.readouterr().err == ""
    next((copied / ".cells").rglob("train-*-seed-1-*.json")).unlink()
    run(modernbert_folder, small, copied, SMALL)
    forecast, total, *results = capsys.readouterr().err.splitlines()
    assert forecast.startswith("jcola, tiny-modernbert: 1 of 4 trainings to do, about ")
    assert total.startswith("processes: 1 (cpu); in all about ")
    assert len(results) == 1
    run(modernbert_folder, small, copied, replace(SMALL, protocol="both"))
    forecast, total, *results = capsys.readouterr().err.splitlines()
    assert forecast.startswith("jcola, tiny-modernbert: 2 of 6 trainings to do, about ")
    assert len(results) == 2


@slow
def test_checkpoints_are_prepared_together(
    modernbert_folder: Path,
    bert_folder: Path,
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One forecast for all of one architecture, from the first of them. No model is opened a second time."""
    models = [shutil.copytree(modernbert_folder, tmp_path / f"step-{i}") for i in range(3)]
    weights = load_file(models[1] / "model.safetensors")
    save_file({name: w * 1.1 for name, w in weights.items()}, models[1] / "model.safetensors", {"format": "pt"})
    options, out = replace(SMALL, learning_rates=(1e-3,)), tmp_path / "out"
    timed: list[str] = []

    def time_training(model: str, *arguments: Any) -> Any:
        timed.append(model)
        return train.train(model, *arguments)

    monkeypatch.setattr(processes, "train", time_training)
    experiments, seconds = grid.prepare([*map(str, models), str(bert_folder)], small, out, options)
    assert seconds > 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(", about")[0] for line in lines[:2]] == [
        "jcola, 3 models: 6 of 6 trainings to do",
        "jcola, tiny-bert: 2 of 2 trainings to do",
    ]
    assert timed == [str(models[0]), str(bert_folder)]
    assert [(experiment.model, experiment.task.name) for experiment in experiments] == [
        (str(model), "jcola") for model in (*models, bert_folder)
    ]

    monkeypatch.setattr(trials, "load_encoder", lambda *_, **__: pytest.fail("opened again"))
    results = [grid.evaluate(experiment, options, out) for experiment in experiments[:2]]
    assert [result.model for result in results] == ["step-0", "step-1"]
    assert results[0].settings["revision"] != results[1].settings["revision"]
    monkeypatch.undo()
    assert replace(run(models[1], small, tmp_path / "alone", options), software={}) == results[1]


@slow
def test_the_precision_is_the_devices(modernbert_folder: Path, small: Path, tmp_path: Path) -> None:
    (experiment,) = open_experiments([str(modernbert_folder)], small, [TASKS["jcola"]])
    on_gpu = replace(experiment, identity={**experiment.identity, "device": "cuda"})
    assert grid.evaluate(on_gpu, ONE, tmp_path).settings["precision"] == "bfloat16"


@slow
def test_data_that_change_under_way(modernbert_folder: Path, small: Path, tmp_path: Path) -> None:
    """No trial may be kept under the name of other data. A file that the trial doesn't read may change."""
    data = shutil.copytree(small, tmp_path / "data")
    (experiment,) = open_experiments([str(modernbert_folder)], data, [TASKS["jcola"]])
    with (data / "jcola-v1.0" / "in_domain_valid-v1.0.json").open("a", encoding="utf-8") as file:
        file.write('{"uid": 99, "label": 1, "sentence": "東京は首都である。京都は古都である。"}\n')
    with pytest.raises(UserError, match=r"data: jcola-v1.0/in_domain_valid-v1.0.json: changed since the evaluation"):
        grid.evaluate(experiment, SMALL, tmp_path)
    assert {name.partition("-0.0")[0] for name in trial_files(tmp_path)} == {"held-out-0"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("", "best", "", ""), "--protocol: best: unknown; expected one of held-out, paper, both"),
        (
            ("", "paper", "1e-5;2e-5", ""),
            "--learning-rates, --epochs: could not convert string to float: '1e-5;2e-5'; expected numbers",
        ),
        (("", "paper", "", "1.5"), "--learning-rates, --epochs: invalid literal"),
        (("", "paper", "2", ""), "out of range; expected rates between 0 and 1, epochs from 1"),
        (("", "paper", "", "0"), "out of range; expected rates between 0 and 1, epochs from 1"),
    ],
)
def test_wrong_options(options: tuple[str, str, str, str], message: str) -> None:
    with pytest.raises(UserError) as error:
        parse(*options)
    assert message in str(error.value)


@slow
def test_the_command(modernbert_folder: Path, bert_folder: Path, small: Path, tmp_path: Path) -> None:
    options = f"--data {small} --tasks jcola --learning-rates 1e-3 --epochs 1 --seeds 1 --out {tmp_path}".split()
    result = CliRunner().invoke(app, ["eval", "jglue", str(modernbert_folder), str(bert_folder), *options])
    assert result.exit_code == 0
    assert result.stdout.split() == [str(tmp_path / name / "jcola.json") for name in ("tiny-modernbert", "tiny-bert")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("model --out out", "eval jglue: --data is missing"),
        ("model --data data", "eval jglue: --out is missing"),
        ("{model} --data {data} --out out --tasks jst", "--tasks: 'jst': unknown; expected some of jsts"),
        ("{model} --data {empty} --out out", "empty: no task's folder in it"),
        (
            "{model} --data {data} --out out --tasks jsquad",
            "train-v1.3.json: no such file; expected the train split of",
        ),
        (
            "{model} {model} --data {data} --out out --tasks jcola",
            "tiny-modernbert: given twice; expected each model once",
        ),
        ("./absent --data {data} --out out --tasks jcola", "./absent: no such folder"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_trained(
    arguments: str,
    message: str,
    modernbert_folder: Path,
    jglue_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (jglue_folder / "jsquad-v1.3" / "train-v1.3.json").unlink()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "empty").mkdir()
    words = arguments.format(data=jglue_folder, model=modernbert_folder, empty=tmp_path / "empty").split()
    error = CliRunner().invoke(app, ["eval", "jglue", *words]).exception
    assert isinstance(error, UserError)
    assert message in str(error)
    assert "\n" not in str(error)
    assert list((tmp_path / "here").iterdir()) == []
