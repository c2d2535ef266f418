"""Pseudo-perplexity by document length: its table, and the paper's Figure 2 with documents and length bins."""

import re
from collections.abc import Sequence

import numpy as np

from anaume.evals.record import Record
from anaume.report.comparable import PRECISION, SEED, TEXTS, Aspect, Statement, setting
from anaume.report.curves import Values
from anaume.report.draw.figures import PrintFigure
from anaume.report.draw.palette import SERIES
from anaume.report.draw.panels import Axis, Line, Panel, logarithmic
from anaume.report.draw.steps import checkpoint_lines
from anaume.report.inputs import EvaluatedModel, ReportInput
from anaume.report.models import compared, heading, series_of
from anaume.report.models_table import length_bins, metrics_table
from anaume.report.section import Content, Page, Section, present, single_chart, task_columns
from anaume.report.tables import Table

TASK, METRIC, BITS = "pseudo-perplexity", "pseudo_perplexity", "bits_per_character"
DOTS = 1800  # documents on one chart; more would cover each other and make a heavy picture


def _drawn(record: Record) -> Statement | None:
    digest = record.settings.get("drawn_sha256")
    return Statement(str(digest)) if digest else None


ASPECTS = (
    TEXTS,
    Aspect("Documents in a bin at most", setting("documents")),
    Aspect("Positions in a document", setting("positions")),
    SEED,
    Aspect("Documents drawn", _drawn, silence="fails"),
    PRECISION,
)


def content(page: Page) -> Content:
    """The table of the models compared, and the panel of documents and bins."""
    shown = panel(page.inputs)
    return Content(
        present(table(page.inputs)),
        single_chart(shown),
        lead=lead(page.inputs) if shown else "",
        figures=(PrintFigure((shown,), (5.5, 3.5)) if shown else None,),
    )


def table(inputs: Sequence[ReportInput]) -> Table | None:
    """Models × length bins. Bits per character have a best value, and all documents where the tokenizer is one."""
    models = compared(inputs)
    bins = {name: name.removeprefix(METRIC).strip() for name in length_bins(models, TASK, METRIC)}
    return metrics_table(
        TASK,
        "Pseudo-perplexity by document length in tokens, one masked position at a time; n documents. Lower is better. "
        "It depends on the tokenizer; bits per character do less, and compare models that were asked about the same "
        "documents. Each draws them by its own token counts, and leaves out what is longer than its positions. Both "
        "flatter a tokenizer that splits words into more pieces, for a piece is guessed from its siblings (Kauf and "
        "Ivanova 2023, arXiv 2305.10588).",
        models,
        TASK,
        ASPECTS,
        shown={**bins, METRIC: "all", BITS: "Bits per character"},
        lowest=[BITS, METRIC] if _counted_alike(models) else [BITS],
    )


def _counted_alike(models: Sequence[EvaluatedModel]) -> bool:
    """Whether all split the same documents into as many tokens, as models with one tokenizer do."""
    details = [model.records[TASK].details for model in models if TASK in model.records]
    counts = {tuple(row.get("tokens") for row in rows) for rows in details}
    return len(counts) == 1 and any(counts.pop())


def panel(inputs: Sequence[ReportInput]) -> Panel | None:
    """Documents as dots and the length bins as a line, for each of the first models compared."""
    models = series_of(inputs, TASK)[:SERIES]
    dots, curves = [], []
    for model, role, marker in models:
        name = heading(inputs, model)
        x, y = documents(model)
        if len(x):
            chosen = np.argsort(x, kind="stable")[:: -(-len(x) * len(models) // DOTS)]
            dots.append(Line(name, role, "dots", x[chosen], y[chosen]))
        x, y = binned(model)
        curves.append(Line(name, role, "points", x, y, marker))
    if not any(len(line.x) for line in (*dots, *curves)):
        return None
    edges = sorted({edge for model, _, _ in models for bin in _bins(model) for edge in _edges(bin)})
    return Panel(
        TASK,
        "Pseudo-perplexity by document length (logarithmic)",
        (*dots, *curves),
        x=Axis("Tokens", from_zero=True, form=",d", ticks=tuple((edge, f"{edge:,}") for edge in edges)),
        y=logarithmic(Axis("Pseudo-perplexity"), (*dots, *curves)),
        hover="nearest",
        size="large",
    )


def lead(inputs: Sequence[ReportInput]) -> str:
    """What the panel leaves out is said beside it."""
    models = series_of(inputs, TASK)
    said = "A dot is a document, a marker a length bin, at the mean length of its documents."
    if any(len(documents(model)[0]) * min(len(models), SERIES) > DOTS for model, _, _ in models):
        said += f" At most {DOTS:,} dots are drawn, evenly over the lengths; the bins hold all documents."
    if len(models) > SERIES:
        said += f" Drawn are the first {SERIES} of {len(models)} models; the table has all."
    return said


def documents(model: EvaluatedModel) -> tuple[Values, Values]:
    """(documents,) lengths in tokens and pseudo-perplexities, of those that have both."""
    rows = [row for row in model.records[TASK].details if row.keys() >= {"tokens", METRIC}]
    found = np.array([(row["tokens"], row[METRIC]) for row in rows], dtype=np.float64).reshape(-1, 2)
    found = found[np.isfinite(found).all(1) & (found[:, 1] > 0)]  # what a logarithmic axis can show
    return found[:, 0], found[:, 1]


def binned(model: EvaluatedModel) -> tuple[Values, Values]:
    """(bins,) the mean length of a bin's documents, else its middle, and the bin's pseudo-perplexity."""
    lengths, _ = documents(model)
    points = []
    for name in _bins(model):
        value = model.metric(TASK, name)
        low, high = _edges(name)
        inside = lengths[(lengths > low) & (lengths <= high)]
        points.append((inside.mean() if len(inside) else (low + high) / 2, value))
    found = np.array(points, dtype=np.float64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _bins(model: EvaluatedModel) -> list[str]:
    """The names of the model's bins that have an end."""
    return [name for name in length_bins([model], TASK, METRIC) if len(_edges(name)) == 2]


def _edges(name: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", name)]


def over_steps(run: ReportInput) -> tuple[Panel, ...]:
    """Pseudo-perplexity of all documents over the checkpoints."""
    lines = checkpoint_lines(run, TASK, ("", METRIC, "train"))
    axis = logarithmic(Axis(), lines)
    return (Panel("pseudo-perplexity-steps", "Pseudo-perplexity (logarithmic)", lines, y=axis),)


SECTION = Section(
    TASK,
    "Pseudo-perplexity",
    content,
    figure="figure-2-pseudo-perplexity",
    tasks=(TASK,),
    rank=4,
    dynamics=task_columns(TASK, ASPECTS, {METRIC: "Pseudo-perplexity"}),
    steps=over_steps,
)
