"""The training loop: one function per run, one per stage, read from top to bottom.

Comes in: a recipe and a run directory, new or interrupted. Goes out: checkpoints and metrics. The rule: what is
computed depends on the recipe and on the step alone, so a run that was killed and resumed equals one that was not.
"""

import math
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import ModernBertForMaskedLM

from anaume.batches.batch import PackedBatch
from anaume.batches.loader import Position, Share, validation_batches
from anaume.batches.workers import prefetch
from anaume.errors import UserError
from anaume.model import mlm
from anaume.model.flops import peak_flops, training_flops, warn_if_bfloat16_is_slower
from anaume.model.memory import parameters
from anaume.pretrain import checkpoint, metrics
from anaume.pretrain.checkpoint import Saver, State
from anaume.pretrain.objective import accumulate, make_objective, start_copy
from anaume.pretrain.optim import learning_rate, optimizers
from anaume.pretrain.prepare import RunData, prepare
from anaume.pretrain.ranks import Ranks, process_group, this_rank, wait_for
from anaume.pretrain.stop import StopRequest, shielded
from anaume.pretrain.trackers import Trackers
from anaume.pretrain.validation import validate
from anaume.progress import TrainingProgress
from anaume.recipe import Recipe, Stage
from anaume.run import Run, begin, check, environment, locked


@dataclass(frozen=True)
class Job:
    """What stays the same while a process trains a run."""

    recipe: Recipe
    run: Run
    data: RunData
    network: ModernBertForMaskedLM
    ranks: Ranks
    loaders: int
    peak: float
    saver: Saver
    trackers: Trackers
    stop: StopRequest

    def log(self, record: dict[str, Any]) -> None:
        """Add a line to the metrics and tell the trackers."""
        if self.ranks.is_main:
            metrics.append(self.run.metrics_file, record)
            self.trackers.log(record)

    def save(self, state: State, steppers: Sequence[Optimizer]) -> None:
        """Begin to write a checkpoint."""
        if self.ranks.is_main:
            self.saver.save(state, self.network, steppers)


def pretrain(recipe: Recipe, folder: Path, workers: int = 1, loaders: int | None = None) -> Run:
    """Train all stages of a recipe in `folder`; on an interrupted run, go on from its last checkpoint.

    `workers` processes tokenise; `loaders` processes make batches (default: one on a GPU, none on a CPU, where making
    them costs next to nothing). SIGTERM and SIGUSR1 end the run after a step, with a checkpoint.

    Raises:
        UserError: the corpus, the tokenizer, the recipe or the folder is not usable; the loss is no longer finite; the
            disk is full.
    """
    ranks = this_rank()
    for stage in recipe.stage:
        if stage.batch_tokens % (stage.micro_batch_tokens * ranks.count):
            raise UserError(
                f"stage {stage.name!r}: batch_tokens = {stage.batch_tokens} on {ranks.count} processes: must be a"
                f" multiple of {ranks.count} × micro_batch_tokens = {ranks.count * stage.micro_batch_tokens}"
            )
    if loaders is None:
        loaders = 1 if ranks.device.type == "cuda" else 0
    run = check(folder, recipe)
    if not ranks.is_main:
        wait_for(run.manifest_file)
    try:
        with locked(run) if ranks.is_main else nullcontext():
            return _pretrain(recipe, run, workers, loaders, ranks)
    except OSError as error:
        if error.errno not in checkpoint.FULL:
            raise
        last = ([name.model for name in run.checkpoints()] if run.recipe_file.is_file() else []) or ["none"]
        raise UserError(
            f"{error.filename or folder}: no space left on the disk ({error.strerror}); the last whole checkpoint is"
            f" {last[-1]}, and the same command goes on from it"
        ) from error


