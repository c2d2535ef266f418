"""What is drawn, before it is drawn: page (plotly) and paper figures (matplotlib) show the same panels.

x is the step on one axis over all stages: a stage's own steps, shifted by the steps of the stages before it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from anaume.formats import short
from anaume.report import jglue
from anaume.report.contents import compared, heading, length_bins
from anaume.report.curves import POINTS, Column, Curve, finite, smooth, thin
from anaume.report.palette import SERIES, of_series
from anaume.report.sources import Model, Source

GAP = np.array([np.nan])


@dataclass(frozen=True)
class Line:
    """One series, in its role's colour.

    `faint` for raw values, `clear` for smoothed ones, `points` where every value is marked, `dots` for many values
    without order, `bars` for a histogram: x has the edges of its bins, one more than y.
    `labels` stand beside the points; empty ones are left out.
    """

    name: str
    role: str
    style: Literal["faint", "clear", "points", "dots", "bars"]
    x: Column
    y: Column
    marker: str = "circle"
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Axis:
    """`form` writes a value in full and `tick` one on the axis (d3's formats; empty: as plotly likes).

    `ticks` are the values marked on the axis, with their names; without them the drawing library chooses. `span` is
    what the axis shows, all values unless given.
    """

    title: str = ""
    log: bool = False
    from_zero: bool = False
    form: str = ".3f"
    tick: str = ""
    ticks: tuple[tuple[float, str], ...] = ()
    span: tuple[float, float] | None = None


# Highest through lowest value of a logarithmic axis, up to which it has these numbers in every power of ten.
ROUND = ((5, (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7)), (50, (1, 1.5, 2, 3, 5, 7)), (500, (1, 2, 5)), (np.inf, (1,)))
STEPS = Axis("Step", form=",d", tick="~s")
FROM_ZERO = Axis(from_zero=True)


def logarithmic(axis: Axis, lines: Sequence[Line]) -> Axis:
    """The axis with a logarithmic scale, and round numbers marked on it: the more, the less the lines' values span."""
    values = np.concatenate([GAP, *(line.y for line in lines)])
    present = values[np.isfinite(values) & (values > 0)]
    low, high = present.min(initial=np.inf), present.max(initial=0)
    steps = next(steps for times, steps in ROUND if high / low < times)
    round_numbers = [float(f"{step}e{power}") for power in range(-6, 12) for step in steps]
    ticks = tuple((n, f"{n:,g}" if n < 10_000 else short(n)) for n in round_numbers if low / 2 <= n <= 2 * high)
    return replace(axis, log=True, ticks=ticks)


@dataclass(frozen=True)
class Panel:
    """One pair of axes. `levels` are horizontal lines (name, value); `note` stands under the title.

    `hover` says what is told of the values under the pointer: all those at this x, or the nearest one.
    """

    id: str
    title: str
    lines: tuple[Line, ...]
    x: Axis = STEPS
    y: Axis = FROM_ZERO
    levels: tuple[tuple[str, float], ...] = ()
    note: str = ""
    hover: Literal["x", "nearest"] = "x"
    size: Literal["normal", "large", "small"] = "normal"


@dataclass(frozen=True)
class Border:
    """Where a stage starts and ends on the common axis."""

    stage: str
    start: int
    end: int


def borders(source: Source) -> tuple[Border, ...]:
    """The stages that have happened, on the common axis."""
    spans = [(stage, source.offset(stage), source.last_step(stage)) for stage in source.stages]
    return tuple(Border(stage, start, start + length) for stage, start, length in spans if length)


def training_panels(source: Source) -> tuple[Panel, ...]:
    """The run's panels that have something in them, the most telling first."""
    recall = (("Recall@10", "recall_at_10", "recall"), ("MRR@10", "mrr_at_10", "mrr"))
    cloze = (("Acc@1", "accuracy_at_1", "cloze"), ("Acc@5", "accuracy_at_5", "cloze5"))
    speed = _train(source, "tokens_per_second", "recall")
    padding = _train(source, "padding_fraction", "mrr")
    rate = _joined(source, source.train, "learning_rate")
    perplexity = _checkpoint_lines(source, "pseudo-perplexity", (("", "pseudo_perplexity", "train"),))
    panels = [
        _loss(source),
        Panel("accuracy", "Accuracy on masked tokens", _validation(source, "accuracy")),
        Panel(
            "retrieval",
            "Zero-shot retrieval",
            _checkpoint_lines(source, "retrieval", recall),
            levels=_lexical(source),
        ),
        Panel("cloze", "Cloze questions", _checkpoint_lines(source, "fill-mask", cloze)),
        Panel(
            "pseudo-perplexity-steps",
            "Pseudo-perplexity (logarithmic)",
            perplexity,
            y=logarithmic(Axis(), perplexity),
        ),
        Panel("jglue", "JGLUE (validation, fine-tuned)", _jglue(source), y=Axis()),
        Panel(
            "learning-rate",
            "Learning rate",
            (Line("", "plain", "clear", *rate),) if len(rate[0]) else (),
            y=replace(FROM_ZERO, form=".3~e"),
        ),
        Panel("gradient-norm", "Gradient norm", _train(source, "gradient_norm", "plain")),
        Panel("speed", "Tokens a second", speed, y=replace(FROM_ZERO, form=",.0f", tick="~s")),
        Panel("padding", "Padding, share of token slots", padding, y=replace(FROM_ZERO, form=".2%", tick=".2~%")),
        Panel(
            "mfu",
            "Model FLOPs utilisation",
            _train(source, "mfu", "train"),
            y=replace(FROM_ZERO, form=".1%", tick=".2~%"),
        ),
    ]
    return tuple(panel for panel in panels if panel.lines)


def series(sources: Sequence[Source]) -> list[tuple[Model, str, str]]:
    """The models compared, with the role and the marker that are theirs on every chart.

    Without step 0, whose loss of 10 would press all other lines together, and without the lexical baselines.
    """
    models = [m for m in compared(sources) if not m.baseline and not (m.stage and m.step == 0)]
    return [(model, *of_series(number)) for number, model in enumerate(models)]


def series_of(sources: Sequence[Source], task: str) -> list[tuple[Model, str, str]]:
    """Those that have a record of the task."""
    return [(model, role, marker) for model, role, marker in series(sources) if task in model.records]


def length_panel(sources: Sequence[Source]) -> Panel | None:
    """Validation loss against the length of the piece, a line for each of the first models compared."""
    models = series_of(sources, "validation")[:SERIES]
    bins = length_bins((model for model, _, _ in models), "validation", "loss")
    if len(bins) < 2:
        return None
    lines = []
    for model, role, marker in models:
        values = [model.metric("validation", name) for name in bins]
        y = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        x = np.arange(len(bins), dtype=np.float64)
        lines.append(Line(heading(sources, model), role, "points", x, y, marker))
    names = tuple((float(place), name.removeprefix("loss ")) for place, name in enumerate(bins))
    title = "Masked-LM loss by length of the piece (tokens)"
    return Panel("by-length", title, tuple(lines), x=Axis(ticks=names), y=Axis())


def thinned(source: Source) -> int:
    """How many training steps were logged, if that is more than a curve shows; else 0."""
    logged = sum(len(curve["step"]) for curve in source.train.values())
    return logged if logged > POINTS else 0


def _loss(source: Source) -> Panel:
    """Loss falls from 10 to 2 within the first steps: a logarithmic axis shows what comes after, too."""
    lines = (*_train(source, "loss", "train"), *_validation(source, "loss"))
    values = np.concatenate([line.y for line in lines]) if lines else GAP
    log = bool(lines and 0 < 2 * np.nanmin(values) < np.nanmax(values))
    title = "Masked-LM loss (nats, logarithmic)" if log else "Masked-LM loss (nats)"
    return Panel("loss", title, lines, y=logarithmic(Axis(), lines) if log else Axis(), size="large")


def _train(source: Source, field: str, role: str) -> tuple[Line, ...]:
    """The logged values and their moving mean."""
    faint = _joined(source, source.train, field)
    if not len(faint[0]):
        return ()
    clear = _joined(source, source.train, field, smooth)
    return Line("train", role, "faint", *faint), Line("train, smoothed", role, "clear", *clear)


def _validation(source: Source, field: str) -> tuple[Line, ...]:
    """Validation as measured during training; from the checkpoints' records where no metrics were kept."""
    x, y = _joined(source, source.validation, field)
    if len(x):
        return (Line("validation", "validation", "points", x, y),)
    return _checkpoint_lines(source, "validation", (("validation", field, "validation"),))


def _joined(
    source: Source,
    curves: dict[str, Curve],
    field: str,
    change: Callable[[Column], Column] = lambda values: values,
) -> tuple[Column, Column]:
    """A field over all stages on the common axis, thinned, with a gap where a new stage starts."""
    present = [(source.offset(stage), curves[stage]) for stage in source.stages if stage in curves]
    total = sum(len(curve["step"]) for _, curve in present)
    xs: list[Column] = []
    ys: list[Column] = []
    for offset, curve in present:
        x, y = finite(curve["step"] + offset, curve[field])
        if len(x):
            x, y = thin(x, change(y), max(4, POINTS * len(curve["step"]) // max(POINTS, total)))
            xs += [GAP, x] if xs else [x]
            ys += [GAP, y] if ys else [y]
    return (np.concatenate(xs), np.concatenate(ys)) if xs else (np.array([]), np.array([]))


def _checkpoint_lines(source: Source, task: str, wanted: Sequence[tuple[str, str, str]]) -> tuple[Line, ...]:
    """Lines over the checkpoints for (name, metric, role) of one task."""
    lines = []
    for name, metric, role in wanted:
        found = [(source.offset(m.stage) + m.step, m.metric(task, metric)) for m in source.checkpoints]
        points = np.array([(x, y) for x, y in found if y is not None and np.isfinite(y)], dtype=np.float64)
        if len(points):
            lines.append(Line(name, role, "points", points[:, 0], points[:, 1]))
    return tuple(lines)


def _jglue(source: Source) -> tuple[Line, ...]:
    """Each task's own score over the checkpoints, under the protocol that the record has."""
    lines = []
    for number, score in enumerate(jglue.over_checkpoints(source)):
        role, marker = of_series(number)
        found = _checkpoint_lines(source, score.task, ((score.title, score.metric, role),))
        lines += [replace(line, marker=marker) for line in found if len(line.x) > 1]
    return tuple(lines)


def _lexical(source: Source) -> tuple[tuple[str, float], ...]:
    found = [(m.label, m.metric("retrieval", "recall_at_10")) for m in source.others if m.baseline]
    return tuple((f"{label} (Recall@10)", value) for label, value in found if value is not None and np.isfinite(value))
