"""The loop on a tiny run: it learns, and a run killed anywhere and resumed is the run that was not killed."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from anaume.errors import UserError
from anaume.pretrain import checkpoint, loop
from anaume.pretrain.loop import pretrain
from anaume.pretrain.optim import optimizers
from anaume.recipe import Recipe
from anaume.run import CheckpointName, Run

TIMED = ("tokens_per_second", "mfu")


def _metrics(run: Run) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in run.metrics_file.read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMED} for line in lines]


def _same(a: Run, b: Run) -> None:
    assert _metrics(a) == _metrics(b)
    assert a.checkpoints() == b.checkpoints()
    for name in a.checkpoints():
        for file in ("model.safetensors", "optimizer.safetensors"):
            ours, theirs = load_file(a.checkpoint(name) / file), load_file(b.checkpoint(name) / file)
            assert ours.keys() == theirs.keys()
            for key in ours:
                np.testing.assert_array_equal(ours[key], theirs[key], err_msg=f"{name} {key}")


def test_a_run_leaves_what_the_design_promises(straight: Run, tiny: Recipe) -> None:
    assert [(n.stage, n.step) for n in straight.checkpoints()] == [
        *(("first", step) for step in (0, 2, 4, 6)),
        *(("second", step) for step in (2, 4)),
    ]
    records = _metrics(straight)
    train = [r for r in records if r["kind"] == "train"]
    assert [(r["stage"], r["step"]) for r in train] == [("first", s) for s in range(1, 7)] + [
        ("second", s) for s in range(1, 5)
    ]
    assert {"loss", "learning_rate", "gradient_norm", "tokens", "padding_fraction"} <= train[0].keys()
    validation = [(r["stage"], r["step"]) for r in records if r["kind"] == "validation"]
    assert validation == [("first", 0), ("first", 3), ("first", 6), ("second", 0), ("second", 2), ("second", 4)]
    manifest = json.loads(straight.manifest_file.read_text(encoding="utf-8"))
    lines = Path(tiny.corpus.train[0].path).read_text(encoding="utf-8").splitlines()
    assert manifest["data"]["train"]["documents"] == len(lines)
    assert manifest["environment"]["torch"]


def test_it_learns(straight: Run) -> None:
    losses = [r["loss"] for r in _metrics(straight) if r["kind"] == "validation"]
    assert losses[0] == pytest.approx(np.log(1200), abs=0.3)
    assert losses[2] < losses[0] - 0.3


class Killed(Exception):
    """Stands for a SIGKILL: nothing in the program catches it."""


@pytest.mark.parametrize(
    ("kills"), [[1], [3], [6], [7], [9], [4, 4], [2, 5, 2]], ids=lambda kills: "then ".join(map(str, kills))
)
def test_killed_and_resumed_equals_straight(
    straight: Run, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: list[int]
) -> None:
    """`kills`: after how many updates each attempt dies; the last attempt finishes."""
    update = loop._update
    for kill in kills:
        count = iter(range(kill))

        def dying(*args: Any, count: Any = count) -> tuple[float, float]:
            if next(count, None) is None:
                raise Killed
            return update(*args)

        monkeypatch.setattr(loop, "_update", dying)
        with pytest.raises(Killed):
            pretrain(tiny, tmp_path / "run")
    monkeypatch.setattr(loop, "_update", update)
    _same(straight, pretrain(tiny, tmp_path / "run"))


def test_a_finished_run_has_nothing_left_to_do(straight: Run, tiny: Recipe, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(straight.folder, copy)
    before = (copy / "metrics.jsonl").read_bytes()
    pretrain(tiny, copy)
    assert (copy / "metrics.jsonl").read_bytes() == before


def test_a_damaged_checkpoint_is_passed_over(
    straight: Run, tiny: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(straight.folder, copy)
    weights = Run(copy).checkpoint(CheckpointName("second", 4)) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    state = checkpoint.latest(Run(copy))
    assert state
    assert (state.stage, state.step) == ("second", 2)
    assert "model.safetensors: its checksum differs" in capsys.readouterr().err
    _same(straight, pretrain(tiny, copy))


def test_the_loss_weighs_every_hidden_token_alike(straight: Run, tiny: Recipe) -> None:
    """Twice the accumulation over micro-batches of half the size of the same text is the same step."""
    from anaume.batches.loader import batches
    from anaume.model import mlm
    from anaume.pretrain.prepare import prepare

    stage = tiny.stage[0]
    data = prepare(tiny, straight)
    stream = batches(data.plan(tiny, stage, "train"))
    pair = [next(stream)[0] for _ in range(2)]
    network = mlm.build(tiny.model, data.tokenizer, 0)
    inputs = [mlm.to_device(batch, stage.length, torch.device("cpu")) for batch in pair]
    with torch.no_grad():
        sums = [mlm.loss_sum(network, x).item() for x in inputs]
    expected = sum(sums) / sum(batch.targets for batch in pair)
    optimizer = optimizers(network, stage)
    loss, _ = loop._update(network, optimizer, stage, 0.0, pair)
    assert loss == pytest.approx(expected, rel=1e-6)


def test_a_run_of_another_recipe_is_left_alone(straight: Run, tiny: Recipe) -> None:
    before = straight.metrics_file.read_bytes()
    other = tiny.model_copy(update={"seed": 8})
    with pytest.raises(UserError, match=r"seed = 7 there, seed = 8 here"):
        pretrain(other, straight.folder)
    assert straight.metrics_file.read_bytes() == before


def test_a_folder_that_is_no_run_is_left_alone(tiny: Recipe, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("important")
    with pytest.raises(UserError, match="neither empty nor a run directory"):
        pretrain(tiny, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_infinite_loss_stops_the_run(tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_update", lambda *_: (float("nan"), 1.0))
    with pytest.raises(UserError, match=r"the loss became nan in step 1 of first \(epoch 0, window 0, row 0\)"):
        pretrain(tiny, tmp_path / "run")
