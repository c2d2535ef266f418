"""Every task over every checkpoint of a run, and models side by side."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from anaume.corpus import hakoniwa
from anaume.encoder.load import revision_of
from anaume.errors import Incomplete, UserError
from anaume.evals import evaluate
from anaume.evals.evaluate import evaluate_models, evaluate_run, record_names
from anaume.evals.record import Record, load_record, save_record
from anaume.evals.task import Subject, TaskOptions
from anaume.evals.tasks import (
    TASKS,
    FillMaskOptions,
    GeometryOptions,
    PseudoPerplexityOptions,
    RetrievalOptions,
    ValidationOptions,
)
from anaume.export.checkpoint import export
from anaume.run import CheckpointName, Run

FEW = {"tokens": 500, "documents": 2, "positions": 2}
# The tiny run reads 256 tokens, and needle asks for 512.
OF_EACH_CHECKPOINT = [name for name, task in TASKS.items() if not task.opens_models and name != "needle"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A few of hakoniwa's questions and pairs."""
    folder = tmp_path_factory.mktemp("tasks")
    hakoniwa.write_tasks(folder / "all", 0)
    for name in ("cloze.jsonl", "pairs.jsonl"):
        lines = (folder / "all" / name).read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / name).write_text("".join(lines[:20]), encoding="utf-8")
    return {"pairs": folder / "pairs.jsonl", "cloze": folder / "cloze.jsonl"}


