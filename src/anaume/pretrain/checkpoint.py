"""Checkpoints are complete or absent, and sufficient to resume bit for bit. `anaume.checkpoints` reads their files."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from anaume.batches.loader import Position, position_of
from anaume.checkpoints import STATE, WEIGHTS, damage, read_state
from anaume.errors import UserError
from anaume.files import folder_atomic, remove_folder, remove_leftovers, sealed, sha256
from anaume.model.mlm import weights_of
from anaume.progress import say
from anaume.recipe import Recipe
from anaume.run import CheckpointName, Run

OPTIMIZER = "optimizer.safetensors"
# What to try when numbers are no longer finite.
ADVICE = "try a lower learning_rate or a longer warm-up"
# Prefix of a damaged checkpoint's name. The run ignores the folder; its owner may inspect or remove it.
DAMAGED_PREFIX = "damaged-"


@dataclass(frozen=True)
class State:
    """The point that training has reached: `step` steps of `stage`, and `tokens` real tokens over all stages."""

    stage: str
    step: int
    tokens: int
    position: Position

    @property
    def name(self) -> CheckpointName:
        """The name of the checkpoint at this point."""
        return CheckpointName(self.stage, self.step)


class Saver:
    """Writes checkpoints in a thread beside training, one at a time, and prunes old ones.

    Training waits only for the copy of the weights and moments. An error while writing is raised by the next `save`, or
    at the end of the block. `check` is called before a checkpoint is written, and its error is one while writing.
    """

    def __init__(self, run: Run, recipe: Recipe, check: Callable[[bool], None]) -> None:
        self._run, self._recipe, self._check = run, recipe, check
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        if error is None:
            self.wait()

    def save(self, state: State, network: nn.Module, steppers: Sequence[Optimizer], stopping: bool) -> None:
        """Begin to write a checkpoint after the previous one is complete. `check` does not wait if `stopping`."""
        self.wait()
        tensors = {WEIGHTS: weights_of(network), OPTIMIZER: _moments(network, steppers)}
        copies = {file: {name: _copy(t) for name, t in named.items()} for file, named in tensors.items()}
        self._pending = self._thread.submit(self._write, state, copies, stopping)

    def wait(self) -> None:
        """Wait until the checkpoint that is being written is complete."""
        if self._pending:
            self._pending.result()

    def _write(self, state: State, tensors: dict[str, dict[str, Tensor]], stopping: bool) -> None:
        check_tensors(state, tensors)
        self._check(not stopping and state.step > 0)
        write(self._run.checkpoint(state.name), state, tensors)
        prune(self._run, self._recipe)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)


def write(folder: Path, state: State, tensors: dict[str, dict[str, Tensor]]) -> None:
    """Write a checkpoint, which appears under its name only when its last byte is on the disk."""
    with folder_atomic(folder) as temporary:
        for file, named in tensors.items():
            save_file(named, temporary / file)
        checksums = {file: sha256(temporary / file) for file in tensors}
        sealed.write(temporary / STATE, asdict(state) | {"sha256": checksums})


def check_tensors(state: State, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Raise an error if a weight or a moment of a checkpoint is not finite; `tensors` maps file → name → tensor."""
    for file, named in tensors.items():
        for name, tensor in named.items():
            # By numpy, because an operation of torch in this thread starts a second pool of OpenMP threads. Once they
            # outnumber the cores, libgomp's threads no longer spin, and training takes 1.6 times as long.
            if tensor.is_floating_point() and not np.isfinite(tensor.numpy()).all():
                raise UserError(
                    f"{file}: {name}: not finite after step {state.step} of {state.stage}; the checkpoint was not"
                    f" written; {ADVICE}, or a larger adam_eps"
                )


def prune(run: Run, recipe: Recipe) -> None:
    """Remove the checkpoints that no rule of their stage keeps: `keep_every`, `keep_steps` and `keep_last`.

    The last checkpoint in the order of training is the newest: a resume renames those after its point (`set_aside`).
    """
    names = run.checkpoints()
    stages = {stage.name: stage for stage in recipe.stage}
    ages = {name: age for age, name in enumerate(reversed(names))}
    for name in names:
        stage = stages[name.stage]
        if not stage.keeps(name.step) and ages[name] >= stage.keep_last:
            remove_folder(run.checkpoint(name))


def clean(run: Run) -> None:
    """Remove what killed processes left half written or half pruned."""
    for folder in (run.folder, *(run.checkpoints_folder / stage.name for stage in run.recipe().stage)):
        remove_leftovers(folder)


def latest(run: Run) -> State | None:
    """The state of the last undamaged checkpoint after step 0, or None. Damaged checkpoints are reported and skipped.

    Raises:
        UserError: all checkpoints after step 0 are damaged; or one can't be read, so that its condition is unknown.
    """
    damaged = []
    try:
        for name in reversed([name for name in run.checkpoints() if name.step]):
            problem = damage(run.checkpoint(name))
            if not problem:
                return state_of(run.checkpoint(name))
            say(f"anaume: {problem}; using the checkpoint before it")
            damaged.append(name.model)
    except OSError as error:
        raise UserError(
            f"{error.filename or run.folder}: cannot read it ({error.strerror}); nothing was changed; the same command"
            " continues once the file can be read"
        ) from error
    if damaged:
        raise UserError(
            f"{run.folder}: all checkpoints are damaged ({', '.join(damaged)}); restore them from copies, or"
            f" move {run.checkpoints_folder} away to begin again"
        )
    return None


def set_aside(run: Run, last: CheckpointName) -> None:
    """Rename the damaged checkpoints after `last`, so that they are no longer checkpoints of the run."""
    names = run.checkpoints()
    for name in names[names.index(last) + 1 :]:
        folder = run.checkpoint(name)
        renamed = folder.with_name(DAMAGED_PREFIX + folder.name)
        if renamed.exists():
            shutil.rmtree(renamed)
        folder.rename(renamed)


def state_of(folder: Path) -> State:
    """The state that a checkpoint's folder records.

    Raises:
        UserError: the file is damaged.
    """
    table = read_state(folder)
    return State(table["stage"], table["step"], table["tokens"], position_of(table["position"]))


def load_moments(folder: Path, network: nn.Module, steppers: Sequence[Optimizer]) -> None:
    """Load the moments of a checkpoint into the optimizers."""
    by_weight: dict[str, dict[str, Tensor]] = {}
    for key, value in load_file(folder / OPTIMIZER).items():
        weight, _, moment = key.partition("/")
        by_weight.setdefault(weight, {})[moment] = value
    names = {parameter: name for name, parameter in network.named_parameters()}
    for optimizer in steppers:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                moments = by_weight.get(names[parameter], {})
                optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in moments.items()}


def _moments(network: nn.Module, steppers: Sequence[Optimizer]) -> dict[str, Tensor]:
    return {
        f"{name}/{key}": value
        for optimizer in steppers
        for name, parameter in network.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }
