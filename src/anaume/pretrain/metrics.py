"""`metrics.jsonl`: one JSON object per line, in the order of training, without gaps or repeats after a resume."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anaume.files import write_atomic
from anaume.run import CheckpointName


def append(file: Path, record: dict[str, Any]) -> None:
    """Append `record` as one line."""
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(record, ensure_ascii=False) + "\n")


def rewind(file: Path, stages: Sequence[str], last: CheckpointName | None) -> None:
    """Drop the lines after the checkpoint `last`, from which a killed run resumes; None drops all lines.

    `stages` are the names of the recipe's stages in order. An incomplete last line is dropped too.
    """
    if not file.exists():
        return
    earlier_stages = stages[: stages.index(last.stage)] if last else ()
    kept = []
    for line in file.read_text(encoding="utf-8").splitlines(keepends=True):
        if last and line.endswith("\n"):
            record = json.loads(line)
            if (record["stage"] == last.stage and record["step"] <= last.step) or record["stage"] in earlier_stages:
                kept.append(line)
    write_atomic(file, "".join(kept))


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
