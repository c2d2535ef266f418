"""metrics.jsonl → columns of numbers, smoothed and thinned for drawing.

A curve is a stage's columns of one kind of line ("train" or "validation"): field → one number a line, NaN
where the line had none. Half a million lines pass through here, so columns rather than a dictionary a line.
"""

import json
from array import array
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anaume.errors import UserError

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
    ),
    "validation": ("step", "loss", "accuracy", "tokens"),
}
POINTS = 2000  # a chart 1,400 px wide can't show more


def read_metrics(path: Path) -> dict[tuple[str, str], Curve]:
    """Read a run's metrics as (kind, stage) → curve, stages in the order they first appear.

    A resumed run may have written a step twice: the later line counts. A last line cut off by an interruption
    is left out. Lines of other kinds are passed over.

    Raises:
        UserError: another line is not such an object; names the file and the line.
    """
    columns: dict[tuple[str, str], list[array[float]]] = {}
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            kind, stage, values = _parse(line)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if number == len(lines):
                break  # no newline after it: the run was cut off while writing
            raise UserError(
                f"{path}:{number}: {line[:60].decode(errors='replace')!r} is not a metrics line; accepted: "
                'an object with "kind", "stage", "step" and numbers'
            ) from error
        if kind in FIELDS:
            into = columns.setdefault((kind, stage), [array("d") for _ in FIELDS[kind]])
            for column, value in zip(into, values, strict=True):
                column.append(value)
    return {key: _latest(dict(zip(FIELDS[key[0]], value, strict=True))) for key, value in columns.items()}


def last_lines(path: Path, stages: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The last "train" line of each of the stages, whole: its counts are those of all that the stage read."""
    found: dict[str, dict[str, Any]] = {}
    for line in reversed(path.read_bytes().splitlines()):
        if len(found) == len(stages):
            break
        try:
            row = json.loads(line)
        except ValueError:
            continue  # empty, or the last one, cut off
        if row["kind"] == "train":
            found.setdefault(str(row["stage"]), row)
    return {stage: found[stage] for stage in stages if stage in found}


def _parse(line: bytes) -> tuple[str, str, list[float]]:
    row: dict[str, Any] = json.loads(line)
    values = [row.get(field) for field in FIELDS.get(row["kind"], ())]
    numbers = [float("nan") if value is None else float(value) for value in values]
    if numbers and not np.isfinite(numbers[0]):
        raise ValueError("no step")
    return row["kind"], str(row["stage"]), numbers


def _latest(columns: dict[str, "array[float]"]) -> Curve:
    """Sort by step; of lines with the same step keep the one written last."""
    curve = {field: np.array(column) for field, column in columns.items()}
    backwards = curve["step"][::-1]
    keep = len(backwards) - 1 - np.unique(backwards, return_index=True)[1]
    return {field: column[keep] for field, column in curve.items()}


def finite(x: Values, y: Values) -> tuple[Values, Values]:
    """The points that have a value (a loss may be NaN; `mfu` is null on a CPU)."""
    keep = np.isfinite(y)
    return x[keep], y[keep]


def smooth(y: Values, window: int | None = None) -> Values:
    """Centred moving mean over `window` values (by default 1/50 of the series), narrower at both ends.

    Centred, so that it doesn't lag behind what it smooths, as an exponential mean would.
    """
    half = (max(3, len(y) // 50) if window is None else window) // 2
    total = np.concatenate([[0.0], np.cumsum(y)])
    index = np.arange(len(y))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(y))
    mean: Values = (total[high] - total[low]) / (high - low)
    return mean


def thin(x: Values, y: Values, points: int = POINTS) -> tuple[Values, Values]:
    """At most `points` of the points: first, last, and of each of equal buckets the lowest and the highest.

    Every point kept was measured, and no spike disappears, as it would in means of buckets.
    """
    if len(x) <= points:
        return x, y
    edges = np.linspace(0, len(x), (points - 2) // 2 + 1).astype(int)
    keep = {0, len(x) - 1}
    for start, end in pairwise(edges):
        keep |= {int(start + y[start:end].argmin()), int(start + y[start:end].argmax())}
    chosen = sorted(keep)
    return x[chosen], y[chosen]


def training_seconds(curves: list[Curve]) -> float:
    """Time spent in training steps: the tokens between two lines over the tokens a second of the later line.

    Validation, checkpoints and pauses are not in it. 0 where the run recorded no speed.
    """
    if not curves:
        return 0.0
    tokens = np.concatenate([curve["tokens"] for curve in curves])
    speed = np.concatenate([curve["tokens_per_second"] for curve in curves])
    keep = np.isfinite(tokens) & (speed > 0)
    return float(np.sum(np.diff(tokens[keep], prepend=0.0) / speed[keep]))
