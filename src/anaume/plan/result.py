"""The result of `anaume plan`: `cost.py` builds a `Plan`, `table.py` prints it, and `to_json` is for other programs."""

from dataclasses import asdict, dataclass
from typing import Any

from anaume.model.flops import Flops
from anaume.model.memory import Parameters
from anaume.plan.bound import StepBound

# Names of the three ways in which a stage is costed.
EVERYWHERE, SCORED, PACKED = "padded, all logits", "padded, scored logits", "packed, scored logits"


@dataclass(frozen=True)
class Way:
    """The cost of reading a stage's text in one way: all token slots, operations per slot, time on all GPUs together.

    `recomputed`  operations per slot that gradient checkpointing adds: the forward pass of the layers a second time
    """

    name: str
    slots: float
    flops: Flops
    recomputed: float
    seconds: float
    gpu_hours: float


@dataclass(frozen=True)
class StagePlan:
    """The cost of a stage: text, assumptions, three ways (`own_way` is the recipe's), and bytes by part on each GPU.

    `accumulation`  micro-batches per step on each GPU
    `mfu`           assumed share of the peak (model FLOPs utilisation)
    `padding`       share of slots without text when each piece has a row of its own
    `bound`         least time of a step of the own way; None where the memory's bandwidth is unknown
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
    bound: StepBound | None


@dataclass(frozen=True)
class Disk:
    """Checkpoints that stay, their bytes, and the most bytes at a time of those that are removed later (`passes`)."""

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
