"""The two protocols: what is trained on what, what is chosen, what is reported, and what is never trained twice."""

import json
import multiprocessing
import os
import select
import shutil
import signal
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from anaume import cli
from anaume.encoder.load import revision_of
from anaume.errors import UserError
from anaume.evals.jglue import cells, grid, processes
from anaume.evals.jglue.cells import Cell, path_of, studies
from anaume.evals.jglue.grid import EPOCHS, LEARNING_RATES, Grid, evaluate_jglue, parse
from anaume.evals.jglue.tasks import TASKS
from anaume.evals.record import Record, load_record
from anaume.files import path_lock, write_atomic
from anaume.finetune import train
from anaume.finetune.train import Settings

SMALL = Grid(tasks=("jcola",), learning_rates=(1e-3, 4e-3), epochs=(1,), seeds=2)
CPU = torch.device("cpu")


@pytest.fixture
def small(jglue_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """24 rows a split are enough here, and one step to make a forecast from."""
    monkeypatch.setattr(processes, "WARM_UP", 1)
    monkeypatch.setattr(processes, "TIMED", 1)
    for path in (jglue_folder / "jcola-v1.0").iterdir():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(lines[:24]), encoding="utf-8")
    return jglue_folder


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    """The cells that are trained, in order."""
    seen: list[Cell] = []
    make = cells.make

    def counting(study: cells.Study, cell: Cell, device: torch.device, advance: Callable[[int], None]) -> Any:
        seen.append(cell)
        return make(study, cell, device, advance)

    monkeypatch.setattr(cells, "make", counting)
    return seen


def run(model: Path, data: Path, out: Path, options: Grid) -> Record:
    (path,) = evaluate_jglue([str(model)], data, out, options)
    assert path == out / model.name / f"{options.tasks[0]}.json"
    return load_record(path)


def rows_of(result: Record, protocol: str, split: str) -> list[dict[str, Any]]:
    return [row for row in result.details if (row["protocol"], row["split"]) == (protocol, split)]


def test_both_protocols(modernbert_folder: Path, small: Path, tmp_path: Path, trained: list[Cell]) -> None:
    result = run(modernbert_folder, small, tmp_path / "out", parse("jcola", "both", "1e-3,4e-3", "1,2", seeds=2))
    settings = {(rate, epochs) for rate in (1e-3, 4e-3) for epochs in (1, 2)}
    chosen_from, again = rows_of(result, "held-out", "held_out"), rows_of(result, "held-out", "validation")
    paper = rows_of(result, "paper", "validation")
    assert {(row["learning_rate"], row["epochs"]) for row in chosen_from} == settings
    assert {(row["learning_rate"], row["epochs"]) for row in paper} == settings
    # The first seed of the chosen cell and that cell of the paper's grid are one training.
    assert len(result.details) == 4 + 2 + 4
    assert len(trained) == 4 + 2 + 3
    assert sum(cell.split_seed is None for cell in trained) == 5

    best = max(chosen_from, key=lambda row: (row["accuracy"], -row["epochs"], -row["learning_rate"]))
    assert {(row["learning_rate"], row["epochs"]) for row in again} == {(best["learning_rate"], best["epochs"])}
    assert [row["seed"] for row in again] == [0, 1]
    for name in ("accuracy", "mcc", "out_of_domain_accuracy", "out_of_domain_mcc"):
        values = [row[name] for row in again]
        assert result.metrics[name] == pytest.approx(statistics.mean(values))
        assert result.metrics[f"{name}_std"] == pytest.approx(statistics.stdev(values))
    assert result.metrics["best_cell_accuracy"] == max(row["accuracy"] for row in paper)
    assert result.settings["precision"] == "float32"
    assert result.settings["revision"] == revision_of(str(modernbert_folder))
    assert (result.model, result.task, result.n, result.seed) == ("tiny-modernbert", "jcola", 24, 0)
    assert result.settings["train"] == 24
    assert result.settings["held_out"] == 3  # the first whole number from a tenth on
    assert result.settings["attention"] == "anaume_packed"


def test_same_seed_same_numbers(bert_folder: Path, small: Path, tmp_path: Path) -> None:
    """On BERT, which has dropout; another seed changes the held-out part and the trainings."""
    options = Grid(("jcola",), learning_rates=(1e-3,), epochs=(1, 2), seeds=1)
    first = run(bert_folder, small, tmp_path / "a", options)
    assert run(bert_folder, small, tmp_path / "b", options) == first
    other = run(bert_folder, small, tmp_path / "c", Grid(("jcola",), "held-out", (1e-3,), (1,), 2, seed=5))
    assert [row["seed"] for row in other.details] == [5, 6]


