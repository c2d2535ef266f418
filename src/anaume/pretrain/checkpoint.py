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
from typing import Self

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from anaume.batches.loader import Position, position_of
from anaume.files import folder_atomic, sha256, write_json
from anaume.model.mlm import WEIGHTS, weights_of
from anaume.recipe import Recipe
from anaume.run import STATE, CheckpointName, Run

OPTIMIZER = "optimizer.safetensors"


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
        if f"os error {errno.ENOSPC}" not in str(error):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file)) from error


def prune(run: Run, recipe: Recipe) -> None:
    """Remove the checkpoints that no stage's rule keeps: see `recipe.Stage.keep_every`."""
    found = run.checkpoints()
    stages = {stage.name: stage for stage in recipe.stage}
    newest = {name: age for age, name in enumerate(reversed(found))}
    for name in found:
        stage = stages[name.stage]
        kept = name.step in (0, stage.steps) or name.step % max(1, stage.keep_every) == 0
        if not kept and newest[name] >= stage.keep_last:
            folder = run.checkpoint(name)
            aside = folder.with_name(f".{folder.name}.old.tmp")  # half a checkpoint must not look like one
            folder.rename(aside)
            shutil.rmtree(aside)


def latest(run: Run) -> State | None:
    """The last whole checkpoint of a run; a damaged one is named on standard error and passed over."""
    for name in reversed(run.checkpoints()):
        problem = damage(run.checkpoint(name))
        if not problem:
            return read_state(run.checkpoint(name))
        print(f"anaume: {problem}; going back to the checkpoint before it", file=sys.stderr)
    return None


def damage(folder: Path) -> str:
    """What is wrong with a checkpoint, in one line; empty if nothing is."""
    try:
        checksums = json.loads((folder / STATE).read_text(encoding="utf-8"))["sha256"]
        for name, expected in checksums.items():
            if sha256(folder / name) != expected:
                return f"{folder / name}: its checksum differs from the one in {STATE}"
    except (OSError, ValueError, KeyError) as error:
        return f"{folder}: not a whole checkpoint ({error})"
    return ""


def read_state(folder: Path) -> State:
    """Where training stood at a checkpoint."""
    table = json.loads((folder / STATE).read_text(encoding="utf-8"))
    return State(table["stage"], table["step"], table["tokens"], position_of(table["position"]))


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
