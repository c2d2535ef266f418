"""Training: the logged curves of each run and its tasks over the checkpoints, on one axis over all stages."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from anaume.report.curves import POINTS
from anaume.report.draw.charts import Chart
from anaume.report.draw.figures import PrintFigure
from anaume.report.draw.panels import FROM_ZERO, Axis, Line, Panel, logarithmic
from anaume.report.draw.steps import borders, curve_over_stages, logged_steps, training_lines
from anaume.report.inputs import ReportInput
from anaume.report.section import Content, Page, Section, by_rank, suffixed
from anaume.report.sections import validation


def content(page: Page) -> Content:
    """A group of charts for each run, and the paper's Figure 1: loss, accuracy, retrieval and learning rate."""
    several = len(page.inputs) > 1
    charts = []
    figures: list[PrintFigure | None] = []
    for run, suffix in suffixed(page.inputs):
        panels, stages = training_panels(run, page.sections), borders(run)
        group = tuple(Chart(f"{panel.id}{suffix}", panel, f"steps{suffix}", stages) for panel, _ in panels)
        if group:
            charts.append((run.name if several else "", group))
        printed = tuple(panel for panel, in_print in panels if in_print)
        figures.append(PrintFigure(printed, (3.5, 2.25), columns=2, stages=stages) if printed else None)
    return Content(charts=tuple(charts), lead=lead(page.inputs), figures=tuple(figures))


def training_panels(run: ReportInput, sections: Sequence[Section]) -> list[tuple[Panel, bool]]:
    """The panels with lines, the most informative first, and whether each stands in the print figure.

    Loss comes first, then the panels over the checkpoints of `sections`, then the optimizer and the machine.
    """
    tasks = sorted(by_rank(sections), key=lambda section: not section.steps_in_print)
    panels = [
        (_loss(run, causal=False), True),
        (_loss(run, causal=True), False),
        (validation.bits_panel(run), False),
        *((panel, section.steps_in_print) for section in tasks for panel in section.steps(run)),
        (_learning_rate(run), True),
        *((panel, False) for panel in _machine(run)),
    ]
    return [(panel, in_print) for panel, in_print in panels if panel.lines]


def lead(inputs: Sequence[ReportInput]) -> str:
    """How to read the charts, and what a curve leaves out."""
    text = "One axis over all stages; drag to zoom, double-click to return."
    if any(run.validation_sets for run in inputs):
        text += (
            " Validation during training hides the same tokens at every step; the section Validation has the mean over"
            " several draws of masks."
        )
    if any(run.train for run in inputs):
        text += " Faint: every logged step; clear: a centred mean over a fiftieth of the stage."
    logged = max(logged_steps(run) for run in inputs)
    if logged > POINTS:
        text += (
            f" Of {logged:,} logged steps, a curve shows at most {POINTS:,}: the first, the last, and the "
            "lowest and highest of equal spans, so that no spike is lost."
        )
    return text


def _loss(run: ReportInput, causal: bool) -> Panel:
    """Training and validation loss, logarithmic if it halves: it falls from 10 to 2 within the first steps.

    The stages with the causal objective have a panel of their own, because the loss at the next token, of which only
    the text before it is known, is no masked-LM loss.
    """
    curves = {stage: curve for stage, curve in run.train.items() if bool(curve["causal"].any()) == causal}
    of_validation = validation.step_lines(run, "causal_loss" if causal else "loss")
    lines = (*training_lines(run, "loss", "train", curves), *of_validation)
    values = np.concatenate([line.y for line in lines]) if lines else np.array([np.nan])
    log = bool(lines and 0 < 2 * np.nanmin(values) < np.nanmax(values))
    title = "Next-token loss of causal stages" if causal else "Masked-LM loss"
    title += " (nats, logarithmic)" if log else " (nats)"
    return Panel(
        "causal-loss" if causal else "loss", title, lines, y=logarithmic(Axis(), lines) if log else Axis(), size="large"
    )


def _learning_rate(run: ReportInput) -> Panel:
    x, y = curve_over_stages(run, run.train, "learning_rate")
    lines = (Line("", "plain", "clear", x, y),) if len(x) else ()
    return Panel("learning-rate", "Learning rate", lines, y=replace(FROM_ZERO, form=".3~e"))


def _machine(run: ReportInput) -> tuple[Panel, ...]:
    speed = replace(FROM_ZERO, form=",.0f", tick="~s")
    padding = replace(FROM_ZERO, form=".2%", tick=".2~%")
    mfu = replace(FROM_ZERO, form=".1%", tick=".2~%")
    return (
        Panel("gradient-norm", "Gradient norm", training_lines(run, "gradient_norm", "plain")),
        Panel("speed", "Tokens a second", training_lines(run, "tokens_per_second", "recall"), y=speed),
        Panel("padding", "Padding, share of token slots", training_lines(run, "padding_fraction", "mrr"), y=padding),
        Panel("mfu", "Model FLOPs utilisation", training_lines(run, "mfu", "train"), y=mfu),
    )


SECTION = Section(
    "training", "Training", content, absent="no curves recorded", needs_run=True, figure="figure-1-training"
)