def test_a_grid_of_one_cell_holds_nothing_out(
    modernbert_folder: Path, small: Path, tmp_path: Path, trained: list[Cell]
) -> None:
    options = Grid(("jcola",), learning_rates=(1e-3,), epochs=(1,), seeds=1)
    result = run(modernbert_folder, small, tmp_path, options)
    assert trained == [Cell(Settings(1e-3, 1, 0))]
    assert "held_out" not in result.settings
    assert "accuracy" in result.metrics
    assert "accuracy_std" not in result.metrics


def test_test_splits_are_reported(modernbert_folder: Path, jglue_folder: Path, tmp_path: Path) -> None:
    options = Grid(("jsts",), learning_rates=(1e-3,), epochs=(1,), seeds=1)
    result = run(modernbert_folder, jglue_folder, tmp_path, options)
    assert list(result.metrics) == ["pearson", "spearman", "test_pearson", "test_spearman"]


def test_a_killed_grid_goes_on(
    modernbert_folder: Path, small: Path, tmp_path: Path, trained: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(modernbert_folder, small, tmp_path / "whole", SMALL)
    assert len(trained) == 4
    trained.clear()
    make = cells.make

    def stop(*arguments: Any) -> Any:
        if len(trained) == 2:
            raise KeyboardInterrupt
        return make(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(cells, "make", stop)
        with pytest.raises(KeyboardInterrupt):
            run(modernbert_folder, small, tmp_path / "out", SMALL)
    assert len(trained) == 2
    assert run(modernbert_folder, small, tmp_path / "out", SMALL) == whole
    assert len(trained) == 4
    assert run(modernbert_folder, small, tmp_path / "out", SMALL) == whole
    assert len(trained) == 4


def test_other_inputs_are_trained_anew(
    modernbert_folder: Path, small: Path, tmp_path: Path, trained: list[Cell]
) -> None:
    options = Grid(("jcola",), learning_rates=(1e-3,), epochs=(1,), seeds=1)
    model = tmp_path / "model"
    shutil.copytree(modernbert_folder, model)
    run(model, small, tmp_path / "out", options)
    (model / "README.md").write_text("no weight changed", encoding="utf-8")
    run(model, small, tmp_path / "out", options)
    assert len(trained) == 1
    path = small / "jcola-v1.0" / "in_domain_train-v1.0.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"label": 1', '"label": 0', 1), encoding="utf-8")
    run(model, small, tmp_path / "out", options)
    assert len(trained) == 2
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"classifier_pooling": "mean"}))
    run(model, small, tmp_path / "out", options)
    assert len(trained) == 3


def test_ties_go_to_fewer_epochs_and_lower_rates() -> None:
    options = Grid(learning_rates=(4e-3, 1e-3), epochs=(3, 1))
    assert [(s.epochs, s.learning_rate) for s in options.settings()] == [(1, 1e-3), (1, 4e-3), (3, 1e-3), (3, 4e-3)]
    contents = [{"metrics": {"held_out": {"f1": value}}} for value in (0.5, 0.7, 0.7, 0.6)]
    assert grid.Trained("held-out", "held_out", options.selection(), contents).best("f1") == 1


def test_the_papers_grid() -> None:
    assert Grid().settings()[-1] == Settings(1e-4, 10, 0)
    assert len(Grid().settings()) == 36 == len(LEARNING_RATES) * len(EPOCHS)


def test_a_worker_makes_what_the_process_itself_makes(modernbert_folder: Path, small: Path, tmp_path: Path) -> None:
    """The functions that a process of the pool runs, in this one; it counts the steps that it makes."""
    (task,) = studies([str(modernbert_folder)], small, [TASKS["jcola"]])
    cell = Cell(Settings(1e-3, 2, 0))
    context = multiprocessing.get_context("spawn")
    free, counter = context.SimpleQueue(), context.Value("q", 0)
    free.put("cpu")
    processes._start_worker(free, counter, torch.get_num_threads())
    made, own = processes._make_here(task, cell, tmp_path), cells.make(task, cell, CPU, lambda _: None)
    assert counter.value == made["steps"] == 2
    assert {**made, "seconds": 0} == {**own, "seconds": 0}
    assert json.loads(path_of(task, cell, tmp_path).read_text(encoding="utf-8")) == made
    assert path_of(task, cell, Path("x")).parent == Path("x/tiny-modernbert/jcola")