def _pretrain(recipe: Recipe, run: Run, workers: int, loaders: int, ranks: Ranks) -> Run:
    data = prepare(recipe, run, workers)
    last, network = None, None
    if ranks.is_main:
        last = checkpoint.latest(run) if run.recipe_file.is_file() else None
        network = _network(recipe, run, data, ranks, last)
        begin(run, recipe, _manifest(recipe, data, ranks))
        mlm.keep_config(network, run.folder / mlm.NETWORK)
        _rewind(recipe, run, last)
    dtype = mlm.product_dtype(ranks.device, recipe.precision)
    peak = peak_flops(ranks.device, dtype) * ranks.count
    if ranks.is_main:
        warn_if_bfloat16_is_slower(ranks.device, dtype, peak / ranks.count)
    with process_group(ranks), StopRequest() as stop:  # from here on: before, there is nothing to save
        last = ranks.broadcast(last)
        network = network or _network(recipe, run, data, ranks, last)
        with Saver(run, recipe) as saver, Trackers(recipe, run, ranks, last) as trackers:
            _train(Job(recipe, run, data, network, ranks, loaders, peak, saver, trackers, stop), last)
    return run


def _network(recipe: Recipe, run: Run, data: RunData, ranks: Ranks, last: State | None) -> ModernBertForMaskedLM:
    """The network as training left it at `last`, or before its first step."""
    kept = run.folder / mlm.NETWORK if last else None
    network = mlm.build(recipe.model, data.tokenizer, recipe.seed, ranks.device, kept)
    network.train()
    if last:
        mlm.load_weights(network, [run.checkpoint(last.name) / mlm.WEIGHTS])
    return network


def _rewind(recipe: Recipe, run: Run, last: State | None) -> None:
    """Take back what a run left behind after the checkpoint that it goes on from.

    The checkpoint of step 0 is the network before training: a run that got no further starts anew.
    """
    if last:
        checkpoint.set_aside(run, last.name)
    metrics.rewind(run.metrics_file, [stage.name for stage in recipe.stage], last.name if last else None)


def _train(job: Job, last: State | None) -> None:
    """Train all stages from `last` on, or as far as the step after which a stop is asked for."""
    stages = job.recipe.stage
    state = last or State(stages[0].name, 0, 0, Position())
    for stage in stages[[stage.name for stage in stages].index(state.stage) :]:
        if state.stage != stage.name:
            state = State(stage.name, 0, state.tokens, Position())
        state = _train_stage(job, stage, state)
        if state.step < stage.steps:
            if job.ranks.is_main:
                moment = f"by {job.stop.signal or 'another process'} after step {state.step} of {stage.name}"
                print(f"anaume: stopped {moment}; the same command goes on", file=sys.stderr)
            break


def _train_stage(job: Job, stage: Stage, state: State) -> State:
    """Train one stage from `state` to its last step, or to the step after which a stop is asked for."""
    recipe, run, network, ranks = job.recipe, job.run, job.network, job.ranks
    mlm.set_rope_theta(network, stage.rope_theta, stage.local_rope_theta)
    mlm.set_gradient_checkpointing(network, stage.gradient_checkpointing)
    steppers = optimizers(network, stage)
    if state.step:
        checkpoint.load_moments(run.checkpoint(state.name), network, steppers)
    objective = make_objective(network, ranks, recipe.compile, recipe.precision)
    accumulation = stage.batch_tokens // stage.micro_batch_tokens // ranks.count
    share = Share(ranks.rank, ranks.count)
    with shielded() if job.loaders else nullcontext():
        stream = prefetch(job.data.plan(recipe, stage, "train"), state.position, share, job.loaders, accumulation)
    held_out = validation_batches(job.data.plan(recipe, stage, "validation"), stage.validation_tokens)

    if state.step == 0:
        _validate(job, stage, state, held_out)
        if stage == recipe.stage[0]:
            job.save(state, steppers)

    meter = metrics.Meter()
    unchecked: list[tuple[State, Tensor, Tensor]] = []
    stopping = False
    with TrainingProgress(stage.name, stage.steps, state.step, quiet=not ranks.is_main) as progress:
        while state.step < stage.steps and not stopping:
            start = time.perf_counter()
            read = list(islice(stream, accumulation))
            micro_batches, position = [batch for batch, _ in read], read[-1][1]
            rate = learning_rate(stage, state.step)
            # One sum over the ranks tells how many tokens are to be predicted and whether one of them is to stop.
            asked = [sum(batch.targets for batch in micro_batches), bool(job.stop.signal)]
            counts = ranks.total(mlm.tensor_to_device(torch.tensor(asked, dtype=torch.float64), ranks.device))
            told = start_copy(counts)
            loss, norm = update(objective, steppers, stage, rate, micro_batches, counts[0].float(), ranks)
            unchecked.append((state, loss, norm))
            tokens = sum(position.source_tokens) - sum(state.position.source_tokens)
            state = State(stage.name, state.step + 1, state.tokens + tokens, position)

            # Known since the step began: a GPU has this one queued while the host waits for the one before.
            stopping = told()[1] > 0 if ranks.count > 1 else bool(job.stop.signal)
            last = state.step == stage.steps
            logs = state.step % stage.log_every == 0 or last
            validates = state.step % stage.validate_every == 0 or last
            saves = state.step % stage.save_every == 0 or last or stopping
            if logs or validates or saves or ranks.device.type == "cpu":
                _check(job, unchecked)
                unchecked.clear()
            # A GPU's steps are counted when they are queued, their time when it is waited for: by each line of the log.
            meter.add(time.perf_counter() - start, tokens, _flops(job, micro_batches) * ranks.count)
            if logs:
                record: dict[str, Any] = {
                    "kind": "train",
                    "stage": stage.name,
                    "step": state.step,
                    "loss": loss.item(),
                    "learning_rate": rate,
                    "gradient_norm": norm.item(),
                    "tokens": state.tokens,
                    "source_tokens": position.source_tokens,
                    "length_tokens": position.length_tokens,
                    "padding_fraction": 1 - tokens / stage.batch_tokens,
                    **meter.rates(job.peak),
                }
                job.log(record)
                progress.show(state.step, record)
                meter = metrics.Meter()
            if validates:
                _validate(job, stage, state, held_out)
            if saves:
                job.save(state, steppers)
                meter = metrics.Meter()  # a resumed run starts with an empty one here
    return state