@pytest.fixture(scope="module")
def evaluated(straight: Run, inputs: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Run:
    copy = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(straight.folder, copy)
    evaluate_run(copy, inputs)
    return Run(copy)


def test_each_checkpoint_has_each_record(evaluated: Run) -> None:
    for name in evaluated.checkpoints():
        for task in OF_EACH_CHECKPOINT:
            result = load_record(evaluated.evals / name.model / f"{task}.json")
            assert (result.model, result.task) == (name.model, task)
            assert result.checkpoint == {
                "stage": name.stage,
                "step": name.step,
                "tokens": evaluated.tokens_seen(name),
            }
    for kind in ("edit-distance", "edit-distance-raw", "jaccard", "jaccard-spaces", "bm25"):
        assert load_record(evaluated.evals / kind / "retrieval.json").n == 20


def test_a_forecast_names_each_missing_task(
    straight: Run, inputs: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(straight.folder, copy)
    seconds = evaluate.forecast_run(copy, inputs | FEW)
    assert seconds.keys() == {*OF_EACH_CHECKPOINT}
    assert all(value > 0 for value in seconds.values())
    assert not [*(copy / "evals").rglob("*.json")]
    assert capsys.readouterr().err == ""
    assert evaluate.forecast_run(copy, inputs | FEW, ["retrieval"]).keys() == {"retrieval"}


def test_validation_follows_training(evaluated: Run) -> None:
    """The record of a checkpoint and the validation of the loop measure the same network: both fall alike."""
    first, *_, last = evaluated.checkpoints()
    before, after = (load_record(evaluated.evals / name.model / "validation.json").metrics for name in (first, last))
    logged = [json.loads(line) for line in evaluated.metrics_file.read_text(encoding="utf-8").splitlines()]
    losses = [line["loss"] for line in logged if line["kind"] == "validation"]
    assert before["loss"] == pytest.approx(losses[0], abs=0.1)
    assert after["loss"] == pytest.approx(losses[-1], abs=0.2)
    assert after["loss"] < before["loss"] - 0.3


def test_only_missing_records_are_measured(
    evaluated: Run, inputs: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    absent = evaluated.evals / "first-step-0000002" / "fill-mask.json"
    before = absent.read_bytes()
    absent.unlink()
    times = {path: path.stat().st_mtime_ns for path in evaluated.evals.rglob("*.json")}
    capsys.readouterr()
    evaluate_run(evaluated.folder, inputs)
    forecast, *done = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"fill-mask: 1 of \d+ checkpoints to do, about \d+ s", forecast.partition("\n")[0])
    assert done[-1] == "first-step-0000002: fill-mask"
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert absent.read_bytes() == before


def test_a_model_is_opened_once_for_all_its_tasks(evaluated: Run) -> None:
    subject = Subject(str(evaluated.folder / "export" / "first-step-0000000"), masked_lm=True)
    assert subject.encoder is subject.encoder


def test_other_amounts_are_measured_anew(evaluated: Run, inputs: dict[str, Any], tmp_path: Path) -> None:
    name = evaluated.checkpoints()[-1].model
    shutil.copytree(evaluated.folder, tmp_path / "run")
    evaluate_run(tmp_path / "run", inputs | {"documents": 2, "positions": 3, "random_pairs": 30})
    records = {task: load_record(tmp_path / "run" / "evals" / name / f"{task}.json") for task in OF_EACH_CHECKPOINT}
    earlier = {task: load_record(evaluated.evals / name / f"{task}.json") for task in OF_EACH_CHECKPOINT}
    assert {task for task in OF_EACH_CHECKPOINT if records[task] != earlier[task]} == {"pseudo-perplexity", "geometry"}
    settings = records["pseudo-perplexity"].settings
    assert (settings["documents"], settings["positions"]) == (2, 3)
    assert records["geometry"].settings["random_pairs_found"] == 30
    assert earlier["pseudo-perplexity"].settings["positions"] == 20


def test_a_run_on_files_without_inputs_gets_its_validation(straight: Run, tmp_path: Path) -> None:
    shutil.copytree(straight.folder, tmp_path / "run")
    evaluate_run(tmp_path / "run", FEW)
    names = {path.name for path in (tmp_path / "run" / "evals").rglob("*.json")}
    assert names == {"validation.json", "pseudo-perplexity.json"}


def test_models_from_folders(evaluated: Run, inputs: dict[str, Any], tmp_path: Path) -> None:
    models = [str(evaluated.folder / "export" / name) for name in ("first-step-0000000", "second-step-0000004")]
    paths = list(evaluate_models("retrieval", models, RetrievalOptions(pairs=inputs["pairs"]), tmp_path))
    name = evaluated.recipe().name
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        f"{name}-first-step-0000000/retrieval.json",
        f"{name}-second-step-0000004/retrieval.json",
        "edit-distance/retrieval.json",
        "edit-distance-raw/retrieval.json",
        "jaccard/retrieval.json",
        "bm25/retrieval.json",
        "jaccard-spaces/retrieval.json",
    ]
    assert (
        load_record(paths[1]).metrics == load_record(evaluated.evals / "second-step-0000004" / "retrieval.json").metrics
    )


def test_validation_on_given_texts(evaluated: Run, tmp_path: Path) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text(json.dumps({"text": "岩手県の県庁所在地は盛岡市です。" * 20}) + "\n", encoding="utf-8")
    model = str(evaluated.folder / "export" / "second-step-0000004")
    (path,) = evaluate_models("validation", [model], ValidationOptions(texts=str(texts)), tmp_path / "out")
    assert load_record(path).settings["texts"] == str(texts)
    assert load_record(path).n > 20
    (path,) = evaluate_models("pseudo-perplexity", [model], PseudoPerplexityOptions(texts=str(texts)), tmp_path / "out")
    result = load_record(path)
    assert (result.n, result.settings["texts"], result.settings["positions"]) == (1, str(texts), 100)


def test_geometry_with_given_texts(evaluated: Run, inputs: dict[str, Any], tmp_path: Path) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": f"{i}年の文。"}) + "\n" for i in range(9)), encoding="utf-8")
    model = str(evaluated.folder / "export" / "second-step-0000004")
    (path,) = evaluate_models(
        "geometry", [model], GeometryOptions(pairs=inputs["pairs"], texts=str(texts)), tmp_path / "out"
    )
    settings = load_record(path).settings
    assert (settings["texts"], settings["random_pairs_found"]) == (str(texts), 4)
    own = load_record(evaluated.evals / "second-step-0000004" / "geometry.json")
    assert own.settings["texts"] == "texts of different pairs"
    assert own.metrics["alignment"] == pytest.approx(load_record(path).metrics["alignment"])


def test_other_inputs_are_measured_anew(evaluated: Run, inputs: dict[str, Any], tmp_path: Path) -> None:
    """Neither a checkpoint's record nor a baseline's outlives the pairs that it was made from."""
    fewer = tmp_path / "fewer.jsonl"
    fewer.write_text(
        "".join(inputs["pairs"].read_text(encoding="utf-8").splitlines(keepends=True)[:12]), encoding="utf-8"
    )
    shutil.copytree(evaluated.folder, tmp_path / "run")
    evaluate_run(tmp_path / "run", {"pairs": fewer, "cloze": inputs["cloze"]})
    records = {path.parent.name: load_record(path).n for path in (tmp_path / "run" / "evals").rglob("retrieval.json")}
    assert set(records.values()) == {12}
    assert "jaccard" in records


def test_other_texts_under_the_same_name_are_measured_anew(evaluated: Run, tmp_path: Path) -> None:
    shutil.copytree(evaluated.folder, tmp_path / "run")
    texts = tmp_path / "texts.jsonl"
    last = tmp_path / "run" / "evals" / evaluated.checkpoints()[-1].model
    lines = [json.dumps({"text": f"{town}市は{town}県の県庁所在地です。" * 9}) + "\n" for town in ("岐阜", "奈良")]
    counts = []
    for content in (lines[:1], lines):
        texts.write_text("".join(content), encoding="utf-8")
        evaluate_run(tmp_path / "run", {"texts": str(texts), "positions": 2})
        counts.append([load_record(last / f"{task}.json").n for task in ("validation", "pseudo-perplexity")])
    (before, first), (after, both) = counts
    assert (first, both) == (1, 2)
    assert after > before


def test_other_weights_of_the_same_name_are_measured_anew(evaluated: Run, tmp_path: Path) -> None:
    """One folder of records for two runs, and a run whose exports were left from another one."""
    checkpoints = evaluated.checkpoints()
    names = [name.model for name in checkpoints]
    shutil.copytree(evaluated.folder, tmp_path / "run")
    other = Run(tmp_path / "run")
    for file in evaluated.checkpoint(checkpoints[-1]).iterdir():  # the run seems to have begun with what it ended with
        shutil.copy(file, other.checkpoint(checkpoints[0]) / file.name)
    evaluate_run(other.folder, {})
    losses = [load_record(other.evals / names[i] / "validation.json").metrics["loss"] for i in (0, -1)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)  # the stages' thetas differ
    evaluate_run(evaluated.folder, {}, other.evals)  # under the run's name, so both runs' records are there
    again = load_record(other.evals / f"{evaluated.recipe().name}-{names[0]}" / "validation.json")
    assert again.metrics == load_record(evaluated.evals / names[0] / "validation.json").metrics
    assert load_record(other.evals / names[0] / "validation.json").metrics["loss"] == losses[0]


def test_a_checkpoint_that_training_prunes_meanwhile(
    evaluated: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(evaluated.folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "evals")
    run, names = Run(tmp_path / "run"), evaluated.checkpoints()
    shutil.rmtree(tmp_path / "run" / "export")

    def pruning(run: Run, name: CheckpointName, out: Path) -> Path:
        shutil.rmtree(run.checkpoint(names[1]), ignore_errors=True)
        return export(run, name, out)

    monkeypatch.setattr(evaluate, "export", pruning)
    evaluate_run(run.folder, FEW)
    assert f"{names[1].model}: pruned meanwhile, left out" in capsys.readouterr().err
    assert {path.parent.name for path in run.evals.rglob("*.json")} == {name.model for name in names} - {names[1].model}


def test_mistakes_are_reported_before_anything_is_measured(
    evaluated: Run, inputs: dict[str, Any], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"query": "問"}\n', encoding="utf-8")
    shutil.copytree(evaluated.folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "evals")
    for wrong_inputs, message in (
        ({"pairs": tmp_path / "absent.jsonl"}, "absent.jsonl: no such file"),
        ({"cloze": tmp_path / "absent.jsonl"}, "absent.jsonl: no such file"),
        ({"pairs": bad}, "bad.jsonl:1: no `positive`"),
        ({"texts": str(tmp_path / "*.txt")}, "matches no file"),
        ({"data": tmp_path}, "no task's folder in it"),
    ):
        with pytest.raises(UserError, match=message):
            evaluate_run(tmp_path / "run", wrong_inputs)
    options = RetrievalOptions(pairs=inputs["pairs"])
    with pytest.raises(UserError, match="absent: no such folder"):
        next(evaluate_models("retrieval", [str(tmp_path / "absent")], options, tmp_path / "out"))
    assert not (tmp_path / "run" / "evals").exists()
    assert not (tmp_path / "out").exists()


def test_a_model_that_can_not_be_measured_is_skipped(
    evaluated: Run, inputs: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, absent = str(evaluated.folder / "export" / "first-step-0000000"), str(tmp_path / "absent")
    options = RetrievalOptions(pairs=inputs["pairs"])
    with pytest.raises(Incomplete, match="1 of 2 models skipped; the others are measured"):
        list(evaluate_models("retrieval", [absent, good], options, tmp_path / "out"))
    assert f"anaume: skipped: {absent}: no such folder" in capsys.readouterr().err
    assert (tmp_path / "out" / "tiny-first-step-0000000" / "retrieval.json").is_file()
    assert not (tmp_path / "out" / "absent").exists()


def test_names_of_records_are_those_of_the_run_and_of_the_weights(
    evaluated: Run, inputs: dict[str, Any], tmp_path: Path
) -> None:
    exports = evaluated.folder / "export"
    for run, checkpoint in (("tiny", "first-step-0000000"), ("other", "second-step-0000004")):
        copy = tmp_path / run / "first-step-0000000"
        shutil.copytree(exports / checkpoint, copy)
        mark = json.loads((copy / "anaume.json").read_text(encoding="utf-8"))
        mark |= {"run": run, "stage": "first", "step": 0}
        (copy / "anaume.json").write_text(json.dumps(mark), encoding="utf-8")
    first, second = (str(tmp_path / run / "first-step-0000000") for run in ("tiny", "other"))
    assert record_names([first, second], tmp_path) == {
        first: "tiny-first-step-0000000",
        second: "other-first-step-0000000",
    }
    shutil.copytree(exports / "first-step-0000000", tmp_path / "bm25")
    named = record_names([str(tmp_path / "bm25")], tmp_path)
    assert named[str(tmp_path / "bm25")].startswith("bm25-")
    options = RetrievalOptions(pairs=inputs["pairs"])
    paths = list(evaluate_models("retrieval", [str(tmp_path / "bm25")], options, tmp_path / "out"))
    assert len({path.parent.name for path in paths}) == 6


def test_a_record_is_only_replaced_by_one_of_the_same_weights(evaluated: Run, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(evaluated.folder / "export" / "first-step-0000000", mine)
    save_record(Record("mine", "retrieval", {}, 1, {"revision": revision_of(str(mine))}, 0), tmp_path / "out")
    assert record_names([str(mine)], tmp_path / "out") == {str(mine): "mine"}
    save_record(Record("mine", "retrieval", {}, 1, {"revision": "0" * 64}, 0), tmp_path / "out")
    assert record_names([str(mine)], tmp_path / "out") == {str(mine): f"mine-{revision_of(str(mine))[:8]}"}


def test_one_model_named_twice(evaluated: Run, tmp_path: Path) -> None:
    shutil.copytree(evaluated.folder / "export" / "first-step-0000000", tmp_path / "first-step-0000000")
    models = [str(tmp_path / "first-step-0000000"), str(evaluated.folder / "export" / "first-step-0000000")]
    with pytest.raises(UserError, match=r"two models are called .*first-step-0000000' and have equal weights"):
        record_names(models, tmp_path / "out")


def test_an_unknown_task_and_missing_inputs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="task 'jgleu': unknown; expected validation, fill-mask, pseudo-"):
        next(evaluate_models("jgleu", ["m"], TaskOptions(), tmp_path))
    with pytest.raises(UserError, match="--cloze is missing"):
        next(evaluate_models("fill-mask", ["m"], FillMaskOptions(), tmp_path))
    with pytest.raises(UserError, match="not a run directory"):
        evaluate_run(tmp_path, {})
