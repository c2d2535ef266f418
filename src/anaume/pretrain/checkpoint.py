"""Checkpoints: complete or absent, checksummed, and enough to go on bit for bit.

step-0001000/  model.safetensors  optimizer.safetensors  state.json (where training stands, and the checksums)
"""

import errno
import json
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from anaume.batches.loader import Position, position_of
from anaume.errors import UserError
from anaume.files import folder_atomic, sha256, write_json
from anaume.model.mlm import WEIGHTS, weights_of
from anaume.recipe import Recipe
from anaume.run import STATE, CheckpointName, Run

OPTIMIZER = "optimizer.safetensors"
# The disk is full, or the part of it that this user may fill.
FULL = (errno.ENOSPC, errno.EDQUOT)
# Before the name of a damaged checkpoint, which is no longer one of the run's; its owner may look at it or remove it.
ASIDE = "damaged-"


@dataclass(frozen=True)
class State:
    """Where training stands: after `step` steps of `stage`, `tokens` real tokens seen in all stages together."""

    stage: str
    step: int
    tokens: int
    position: Position

    @property
    def name(self) -> CheckpointName:
        """The checkpoint of this moment."""
        return CheckpointName(self.stage, self.step)


class Saver:
    """Writes checkpoints beside training, one at a time, and prunes old ones.

    Training stops for the copy of the weights and moments only. What goes wrong while a checkpoint is written is raised
    by the next `save`, or at the end of the block.
    """

    def __init__(self, run: Run, recipe: Recipe) -> None:
        self._run, self._recipe = run, recipe
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        if error is None:
            self._wait()

    def save(self, state: State, network: nn.Module, steppers: Sequence[Optimizer]) -> None:
        """Begin to write a checkpoint, once the one before is whole."""
        self._wait()
        tensors = {WEIGHTS: weights_of(network), OPTIMIZER: _moments(network, steppers)}
        copies = {file: {name: _copy(t) for name, t in found.items()} for file, found in tensors.items()}
        self._pending = self._thread.submit(self._write, state, copies)

    def _write(self, state: State, tensors: dict[str, dict[str, Tensor]]) -> None:
        write(self._run.checkpoint(state.name), state, tensors)
        prune(self._run, self._recipe)

    def _wait(self) -> None:
        if self._pending:
            self._pending.result()


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)


def write(folder: Path, state: State, tensors: dict[str, dict[str, Tensor]]) -> None:
    """Write a checkpoint; until its last byte is on the disk, it does not exist under its name."""
    with folder_atomic(folder) as temporary:
        for file, named in tensors.items():
            _save(named, temporary / file)
        checksums = {file: sha256(temporary / file) for file in tensors}
        write_json(temporary / STATE, asdict(state) | {"sha256": checksums})


def _save(tensors: dict[str, Tensor], file: Path) -> None:
    try:
        save_file(tensors, file)
    except SafetensorError as error:
        for number in FULL:
            if f"os error {number})" in str(error):
                raise OSError(number, os.strerror(number), str(file)) from error
        raise


def prune(run: Run, recipe: Recipe) -> None:
    """Remove the checkpoints that no stage's rule keeps: see `recipe.Stage.keep_every`.

    The last one is taken for the newest: `set_aside` leaves nothing after the one that training goes on from.
    """
    found = run.checkpoints()
    stages = {stage.name: stage for stage in recipe.stage}
    newest = {name: age for age, name in enumerate(reversed(found))}
    for name in found:
        stage = stages[name.stage]
        if not stage.keeps(name.step) and newest[name] >= stage.keep_last:
            folder = run.checkpoint(name)
            aside = folder.with_name(f".{folder.name}.old.tmp")  # half a checkpoint must not look like one
            folder.rename(aside)
            shutil.rmtree(aside)


def latest(run: Run) -> State | None:
    """The last whole checkpoint after step 0, None if there is none; damaged ones are told of and passed over.

    Raises:
        UserError: there are checkpoints after step 0, but none is whole; or one can't be read, which doesn't tell
            whether it is whole.
    """
    damaged = []
    try:
        for name in reversed([name for name in run.checkpoints() if name.step]):
            problem = damage(run.checkpoint(name))
            if not problem:
                return read_state(run.checkpoint(name))
            print(f"anaume: {problem}; going back to the checkpoint before it", file=sys.stderr)
            damaged.append(name.model)
    except OSError as error:
        raise UserError(
            f"{error.filename or run.folder}: cannot read it ({error.strerror}); nothing was changed; once the disk"
            " answers again, the same command goes on"
        ) from error
    if damaged:
        raise UserError(
            f"{run.folder}: no checkpoint is whole ({', '.join(damaged)} are damaged); put copies in their place, or"
            f" move {run.checkpoints_folder} away to begin anew"
        )
    return None


def damage(folder: Path) -> str:
    """What is wrong with a checkpoint's content, in one line; empty if nothing is.

    Raises:
        OSError: it can't be read.
    """
    try:
        read_state(folder)
        for name, expected in _table(folder)["sha256"].items():
            if sha256(folder / name) != expected:
                return f"{folder / name}: its checksum differs from the one in {STATE}"
    except FileNotFoundError as error:
        return f"{error.filename}: missing, so the checkpoint is not whole"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{folder / STATE}: not the state of a checkpoint ({error})"
    return ""


def set_aside(run: Run, last: CheckpointName) -> None:
    """Rename the damaged checkpoints after `last`, so that nothing counts or evaluates them."""
    found = run.checkpoints()
    for name in found[found.index(last) + 1 :]:
        folder = run.checkpoint(name)
        aside = folder.with_name(ASIDE + folder.name)
        if aside.exists():
            shutil.rmtree(aside)
        folder.rename(aside)


def read_state(folder: Path) -> State:
    """Where training stood at a checkpoint."""
    table = _table(folder)
    return State(table["stage"], table["step"], table["tokens"], position_of(table["position"]))


def _table(folder: Path) -> Any:
    return json.loads((folder / STATE).read_text(encoding="utf-8"))


def load_moments(folder: Path, network: nn.Module, steppers: Sequence[Optimizer]) -> None:
    """Put a checkpoint's moments into the optimizers."""
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in load_file(folder / OPTIMIZER).items():
        weight, _, moment = key.partition("/")
        found.setdefault(weight, {})[moment] = value
    names = {parameter: name for name, parameter in network.named_parameters()}
    for optimizer in steppers:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                moments = found.get(names[parameter], {})
                optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in moments.items()}


def _moments(network: nn.Module, steppers: Sequence[Optimizer]) -> dict[str, Tensor]:
    return {
        f"{name}/{key}": value
        for optimizer in steppers
        for name, parameter in network.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }
