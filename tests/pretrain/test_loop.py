"""The training loop on a tiny run: it learns, and a run that was killed and resumed equals one that was not."""

import json
import shutil
import signal
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tests.support.kills import killed_after

from anaume.batches.batch import IGNORE
from anaume.batches.loader import batches
from anaume.errors import UserError
from anaume.model import mlm
from anaume.pretrain import checkpoint, loop
from anaume.pretrain.loop import pretrain
from anaume.pretrain.objective import make_objective
from anaume.pretrain.optim import optimizers
from anaume.pretrain.prepare import prepare
from anaume.pretrain.ranks.rank import Ranks
from anaume.recipe import Recipe
from anaume.run import CheckpointName, Run, training_lock

ALONE = Ranks(0, 1, torch.device("cpu"))
TIMED = ("tokens_per_second", "mfu", "seconds")


def _metrics(run: Run) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in run.metrics_file.read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMED} for line in lines]


def _same(a: Run, b: Run) -> None:
    assert _metrics(a) == _metrics(b)
    assert a.checkpoints() == b.checkpoints()
    for name in a.checkpoints():
        _same_tensors(a, b, name)


def _same_tensors(a: Run, b: Run, name: CheckpointName) -> None:
    for file in ("model.safetensors", "optimizer.safetensors"):
        ours, theirs = load_file(a.checkpoint(name) / file), load_file(b.checkpoint(name) / file)
        assert ours.keys() == theirs.keys()
        for key in ours:
            np.testing.assert_array_equal(ours[key], theirs[key], err_msg=f"{name} {key}")


def test_a_run_has_its_checkpoints_records_and_manifest(straight: Run, tiny: Recipe) -> None:
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "kills", [[1, 3, 4, 1, 3], [6], [9], [2, 5, 2]], ids=lambda kills: " then ".join(map(str, kills))
)
def test_killed_and_resumed_equals_straight(straight: Run, tiny: Recipe, tmp_path: Path, kills: list[int]) -> None:
    """`kills`: the number of updates after which each attempt dies; one more attempt finishes.

    The first attempts die before a checkpoint, between two, at the end of a stage, and in the next one.
    """
    for kill in kills:
        with killed_after(kill):
            pretrain(tiny, tmp_path / "run")
    _same(straight, pretrain(tiny, tmp_path / "run"))