def update(
    objective: nn.Module,
    steppers: Sequence[Optimizer],
    stage: Stage,
    rate: float,
    micro_batches: Sequence[PackedBatch],
    targets: Tensor,
    ranks: Ranks,
) -> tuple[Tensor, Tensor]:
    """One optimizer step; gives the mean loss over the hidden tokens of all ranks (nats) and the gradient's norm."""
    loss = accumulate(objective, micro_batches, stage.length, targets, ranks)
    norm = torch.nn.utils.clip_grad_norm_(objective.parameters(), stage.gradient_clip)
    for optimizer in steppers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
    return loss, norm


def _check(job: Job, unchecked: Sequence[tuple[State, Tensor, Tensor]]) -> None:
    """Stop at the first step whose loss or gradient is not finite; `State` is the one before the step."""
    for before, loss, norm in unchecked:
        if not math.isfinite(loss.item() + norm.item()):
            at = before.position
            raise UserError(
                f"{job.run.folder}: loss {loss.item()}, gradient norm {norm.item()} in step {before.step + 1} of"
                f" {before.stage} (from epoch {at.epoch}, window {at.window}, row {at.row}); nothing of it was saved;"
                " a lower learning_rate or a longer warm-up may help; to see its documents:"
                f" anaume batch {job.run.folder} --stage {before.stage} --step {before.step + 1}"
            )


def _validate(job: Job, stage: Stage, state: State, held_out: Sequence[PackedBatch]) -> None:
    """Score the validation batches and log the result."""
    result = validate(job.network, held_out, stage.length, job.ranks, job.recipe.precision)
    job.log({"kind": "validation", "stage": stage.name, "step": state.step, "tokens": state.tokens} | asdict(result))


def _flops(job: Job, micro_batches: Sequence[PackedBatch]) -> float:
    """Operations that the text of a batch takes; padding is no work done."""
    vocab_size = job.data.tokenizer.vocab_size
    return sum(
        training_flops(job.recipe.model, vocab_size, batch.text_lengths, batch.targets) for batch in micro_batches
    )


def _manifest(recipe: Recipe, data: RunData, ranks: Ranks) -> dict[str, object]:
    return {
        "parameters": parameters(recipe.model, data.tokenizer.vocab_size).total,
        "environment": environment(str(ranks.device), torch.get_num_threads()) | {"processes": ranks.count},
        "data": data.facts,
    }
