"""Metrics to TensorBoard, Weights & Biases or trackio, through accelerate's trackers."""

from types import TracebackType
from typing import Any, Self

from anaume.errors import UserError
from anaume.pretrain.checkpoint import State
from anaume.pretrain.ranks.rank import Ranks
from anaume.recipe import Recipe, flat
from anaume.run import Run, run_id

# Keys that are not sent: they are lists or identify the record.
_NOT_CURVES = {"kind", "stage", "step", "set", "source_tokens", "length_tokens"}


class Trackers:
    """The recipe's trackers, on the main process only. A run that resumes from `last` keeps its name.

    TensorBoard hides the earlier points of repeated steps. The services can't retract a point and receive it twice.
    """

    def __init__(self, recipe: Recipe, run: Run, ranks: Ranks, last: State | None) -> None:
        self._open: list[Any] = []
        self._steps = {
            stage.name: sum(s.steps for s in recipe.stage[:number]) for number, stage in enumerate(recipe.stage)
        }
        if not recipe.trackers or not ranks.is_main:
            return
        from accelerate import PartialState
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        PartialState(cpu=ranks.device.type == "cpu")  # the trackers ask it whether this is the main process
        config, name = dict(flat(recipe.published())), run_id(run)
        options: dict[str, dict[str, Any]] = {
            "tensorboard": {
                "logging_dir": str(run.tensorboard),
                "purge_step": self._steps[last.stage] + last.step + 1 if last else 0,
            },
            "wandb": {"id": name, "resume": "allow", "config": config},
            "trackio": {"name": name, "resume": "allow", "config": config},
        }
        for kind in recipe.trackers:
            try:
                tracker: Any = LOGGER_TYPE_TO_CLASS[kind](recipe.name, **options[kind])
                tracker.start()
            except ImportError as error:
                raise UserError(f"trackers: {kind} is not installed ({error}); expected pip install {kind}") from error
            if kind == "tensorboard" and not last:  # one table of settings per run
                tracker.store_init_configuration(config)
            self._open.append(tracker)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for tracker in self._open:
            tracker.finish()

    def log(self, record: dict[str, Any]) -> None:
        """Send a record of metrics.jsonl; steps are counted over all stages."""
        prefix = "/".join(filter(None, (record["kind"], record.get("set"))))
        values = {f"{prefix}/{name}": value for name, value in record.items() if name not in _NOT_CURVES}
        for tracker in self._open:
            tracker.log(values, step=self._steps[record["stage"]] + record["step"])
