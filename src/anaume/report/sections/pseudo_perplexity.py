"""Pseudo-perplexity by document length: its table, and the paper's Figure 2 with documents and length bins."""

import re
from collections.abc import Sequence

import numpy as np

from anaume.evals.record import Record
from anaume.report.comparable import PRECISION, SEED, TEXTS, Aspect, AspectValue, setting
from anaume.report.curves import Values
from anaume.report.draw.figures import PrintFigure
from anaume.report.draw.palette import SERIES
from anaume.report.draw.panels import Axis, Line, Panel, logarithmic
from anaume.report.draw.steps import checkpoint_lines
from anaume.report.inputs import EvaluatedModel, ReportInput
from anaume.report.models import compared, heading, series_of
from anaume.report.models_table import length_bins, metrics_table
from anaume.report.section import Content, Page, Score, Section, present, single_chart, task_columns
from anaume.report.tables import Cell, Column, Table

TASK, METRIC, BITS = "pseudo-perplexity", "pseudo_perplexity", "bits_per_character"
DOTS = 1800  # documents on one chart; more would cover each other and make a heavy picture


def _drawn(record: Record) -> AspectValue | None:
    digest = record.settings.get("drawn_sha256")
    return AspectValue(str(digest)) if digest else None


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
        present(table(page.inputs), documents_table(page.inputs)),
        single_chart(shown),
        lead=lead(page.inputs) if shown else "",
        figures=(PrintFigure((shown,), (5.5, 3.5)) if shown else None,),
    )


def table(inputs: Sequence[ReportInput]) -> Table | None:
    """Models × length bins, all documents, bits per character.

    Bits per character have a best value; perplexity has one where all models have the same tokens.
    """
    models = compared(inputs)
    bins = {name: name.removeprefix(METRIC).strip() for name in length_bins(models, TASK, METRIC)}
    return metrics_table(
        TASK,
        "Pseudo-perplexity by document length in tokens, one masked position at a time; n documents. Lower is better. "
        "It depends on the tokenizer. Bits per character depend on it less, and compare models that were measured on "
        "the same documents: a model draws documents by its own token counts, and leaves out those that are longer "
        "than its positions. Both favour a tokenizer that splits words into more pieces, because a piece is guessed "
        "from the other pieces of its word (Kauf and Ivanova 2023, arXiv 2305.10588).",
        models,
        TASK,
        ASPECTS,
        shown={**bins, METRIC: "all", BITS: "Bits per character"},
        lowest=[BITS, METRIC] if _same_tokens(models) else [BITS],
    )


def documents_table(inputs: Sequence[ReportInput]) -> Table | None:
    """Number of documents behind each pseudo-perplexity by length."""
    models = [model for model in compared(inputs) if TASK in model.records]
    bins = [name for name in length_bins(models, TASK, METRIC) if len(_edges(name)) == 2]
    if not bins:
        return None
    rows = []
    for model in models:
        lengths, _ = documents(model)
        counts = [int(((lengths > low) & (lengths <= high)).sum()) for low, high in map(_edges, bins)]
        rows.append((Cell(model.label), *(Cell(f"{count:,}") for count in counts)))
    heads = [Column(name.removeprefix(METRIC).strip(), numeric=True) for name in bins]
    caption = "Documents behind the pseudo-perplexity of each length bin; a bin of few documents says little."
    return Table("pseudo-perplexity-documents", caption, (Column("Model"), *heads), tuple(rows))


def _same_tokens(models: Sequence[EvaluatedModel]) -> bool:
    """Whether all models count equally many tokens in each document, as models with one tokenizer do."""
    details = [model.records[TASK].details for model in models if TASK in model.records]
    counts = {tuple(row.get("tokens") for row in rows) for rows in details}
    return len(counts) == 1 and any(counts.pop())


def panel(inputs: Sequence[ReportInput]) -> Panel | None:
    """Documents as dots and length bins as a line, for each of the first models compared."""
    models = series_of(inputs, TASK)[:SERIES]
    dots, curves = [], []
    for model, role, marker in models:
        name = heading(inputs, model)
        x, y = documents(model)
        if len(x):
            evenly = np.argsort(x, kind="stable")[:: -(-len(x) * len(models) // DOTS)]
            dots.append(Line(name, role, "dots", x[evenly], y[evenly]))
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
    """How to read the panel, and what it leaves out."""
    models = series_of(inputs, TASK)
    text = "A dot is a document, a marker a length bin, at the mean length of its documents."
    if any(len(documents(model)[0]) * min(len(models), SERIES) > DOTS for model, _, _ in models):
        text += f" At most {DOTS:,} dots are drawn, evenly over the lengths; the bins hold all documents."
    if len(models) > SERIES:
        text += f" The chart has the first {SERIES} of {len(models)} models; the table has all."
    return text


def documents(model: EvaluatedModel) -> tuple[Values, Values]:
    """(documents,) lengths in tokens and (documents,) pseudo-perplexities of the documents that have both."""
    rows = [row for row in model.records[TASK].details if row.keys() >= {"tokens", METRIC}]
    points = np.array([(row["tokens"], row[METRIC]) for row in rows], dtype=np.float64).reshape(-1, 2)
    points = points[np.isfinite(points).all(1) & (points[:, 1] > 0)]  # a logarithmic axis shows no others
    return points[:, 0], points[:, 1]


def binned(model: EvaluatedModel) -> tuple[Values, Values]:
    """(bins,) mean lengths of the documents, or the middle of an empty bin, and (bins,) pseudo-perplexities."""
    lengths, _ = documents(model)
    rows = []
    for name in _bins(model):
        value = model.metric(TASK, name)
        low, high = _edges(name)
        inside = lengths[(lengths > low) & (lengths <= high)]
        rows.append((inside.mean() if len(inside) else (low + high) / 2, value))
    points = np.array(rows, dtype=np.float64).reshape(-1, 2)
    return points[:, 0], points[:, 1]


def _bins(model: EvaluatedModel) -> list[str]:
    """The metrics of the model's bins, without that of the last bin, which has no upper end."""
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
    overview=(Score(TASK, METRIC, "Pseudo-perplexity"), Score(TASK, BITS, "Bits per character")),
    dynamics=task_columns(TASK, ASPECTS, {METRIC: "Pseudo-perplexity"}),
    steps=over_steps,
)