@pytest.mark.slow
def test_a_resumed_run_keeps_the_precision_that_it_began_with(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch, killed_after(2):
        patch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
        pretrain(tiny, tmp_path / "run")
    manifest = json.loads(Run(tmp_path / "run").manifest_file.read_text(encoding="utf-8"))
    assert manifest["precision"] == "bfloat16"
    capsys.readouterr()
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    with killed_after(2):
        pretrain(tiny, tmp_path / "run")
    assert 'precision = "bfloat16": this CPU has no instructions for it' in capsys.readouterr().err


@pytest.mark.slow
def test_bfloat16_products_learn_as_float32_and_resume_exactly(straight: Run, tiny: Recipe, tmp_path: Path) -> None:
    bfloat16 = tiny.model_copy(update={"precision": "bfloat16"})
    whole = pretrain(bfloat16, tmp_path / "whole")
    with killed_after(4):
        pretrain(bfloat16, tmp_path / "run")
    _same(whole, pretrain(bfloat16, tmp_path / "run"))
    ours, theirs = ([line["loss"] for line in _metrics(run)] for run in (whole, straight))
    assert ours[0] != theirs[0]  # the weights are equal, so validation is in bfloat16 too
    assert ours == pytest.approx(theirs, rel=0.01)
    assert (
        load_file(whole.checkpoint(whole.checkpoints()[-1]) / "model.safetensors")["decoder.bias"].dtype == np.float32
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_the_run_with_a_checkpoint_that_resumes_exactly(
    straight: Run, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    update, steps = loop.update, iter(range(1, 4))

    def signalled(*arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if next(steps) == 3:
            signal.raise_signal(number)
        return update(*arguments)

    monkeypatch.setattr(loop, "update", signalled)
    run = pretrain(tiny, tmp_path / "run")
    monkeypatch.undo()
    assert run.checkpoints()[-1] == CheckpointName("first", 3)
    shutil.rmtree(run.checkpoint(CheckpointName("first", 2)))  # the next run must resume from step 3
    pretrain(tiny, run.folder)
    assert _metrics(run) == _metrics(straight)
    _same_tensors(run, straight, CheckpointName("second", 4))


def test_a_finished_run_is_not_changed(straight: Run, tiny: Recipe, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(straight.folder, copy)
    before = (copy / "metrics.jsonl").read_bytes()
    pretrain(tiny, copy)
    assert (copy / "metrics.jsonl").read_bytes() == before


@pytest.mark.slow
def test_a_resumed_run_keeps_its_tokens(straight: Run, tiny: Recipe, tmp_path: Path) -> None:
    """A file that is added to the corpus between two attempts changes neither the order nor the result."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    shutil.copy(tiny.corpus.train[0].path, folder / "b.jsonl")
    source = tiny.corpus.train[0].model_copy(update={"path": str(folder / "*.jsonl")})
    recipe = tiny.model_copy(update={"corpus": tiny.corpus.model_copy(update={"train": [source]})})
    with killed_after(3):
        pretrain(recipe, tmp_path / "run")
    shutil.copy(tiny.corpus.validation[0].path, folder / "a.jsonl")
    _same(straight, pretrain(recipe, tmp_path / "run"))


def test_a_run_without_a_manifest_is_resumed(straight: Run, tiny: Recipe, tmp_path: Path) -> None:
    shutil.copytree(straight.folder, tmp_path / "run", ignore=shutil.ignore_patterns("manifest.json"))
    again = pretrain(tiny, tmp_path / "run")
    assert json.loads(again.manifest_file.read_text(encoding="utf-8"))["name"] == "tiny"


def test_one_process_at_a_time(tiny: Recipe, tmp_path: Path) -> None:
    with training_lock(Run(tmp_path / "run")), pytest.raises(UserError, match="another process is training in it"):
        pretrain(tiny, tmp_path / "run")


def test_ranks_must_share_a_batch_equally(tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(
        UserError, match="batch_tokens = 512: 3 processes can't share it; expected a multiple of 3 × micro_batch_to"
    ):
        pretrain(tiny, tmp_path / "run")


def test_min_document_tokens_longer_than_every_document(tiny: Recipe, tmp_path: Path) -> None:
    stage = tiny.stage[1].model_copy(update={"min_document_tokens": 10**6})
    with pytest.raises(
        UserError, match="stage 'second': min_document_tokens = 1000000: no document is as long; expected at most"
    ):
        pretrain(tiny.model_copy(update={"stage": [tiny.stage[0], stage]}), tmp_path / "run")
    assert not (tmp_path / "run" / "recipe.toml").exists()


@pytest.mark.slow
def test_a_damaged_checkpoint_is_skipped(
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


def test_every_masked_token_has_the_same_weight(straight: Run, tiny: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss and gradient of two micro-batches with different numbers of masked tokens are those of the sum over both."""
    stage = tiny.stage[0].model_copy(update={"gradient_clip": 1e9})
    data = prepare(tiny, straight)
    stream = batches(data.plan(tiny, tiny.stage[0], "train"))
    first, second = (next(stream)[0] for _ in range(2))
    labels = second.labels.copy()
    labels[: len(labels) // 2] = IGNORE
    pair = [first, replace(second, labels=labels)]
    network = mlm.build(tiny.model, data.tokenizer, 0)
    sums = [mlm.loss_sum(network, mlm.to_device(batch, stage.length, network.device)) for batch in pair]
    expected = (sums[0] + sums[1]) / sum(batch.targets for batch in pair)
    gradients = torch.autograd.grad(expected, list(network.parameters()))

    steppers = optimizers(network, stage)
    stepped: list[torch.Tensor] = []
    monkeypatch.setattr(
        steppers[0], "step", lambda: stepped.extend(p.grad.clone() for p in network.parameters() if p.grad is not None)
    )
    targets = torch.tensor(float(sum(batch.targets for batch in pair)))
    objective = make_objective(network, ALONE, False, "auto")
    loss, norm = loop.update(objective, steppers, stage, 0.0, pair, targets, ALONE)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert norm.item() == pytest.approx(torch.stack([g.norm() for g in gradients]).norm().item(), rel=1e-5)
    for ours, theirs in zip(stepped, gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-7, rtol=1e-4)


def test_a_run_of_another_recipe_is_not_changed(straight: Run, tiny: Recipe) -> None:
    before = straight.metrics_file.read_bytes()
    other = tiny.model_copy(update={"seed": 8})
    with pytest.raises(UserError, match=r"seed = 8: a run keeps this key; expected 7"):
        pretrain(other, straight.folder)
    assert straight.metrics_file.read_bytes() == before


def _changed(recipe: Recipe, first: dict[str, Any], second: dict[str, Any]) -> Recipe:
    stages = [stage.model_copy(update=to) for stage, to in zip(recipe.stage, (first, second), strict=True)]
    return recipe.model_copy(update={"stage": stages})


@pytest.mark.slow
def test_a_causal_stage_goes_on_masked_with_its_moments(tiny: Recipe, tmp_path: Path) -> None:
    """A run that dies in the causal stage, at the switch and after it equals one that does not."""
    causal = {"objective": "causal", "schedule": "wsd", "optimizer": "muon"}
    recipe = _changed(tiny, causal, {"keep_moments": True, "warmup_steps": 0})
    whole = pretrain(recipe, tmp_path / "whole")
    for kill in (5, 1, 2):
        with killed_after(kill):
            pretrain(recipe, tmp_path / "run")
    _same(whole, pretrain(recipe, tmp_path / "run"))

    last, first = CheckpointName("first", 6), CheckpointName("second", 2)
    before, after = (load_file(whole.checkpoint(name) / "optimizer.safetensors") for name in (last, first))
    assert [int(moments["decoder.bias/step"]) for moments in (before, after)] == [6, 8]


@pytest.mark.slow
def test_settings_that_change_no_number_may_change_in_a_run(straight: Run, tiny: Recipe, tmp_path: Path) -> None:
    """Gradient checkpointing from stage 2 on, as after an "out of memory": equal bits, and a note in the manifest."""
    with killed_after(9):
        pretrain(tiny, tmp_path / "run")
    changed = _changed(tiny, {"gradient_checkpointing": True}, {"gradient_checkpointing": True, "keep_last": 1})
    run = pretrain(changed, tmp_path / "run")
    _same(straight, run)
    assert run.recipe() == changed
    (change,) = json.loads(run.manifest_file.read_text(encoding="utf-8"))["changes"]
    assert change["after"] == "second-step-0000002"
    assert change["keys"] == {
        "stage.0.gradient_checkpointing": [False, True],
        "stage.1.gradient_checkpointing": [False, True],
        "stage.1.keep_last": [2, 1],
    }


@pytest.mark.slow
def test_a_stage_that_has_not_begun_may_change(tiny: Recipe, tmp_path: Path) -> None:
    """A run killed in stage 1 and resumed with another stage 2 equals a run that had that stage from the start."""
    changed = _changed(tiny, {}, {"learning_rate": 2e-3, "name": "other", "mask_rate": 0.2})
    with killed_after(3):
        pretrain(tiny, tmp_path / "run")
    _same(pretrain(changed, tmp_path / "whole"), pretrain(changed, tmp_path / "run"))
    with pytest.raises(UserError, match=r"stage.1.name = 'second': a run keeps this key; expected 'other'"):
        pretrain(tiny, tmp_path / "run")


@pytest.mark.slow
def test_a_stage_without_a_checkpoint_has_not_begun(tiny: Recipe, tmp_path: Path) -> None:
    """Its lines are removed from the metrics, although the recipe no longer has its name."""
    changed = _changed(tiny, {}, {"name": "other"})
    with killed_after(7):
        pretrain(tiny, tmp_path / "run")
    assert _metrics(Run(tmp_path / "run"))[-1]["stage"] == "second"
    run = pretrain(changed, tmp_path / "run")
    assert {line["stage"] for line in _metrics(run)} == {"first", "other"}


def test_a_folder_that_is_not_a_run_is_not_changed(tiny: Recipe, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("important")
    with pytest.raises(UserError, match="neither empty nor a run directory"):
        pretrain(tiny, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_time_of_a_step_includes_the_wait_for_its_numbers(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step runs when one of its numbers is read, as on a GPU."""
    update, waits = loop.update, list[float]()

    def deferred(*arguments: Any) -> tuple[SimpleNamespace, ...]:
        @cache
        def numbers() -> list[float]:
            start = time.perf_counter()
            values = [value.item() for value in update(*arguments)]
            waits.append(time.perf_counter() - start)
            return values

        return tuple(SimpleNamespace(item=lambda index=index: numbers()[index]) for index in range(2))

    monkeypatch.setattr(loop, "update", deferred)
    short = tiny.model_copy(update={"stage": [tiny.stage[0].model_copy(update={"steps": 3})]})
    pretrain(short, tmp_path / "run")
    lines = [json.loads(line) for line in Run(tmp_path / "run").metrics_file.read_text(encoding="utf-8").splitlines()]
    train = [line for line in lines if line["kind"] == "train"]
    tokens = np.diff([0, *(line["tokens"] for line in train)])
    for count, line, wait in zip(tokens, train, waits, strict=True):
        assert count / line["tokens_per_second"] >= wait > 0


def test_an_infinite_loss_stops_the_run(tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "update", lambda *_: (torch.tensor(torch.nan), torch.tensor(1.0)))
    with pytest.raises(
        UserError, match=r"loss nan, gradient norm 1.0 in step 1 of first \(from epoch 0, window 0, row 0"
    ):
        pretrain(tiny, tmp_path / "run")


@pytest.mark.slow
def test_a_corpus_in_memory_trains_as_one_on_disk_and_must_not_change(
    straight: Run, tiny: Recipe, tmp_path: Path
) -> None:
    file = tmp_path / "train.jsonl"
    shutil.copy(tiny.corpus.train[0].path, file)
    source = tiny.corpus.train[0].model_copy(update={"path": str(file)})
    in_memory = tiny.corpus.model_copy(update={"train": [source], "in_memory": True})
    recipe = tiny.model_copy(update={"corpus": in_memory})
    with killed_after(3):
        pretrain(recipe, tmp_path / "run")
    assert not Run(tmp_path / "run").tokens("train").exists()
    whole = file.read_text(encoding="utf-8")
    file.write_text(whole[: len(whole) // 2].rpartition("\n")[0], encoding="utf-8")
    with pytest.raises(UserError, match="has changed since the run began"):
        pretrain(recipe, tmp_path / "run")
    file.write_text(whole, encoding="utf-8")
    _same(straight, pretrain(recipe, tmp_path / "run"))
