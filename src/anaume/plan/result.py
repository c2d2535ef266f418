"""The result of `anaume plan` as frozen dataclasses: plain numbers, without weights or data.

`cost.py` builds a `Plan`, `table.py` prints it, and `Plan.to_json` gives it to other programs.
"""

from dataclasses import asdict, dataclass
from typing import Any

from anaume.model.flops import Flops
from anaume.model.memory import Parameters

# Names of the three ways in which a stage is costed.
EVERYWHERE, SCORED, PACKED = "padded, all logits", "padded, scored logits", "packed, scored logits"


@dataclass(frozen=True)
class Way:
    """The cost of reading a stage's text in one way.

    `slots`       token slots of the whole stage, padding included
    `flops`       operations per slot, forward and backward
    `recomputed`  operations per slot that gradient checkpointing adds: the forward pass of the layers a second time
    `seconds`     time on all GPUs together
    """

    name: str
    slots: float
    flops: Flops
    recomputed: float
    seconds: float
    gpu_hours: float


@dataclass(frozen=True)
class StagePlan:
    """The cost of a stage: its text, the assumptions, its three ways, and the memory of each GPU.

    `accumulation`     micro-batches per step on each GPU
    `mfu`              assumed share of the peak (model FLOPs utilisation)
    `document_tokens`  assumed mean length of a document
    `padding`          share of slots without text when each piece has a row of its own
    `own_way`          name of the way that the recipe takes
    `memory`           bytes by part
    """

    name: str
    length: int
    steps: int
    batch_slots: int
    micro_batch_slots: int
    accumulation: int
    mfu: float
    document_tokens: float
    padding: float
    text_tokens: float
    ways: tuple[Way, ...]
    own_way: str
    memory: dict[str, int]


@dataclass(frozen=True)
class Disk:
    """Checkpoints on disk.

    `checkpoints`  number of checkpoints that are kept for good
    `stays`        bytes of those
    `passes`       most bytes of the newest checkpoints and the one being written, which later ones replace
    """

    checkpoints: int
    stays: int
    passes: int


@dataclass(frozen=True)
class Plan:
    """The cost of a recipe on `gpus` GPUs of one kind. `peak` is in FLOP/s, `device_memory` in GiB."""

    recipe: str
    gpus: int
    device: str
    peak: float
    device_memory: float
    vocab_size: int
    parameters: Parameters
    stages: tuple[StagePlan, ...]
    disk: Disk

    def to_json(self) -> dict[str, Any]:
        """The plan as nested dictionaries, with totals of parameters, operations, days and memory added."""
        table = asdict(self)
        table["parameters"]["total"] = self.parameters.total
        for stage, stage_table in zip(self.stages, table["stages"], strict=True):
            for way, row in zip(stage.ways, stage_table["ways"], strict=True):
                row["flops"]["total"], row["days"] = way.flops.total, way.seconds / 86_400
            stage_table["memory"]["total"] = sum(stage.memory.values())
        return table
