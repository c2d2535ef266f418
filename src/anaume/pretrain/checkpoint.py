"""Checkpoints: complete or absent, checksummed, and enough to go on bit for bit.

step-0001000/  model.safetensors  optimizer.safetensors  state.json (where training stands, and the checksums)
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from anaume.batches.loader import Position
from anaume.files import folder_atomic, sha256, write_json
from anaume.model.mlm import WEIGHTS, save_weights
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


def save(run: Run, state: State, network: nn.Module, steppers: Sequence[Optimizer]) -> Path:
    """Write a checkpoint; until its last byte is on the disk, it does not exist under its name."""
    folder = run.checkpoint(state.name)
    with folder_atomic(folder) as temporary:
        save_weights(network, temporary / WEIGHTS)
        save_file(_moments(network, steppers), temporary / OPTIMIZER)
        checksums = {name: sha256(temporary / name) for name in (WEIGHTS, OPTIMIZER)}
        write_json(temporary / STATE, asdict(state) | {"sha256": checksums})
    return folder


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
    position: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in table["position"].items()
    }
    return State(table["stage"], table["step"], table["tokens"], Position(**position))


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
