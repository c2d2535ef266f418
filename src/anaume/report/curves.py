"""metrics.jsonl → columns of numbers, smoothed and thinned for drawing.

A curve holds one stage's lines of one kind, "train" or "validation", and of one validation set as columns: field → one
number per line, NaN where a line lacks the field. `causal` is 1 for a training line of a causal stage, else 0. A long
run has half a million lines, too many for a dictionary each.
"""

import json
from array import array
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Curve = dict[str, Values]

FIELDS: dict[str, tuple[str, ...]] = {
    "train": (
        "step",
        "loss",
        "learning_rate",
        "gradient_norm",
        "tokens",
        "tokens_per_second",
        "padding_fraction",
        "mfu",
        "causal",
    ),
    "validation": ("step", "loss", "accuracy", "tokens", "bits_per_character", "causal_loss"),
}
NAMED = 3  # damaged lines; a file of another kind has many
POINTS = 2000  # of one curve; a chart of 1,400 pixels shows no more


def read_metrics(path: Path) -> tuple[dict[tuple[str, str, str], Curve], list[str]]:
    """Read metrics.jsonl as (kind, stage, validation set) → curve, in the order in which they first appear.

    The set is "" for lines of training and for a validation without a name.

    A resumed run may have written two lines for one step; the later one counts. A last line that was cut off
    and lines of other kinds are skipped.

    The second result names the first damaged lines, which are left out: those before the last one that are no object
    with kind, stage, step and numbers.
    """
    problems: list[str] = []
    columns: dict[tuple[str, str, str], list[array[float]]] = {}
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            kind, stage, name, values = _parse(line)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            if len(problems) < NAMED and b"".join(lines[number:]).strip():
                # A last line was cut off or damaged while the run wrote it.
                problems.append(
                    f"{path}:{number}: {line[:60].decode(errors='replace')!r}: not a metrics line; expected "
                    'an object with "kind", "stage", "step" and numbers'
                )
            continue
        if kind in FIELDS:
            stage_columns = columns.setdefault((kind, stage, name), [array("d") for _ in FIELDS[kind]])
            for column, value in zip(stage_columns, values, strict=True):
                column.append(value)
    curves = {key: _latest(dict(zip(FIELDS[key[0]], value, strict=True))) for key, value in columns.items()}
    return curves, problems


def last_lines(path: Path, stages: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Stage → its last "train" line, which counts everything that the stage has read."""
    last: dict[str, dict[str, Any]] = {}
    for line in reversed(path.read_bytes().splitlines()):
        if len(last) == len(stages):
            break
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue  # an empty line, or a last line that was cut off
        if isinstance(row, dict) and row.get("kind") == "train":
            last.setdefault(str(row.get("stage")), row)
    return {stage: last[stage] for stage in stages if stage in last}


def _parse(line: bytes) -> tuple[str, str, str, list[float]]:
    row: dict[str, Any] = json.loads(line)
    row["causal"] = row.get("objective") == "causal"
    values = [row.get(field) for field in FIELDS.get(row["kind"], ())]
    numbers = [float("nan") if value is None else float(value) for value in values]
    if numbers and not np.isfinite(numbers[0]):
        raise ValueError("no step")
    return row["kind"], str(row["stage"]), str(row.get("set", "")), numbers


def _latest(columns: dict[str, "array[float]"]) -> Curve:
    """The columns sorted by step. Of several lines for one step, the line written last is kept."""
    curve = {field: np.array(column) for field, column in columns.items()}
    backwards = curve["step"][::-1]
    keep = len(backwards) - 1 - np.unique(backwards, return_index=True)[1]
    return {field: column[keep] for field, column in curve.items()}


def finite(x: Values, y: Values) -> tuple[Values, Values]:
    """The points with a finite value: a loss may be NaN, and `mfu` is null on a CPU."""
    keep = np.isfinite(y)
    return x[keep], y[keep]


def smooth(y: Values, window: int | None = None) -> Values:
    """Centred moving mean over `window` values, by default 1/50 of the series; the window narrows at both ends.

    A centred mean does not lag behind its values, as an exponential one does.
    """
    half = (max(3, len(y) // 50) if window is None else window) // 2
    total = np.concatenate([[0.0], np.cumsum(y)])
    index = np.arange(len(y))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(y))
    mean: Values = (total[high] - total[low]) / (high - low)
    return mean


def thin(x: Values, y: Values, points: int = POINTS) -> tuple[Values, Values]:
    """At most `points` of the points: the first, the last, and the lowest and highest of equal buckets.

    Every point kept was measured, and no spike disappears, as it would in the means of buckets.
    """
    if len(x) <= points:
        return x, y
    edges = np.linspace(0, len(x), (points - 2) // 2 + 1).astype(int)
    keep = {0, len(x) - 1}
    for start, end in pairwise(edges):
        keep |= {int(start + y[start:end].argmin()), int(start + y[start:end].argmax())}
    kept = sorted(keep)
    return x[kept], y[kept]


def training_seconds(curves: list[Curve]) -> float:
    """Seconds spent in training steps: the tokens between two lines divided by the speed of the later line.

    Validation, checkpoints and pauses do not count. 0 for a run that recorded no speed.
    """
    if not curves:
        return 0.0
    tokens = np.concatenate([curve["tokens"] for curve in curves])
    speed = np.concatenate([curve["tokens_per_second"] for curve in curves])
    keep = np.isfinite(tokens) & (speed > 0)
    return float(np.sum(np.diff(tokens[keep], prepend=0.0) / speed[keep]))
