"""Geometry of embeddings: alignment over uniformity (the paper's Figure 3) and histograms of cosines (Figure 4)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from anaume.formats import short
from anaume.report.comparable import DATA, PRECISION, SEED, TEXTS, Aspect, setting
from anaume.report.curves import Values
from anaume.report.draw.charts import Chart
from anaume.report.draw.figures import PrintFigure
from anaume.report.draw.panels import Axis, Line, Panel
from anaume.report.draw.steps import checkpoint_lines
from anaume.report.inputs import EvaluatedModel, ReportInput
from anaume.report.models import all_models, compared, heading, series
from anaume.report.models_table import metrics_table
from anaume.report.section import Content, Page, Score, Section, present, single_chart, task_columns
from anaume.report.tables import Table

TASK = "geometry"
ASPECTS = (
    DATA,
    TEXTS,
    Aspect("Random pairs", setting("random_pairs")),
    Aspect("Overlap", setting("overlap")),
    SEED,
    PRECISION,
)
PLANE = {"alignment": "Alignment", "uniformity": "Uniformity", "uniformity_all_pairs": "Uniformity, all pairs"}
COSINES = {"positive_mean": "Mean, positive", "random_mean": "Mean, random", "overlap": "Overlap", "auc": "AUC"}
ISOTROPY = {
    "first_component": "First component",
    "first_component_uncentred": "… mean not removed",
    "mean_cosine": "Mean cosine",
    "mean_cosine_centred": "… mean removed",
}
NOTES = {"overlap": "overlap", "auc": "AUC"}  # metric → its name above a histogram
PER = 0.01  # width of cosine for which a histogram gives the share of the pairs; models have bins of different widths
MARGIN = 0.1  # share of the plane at each edge, as room for labels
APART = (0.07, 0.05)  # shares of the plane's width and height by which two labels have to lie apart


def alignment(page: Page) -> Content:
    """The plane of alignment and uniformity, and its table."""
    panel = plane(page.inputs)
    return Content(
        present(plane_table(page.inputs), isotropy_table(page.inputs)),
        single_chart(panel),
        lead="Labels are steps; a run's checkpoints are joined in their order.",
        figures=(PrintFigure((panel,), (5.5, 4.0)) if panel else None,),
    )


def similarities(page: Page) -> Content:
    """A small histogram for each model, all on one axis, and their table."""
    panels = histograms(page.inputs)
    return Content(
        present(cosine_table(page.inputs)),
        (("", tuple(Chart(panel.id, panel, "cosines") for panel in panels)),) if panels else (),
        lead="Cosines of pairs that belong together and of random ones: the less they overlap, the better.",
        figures=(PrintFigure(panels, (2.33, 1.75), columns=3) if panels else None,),
    )


def plane_table(inputs: Sequence[ReportInput]) -> Table | None:
    """Alignment and uniformity of every model. None is marked as best: a collapsed model is perfectly aligned."""
    caption = (
        "Alignment, the mean squared distance of pairs that belong together, and uniformity, log mean exp(-2 d²) over "
        "random pairs, or over all pairs of their texts. Lower is better in both; a model that puts all texts in one "
        "place is perfectly aligned, so that neither value says much alone. n positive pairs."
    )
    return metrics_table("alignment-uniformity", caption, all_models(inputs), TASK, ASPECTS, shown=PLANE)


def isotropy_table(inputs: Sequence[ReportInput]) -> Table | None:
    """How evenly the texts lie around the sphere. None is marked as best: noise is perfectly even."""
    caption = (
        "Isotropy of the texts of the random pairs: share of the variance in the first principal component, and mean "
        "cosine of two texts, each with and without the mean of all texts. Near 1, the embeddings differ in one "
        "direction only, or share one."
    )
    return metrics_table("isotropy", caption, all_models(inputs), TASK, ASPECTS, shown=ISOTROPY)


def isotropy_over_steps(run: ReportInput) -> tuple[Panel, ...]:
    """The first principal component's share and the mean cosine over the checkpoints."""
    lines = checkpoint_lines(
        run,
        TASK,
        ("first component's share of the variance", "first_component", "recall"),
        ("mean cosine of two texts", "mean_cosine", "mrr"),
    )
    return (Panel("isotropy", "Isotropy (lower is more even)", lines),)


def cosine_table(inputs: Sequence[ReportInput]) -> Table | None:
    """Means of the cosines of positive and of random pairs, and how well they are separated."""
    caption = (
        "Cosines of positive and random pairs. Overlap: 1 minus the largest difference of their distribution "
        "functions, 0 if a threshold separates them; AUC: how often a positive pair is closer than a random one."
    )
    models = compared(inputs)
    return metrics_table(
        "similarities", caption, models, TASK, ASPECTS, shown=COSINES, highest=["auc"], lowest=["overlap"]
    )


