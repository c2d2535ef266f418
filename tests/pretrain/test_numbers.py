"""Batches with nothing to predict, numbers that are not finite, and tokens that changed on the disk."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from anaume.errors import UserError
from anaume.pretrain import loop
from anaume.pretrain.loop import pretrain
from anaume.recipe import Recipe
from anaume.run import CheckpointName, Run

FIRST, LAST = CheckpointName("first", 0), CheckpointName("first", 6)


def one_stage(recipe: Recipe, **changes: Any) -> Recipe:
    return recipe.model_copy(update={"stage": [recipe.stage[0].model_copy(update=changes)]})


def lines(run: Run, kind: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in run.metrics_file.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row["kind"] == kind]


def test_a_step_with_nothing_to_predict_weighs_nothing(tiny: Recipe, tmp_path: Path) -> None:
    """Documents of three tokens, of which round(0.45) are masked: the run goes on, and its weights stay the same."""
    sources = []
    for name, texts in (("train", ["猫", "犬"]), ("validation", ["猫"])):
        file = tmp_path / f"{name}.jsonl"
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        sources.append([tiny.corpus.train[0].model_copy(update={"path": str(file)})])
    corpus = tiny.corpus.model_copy(update=dict(zip(("train", "validation"), sources, strict=True)))
    unpacked = {"packing": False, "length": 64, "batch_tokens": 64, "micro_batch_tokens": 64, "mask_rate": 0.15}
    run = pretrain(one_stage(tiny, **unpacked).model_copy(update={"corpus": corpus}), tmp_path / "run")
    before, after = (load_file(run.checkpoint(name) / "model.safetensors") for name in (FIRST, LAST))
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name])
    assert [(row["loss"], row["gradient_norm"]) for row in lines(run, "train")] == [(None, None)] * 6
    assert [(row["loss"], row["targets"]) for row in lines(run, "validation")] == [(None, 0)] * 3


@pytest.fixture
def overflowing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss and gradient of the first step are finite; its update is not."""
    monkeypatch.setattr(loop, "learning_rate", lambda *_: 1e38)


@pytest.mark.usefixtures("overflowing")
def test_weights_that_overflow_in_the_update_are_not_saved(tiny: Recipe, tmp_path: Path) -> None:
    recipe = one_stage(tiny, save_every=1, validate_every=6)
    with pytest.raises(UserError, match=r"not finite after step 1 of first; the checkpoint was not written|in step 2"):
        pretrain(recipe, tmp_path / "run")
    assert Run(tmp_path / "run").checkpoints() == [FIRST]


@pytest.mark.usefixtures("overflowing")
def test_a_validation_that_is_not_finite_stops_the_run(tiny: Recipe, tmp_path: Path) -> None:
    recipe = one_stage(tiny, validate_every=1)
    with pytest.raises(UserError, match=r"validation loss (nan|inf) after step 1 of first; the step was not saved"):
        pretrain(recipe, tmp_path / "run")


def changed_tokens(straight: Run, tmp_path: Path, flip: int) -> Run:
    """The prepared tokens and tokenizer of a run that has not begun, with one byte of the ids changed."""
    run = Run(tmp_path / "run")
    for part in ("tokens", "tokenizer"):
        shutil.copytree(straight.folder / part, run.folder / part)
    (ids,) = run.tokens("train").rglob("ids.bin")
    content = bytearray(ids.read_bytes())
    content[len(content) // 2 // 4 * 4 + flip] ^= 1
    ids.write_bytes(content)
    return run


def test_tokens_that_changed_on_the_disk_reach_no_checkpoint(straight: Run, tiny: Recipe, tmp_path: Path) -> None:
    """The lowest bit of an id: another token of the vocabulary."""
    run = changed_tokens(straight, tmp_path, flip=0)
    with pytest.raises(UserError, match=r"ids\.bin: changed since it was written \(checksum\)"):
        pretrain(one_stage(tiny), run.folder)
    assert all(name.step == 0 for name in run.checkpoints())


def test_an_id_outside_the_vocabulary_is_one_line(straight: Run, tiny: Recipe, tmp_path: Path) -> None:
    run = changed_tokens(straight, tmp_path, flip=2)
    with pytest.raises(UserError, match=r"id \d+: not in the vocabulary; expected 0 to 1199|ids\.bin: changed"):
        pretrain(one_stage(tiny), run.folder)


def test_unchanged_tokens_are_verified_once(straight: Run) -> None:
    assert json.loads(straight.manifest_file.read_text(encoding="utf-8"))["tokens_verified"]


def test_another_number_of_threads_is_recorded(
    straight: Run, tiny: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(straight.folder, tmp_path / "run")
    run = Run(tmp_path / "run")
    manifest = json.loads(run.manifest_file.read_text(encoding="utf-8"))
    manifest["environment"]["threads"] = 7
    run.manifest_file.write_text(json.dumps(manifest), encoding="utf-8")
    for _ in range(2):
        pretrain(tiny, run.folder)
    assert capsys.readouterr().err.count("sums are rounded differently from here on: environment.threads = 1 (7") == 1
    (change,) = json.loads(run.manifest_file.read_text(encoding="utf-8"))["changes"]
    assert change["keys"] == {"environment.threads": [7, 1]}
