"""The key figures at the head of the page: where the run came from and where it ended."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anaume.formats import duration, number, short
from anaume.report.curves import seconds
from anaume.report.sources import Source

RESULTS = (
    ("Validation loss", "validation", "loss"),
    ("Validation accuracy", "validation", "accuracy"),
    ("Cloze accuracy", "fill-mask", "accuracy_at_1"),
    ("Recall@10", "retrieval", "recall_at_10"),
)


@dataclass(frozen=True)
class Fact:
    """A key figure, with a note under it: what it was at step 0, or the exact count."""

    title: str
    value: str
    note: str = ""


def facts(source: Source) -> list[Fact]:
    """The key figures of a run; a result that is missing says so, with a dash as its value."""
    found = []
    parameters = source.manifest.get("parameters")
    if isinstance(parameters, int):
        found.append(Fact("Parameters", short(parameters), f"{parameters:,}"))
    curves = [source.train[stage] for stage in source.stages if stage in source.train]
    tokens = max((curve["tokens"][np.isfinite(curve["tokens"])].max(initial=0) for curve in curves), default=0)
    if tokens:
        found.append(Fact("Tokens seen", short(tokens), f"{tokens:,.0f}"))
    spent = seconds(curves)
    if spent:
        found.append(Fact("Training time", duration(spent), "in training steps"))
    return found + [_result(title, *first_and_last(source, task, metric)) for title, task, metric in RESULTS]


def _result(title: str, first: float | None, last: float | None) -> Fact:
    if last is None:
        return Fact(title, number(None), "not evaluated")
    return Fact(title, number(last), "" if first is None else f"{number(first)} at step 0")


def first_and_last(source: Source, task: str, metric: str) -> tuple[float | None, float | None]:
    """The metric at step 0 and at the end: of the checkpoints' records, else as measured during training."""
    steps = [(source.offset(model.stage) + model.step, model.metric(task, metric)) for model in source.checkpoints]
    points = [(step, value) for step, value in steps if value is not None]
    if not points and task == "validation":
        points = _measured(source, metric)
    if not points:
        return None, None
    return points[0][1] if points[0][0] == 0 else None, points[-1][1]


def _measured(source: Source, metric: str) -> list[tuple[int, float]]:
    return [
        (source.offset(stage) + int(step), float(value))
        for stage in source.stages
        if stage in source.validation
        for step, value in zip(source.validation[stage]["step"], source.validation[stage][metric], strict=True)
        if np.isfinite(value)
    ]


def subtitle(sources: Sequence[Source]) -> str:
    """What the page is about, in one line."""
    if len(sources) > 1:
        return f"{len(sources)} sources compared"
    source = sources[0]
    if not source.is_run:
        return f"Evaluation records of {len(source.others)} models"
    model = source.recipe.get("model", {})
    shape = [f"{model[key]} {key}" for key in ("layers", "hidden", "heads") if key in model]
    created = str(source.manifest.get("created", ""))[:10]
    return " · ".join(["ModernBERT encoder", *shape, *([created] if created else [])])
