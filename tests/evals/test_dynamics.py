"""Every task over every checkpoint of a run, and models side by side."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from anaume.corpus import hakoniwa
from anaume.errors import UserError
from anaume.evals import dynamics, encoder
from anaume.evals.dynamics import Inputs, evaluate_models, evaluate_run
from anaume.evals.encoder import Encoder
from anaume.evals.result import Result, load
from anaume.report.page import write_report
from anaume.run import Run


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """A few of hakoniwa's questions and pairs."""
    folder = tmp_path_factory.mktemp("tasks")
    hakoniwa.write_tasks(folder / "all", 0)
    for name in ("cloze.jsonl", "pairs.jsonl"):
        lines = (folder / "all" / name).read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / name).write_text("".join(lines[:20]), encoding="utf-8")
    return Inputs(pairs=folder / "pairs.jsonl", cloze=folder / "cloze.jsonl")


@pytest.fixture(scope="module")
def evaluated(straight: Run, inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Run:
    copy = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(straight.folder, copy)
    evaluate_run(copy, inputs)
    return Run(copy)


def test_each_checkpoint_has_each_record(evaluated: Run) -> None:
    for name in evaluated.checkpoints():
        for task in dynamics.TASKS:
            result = load(evaluated.evals / name.model / f"{task}.json")
            assert (result.model, result.task) == (name.model, task)
            assert result.checkpoint == {
                "stage": name.stage,
                "step": name.step,
                "tokens": evaluated.tokens_seen(name),
            }
    for kind in ("edit-distance", "jaccard", "bm25"):
        assert load(evaluated.evals / kind / "retrieval.json").n == 20


def test_validation_follows_training(evaluated: Run) -> None:
    """The record of a checkpoint and the validation of the loop measure the same network: both fall alike."""
    first, *_, last = evaluated.checkpoints()
    before, after = (load(evaluated.evals / name.model / "validation.json").metrics for name in (first, last))
    logged = [json.loads(line) for line in evaluated.metrics_file.read_text(encoding="utf-8").splitlines()]
    losses = [line["loss"] for line in logged if line["kind"] == "validation"]
    assert before["loss"] == pytest.approx(losses[0], abs=0.1)
    assert after["loss"] == pytest.approx(losses[-1], abs=0.2)
    assert after["loss"] < before["loss"] - 0.3


def test_what_is_done_is_not_done_again(evaluated: Run, inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = evaluated.evals / "first-step-0000002" / "fill-mask.json"
    before = gone.read_bytes()
    gone.unlink()
    done: list[tuple[str, str]] = []
    opened: list[str] = []
    evaluate, open_model = dynamics._evaluate, encoder.load

    def counting(task: str, model: Encoder, path: str, inputs: Inputs, out: Path, run: Run | None = None) -> Result:
        done.append((task, model.name))
        return evaluate(task, model, path, inputs, out, run)

    def opening(path_or_id: str, *, masked_lm: bool) -> Encoder:
        opened.append(Path(path_or_id).name)
        return open_model(path_or_id, masked_lm=masked_lm)

    monkeypatch.setattr(dynamics, "_evaluate", counting)
    monkeypatch.setattr(encoder, "load", opening)
    evaluate_run(evaluated.folder, inputs)
    assert done == [("fill-mask", "first-step-0000002")]
    assert opened == ["first-step-0000002"]
    assert gone.read_bytes() == before


def test_a_checkpoint_is_opened_once_for_all_its_tasks(
    straight: Run, inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    open_model = encoder.load

    def opening(path_or_id: str, *, masked_lm: bool) -> Encoder:
        opened.append(Path(path_or_id).name)
        return open_model(path_or_id, masked_lm=masked_lm)

    monkeypatch.setattr(encoder, "load", opening)
    evaluate_run(straight.folder, replace(inputs, tokens=100, documents=1, positions=1), tmp_path)
    assert opened == [name.model for name in straight.checkpoints()]


def test_other_amounts_are_measured_anew(evaluated: Run, inputs: Inputs, tmp_path: Path) -> None:
    name = evaluated.checkpoints()[-1].model
    shutil.copytree(evaluated.folder, tmp_path / "run")
    evaluate_run(tmp_path / "run", replace(inputs, documents=2, positions=3, random_pairs=30))
    records = {task: load(tmp_path / "run" / "evals" / name / f"{task}.json") for task in dynamics.TASKS}
    earlier = {task: load(evaluated.evals / name / f"{task}.json") for task in dynamics.TASKS}
    assert {task for task in dynamics.TASKS if records[task] != earlier[task]} == {"pseudo-perplexity", "geometry"}
    settings = records["pseudo-perplexity"].settings
    assert (settings["documents"], settings["positions"]) == (2, 3)
    assert records["geometry"].settings["random_pairs_found"] == 30
    assert earlier["pseudo-perplexity"].settings["positions"] == 20


def test_a_run_on_files_without_inputs_gets_its_validation(straight: Run, tmp_path: Path) -> None:
    shutil.copytree(straight.folder, tmp_path / "run")
    evaluate_run(tmp_path / "run", Inputs())
    names = {path.name for path in (tmp_path / "run" / "evals").rglob("*.json")}
    assert names == {"validation.json", "pseudo-perplexity.json"}


def test_models_from_folders(evaluated: Run, inputs: Inputs, tmp_path: Path) -> None:
    models = [str(evaluated.folder / "export" / name) for name in ("first-step-0000000", "second-step-0000004")]
    paths = list(evaluate_models("retrieval", models, inputs, tmp_path))
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "first-step-0000000/retrieval.json",
        "second-step-0000004/retrieval.json",
        "edit-distance/retrieval.json",
        "jaccard/retrieval.json",
        "bm25/retrieval.json",
    ]
    assert load(paths[1]).metrics == load(evaluated.evals / "second-step-0000004" / "retrieval.json").metrics


def test_validation_on_given_texts(evaluated: Run, tmp_path: Path) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text(json.dumps({"text": "岩手県の県庁所在地は盛岡市です。" * 20}) + "\n", encoding="utf-8")
    model = str(evaluated.folder / "export" / "second-step-0000004")
    (path,) = evaluate_models("validation", [model], Inputs(texts=str(texts)), tmp_path / "out")
    assert load(path).settings["texts"] == str(texts)
    assert load(path).n > 20
    (path,) = evaluate_models("pseudo-perplexity", [model], Inputs(texts=str(texts)), tmp_path / "out")
    result = load(path)
    assert (result.n, result.settings["texts"], result.settings["positions"]) == (1, str(texts), 100)


def test_geometry_with_given_texts(evaluated: Run, inputs: Inputs, tmp_path: Path) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": f"{i}年の文。"}) + "\n" for i in range(9)), encoding="utf-8")
    model = str(evaluated.folder / "export" / "second-step-0000004")
    (path,) = evaluate_models("geometry", [model], replace(inputs, texts=str(texts)), tmp_path / "out")
    settings = load(path).settings
    assert (settings["texts"], settings["random_pairs_found"]) == (str(texts), 4)
    own = load(evaluated.evals / "second-step-0000004" / "geometry.json")
    assert own.settings["texts"] == "texts of different pairs"
    assert own.metrics["alignment"] == pytest.approx(load(path).metrics["alignment"])


def test_other_inputs_are_measured_anew(evaluated: Run, inputs: Inputs, tmp_path: Path) -> None:
    """Neither a checkpoint's record nor a baseline's outlives the pairs that it was made from."""
    assert inputs.pairs
    fewer = tmp_path / "fewer.jsonl"
    fewer.write_text("".join(inputs.pairs.read_text(encoding="utf-8").splitlines(keepends=True)[:12]), encoding="utf-8")
    shutil.copytree(evaluated.folder, tmp_path / "run")
    evaluate_run(tmp_path / "run", Inputs(pairs=fewer, cloze=inputs.cloze))
    records = {path.parent.name: load(path).n for path in (tmp_path / "run" / "evals").rglob("retrieval.json")}
    assert set(records.values()) == {12}
    assert "jaccard" in records


def test_two_models_of_one_name(evaluated: Run, inputs: Inputs, tmp_path: Path) -> None:
    shutil.copytree(evaluated.folder / "export" / "first-step-0000000", tmp_path / "first-step-0000000")
    models = [str(tmp_path / "first-step-0000000"), str(evaluated.folder / "export" / "first-step-0000000")]
    with pytest.raises(UserError, match="two models are called 'first-step-0000000'"):
        next(evaluate_models("retrieval", models, inputs, tmp_path / "out"))


def test_mistakes(tmp_path: Path, inputs: Inputs) -> None:
    with pytest.raises(UserError, match="task 'jgleu'; accepted: jglue, validation, fill-mask, pseudo-"):
        next(evaluate_models("jgleu", ["m"], inputs, tmp_path))
    with pytest.raises(UserError, match="--cloze is missing"):
        next(evaluate_models("fill-mask", ["m"], Inputs(), tmp_path))
    with pytest.raises(UserError, match="not a run directory"):
        evaluate_run(tmp_path, Inputs())


def test_the_report_of_a_real_run(evaluated: Run, tmp_path: Path) -> None:
    page = write_report([evaluated.folder], tmp_path / "report").read_text(encoding="utf-8")
    assert "second, step 4" in page
    recall = load(evaluated.evals / "jaccard" / "retrieval.json").metrics["recall_at_10"]
    assert f"{100 * recall:.1f}" in page or f"{recall:.3f}" in page
