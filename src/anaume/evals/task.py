"""What an evaluation task is: a row of the table in `tasks.py`, and what its module gives the row.

This module imports neither torch nor transformers, so that the command line can list tasks and options at once.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from anaume.bounds import MOST_SEED
from anaume.errors import UserError

if TYPE_CHECKING:
    from anaume.encoder.load import Encoder
    from anaume.encoder.pooling import Pooling
    from anaume.evals.record import Record
    from anaume.run import Run

# Number format of every task that evaluates an opened encoder, on every device; see `encoder.load.load_encoder`.
PRECISION = "float32"
POOLINGS = ("own", "mean")
# Items of a task's input that are timed for a forecast.
SAMPLE = 32


def option(default: Any, help: str, *, minimum: int | None = None, maximum: int | None = None) -> Any:
    """Declare a field of a task's options; the command line takes its type, default, help and limits from here."""
    return field(default=default, metadata={"help": help, "minimum": minimum, "maximum": maximum})


@dataclass(frozen=True)
class TaskOptions:
    """What a user may choose for a task. Each task has a subclass with its own fields."""

    seed: int = option(0, "seed of all random draws", minimum=0, maximum=MOST_SEED)


Options = TypeVar("Options", bound=TaskOptions)
Item = TypeVar("Item")


@dataclass(frozen=True)
class Request(Generic[Options]):
    """The models, options and folder of an evaluation of one task.

    `models`  folders or Hub ids
    `out`     folder of the records, and of the files that a task keeps for later calls (their names begin with a dot)
    `run`     the run whose checkpoints the models are: its own validation corpus stands in for texts that are not given
    """

    models: tuple[str, ...]
    options: Options
    out: Path
    run: "Run | None" = None


@dataclass(frozen=True)
class Subject:
    """A model under evaluation: a folder or Hub id that is opened at the first use and then shared by all tasks."""

    path: str
    masked_lm: bool

    @cached_property
    def encoder(self) -> "Encoder":
        """The opened model."""
        from anaume.encoder.load import load_encoder  # brings torch

        return load_encoder(self.path, masked_lm=self.masked_lm)

    def pooling(self, choice: str, layer: int | None = None) -> "Pooling":
        """The pooling of the model's folder ("own"), or the paper's ("mean"), of a layer or after the last one."""
        from anaume.encoder.pooling import pooling_of

        return pooling_of(self.path, choice, self.encoder.device).of_layer(layer)


@dataclass(frozen=True)
class Baseline:
    """A pseudo-model that needs no encoder: its name, its task, what its numbers depend on, and how to measure it."""

    name: str
    task: str
    provenance: Mapping[str, Any]
    measure: Callable[[], "Record"]


@dataclass(frozen=True)
class Evaluation:
    """A task whose inputs have been read and checked.

    `measure`     measures a model; JGLUE gives several records, most tasks one
    `provenance`  settings that identify the inputs by checksums. Two records of equal provenance, weights and seed hold
                  equal numbers, so the second is not measured. None: the task itself skips what it has measured before.
    `baselines`   pseudo-models to measure beside the models
    `forecast`    estimates the seconds that measuring models takes, which differ in their weights only
    """

    measure: Callable[[Subject], Iterable["Record"]]
    provenance: Mapping[str, Any] | None = None
    baselines: tuple[Baseline, ...] = ()
    forecast: Callable[[Sequence[Subject]], float] | None = None


@dataclass(frozen=True)
class Task:
    """A row of the table of tasks.

    `name`             the task on the command line and in records
    `summary`          one sentence for `anaume eval --help`
    `example`          a command that works
    `options`          the class of its options
    `needs`            options of which one must be given
    `prepare`          "MODULE:FUNCTION" that turns a Request into an Evaluation; imported when the task is used
    `masked_lm`        whether the task needs the masked-LM head
    `own_texts`        whether a run's own validation corpus may stand in for `--texts`
    `each_checkpoint`  smaller amounts for `eval all`, which measures many checkpoints: minutes instead of hours
    `opens_models`     whether `prepare` opens the models itself; `eval all` then exports the checkpoints first
    `display`          "MODULE:FUNCTION" that prints to the terminal, as FUNCTION(models, options), and makes no record
    `display_options`  options that concern `display` only; it is called when the first of them is given
    """

    name: str
    summary: str
    example: str
    options: type[TaskOptions]
    needs: tuple[str, ...]
    prepare: str
    masked_lm: bool = True
    own_texts: bool = False
    opens_models: bool = False
    each_checkpoint: Mapping[str, int] = field(default_factory=dict)
    display: str = ""
    display_options: tuple[str, ...] = ()

    def missing(self, options: TaskOptions, *, run: bool = False) -> str:
        """Return the name of the first needed option, for example "pairs", if none is given; else an empty text."""
        if any(getattr(options, name) for name in self.needs) or (run and self.own_texts):
            return ""
        return self.needs[0]

    def require_inputs(self, options: TaskOptions) -> None:
        """Refuse options that lack an input of the task.

        Raises:
            UserError: names the option and what it expects.
        """
        if self.missing(options):
            names = " or ".join(f"--{name}" for name in self.needs)
            helps = ", or ".join(self.options.__dataclass_fields__[name].metadata["help"] for name in self.needs)
            raise UserError(f"eval {self.name}: {names} is missing; expected {helps}")

    def check_inputs(self, options: TaskOptions) -> None:
        """Check that the files, folders and texts that the options name are there; nothing is read.

        Raises:
            UserError: names the option and what it expects.
        """
        for declared in fields(options):
            value = getattr(options, declared.name)
            # JGLUE's folder may be made by --fetch.
            if isinstance(value, Path) and not value.exists() and not getattr(options, "fetch", False):
                expected = declared.metadata["help"]
                raise UserError(f"--{declared.name} {value}: no such file or folder; expected {expected}")
        if texts := getattr(options, "texts", ""):
            from anaume.corpus.readers import check_source, parse_source  # brings pydantic

            check_source(parse_source(texts))

    def select(self, choices: Mapping[str, Any]) -> TaskOptions:
        """Make the task's options for `eval all` from options by name; options of other tasks are ignored."""
        values = {**self.each_checkpoint, **choices}
        return self.options(**{f.name: values[f.name] for f in fields(self.options) if f.name in values})

    def make(self, request: Request[Any]) -> Evaluation:
        """Read and check the inputs of a request.

        Raises:
            UserError: a file is missing or can't be read, or an option has a value that is not accepted.
        """
        evaluation: Evaluation = imported(self.prepare)(request)
        return evaluation


def estimate(work: Callable[[Sequence[Item]], object], items: Sequence[Item], sample: int = SAMPLE) -> float:
    """Estimate the seconds that `work` takes for all `items` from its time for about `sample` of them."""
    part = items[:: max(1, len(items) // sample)]
    work(part[:2])  # the first call of a network is slower
    start = time.perf_counter()
    work(part)
    return (time.perf_counter() - start) * len(items) / len(part)


def check_pooling(choice: str) -> None:
    """Check the option `--pooling`.

    Raises:
        UserError: it is neither "own" nor "mean".
    """
    if choice not in POOLINGS:
        raise UserError(f"--pooling {choice}: unknown; expected {' or '.join(POOLINGS)}")


def imported(place: str) -> Callable[..., Any]:
    """Import "MODULE:FUNCTION" and return the function."""
    module, _, name = place.partition(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function
