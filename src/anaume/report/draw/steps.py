"""A run → lines over its steps.

x is the step on one axis over all stages: a stage's own steps, shifted by the steps of the stages before it.
"""

from collections.abc import Callable

import numpy as np

from anaume.report.curves import POINTS, Curve, Values, finite, smooth, thin
from anaume.report.draw.panels import GAP, Axis, Border, Line
from anaume.report.inputs import ReportInput

TOKENS = Axis("Tokens seen", form=",d", tick="~s")


def borders(run: ReportInput) -> tuple[Border, ...]:
    """The stages that have at least one step, on the common axis."""
    spans = [(stage, run.offset(stage), run.last_step(stage)) for stage in run.stages]
    return tuple(Border(stage, start, start + length) for stage, start, length in spans if length)


def training_lines(run: ReportInput, field: str, role: str, curves: dict[str, Curve] | None = None) -> tuple[Line, ...]:
    """The logged values of a field and their moving mean; nothing where the run has none.

    `curves`: stage → curve of the stages to draw; all by default.
    """
    curves = run.train if curves is None else curves
    faint = curve_over_stages(run, curves, field)
    if not len(faint[0]):
        return ()
    clear = curve_over_stages(run, curves, field, smooth)
    return Line("train", role, "faint", *faint), Line("train, smoothed", role, "clear", *clear)


def checkpoint_lines(run: ReportInput, task: str, *lines: tuple[str, str, str]) -> tuple[Line, ...]:
    """A line over the checkpoints for each (name, metric, role); metrics without a finite value are left out."""
    drawn = []
    for name, metric, role in lines:
        finite_points = [(step, value) for step, value in run.over_checkpoints(task, metric) if np.isfinite(value)]
        points = np.array(finite_points, dtype=np.float64)
        if len(points):
            drawn.append(Line(name, role, "points", points[:, 0], points[:, 1]))
    return tuple(drawn)


def curve_over_stages(
    run: ReportInput,
    curves: dict[str, Curve],
    field: str,
    change: Callable[[Values], Values] = lambda values: values,
) -> tuple[Values, Values]:
    """(points,) steps and values of a field over all stages, after `change` and thinning, with gaps between stages."""
    stages = [(run.offset(stage), curves[stage]) for stage in run.stages if stage in curves]
    total = sum(len(curve["step"]) for _, curve in stages)
    xs: list[Values] = []
    ys: list[Values] = []
    for offset, curve in stages:
        x, y = finite(curve["step"] + offset, curve[field])
        if len(x):
            x, y = thin(x, change(y), max(4, POINTS * len(curve["step"]) // max(POINTS, total)))
            xs += [GAP, x] if xs else [x]
            ys += [GAP, y] if ys else [y]
    return (np.concatenate(xs), np.concatenate(ys)) if xs else (np.array([]), np.array([]))


def over_tokens(run: ReportInput, x: Values) -> Values:
    """(points,) tokens that a run had seen at steps on the common axis, as its logged lines count them.

    Empty for a run without such lines.
    """
    steps, tokens = curve_over_stages(run, run.train, "tokens")
    keep = np.isfinite(steps)
    return np.interp(x, [0.0, *steps[keep]], [0.0, *tokens[keep]]) if keep.any() else GAP[:0]


def logged_steps(run: ReportInput) -> int:
    """Training steps in metrics.jsonl, over all stages."""
    return sum(len(curve["step"]) for curve in run.train.values())