def plane(inputs: Sequence[ReportInput]) -> Panel | None:
    """Alignment over uniformity: the checkpoints of a run joined in the order of training, other models as points."""
    styles = {id(model): (role, marker) for model, role, marker in series(inputs)}
    lines: list[Line] = []
    for entry in inputs:
        # This line is drawn first, and joins the last checkpoint of each stage to the first one of the next.
        lines.append(Line("", "plain", "clear", *_points(entry.checkpoints)))
        for stage, end in {model.stage: model for model in entry.checkpoints}.items():
            role, marker = styles.get(id(end), ("plain", "circle"))
            models = [model for model in entry.checkpoints if model.stage == stage and _is_placed(model)]
            name = f"{entry.name}: {stage}" if len(inputs) > 1 else stage
            labels = tuple(short(model.step) for model in models)
            lines.append(Line(name, role, "points", *_points(models), marker, labels))
    for model in (model for entry in inputs for model in entry.others):
        role, marker = styles.get(id(model), ("plain", "circle"))
        lines.append(Line(model.label, role, "points", *_points([model]), marker))
    lines = [line for line in lines if len(line.x)]
    if not lines:
        return None
    x, y = _span(line.x for line in lines), _span(line.y for line in lines)
    return Panel(
        "alignment-uniformity",
        "Alignment and uniformity (lower left is better)",
        tuple(_uncovered(lines, x[1] - x[0], y[1] - y[0])),
        x=Axis("Uniformity (lower is better)", span=x),
        y=Axis("Alignment (lower is better)", span=y),
        hover="nearest",
        size="large",
    )


def histograms(inputs: Sequence[ReportInput]) -> tuple[Panel, ...]:
    """A histogram of positive and random cosines for each model compared, on one axis that holds all cosines."""
    binned = [(model, rows) for model in compared(inputs) if (rows := _bins(model))]
    filled = [row for _, rows in binned for row in rows if row["positive"] or row["random"]]
    if not filled:
        return ()
    span = min(row["low"] for row in filled), max(row["high"] for row in filled)
    panels = []
    for number, (model, rows) in enumerate(binned, start=1):
        values = {name: model.metric(TASK, name) for name in NOTES}
        edges = np.array([*(row["low"] for row in rows), rows[-1]["high"]], dtype=np.float64)
        lines = [
            Line(f"{kind} pairs", kind, "bars", edges, np.array([row[kind] for row in rows]) * PER / np.diff(edges))
            for kind in ("random", "positive")
        ]
        panels.append(
            Panel(
                f"similarities-{number}",
                heading(inputs, model),
                tuple(lines),
                x=Axis("Cosine", form=".2f", span=span),
                y=Axis(f"Pairs per {PER:g} of cosine", from_zero=True, form=".1%", tick=".0%"),
                note=" · ".join(f"{NOTES[name]} {value:.3f}" for name, value in values.items() if value is not None),
                size="small",
            )
        )
    return tuple(panels)


def _is_placed(model: EvaluatedModel) -> bool:
    place = model.metric(TASK, "uniformity"), model.metric(TASK, "alignment")
    return all(value is not None and np.isfinite(value) for value in place)


def _points(models: Sequence[EvaluatedModel]) -> tuple[Values, Values]:
    """(models,) uniformity and (models,) alignment of the models that have both."""
    placed = [model for model in models if _is_placed(model)]
    x, y = ([model.metric(TASK, name) for model in placed] for name in ("uniformity", "alignment"))
    return np.array(x, dtype=np.float64), np.array(y, dtype=np.float64)


def _span(columns: Iterable[Values]) -> tuple[float, float]:
    values = np.concatenate(list(columns))
    margin = MARGIN * float(np.ptp(values)) or MARGIN
    return float(values.min()) - margin, float(values.max()) + margin


def _uncovered(lines: Sequence[Line], width: float, height: float) -> list[Line]:
    """The lines without labels that would cover another label; the ends of a line take precedence.

    `width` and `height` are the spans of the plane in its own units.
    """
    taken: list[tuple[float, float]] = []
    shown = []
    for line in lines:
        order = sorted(range(len(line.labels)), key=lambda i: i not in (0, len(line.labels) - 1))
        kept = set()
        for i in order:
            place = float(line.x[i]) / width, float(line.y[i]) / height
            if all(abs(place[0] - x) > APART[0] or abs(place[1] - y) > APART[1] for x, y in taken):
                taken.append(place)
                kept.add(i)
        shown.append(replace(line, labels=tuple(text if i in kept else "" for i, text in enumerate(line.labels))))
    return shown


def _bins(model: EvaluatedModel) -> list[dict[str, float]]:
    """The complete bins of the model's histogram, from low to high."""
    details = model.records[TASK].details if TASK in model.records else []
    rows = [row for row in details if row.keys() >= {"low", "high", "positive", "random"}]
    return sorted(rows, key=lambda row: row["low"])


ALIGNMENT = Section(
    "alignment",
    "Alignment",
    alignment,
    figure="figure-3-alignment-uniformity",
    tasks=(TASK,),
    rank=5,
    overview=(Score(TASK, "alignment", "Alignment"), Score(TASK, "uniformity", "Uniformity")),
    dynamics=task_columns(
        TASK,
        ASPECTS,
        {"alignment": "Alignment", "uniformity": "Uniformity", "first_component": "First component"},
    ),
    steps=isotropy_over_steps,
)
SIMILARITIES = Section("similarities", "Similarities", similarities, figure="figure-4-similarities", tasks=(TASK,))