def test_processes_make_what_one_makes(
    modernbert_folder: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool of two; forked, for a fresh process would take seconds to import torch."""
    monkeypatch.setattr(processes, "START", "fork")
    alone = run(modernbert_folder, small, tmp_path / "alone", SMALL)
    assert run(modernbert_folder, small, tmp_path / "two", replace(SMALL, workers=2)) == alone


def test_a_process_that_dies(
    modernbert_folder: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "START", "fork")
    monkeypatch.setattr(cells, "make", lambda *_: os._exit(9))
    with pytest.raises(UserError, match="jcola: a process died, of memory perhaps; the same command again goes on"):
        run(modernbert_folder, small, tmp_path, replace(SMALL, workers=2))


def _other_process(path: Path, until: Path, content: bytes, claimed: Any) -> None:
    """Make a cell's file at the same time: begun first, and not done before another cell is there."""
    with path_lock(path):
        claimed.set()
        while not until.exists():
            time.sleep(0.01)
        if not content:
            os.kill(os.getpid(), signal.SIGKILL)
        write_atomic(path, content)


@pytest.mark.parametrize("killed", [False, True])
def test_two_processes_make_no_cell_twice(
    killed: bool, modernbert_folder: Path, small: Path, tmp_path: Path, trained: list[Cell]
) -> None:
    """One that is killed before its cell is made leaves it to the other."""
    (task,) = studies([str(modernbert_folder)], small, [TASKS["jcola"]])
    first, second = (Cell(Settings(1e-3, 1, seed)) for seed in (0, 1))
    whole = processes.run_cells(task, [first, second], tmp_path / "whole")
    made = b"" if killed else path_of(task, second, tmp_path / "whole").read_bytes()
    paths = [path_of(task, cell, tmp_path / "out") for cell in (second, first)]
    context = multiprocessing.get_context("fork")
    claimed = context.Event()
    other = context.Process(target=_other_process, args=(*paths, made, claimed), daemon=True)
    other.start()
    assert claimed.wait(20)
    trained.clear()
    contents = processes.run_cells(task, [first, second], tmp_path / "out")
    other.join()
    assert trained == ([first, second] if killed else [first])
    assert [{**each, "seconds": 0} for each in contents] == [{**each, "seconds": 0} for each in whole]


def _idle_worker() -> None:
    context = multiprocessing.get_context("fork")
    free = context.SimpleQueue()
    free.put("cpu")
    processes._start_worker(free, context.Value("q", 0), 1)
    time.sleep(60)


def _parent_of_one() -> None:
    multiprocessing.get_context("fork").Process(target=_idle_worker).start()
    time.sleep(60)


def test_no_process_outlives_a_killed_parent() -> None:
    """All hold one end of a pipe; the other one ends when the last of them has ended."""
    reading, writing = os.pipe()
    parent = multiprocessing.get_context("fork").Process(target=_parent_of_one)
    parent.start()
    os.close(writing)
    time.sleep(0.3)  # for the child to start
    parent.kill()
    parent.join()
    ended, _, _ = select.select([reading], [], [], 20)
    assert ended
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_the_forecast_counts_what_is_to_be_done(
    modernbert_folder: Path, small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(modernbert_folder, small, tmp_path, SMALL)
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("jcola, tiny-modernbert: 4 of 4 trainings to do, about ")
    assert said[1].startswith("processes: 1 (cpu); in all about ")
    assert len(said) == 2 + 4
    next((tmp_path / ".cells").rglob("train-*-seed-1-*.json")).unlink()
    run(modernbert_folder, small, tmp_path, SMALL)
    assert "1 of 4 trainings to do" in capsys.readouterr().err
    run(modernbert_folder, small, tmp_path, SMALL)
    assert capsys.readouterr().err == ""


def test_each_training_is_counted_once(
    modernbert_folder: Path, small: Path, tmp_path: Path, trained: list[Cell], capsys: pytest.CaptureFixture[str]
) -> None:
    """A seed of the chosen cell is a cell of the paper's grid, too."""
    run(modernbert_folder, small, tmp_path, replace(SMALL, protocol="both"))
    assert len(trained) == 2 + 2 + 2 - 1
    assert "jcola, tiny-modernbert: 5 of 5 trainings to do, about " in capsys.readouterr().err


def test_checkpoints_are_prepared_together(
    modernbert_folder: Path,
    bert_folder: Path,
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One forecast for all, from one of those that are alike; then each is evaluated without being opened again."""
    models = [shutil.copytree(modernbert_folder, tmp_path / f"step-{i}") for i in range(3)]
    weights = load_file(models[1] / "model.safetensors")
    save_file(
        {name: tensor * 1.1 for name, tensor in weights.items()}, models[1] / "model.safetensors", {"format": "pt"}
    )
    options, out = replace(SMALL, learning_rates=(1e-3,)), tmp_path / "out"
    timed: list[str] = []

    def counting(model: str, *arguments: Any) -> Any:
        timed.append(model)
        return train.train(model, *arguments)

    monkeypatch.setattr(processes, "train", counting)
    every = grid.prepare([*map(str, models), str(bert_folder)], small, out, options)
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(", about")[0] for line in said[:2]] == [
        "jcola, 3 models: 6 of 6 trainings to do",
        "jcola, tiny-bert: 2 of 2 trainings to do",
    ]
    assert timed == [str(models[0]), str(bert_folder)]
    assert [(study.model, study.task.name) for study in every] == [
        (str(model), "jcola") for model in (*models, bert_folder)
    ]

    monkeypatch.setattr(cells, "load_encoder", lambda *_, **__: pytest.fail("opened again"))
    results = [grid.evaluate(study, options, out) for study in every[:2]]
    assert [result.model for result in results] == ["step-0", "step-1"]
    assert results[0].settings["revision"] != results[1].settings["revision"]
    monkeypatch.undo()
    assert replace(run(models[1], small, tmp_path / "alone", options), software={}) == results[1]


def test_the_precision_is_the_devices(modernbert_folder: Path, small: Path, tmp_path: Path) -> None:
    options = replace(SMALL, learning_rates=(1e-3,), seeds=1)
    (study,) = studies([str(modernbert_folder)], small, [TASKS["jcola"]])
    on_gpu = replace(study, identity={**study.identity, "device": "cuda"})
    assert grid.evaluate(on_gpu, options, tmp_path).settings["precision"] == "bfloat16"


def test_data_that_change_under_way(modernbert_folder: Path, small: Path, tmp_path: Path) -> None:
    """No cell may be kept under the name of other data; what it doesn't read may change."""
    (study,) = studies([str(modernbert_folder)], small, [TASKS["jcola"]])
    with (small / "jcola-v1.0" / "in_domain_valid-v1.0.json").open("a", encoding="utf-8") as file:
        file.write('{"uid": 99, "label": 1, "sentence": "東京は首都である。京都は古都である。"}\n')
    with pytest.raises(UserError, match=r"jglue: jcola-v1.0/in_domain_valid-v1.0.json changed since this began"):
        grid.evaluate(study, SMALL, tmp_path)
    made = {path.name.partition("-0.0")[0] for path in (tmp_path / ".cells").rglob("*.json")}
    assert made == {"held-out-0"}


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "1 s"), (59, "59 s"), (61, "1 min"), (3540, "59 min"), (12_000, "3 h 20 min")]
)
def test_durations(seconds: float, said: str) -> None:
    assert processes.duration(seconds) == said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("", "best", "", ""), "--protocol best: accepted: held-out, paper, both"),
        (
            ("", "paper", "1e-5;2e-5", ""),
            "--learning-rates and --epochs: could not convert string to float: '1e-5;2e-5'",
        ),
        (("", "paper", "", "1.5"), "--learning-rates and --epochs: invalid literal"),
        (("", "paper", "2", ""), "accepted: rates between 0 and 1, epochs from 1"),
        (("", "paper", "", "0"), "accepted: rates between 0 and 1, epochs from 1"),
    ],
)
def test_wrong_options(options: tuple[str, str, str, str], said: str) -> None:
    with pytest.raises(UserError) as error:
        parse(*options)
    assert said in str(error.value)


