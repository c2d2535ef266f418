"""The training loop: one function per run and one per stage, each read from top to bottom.

A recipe and a run directory, new or interrupted → checkpoints and metrics. The rule: every number depends on the recipe
and the step alone, so a run that was killed and resumed equals a run that was not.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import ModernBertForMaskedLM

from anaume.batches.batch import PackedBatch
from anaume.batches.loader import Position, Share
from anaume.batches.workers import prefetch
from anaume.checkpoints import WEIGHTS
from anaume.errors import UserError
from anaume.files import FULL
from anaume.model import mlm
from anaume.model.flops import peak_flops
from anaume.model.init import with_shape_of_init
from anaume.model.memory import parameters
from anaume.pretrain import checkpoint, metrics
from anaume.pretrain.checkpoint import Saver, State
from anaume.pretrain.numbers import check_finite, check_validation
from anaume.pretrain.objective import accumulate, make_objective, start_copy
from anaume.pretrain.optim import learning_rate, optimizers
from anaume.pretrain.prepare import RunData, check_early, prepare, prepare_tokenizer
from anaume.pretrain.ranks.peers import Peers, connected
from anaume.pretrain.ranks.rank import Ranks, this_rank
from anaume.pretrain.ranks.stop import StopRequest, shielded
from anaume.pretrain.token_check import TokenCheck
from anaume.pretrain.trackers import Trackers
from anaume.pretrain.validation import HeldOut, held_out_sets, validate_all
from anaume.progress import TrainingProgress, say
from anaume.recipe import Precision, Recipe, Stage
from anaume.run import CheckpointName, Run, describe_environment, open_run, record_start, training_lock
from anaume.tokenizer.load import Tokenizer

# What changes the order of sums, and with it the last bits of every number.
ROUNDING = tuple(f"environment.{key}" for key in ("threads", "processes", "device", "cpu", "torch"))


@dataclass(frozen=True)
class TrainingRun:
    """Everything that stays constant while this process trains a run."""

    recipe: Recipe
    run: Run
    data: RunData
    network: ModernBertForMaskedLM
    ranks: Ranks
    loaders: int  # processes that make batches
    precision: Precision
    peak: float  # FLOP/s of all ranks' devices
    saver: Saver
    trackers: Trackers
    stop: StopRequest

    def log(self, record: dict[str, Any]) -> None:
        """Write a record to the metrics and the trackers, on the main process."""
        if self.ranks.is_main:
            metrics.append(self.run.metrics_file, record)
            self.trackers.log(record)

    def save(self, state: State, steppers: Sequence[Optimizer], stopping: bool = False) -> None:
        """Begin to write a checkpoint, on the main process."""
        if self.ranks.is_main:
            self.saver.save(state, self.network, steppers, stopping)


def pretrain(recipe: Recipe, folder: Path, workers: int = 1, loaders: int | None = None) -> Run:
    """Train all stages of a recipe in `folder`, from the last checkpoint if the folder holds an interrupted run.

    `workers` processes tokenise, and `loaders` processes make batches. By default one process makes batches for a GPU
    and none for a CPU, where a batch costs almost nothing beside its step. Ctrl-C, SIGTERM and SIGUSR1 end the run
    after the current step, with a checkpoint.

    Raises:
        UserError: the corpus, the tokenizer, the recipe or the folder is not usable; the loss is no longer finite; the
            disk is full; another rank failed.
        KeyboardInterrupt: Ctrl-C ended the run; the checkpoint is written.
    """
    ranks = this_rank()
    begun = Run(folder)
    recipe = with_shape_of_init(recipe, begun.recipe().model if begun.recipe_file.is_file() else None)
    check_early(recipe, ranks.count)
    if loaders is None:
        loaders = 1 if ranks.device.type == "cuda" else 0
    run = open_run(folder, recipe)
    try:
        with connected(ranks) as peers, training_lock(run) if ranks.is_main else nullcontext():
            stop_signal = _pretrain(recipe, run, workers, loaders, ranks, peers)
    except OSError as error:
        if error.errno not in FULL:
            raise
        checkpoints = [name.model for name in run.checkpoints()] if run.recipe_file.is_file() else []
        raise UserError(
            f"{error.filename or folder}: no space left on the disk ({error.strerror}); the last complete checkpoint is"
            f" {(checkpoints or ['none'])[-1]}, and the same command continues from it"
        ) from error
    if stop_signal == "SIGINT":
        raise KeyboardInterrupt  # a script that calls this must not go on as if the run were complete
    return run


def _pretrain(recipe: Recipe, run: Run, workers: int, loaders: int, ranks: Ranks, peers: Peers) -> str:
    """Prepare the data and the network, then train, on each rank; return the name of the signal that ended it, or "".

    The network is built before the text is tokenised, which may take hours: `model.init` may be wrong.
    """
    last, network = None, None
    if ranks.is_main:
        last = checkpoint.latest(run) if run.recipe_file.is_file() else None
        network = _network(recipe, run, prepare_tokenizer(recipe, run), ranks, last)
        data = prepare(recipe, run, workers)
        changed = record_start(run, recipe, _manifest(recipe, data, ranks))
        if rounding := [
            f"{key} = {now} ({before} before)" for key, (before, now) in changed.items() if key in ROUNDING
        ]:
            say(f"anaume: sums are rounded differently from here on: {', '.join(rounding)}")
        mlm.keep_config(network, run.network_file)
        _rewind(recipe, run, last)
        peers.announce_ready()
    else:
        peers.wait_for_main(run.manifest_file)
        data = prepare(recipe, run, workers)
    precision = _precision(recipe, run, ranks)
    peak = peak_flops(ranks.device, mlm.product_dtype(ranks.device, precision)) * ranks.count
    with StopRequest() as stop:  # until here a signal ends the process: there is nothing to save
        last = ranks.broadcast(last)
        network = network or _network(recipe, run, data.tokenizer, ranks, last)
        check = TokenCheck(run, data).raise_problem if ranks.is_main else lambda _: None
        with Saver(run, recipe, check) as saver, Trackers(recipe, run, ranks, last) as trackers:
            training = TrainingRun(recipe, run, data, network, ranks, loaders, precision, peak, saver, trackers, stop)
            if ranks.is_main and last:
                say(f"anaume: continues after step {last.step} of {last.stage}")
            _train(training, last)
    return stop.signal


def _precision(recipe: Recipe, run: Run, ranks: Ranks) -> Precision:
    """The precision that the run began with. Runs of older versions recorded none: float32 on a CPU."""
    in_bfloat16 = mlm.product_dtype(ranks.device, recipe.precision) == torch.bfloat16
    precision: Precision = run.manifest().get("precision", "bfloat16" if in_bfloat16 else "float32")
    if ranks.is_main and precision == "bfloat16" and not mlm.multiplies_bfloat16(ranks.device):
        say(
            'anaume: precision = "bfloat16": this CPU has no instructions for it and is many times as slow as in'
            ' float32; expected "auto"'
        )
    return precision


def _network(recipe: Recipe, run: Run, tokenizer: Tokenizer, ranks: Ranks, last: State | None) -> ModernBertForMaskedLM:
    """The network with the weights of the checkpoint `last`, or with its initial weights if that is None."""
    kept = run.network_file if last else None
    network = mlm.build(recipe.model, tokenizer, recipe.seed, ranks.device, kept)
    network.train()
    if last:
        mlm.load_weights(network, [run.checkpoint(last.name) / WEIGHTS])
    return network


def _rewind(recipe: Recipe, run: Run, last: State | None) -> None:
    """Discard what an interrupted run wrote after the checkpoint `last`; None begins again from step 0."""
    checkpoint.clean(run)
    if last:
        checkpoint.set_aside(run, last.name)
    metrics.rewind(run.metrics_file, [stage.name for stage in recipe.stage], last.name if last else None)


def _train(training: TrainingRun, last: State | None) -> None:
    """Train all stages from `last` on, or up to the step after which a stop is requested."""
    stages = training.recipe.stage
    state = last or State(stages[0].name, 0, 0, Position())
    for stage in stages[[stage.name for stage in stages].index(state.stage) :]:
        if state.stage != stage.name:
            state = State(stage.name, 0, state.tokens, Position())
        state = _train_stage(training, stage, state)
        if state.step < stage.steps:
            if training.ranks.is_main:
                moment = f"by {training.stop.signal or 'another process'} after step {state.step} of {stage.name}"
                say(f"anaume: stopped {moment}; the same command continues")
            break


def _train_stage(training: TrainingRun, stage: Stage, state: State) -> State:
    """Train one stage from `state` to its last step, or to the step after which a stop is requested."""
    network, ranks, data = training.network, training.ranks, training.data
    mlm.set_rope_theta(network, stage.rope_theta, stage.local_rope_theta)
    mlm.set_gradient_checkpointing(network, stage.gradient_checkpointing)
    steppers = _optimizers(training, stage, state)
    objective = make_objective(network, ranks, training.recipe.compile, training.precision)
    step_batches = stage.batch_tokens // stage.micro_batch_tokens // ranks.count
    held_out = held_out_sets(data, training.recipe, stage)
    with ExitStack() as stack:
        with shielded() if training.loaders else nullcontext():
            plan, share = data.plan(training.recipe, stage, "train"), Share(ranks.rank, ranks.count)
            stream = stack.enter_context(prefetch(plan, state.position, share, training.loaders, step_batches))
        progress = stack.enter_context(TrainingProgress(stage.name, stage.steps, state.step, not ranks.is_main))
        if state.step == 0:
            _validate(training, stage, state, held_out, progress)
            if stage == training.recipe.stage[0]:
                training.save(state, steppers)

        meter = metrics.Meter()
        unchecked: list[tuple[State, Tensor, Tensor]] = []
        stopping = False
        while state.step < stage.steps and not stopping:
            start = time.perf_counter()
            batches = list(islice(stream, step_batches))
            micro_batches, position = [batch for batch, _ in batches], batches[-1][1]
            rate = learning_rate(stage, state.step)
            targets, nothing_to_predict, stop_requested = _targets_and_stop(training, micro_batches)
            if nothing_to_predict():
                loss = norm = torch.full((), math.nan)  # such a step leaves weights and moments as they are
            else:
                loss, norm = update(objective, steppers, stage, rate, micro_batches, targets, ranks)
                unchecked.append((state, loss, norm))
            tokens = sum(position.source_tokens) - sum(state.position.source_tokens)
            state = State(stage.name, state.step + 1, state.tokens + tokens, position)

            stopping = stop_requested()
            last = state.step == stage.steps
            logs = state.step % stage.log_every == 0 or last
            validates = state.step % stage.validate_every == 0 or last
            saves = stage.saves(state.step) or stopping
            if logs or validates or saves or ranks.device.type == "cpu":
                check_finite(training.run, unchecked)
                unchecked.clear()
            # A GPU runs behind the host. The check above waits for it, so the time is right at each line of the log.
            work = metrics.step_flops(training.recipe.model, data.tokenizer.vocab_size, micro_batches)
            meter.add(time.perf_counter() - start, tokens, work * ranks.count)
            progress.advance(state.step)
            if logs:
                record = metrics.train_record(stage, state, tokens, loss, norm, rate, meter.rates(training.peak))
                training.log(record)
                progress.show(state.step, record)
                meter = metrics.Meter()
            if validates:
                _validate(training, stage, state, held_out, progress)
            if saves:
                training.save(state, steppers, stopping)
                meter = metrics.Meter()  # a resumed run begins with an empty meter at this step
    return state


def _optimizers(training: TrainingRun, stage: Stage, state: State) -> list[Optimizer]:
    """The optimizers of a stage, with the moments that they have at `state`."""
    steppers = optimizers(training.network, stage)
    if moments := _moments_at(training, stage, state):
        checkpoint.load_moments(training.run.checkpoint(moments), training.network, steppers)
    return steppers


def _moments_at(training: TrainingRun, stage: Stage, state: State) -> CheckpointName | None:
    """The checkpoint whose moments the stage goes on with from `state`; None if they begin at zero."""
    if state.step:
        return state.name
    if not stage.keep_moments:
        return None
    if training.ranks.is_main:
        training.saver.wait()
    training.ranks.broadcast(None)  # every rank reads the checkpoint, so none may be ahead of the writer
    stages = training.recipe.stage
    before = stages[stages.index(stage) - 1]
    return CheckpointName(before.name, before.steps)


def _targets_and_stop(
    training: TrainingRun, micro_batches: Sequence[PackedBatch]
) -> tuple[Tensor, Callable[[], bool], Callable[[], bool]]:
    """Number of tokens to predict on all ranks, (), whether it is 0, and whether any rank must stop.

    One sum over the ranks holds both numbers. Its copy to the host begins before the step, so that the functions wait
    for the previous step only: a GPU already has this step in its queue. A rank that has tokens to predict knows
    without waiting that their number is not 0.
    """
    ranks, stop = training.ranks, training.stop
    own_targets = sum(batch.targets for batch in micro_batches)
    numbers = torch.tensor([own_targets, bool(stop.signal)], dtype=torch.float64)
    totals = ranks.total(mlm.tensor_to_device(numbers, ranks.device))
    copied_totals = start_copy(totals)
    return (
        totals[0].float(),
        lambda: not own_targets and copied_totals()[0] == 0,
        lambda: copied_totals()[1] > 0 if ranks.count > 1 else bool(stop.signal),
    )


def update(
    objective: nn.Module,
    steppers: Sequence[Optimizer],
    stage: Stage,
    rate: float,
    micro_batches: Sequence[PackedBatch],
    targets: Tensor,
    ranks: Ranks,
) -> tuple[Tensor, Tensor]:
    """Take one optimizer step; return the mean loss (nats) over the masked tokens of all ranks and the gradient's norm.

    `targets`, (), is the number of masked tokens of the step over all ranks.
    """
    loss = accumulate(objective, micro_batches, stage.length, targets, ranks)
    norm = torch.nn.utils.clip_grad_norm_(objective.parameters(), stage.gradient_clip)
    for optimizer in steppers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
    return loss, norm


def _validate(
    training: TrainingRun, stage: Stage, state: State, sets: Sequence[HeldOut], progress: TrainingProgress
) -> None:
    """Score the batches of each validation set, log its record and show it."""
    for held_out in sets:
        start = time.perf_counter()
        with progress.validation(held_out.tokens) as advance:
            results = validate_all(training.network, held_out, stage, training.ranks, training.precision, advance)
        check_validation(training.run, state, held_out.name, results)
        record = metrics.validation_record(stage, state, held_out, results, time.perf_counter() - start)
        training.log(record)
        progress.show_validation(state.step, record)


def _manifest(recipe: Recipe, data: RunData, ranks: Ranks) -> dict[str, object]:
    return {
        "precision": mlm.training_precision(ranks.device, recipe.precision),
        "parameters": parameters(recipe.model, data.tokenizer.vocab_size).total,
        "environment": describe_environment(str(ranks.device), torch.get_num_threads()) | {"processes": ranks.count},
        "data": data.facts,
    }
