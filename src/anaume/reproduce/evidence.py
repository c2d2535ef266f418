"""A run's records → what a finding rests on: values at the checkpoints, each with its standard error.

The rule: a standard error comes from the record itself, its number of examples and its details.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anaume.evals.record import Record
from anaume.report.inputs import EvaluatedModel, ReportInput

Floats = NDArray[np.float64]

# Standard deviation of the loss of one masked token in nats, from which an error follows where a record has none.
TOKEN_DEVIATION = 3.0
JGLUE = {"jsts": "pearson", "jnli": "accuracy", "jcola": "accuracy"}
LONG = 1024  # tokens: what is longer, stage 1 never sees whole


@dataclass(frozen=True)
class Point:
    """A value at a checkpoint of stage 1, after `share` of its steps, or at the end of stage 2 (share 2)."""

    share: float
    value: float
    error: float

    @property
    def moment(self) -> str:
        """The checkpoint in words."""
        return "end of stage 2" if self.share > 1 else f"{100 * self.share:.3g} % of stage 1"


def stage1(run: ReportInput, task: str, metric: str) -> tuple[Point, ...]:
    """The value at every checkpoint of the first stage that has a finite one."""
    return tuple(point for point in moments(run, task, metric) if point.share <= 1)


def moments(run: ReportInput, task: str, metric: str) -> tuple[Point, ...]:
    """The value at every checkpoint of the first stage and at the end of the last, where it is finite."""
    points = []
    for model in checkpoints(run):
        value = model.metric(task, metric)
        if value is not None and math.isfinite(value):
            points.append(point_of(model.records[task], metric, share_of(run, model)))
    return tuple(points)


def point_of(record: Record, metric: str, share: float = 2.0) -> Point:
    """The value of a metric of a record."""
    value = float(record.metrics[metric])
    return Point(share, value, _error(record, metric, value))


def checkpoints(run: ReportInput) -> list[EvaluatedModel]:
    """The checkpoints of the first stage, and the last one of the last stage."""
    first = [model for model in run.checkpoints if model.stage == run.stages[0]]
    last = [model for model in run.checkpoints if model.stage == run.stages[-1] and len(run.stages) > 1]
    return first + last[-1:]


def share_of(run: ReportInput, model: EvaluatedModel) -> float:
    """Share of the steps of the first stage; 2 for a checkpoint of a later one."""
    return 2.0 if model.stage != run.stages[0] else model.step / max(1, run.last_step(model.stage))


def jglue(run: ReportInput) -> tuple[Point, ...]:
    """The mean of the tasks that every checkpoint has, and its error."""
    series = [{p.share: p for p in moments(run, task, metric)} for task, metric in JGLUE.items()]
    series = [points for points in series if points]
    if not series:
        return ()
    shares = sorted(set.intersection(*(set(points) for points in series)))
    return tuple(
        Point(
            share,
            float(np.mean([points[share].value for points in series])),
            math.hypot(*(points[share].error for points in series)) / len(series),
        )
        for share in shares
    )


def _error(record: Record, metric: str, value: float) -> float:
    """The standard error of a metric."""
    n = max(2, record.n)
    deviation = record.metrics.get(f"{metric}_std")
    if metric == "loss":
        draws = record.settings.get("masks", 1)
        return deviation / math.sqrt(draws) if deviation else TOKEN_DEVIATION / math.sqrt(n)
    if record.task == "geometry":
        return _geometry_error(record, metric)
    over_seeds = (deviation or 0.0) / math.sqrt(record.settings.get("seeds", 1))
    if metric == "pearson":
        return math.hypot((1 - value**2) / math.sqrt(n - 1), over_seeds)
    # Half an example more on either side, so that a share of 0 or 1 has an error, too.
    share = (value * n + 0.5) / (n + 1)
    return math.hypot(math.sqrt(share * (1 - share) / n), over_seeds)


def _geometry_error(record: Record, metric: str) -> float:
    """From the histogram of cosines c; the distance of unit vectors is d² = 2 − 2c."""
    kind = "positive" if metric in ("alignment", "positive_mean") else "random"
    middles, weights = histogram(record, kind)
    if not len(middles):
        return 0.0
    values = {"alignment": 2 - 2 * middles, "uniformity": np.exp(-2 * (2 - 2 * middles))}.get(metric, middles)
    mean = float(values @ weights)
    deviation = math.sqrt(max(0.0, float((values - mean) ** 2 @ weights)))
    count = record.n if kind == "positive" else record.settings.get("random_pairs_found", record.n)
    return deviation / math.sqrt(max(1, count)) / (mean if metric == "uniformity" else 1.0)


def histogram(record: Record, kind: str) -> tuple[Floats, Floats]:
    """(bins,) middles and (bins,) shares of the cosines of the "positive" or the "random" pairs."""
    rows = [row for row in record.details if row.keys() >= {"low", "high", kind}]
    middles = np.array([(row["low"] + row["high"]) / 2 for row in rows], dtype=np.float64)
    return middles, np.array([row[kind] for row in rows], dtype=np.float64)


@dataclass(frozen=True)
class DocumentLosses:
    """Lengths in tokens and mean losses in nats of the documents of pseudo-perplexity, both (documents,)."""

    tokens: Floats
    losses: Floats

    def between(self, low: float, high: float) -> Floats:
        """The losses of the documents of more than `low` and at most `high` tokens."""
        return self.losses[(self.tokens > low) & (self.tokens <= high)]


def documents(model: EvaluatedModel) -> DocumentLosses:
    """The documents of a checkpoint; none where it was not evaluated."""
    record = model.records.get("pseudo-perplexity")
    rows = [row for row in record.details if row.keys() >= {"tokens", "loss"}] if record else []
    return DocumentLosses(np.array([row["tokens"] for row in rows]), np.array([row["loss"] for row in rows]))


def mean_and_error(values: Sequence[float] | Floats) -> tuple[float, float]:
    """The mean and its standard error; an infinite one for fewer than two values."""
    if len(values) < 2:
        return (float(np.mean(values)) if len(values) else math.nan), math.inf
    return float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))
