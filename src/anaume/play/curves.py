"""The tab of runs: metrics.jsonl as it is now → curves of the loss and the last numbers of each stage."""

from dataclasses import dataclass

from anaume.errors import UserError
from anaume.report.curves import Curve, finite, read_metrics, thin
from anaume.run import Run

POINTS = 400
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Progress:
    """How far a run is: its `name`, the `stage` it is in, its `step` and `loss` there.

    `losses` has "training" and the name of each validation set as keys, "validation" for one without a name; the
    points are (step over all stages, loss).
    """

    name: str
    stage: str
    step: int
    loss: float
    losses: dict[str, Points]


def progress(run: Run) -> Progress | None:
    """Read how far a run is; None for a run that has not written a line yet. Damaged lines are left out.

    Raises:
        UserError: the file can't be read.
    """
    if not run.metrics_file.is_file():
        return None
    name = run.folder.resolve().name
    try:
        curves, _ = read_metrics(run.metrics_file)
    except OSError as error:  # its line names the path of the file, which a page does not tell
        raise UserError(f"{name}: metrics.jsonl can't be read; `anaume report` says why") from error
    stages = list(dict.fromkeys(stage for kind, stage, _ in curves if kind == "train"))
    if not stages:
        return None
    losses: dict[str, Points] = {"training": []}
    before = 0.0
    for stage in stages:
        for (kind, of_stage, name_of_set), curve in curves.items():
            if of_stage == stage:
                title = "training" if kind == "train" else name_of_set or "validation"
                losses.setdefault(title, []).extend(_points(curve, before))
        before += float(curves["train", stage, ""]["step"][-1])
    last = curves["train", stages[-1], ""]
    return Progress(name, stages[-1], int(last["step"][-1]), float(last["loss"][-1]), losses)


def _points(curve: Curve, before: float) -> Points:
    steps, losses = thin(*finite(curve["step"], curve["loss"]), POINTS)
    return list(zip((steps + before).tolist(), losses.tolist(), strict=True))