def _command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["anaume", "eval", "jglue", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def test_the_command(
    modernbert_folder: Path,
    bert_folder: Path,
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    options = f"--tasks jcola --learning-rates 1e-3 --epochs 1 --seeds 1 --out {out}".split()
    assert _command(monkeypatch, modernbert_folder, bert_folder, "--data", small, *options) == 0
    written = capsys.readouterr().out.split()
    assert written == [str(out / name / "jcola.json") for name in ("tiny-modernbert", "tiny-bert")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("model --out out", "anaume eval jglue: --data is missing"),
        ("model --data data", "anaume eval jglue: --out is missing"),
        ("model --data data --out out --tasks jst", "task 'jst'; accepted: jsts"),
        ("model --data data --out out", "data: no task's folder in it"),
        ("model --data {data} --out out --tasks jsquad", "train-v1.3.json: no such file, so jsquad has no train split"),
        ("{model} {model} --data {data} --out out --tasks jcola", "two models are called 'tiny-modernbert'"),
        ("./absent --data {data} --out out --tasks jcola", "./absent: no such folder"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_trained(
    arguments: str,
    said: str,
    modernbert_folder: Path,
    jglue_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (jglue_folder / "jsquad-v1.3" / "train-v1.3.json").unlink()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert _command(monkeypatch, *arguments.format(data=jglue_folder, model=modernbert_folder).split()) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("anaume: ")
    assert error.count("\n") == 1
    assert list((tmp_path / "here").iterdir()) == []
