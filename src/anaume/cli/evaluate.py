"""`anaume eval TASK MODEL…` and `anaume eval all RUN…`: a command for each row of the table of tasks.

The options of a command are the fields of its task's options. An option of another task is refused by name.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from anaume.api import verbs
from anaume.bounds import MOST_HOURS
from anaume.cli.arguments import check_folder
from anaume.errors import UserError
from anaume.evals.task import Task
from anaume.evals.tasks import TASKS, owners_of

ALL = "all"
COLUMNS = 12  # metrics that fit a terminal; a record has all
Models = Annotated[list[str], typer.Argument(metavar="MODEL…", help="folders or Hub ids")]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN…", help="run directories")]


class Tasks(TyperGroup):
    """The group of commands. An unknown task is an error that names the known ones."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command of a task.

        Raises:
            UserError: there is no such task.
        """
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            nearest = get_close_matches(args[0], self.commands, n=1)
            hint = f"{nearest[0]}, or another of " if nearest else ""
            raise UserError(f"task {args[0]!r}: unknown; expected {hint}{', '.join(self.commands)}")
        return super().resolve_command(ctx, args)


class TaskCommand(TyperCommand):
    """A command that refuses an option of another task and names the tasks that have it."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parse the words of the command line.

        Raises:
            UserError: an option of another task is given.
        """
        own = {name for parameter in self.params for name in parameter.opts}
        for word in args:
            name = word.partition("=")[0]
            if name.startswith("--") and name not in own and (owners := owners_of(_field_name(name))):
                raise UserError(f"eval {self.name}: {name}: not an option here; expected with {' or '.join(owners)}")
        return super().parse_args(ctx, args)


def make_app() -> typer.Typer:
    """Make the group of commands from the table of tasks."""
    app = typer.Typer(
        cls=Tasks,
        help="Evaluate encoders on a task, one JSON record per model; `all` follows every checkpoint of a run.",
        epilog="Example: anaume eval retrieval my-encoder cl-nagoya/ruri-large-v2 --pairs pairs.jsonl --out evals",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for task in TASKS.values():
        _add_task(app, task)
    _add_all(app)
    return app


def _add_task(app: typer.Typer, task: Task) -> None:
    """Add the command of a task."""

    def command(models: Sequence[str], out: Path | None, **values: Any) -> None:
        if task.display and values[task.display_options[0]]:
            from anaume.evals.task import imported
            from anaume.model.place import check_any_place

            check_any_place(models)
            imported(task.display)(models, task.options(**values))
            return
        if out is None:
            raise UserError(f"eval {task.name}: --out is missing; expected the folder for the records")
        _evaluate(task.name, models, out, values)

    declared = [_parameter(field, field.default) for field in fields(task.options)]
    out = Annotated[Path | None, typer.Option(help="folder for the records", callback=check_folder)]
    _sign(command, [_argument("models", Models), _argument("out", out, None), *declared])
    app.command(task.name, cls=TaskCommand, help=f"{task.summary}\n\nExample: {task.example}")(command)


def _evaluate(task: str, models: Sequence[str], out: Path, values: Mapping[str, Any]) -> None:
    """Print the path of each record, and at the end a table of the first scores on standard error."""
    from rich.console import Console
    from rich.table import Column, Table

    from anaume.evals.record import load_record

    paths: list[Path] = []

    def add(path: Path) -> None:
        print(path)
        paths.append(path)

    try:
        verbs.evaluate(task, models, out, on_record=add, progress=True, **values)
    finally:  # one of several models may have been skipped
        records = [load_record(path) for path in paths]
        names = list(dict.fromkeys(name for record in records for name in record.metrics))[:COLUMNS]
        headings = [Column(name, overflow="fold") for name in ("", *names, "n")]  # of a narrow terminal, whole names
        table = Table(*headings)
        for record in records:
            scores = (record.metrics.get(name) for name in names)
            table.add_row(
                record.model, *("–" if value is None else f"{value:.4g}" for value in scores), f"{record.n:,}"
            )
        if records:
            Console(stderr=True).print(table)


def _add_all(app: typer.Typer) -> None:
    """Add the command that follows the checkpoints of a run; its options are those of all tasks."""

    def command(runs: Sequence[Path], out: Path | None, hours: float | None, **values: Any) -> None:
        if out and len(runs) > 1:
            raise UserError(f"--out {out}: {len(runs)} runs would share it for their records; expected one run")
        for run in runs:
            print(verbs.evaluate_run(run, out, hours=hours, progress=True, **values))

    by_name: dict[str, Field[Any]] = {}
    amounts: dict[str, int] = {}
    for task in TASKS.values():
        for field in fields(task.options):
            if field.name not in task.display_options:
                by_name.setdefault(field.name, field)
        amounts |= task.each_checkpoint
    declared = [_parameter(field, amounts.get(name, field.default), owners_of(name)) for name, field in by_name.items()]
    out = Annotated[
        Path | None, typer.Option(help="folder for the records; by default the run's own", callback=check_folder)
    ]
    about_hours = (
        "hours that it may take for each run; chooses tokens, documents, positions and the grid of fine-tuning"
    )
    hours = Annotated[float | None, typer.Option(min=0.001, max=MOST_HOURS, help=about_hours)]
    _sign(command, [_argument("runs", Runs), _argument("out", out, None), _argument("hours", hours, None), *declared])
    about = "Export and evaluate every kept checkpoint of a run on every task that has its inputs."
    app.command(ALL, cls=TaskCommand, help=f"{about}\n\nExample: anaume eval all runs/small --pairs pairs.jsonl")(
        command
    )


def _parameter(field: "Field[Any]", default: Any, tasks: Sequence[str] = ()) -> inspect.Parameter:
    """Declare a field of a task's options as an option of the command line."""
    assert default is not MISSING
    owners = f" ({', '.join(tasks)})" if tasks and len(tasks) < len(TASKS) else ""
    spelling = [f"--{field.name.replace('_', '-')}"]  # without a spelling, typer would add --no-… to a switch
    about, least, most = (field.metadata[key] for key in ("help", "minimum", "maximum"))
    option = typer.Option(*spelling, help=about + owners, min=least, max=most)
    return _argument(field.name, Annotated[field.type, option], default)


def _argument(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _sign(command: Callable[..., None], parameters: Sequence[inspect.Parameter]) -> None:
    """Give a function the signature from which typer makes the command line."""
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}


def _field_name(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")
