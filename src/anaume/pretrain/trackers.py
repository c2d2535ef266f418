"""Metrics to TensorBoard, Weights & Biases or trackio as well, through accelerate's trackers."""

from types import TracebackType
from typing import Any, Self

from anaume.errors import UserError
from anaume.pretrain.ranks import Ranks
from anaume.recipe import Recipe
from anaume.run import Run

# Lists, and what names the line rather than measures something.
_NOT_CURVES = {"kind", "stage", "step", "source_tokens", "length_tokens"}


class Trackers:
    """The recipe's trackers, on the main process only; a resumed run goes on where it was, step by step."""

    def __init__(self, recipe: Recipe, run: Run, ranks: Ranks) -> None:
        self._open: list[Any] = []
        self._steps = {
            stage.name: sum(s.steps for s in recipe.stage[:number]) for number, stage in enumerate(recipe.stage)
        }
        if not recipe.trackers or not ranks.is_main:
            return
        from accelerate import PartialState
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        PartialState(cpu=ranks.device.type == "cpu")  # the trackers ask it which process they are in
        for name in recipe.trackers:
            kind = LOGGER_TYPE_TO_CLASS[name]
            try:
                where = [str(run.folder / name)] if kind.requires_logging_directory else []
                tracker: Any = kind(recipe.name, *where)
                tracker.start()
            except ImportError as error:
                raise UserError(f"trackers: {name} is not installed ({error}); accepted: pip install {name}") from error
            self._open.append(tracker)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for tracker in self._open:
            tracker.finish()

    def log(self, record: dict[str, Any]) -> None:
        """Send a line of metrics.jsonl, its step counted from the first stage's first."""
        values = {f"{record['kind']}/{name}": value for name, value in record.items() if name not in _NOT_CURVES}
        for tracker in self._open:
            tracker.log(values, step=self._steps[record["stage"]] + record["step"])
