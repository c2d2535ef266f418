"""`metrics.jsonl`: one JSON object per line, in the order of training, without gaps or repeats after a resume."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from anaume.batches.batch import PackedBatch
from anaume.errors import UserError
from anaume.files import write_atomic
from anaume.files.objects import parse_object
from anaume.model.flops import training_flops
from anaume.pretrain.checkpoint import State
from anaume.pretrain.validation import HeldOut, Validation
from anaume.recipe import Model, Stage
from anaume.run import CheckpointName
from anaume.tokens.characters import bits_per_character


def append(file: Path, record: dict[str, Any]) -> None:
    """Append `record` as one line."""
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(record, ensure_ascii=False) + "\n")


def rewind(file: Path, stages: Sequence[str], last: CheckpointName | None) -> None:
    """Drop the lines after the checkpoint `last`, from which a killed run resumes; None drops all lines.

    `stages` are the names of the recipe's stages in order. An incomplete or damaged last line is dropped too.

    Raises:
        UserError: a line before the last one is damaged.
    """
    if not file.exists():
        return
    earlier_stages = stages[: stages.index(last.stage)] if last else ()
    lines = file.read_bytes().split(b"\n")[:-1] if last else []  # what follows the last newline is incomplete
    kept = []
    for number, line in enumerate(lines, start=1):
        try:
            record = parse_object(line, f"{file}:{number}", "a metrics line", {"stage": str, "step": int})
        except UserError:
            if number == len(lines):
                break  # the machine stopped before the whole line was on the disk
            raise
        if last and (
            (record["stage"] == last.stage and record["step"] <= last.step) or record["stage"] in earlier_stages
        ):
            kept.append(line + b"\n")
    write_atomic(file, b"".join(kept))


@dataclass
class Meter:
    """Work since the last line: seconds of training steps (no validation, no checkpoints), real tokens and FLOPs."""

    seconds: float = 0.0
    tokens: int = 0
    flops: float = 0.0

    def add(self, seconds: float, tokens: int, flops: float) -> None:
        """Add the work of one step."""
        self.seconds += seconds
        self.tokens += tokens
        self.flops += flops

    def rates(self, peak: float) -> dict[str, float]:
        """Real tokens per second, and FLOPs per second as a fraction of the devices' `peak`."""
        return {"tokens_per_second": self.tokens / self.seconds, "mfu": self.flops / self.seconds / peak}


def step_flops(model: Model, vocab_size: int, micro_batches: Sequence[PackedBatch]) -> float:
    """Operations of a step on one rank; padding does not count."""
    return sum(
        training_flops(model, vocab_size, batch.text_lengths, batch.targets, batch.causal) for batch in micro_batches
    )


def train_record(
    stage: Stage, state: State, tokens: int, loss: Tensor, norm: Tensor, rate: float, rates: dict[str, float]
) -> dict[str, Any]:
    """The line for the step that ended in `state` and read `tokens` real tokens.

    A step with nothing to predict has no loss and no gradient norm: they are null.
    """
    return {
        "kind": "train",
        "stage": stage.name,
        "step": state.step,
        "objective": stage.objective,
        "loss": number_or_null(loss.item()),
        "learning_rate": rate,
        "gradient_norm": number_or_null(norm.item()),
        "tokens": state.tokens,
        "source_tokens": state.position.source_tokens,
        "length_tokens": state.position.length_tokens,
        "padding_fraction": 1 - tokens / stage.batch_tokens,
        **rates,
    }


def validation_record(
    stage: Stage, state: State, held_out: HeldOut, results: Mapping[str, Validation], seconds: float
) -> dict[str, Any]:
    """The line of a validation of one set, which took `seconds`. A set with a name has the field `set`.

    `results` maps a prefix of the fields' names to numbers. For `bits_per_character` see `bits_per_character`.
    """
    record: dict[str, Any] = {"kind": "validation", "stage": stage.name, "step": state.step, "tokens": state.tokens}
    if held_out.name:
        record["set"] = held_out.name
    for prefix, result in results.items():
        record |= {
            f"{prefix}loss": number_or_null(result.loss),
            f"{prefix}accuracy": number_or_null(result.accuracy),
            f"{prefix}targets": result.targets,
        }
    bits = bits_per_character(results[""].loss, held_out.tokens_per_character)
    return record | {"bits_per_character": bits, "seconds": round(seconds, 3)}


def number_or_null(value: float) -> float | None:
    """The value, or None for NaN, which JSON does not have."""
    return None if math.isnan(value) else value
