"""Validation: masked-LM loss and accuracy on held-out text, overall, by length, and over the steps of a run."""

from collections.abc import Sequence

import numpy as np

from anaume.formats import number
from anaume.report.comparable import PRECISION, SEED, TEXTS, Aspect, caution, comparison, setting
from anaume.report.draw.palette import SERIES, of_series
from anaume.report.draw.panels import Axis, Line, Panel
from anaume.report.draw.steps import checkpoint_lines, curve_over_stages
from anaume.report.inputs import EvaluatedModel, ReportInput
from anaume.report.models import compared, heading, series_of
from anaume.report.models_table import length_bins, metrics_table
from anaume.report.section import Content, KeyFigure, Page, Score, Section, present, single_chart, task_columns
from anaume.report.tables import Cell, Column, Table, number_cells

TASK = "validation"
ASPECTS = (
    TEXTS,
    Aspect("Tokens read at most", setting("tokens")),
    Aspect("Draws of masks", setting("masks")),
    SEED,
    PRECISION,
)


def content(page: Page) -> Content:
    """The loss of the models compared, over all pieces and by their length."""
    tables = present(overall(page.inputs), by_length(page.inputs))
    return Content(tables, single_chart(length_panel(page.inputs)))


def overall(inputs: Sequence[ReportInput]) -> Table | None:
    """Loss and accuracy over all pieces. No model is marked as best: each tokenizer asks different questions."""
    caption = (
        "Masked-LM loss (nats) and accuracy on validation text, n masked tokens of all draws of masks; ± is the "
        "standard error over the draws. Both depend on the tokenizer and on the number of a model's positions, because "
        "documents are cut to it."
    )
    models = compared(inputs)
    shown = {"loss": "Loss", "loss_error": "± over masks", "accuracy": "Accuracy"}
    shown |= {"long_loss": "Loss past 1,024 tokens", "long_loss_error": "± over masks"}
    shown |= {"bits_per_character": "Bits per character"} | _titles_of_sets(models)
    return metrics_table("validation", caption, models, TASK, ASPECTS, shown=shown)


def _titles_of_sets(models: Sequence[EvaluatedModel]) -> dict[str, str]:
    """The metrics of single validation sets, "general: loss", with their titles."""
    metrics = dict.fromkeys(name for model in models if TASK in model.records for name in model.records[TASK].metrics)
    pairs = [(metric, *metric.rpartition(": ")[::2]) for metric in metrics if ": " in metric]
    return {metric: f"{key.replace('_', ' ').capitalize()}, {name}" for metric, name, key in pairs}


def by_length(inputs: Sequence[ReportInput]) -> Table | None:
    """Loss by the length of the piece."""
    models = [model for model in compared(inputs) if TASK in model.records]
    bins = length_bins(models, TASK, "loss")
    if not bins:
        return None
    rows = [(Cell(model.label), *number_cells(model.metric(TASK, name) for name in bins)) for model in models]
    heads = [Column(name.removeprefix("loss "), numeric=True) for name in bins]
    caption = (
        "Masked-LM loss (nats) on validation text by the length of the pieces in tokens. A piece is a document cut to "
        "the number of a model's positions."
    )
    differences = caution([comparison(models, TASK, ASPECTS)])
    return Table("loss-by-length", caption, (Column("Model"), *heads), tuple(rows), differences)


def length_panel(inputs: Sequence[ReportInput]) -> Panel | None:
    """Loss over the length of the piece, a line for each of the first models compared."""
    models = series_of(inputs, TASK)[:SERIES]
    bins = length_bins((model for model, _, _ in models), TASK, "loss")
    if len(bins) < 2:
        return None
    lines = []
    for model, role, marker in models:
        values = [model.metric(TASK, name) for name in bins]
        y = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        x = np.arange(len(bins), dtype=np.float64)
        lines.append(Line(heading(inputs, model), role, "points", x, y, marker))
    names = tuple((float(place), name.removeprefix("loss ")) for place, name in enumerate(bins))
    title = "Masked-LM loss by length of the piece (tokens)"
    return Panel("by-length", title, tuple(lines), x=Axis(ticks=names), y=Axis())


def step_lines(run: ReportInput, field: str) -> tuple[Line, ...]:
    """A field as measured during training, a line for each validation set.

    Where no metrics were kept, the line comes from the checkpoints' records.
    """
    lines = []
    for place, (name, curves) in enumerate(run.validation_sets.items()):
        x, y = curve_over_stages(run, curves, field)
        if len(x):
            role, marker = ("validation", "circle") if place == 0 else of_series(place + 1)
            lines.append(Line(f"validation: {name}" if name else "validation", role, "points", x, y, marker))
    if lines or field == "causal_loss":
        return tuple(lines)
    return checkpoint_lines(run, TASK, ("validation", field, "validation"))


def bits_panel(run: ReportInput) -> Panel:
    """Bits per character, in which sets and runs with different tokenizers can be compared."""
    return Panel("bits-per-character", "Bits per character, masked", step_lines(run, "bits_per_character"))


def step_points(run: ReportInput, metric: str) -> list[tuple[int, float]]:
    """(step, value) from the records of the checkpoints, or as measured during training where there are none."""
    return run.over_checkpoints(TASK, metric) or [
        (run.offset(stage) + int(step), float(value))
        for stage in run.stages
        if stage in run.validation
        for step, value in zip(run.validation[stage]["step"], run.validation[stage][metric], strict=True)
        if np.isfinite(value)
    ]


def loss_error(run: ReportInput) -> str:
    """The standard error of the last checkpoint's loss, with the number of draws of masks."""
    evaluated = [model for model in run.checkpoints if TASK in model.records]
    error = evaluated[-1].metric(TASK, "loss_error") if evaluated else None
    masks = evaluated[-1].records[TASK].settings.get("masks") if evaluated else None
    return "" if error is None else f"± {number(error)} over {masks} draws of masks"


SECTION = Section(
    "validation",
    "Validation",
    content,
    absent="not evaluated",
    tasks=(TASK,),
    rank=1,
    key_figures=(
        KeyFigure("Validation loss", lambda run: step_points(run, "loss"), loss_error),
        KeyFigure("Validation accuracy", lambda run: step_points(run, "accuracy")),
    ),
    overview=(Score(TASK, "loss", "Validation loss"), Score(TASK, "accuracy", "Validation accuracy")),
    dynamics=task_columns(TASK, ASPECTS, {"loss": "Loss", "accuracy": "Accuracy"}, always=True),
    steps=lambda run: (Panel("accuracy", "Accuracy on masked tokens", step_lines(run, "accuracy")),),
    steps_in_print=True,
)
