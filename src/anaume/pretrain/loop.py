"""The training loop: one function per run, one per stage, read from top to bottom.

Comes in: a recipe and a run directory, new or interrupted. Goes out: checkpoints and metrics. The rule: what is
computed depends on the recipe and on the step alone, so a run that was killed and resumed equals one that was not.
"""

import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import torch
from transformers import ModernBertForMaskedLM

from anaume.batches.batch import PackedBatch
from anaume.batches.loader import Position, batches, fixed
from anaume.errors import UserError
from anaume.model import mlm
from anaume.model.flops import peak_flops, training_flops
from anaume.pretrain import checkpoint, metrics
from anaume.pretrain.checkpoint import State
from anaume.pretrain.optim import learning_rate, optimizers
from anaume.pretrain.prepare import Data, prepare
from anaume.pretrain.progress import Progress
from anaume.pretrain.validation import validate
from anaume.recipe import Recipe, Stage
from anaume.run import Run, begin, check, environment, locked


def pretrain(recipe: Recipe, folder: Path, workers: int = 1) -> Run:
    """Train all stages of a recipe in `folder`; on an interrupted run, go on from its last checkpoint.

    Raises:
        UserError: the corpus, the tokenizer, the recipe or the folder is not usable; the loss is no longer finite.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            f"WORLD_SIZE = {os.environ['WORLD_SIZE']}: training on several processes is not there yet; accepted: 1"
        )
    run = check(folder, recipe)
    with locked(run):
        return _pretrain(recipe, run, workers)


def _pretrain(recipe: Recipe, run: Run, workers: int) -> Run:
    data = prepare(recipe, run, workers)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = mlm.build(recipe.model, data.tokenizer, recipe.seed, device).train()
    begin(run, recipe, _manifest(recipe, data, device))

    names = [stage.name for stage in recipe.stage]
    state = checkpoint.latest(run) or State(names[0], 0, 0, Position())
    # The checkpoint of step 0 is the seeded network itself: a run that got no further starts anew.
    metrics.rewind(run.metrics_file, names, state.name if state.step else None)
    if state.step:
        mlm.load_weights(network, run.checkpoint(state.name) / mlm.WEIGHTS)
    peak = peak_flops(device)
    for stage in recipe.stage[names.index(state.stage) :]:
        if state.stage != stage.name:
            state = State(stage.name, 0, state.tokens, Position())
        state = _train_stage(recipe, stage, run, data, network, state, peak)
    return run


def _train_stage(
    recipe: Recipe, stage: Stage, run: Run, data: Data, network: ModernBertForMaskedLM, state: State, peak: float
) -> State:
    """Train one stage from `state` to its last step."""
    mlm.set_rope_theta(network, stage.rope_theta)
    steppers = optimizers(network, stage)
    if state.step:
        checkpoint.load_moments(run.checkpoint(state.name), network, steppers)
    stream = batches(data.plan(recipe, stage, "train"), state.position)
    held_out = fixed(data.plan(recipe, stage, "validation"), stage.validation_tokens)
    accumulation = stage.batch_tokens // stage.micro_batch_tokens

    if state.step == 0:
        _validate(run, stage, state, network, held_out)
        if stage == recipe.stage[0]:
            checkpoint.save(run, state, network, steppers)

    meter = metrics.Meter()
    with Progress(stage.name, stage.steps, state.step) as progress:
        while state.step < stage.steps:
            start = time.perf_counter()
            read = list(islice(stream, accumulation))
            micro_batches, position = [batch for batch, _ in read], read[-1][1]
            rate = learning_rate(stage, state.step)
            loss, norm = _update(network, steppers, stage, rate, micro_batches)
            if not math.isfinite(loss + norm):
                raise UserError(
                    f"{run.folder}: loss {loss}, gradient norm {norm} in step {state.step + 1} of {stage.name}"
                    f" (from epoch {state.position.epoch}, window {state.position.window}, row {state.position.row});"
                    " nothing of it was saved; a lower learning_rate or a longer warm-up may help"
                )
            tokens = sum(batch.tokens for batch in micro_batches)
            state = State(stage.name, state.step + 1, state.tokens + tokens, position)
            meter.add(time.perf_counter() - start, tokens, stage.batch_tokens, _flops(recipe, data, micro_batches))

            last = state.step == stage.steps
            if state.step % stage.log_every == 0 or last:
                record = {
                    "kind": "train",
                    "stage": stage.name,
                    "step": state.step,
                    "loss": loss,
                    "learning_rate": rate,
                    "gradient_norm": norm,
                    "tokens": state.tokens,
                    "source_tokens": position.source_tokens,
                    "length_tokens": position.length_tokens,
                    **meter.rates(peak),
                }
                metrics.append(run.metrics_file, record)
                progress.show(state.step, record)
                meter = metrics.Meter()
            if state.step % stage.validate_every == 0 or last:
                _validate(run, stage, state, network, held_out)
            if state.step % stage.save_every == 0 or last:
                checkpoint.save(run, state, network, steppers)
                meter = metrics.Meter()  # a resumed run starts with an empty one here
    return state


def _update(
    network: ModernBertForMaskedLM,
    steppers: Sequence[torch.optim.Optimizer],
    stage: Stage,
    rate: float,
    micro_batches: Sequence[PackedBatch],
) -> tuple[float, float]:
    """One optimizer step; gives the mean loss over the batch's hidden tokens (nats) and the gradient's norm.

    Each hidden token of the batch weighs the same, in whichever micro-batch it lies.
    """
    device = network.device
    targets = sum(batch.targets for batch in micro_batches)
    total = torch.zeros((), device=device)
    for batch in micro_batches:
        loss = mlm.loss_sum(network, mlm.to_device(batch, stage.length, device)) / targets
        loss.backward()
        total += loss.detach()
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), stage.gradient_clip)
    for optimizer in steppers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
    return total.item(), norm.item()


def _validate(
    run: Run, stage: Stage, state: State, network: ModernBertForMaskedLM, held_out: Sequence[PackedBatch]
) -> None:
    """Score the validation batches and log the result."""
    result = validate(network, held_out, stage.length)
    record = {"kind": "validation", "stage": stage.name, "step": state.step, "tokens": state.tokens}
    metrics.append(run.metrics_file, record | asdict(result))


def _flops(recipe: Recipe, data: Data, micro_batches: Sequence[PackedBatch]) -> float:
    """Operations that the text of a batch takes; padding is no work done."""
    return sum(
        training_flops(recipe.model, data.tokenizer.vocab_size, batch.text_lengths, batch.targets)
        for batch in micro_batches
    )


def _manifest(recipe: Recipe, data: Data, device: torch.device) -> dict[str, object]:
    return {
        "parameters": mlm.parameters_of(recipe.model, data.tokenizer.vocab_size),
        "environment": environment(str(device), torch.get_num_threads()),
        "data": data.facts,
    }
