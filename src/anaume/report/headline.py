"""A run → the key figures at the head of the page: size, text, tokens, time, and the results of the sections."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anaume.formats import duration, number, short
from anaume.report.curves import training_seconds
from anaume.report.inputs import ReportInput
from anaume.report.section import KeyFigure, Section, by_rank


@dataclass(frozen=True)
class Fact:
    """A key figure, with a note under it: its error and the value at step 0, or the exact count."""

    title: str
    value: str
    note: str = ""


def facts(run: ReportInput, sections: Sequence[Section]) -> list[Fact]:
    """The key figures of a run; a missing result has a dash as its value and a note that says so."""
    key_figures = []
    parameters = run.manifest.get("parameters")
    if isinstance(parameters, int):
        key_figures.append(Fact("Parameters", short(parameters), f"{parameters:,}"))
    text = run.manifest.get("data", {}).get("train")
    if isinstance(text, dict) and isinstance(text.get("tokens"), int) and isinstance(text.get("documents"), int):
        key_figures.append(Fact("Training text", short(text["tokens"]), f"tokens of {text['documents']:,} documents"))
    curves = [run.train[stage] for stage in run.stages if stage in run.train]
    tokens = max((curve["tokens"][np.isfinite(curve["tokens"])].max(initial=0) for curve in curves), default=0)
    if tokens:
        key_figures.append(Fact("Tokens seen", short(tokens), f"{tokens:,.0f}"))
    if time := training_seconds(curves):
        key_figures.append(Fact("Training time", duration(time), f"in training steps{_machine(run)}"))
    return key_figures + [_result(figure, run) for section in by_rank(sections) for figure in section.key_figures]


def _machine(run: ReportInput) -> str:
    """What the training time was spent on, as " on 8 × GPU"; empty where the manifest doesn't say."""
    environment = run.manifest.get("environment", {})
    device = str(environment.get("device", ""))
    name = "GPU" if device.startswith("cuda") else environment.get("cpu") if device == "cpu" else device
    return f" on {environment.get('processes', 1)} × {name}" if name else ""


def _result(figure: KeyFigure, run: ReportInput) -> Fact:
    points = figure.points(run)
    if not points:
        return Fact(figure.title, number(None), "not evaluated")
    (first_step, first), (_, last) = points[0], points[-1]
    notes = [figure.error(run), f"{number(first)} at step 0" if first_step == 0 else ""]
    return Fact(figure.title, number(last), ", ".join(filter(None, notes)))


def subtitle(inputs: Sequence[ReportInput]) -> str:
    """The line under the title that says what the page is about."""
    if len(inputs) > 1:
        return f"{len(inputs)} sources compared"
    (entry,) = inputs
    if not entry.is_run:
        return f"Evaluation records of {len(entry.others)} models"
    model = entry.recipe.get("model", {})
    shape = [f"{model[key]} {key}" for key in ("layers", "hidden", "heads") if key in model]
    created = str(entry.manifest.get("created", ""))[:10]
    return " · ".join(["ModernBERT encoder", *shape, *([created] if created else [])])
