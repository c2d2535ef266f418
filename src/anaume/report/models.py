"""The inputs of a report → the models that it compares: their order, their column headings, their colours."""

from collections.abc import Sequence

from anaume.report.draw.palette import of_series
from anaume.report.inputs import EvaluatedModel, ReportInput


def all_models(inputs: Sequence[ReportInput]) -> list[EvaluatedModel]:
    """Every checkpoint of every run, then all other models."""
    checkpoints = [model for entry in inputs for model in entry.checkpoints]
    return checkpoints + [model for entry in inputs for model in entry.others]


def compared(inputs: Sequence[ReportInput]) -> list[EvaluatedModel]:
    """The models that stand side by side: first checkpoint, last of each stage, other models, lexical baselines."""
    models = [model for entry in inputs for model in (*entry.milestones, *entry.others)]
    return sorted(models, key=lambda model: (model.baseline, not model.stage))


def heading(inputs: Sequence[ReportInput], model: EvaluatedModel) -> str:
    """The name of a model over its column: short for the milestones of a single run, else its label."""
    entry = inputs[0]
    if len(inputs) > 1 or not model.stage:
        return model.label
    if model is entry.checkpoints[0]:
        return f"Step {model.step:,}"
    return f"End of {model.stage}" if entry.train or entry.validation else model.label


def series(inputs: Sequence[ReportInput]) -> list[tuple[EvaluatedModel, str, str]]:
    """The models on charts, each with the role (colour) and the marker that it has on all of them.

    Lexical baselines are left out, and so is step 0, because its loss of 10 would press all other lines together.
    """
    models = [m for m in compared(inputs) if not m.baseline and not (m.stage and m.step == 0)]
    return [(model, *of_series(number)) for number, model in enumerate(models)]


def series_of(inputs: Sequence[ReportInput], task: str) -> list[tuple[EvaluatedModel, str, str]]:
    """The models on charts that have a record of the task, each with its role and its marker."""
    return [(model, role, marker) for model, role, marker in series(inputs) if task in model.records]
