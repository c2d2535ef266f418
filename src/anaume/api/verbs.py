"""The functions behind the verbs; the command line calls them, too.

The rules: nothing heavy is imported before a function is called; a mistake or an error of the operating system is a
`UserError` with the line that the command line prints; nothing is printed unless `progress` is set.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anaume.errors import UserError, line_of

if TYPE_CHECKING:
    from anaume.evals.record import Record
    from anaume.recipe import Recipe

PathOrName = str | PathLike[str]


@contextmanager
def verb(progress: bool, out: PathOrName | None = None, option: str = "--out") -> Iterator[None]:
    """Show progress or not within this block, and make every expected error the line of the command line.

    Before the work begins, the folder `out` is checked, which is called by its `option` as on the command line.
    """
    from anaume.files.outputs import require_folder
    from anaume.progress import progress_shown

    with progress_shown(progress):
        try:
            if out is not None:
                require_folder(Path(out), option)
            yield
        except UserError as error:
            error.args = (line_of(error),)
            raise
        except OSError as error:
            raise UserError(line_of(error)) from error


def pretrain(
    recipe: "PathOrName | Mapping[str, Any] | Recipe",
    run: PathOrName,
    *,
    changes: Sequence[str] = (),
    workers: int = 1,
    loaders: int | None = None,
    progress: bool = False,
) -> Path:
    """Train every stage of a recipe in the run directory `run`, and return it.

    The same call goes on where it stopped. Ctrl-C ends it with a checkpoint.

    Args:
        recipe: A TOML file, its content as nested dictionaries, or a `Recipe`.
        run: The run directory, new or to be continued.
        changes: Changes of keys, such as `"stage.0.steps=100"`, if `recipe` is a file.
        workers: Processes that tokenise.
        loaders: Processes that make batches; by default one on a GPU, none on a CPU.
        progress: Whether to print progress to standard error.

    Raises:
        UserError: The recipe, the corpus, the tokenizer or the folder can't be used, or the loss is no longer finite.
        KeyboardInterrupt: Ctrl-C ended the run; the checkpoint is written.
    """
    from anaume.files.names import require_unicode
    from anaume.pretrain.prepare import check_places
    from anaume.run import Run

    with verb(progress, run, "--run"):
        require_unicode(Path(run), "--run: ")
        loaded_recipe = _load(recipe, changes)
        if not Run(Path(run)).manifest_file.is_file():
            check_places(loaded_recipe)
        from anaume.pretrain import loop  # brings torch, so the recipe is checked first

        return loop.pretrain(loaded_recipe, Path(run), workers, loaders).folder


def _load(recipe: "PathOrName | Mapping[str, Any] | Recipe", changes: Sequence[str]) -> "Recipe":
    from anaume.recipe import Recipe, load, parse

    if isinstance(recipe, str | PathLike):
        return load(Path(recipe), changes)
    if changes:
        raise UserError(f"changes {changes[0]}: given with a recipe that is no file; expected a recipe with the change")
    return recipe if isinstance(recipe, Recipe) else parse(dict(recipe), "recipe")


def export(
    run: PathOrName,
    out: PathOrName,
    *,
    stage: str = "",
    step: int = -1,
    average: int = 1,
    license: str = "",
    onnx: bool = False,
    int8: bool = False,
    progress: bool = False,
) -> Path:
    """Write a checkpoint of a run as a folder that transformers and sentence-transformers open; return the folder.

    The folder holds a model card, too.

    Args:
        run: A run directory.
        out: The folder to write.
        stage: The stage; by default the last one.
        step: The step; by default the last one.
        average: Number of checkpoints to average, of which this one is the last.
        license: Licence of the weights as the Hub spells it, such as "apache-2.0"; empty: none is chosen yet.
        onnx: Whether to write graphs for ONNX Runtime, too; needs the extra `onnx`.
        int8: Whether to write a graph with 8-bit products, too; implies `onnx`.
        progress: Whether to print progress to standard error.

    Raises:
        UserError: The folder is no run, the run has no such checkpoint, `out` holds something else, or the licence is
            no identifier.
    """
    from anaume.export.selection import COMMAND, select_average, select_checkpoint
    from anaume.files.outputs import require_own_folder
    from anaume.publish.license import check_license
    from anaume.run import Run

    with verb(progress, out):
        check_license(license)
        opened_run = Run(Path(run))
        opened_run.recipe()  # a missing run is told before torch is imported
        name = select_checkpoint(opened_run, stage, step)
        select_average(opened_run, name, average)
        require_own_folder(Path(out), COMMAND)
        from anaume.export.onnx import onnx_addition
        from anaume.publish.folder import publish

        graphs = [onnx_addition(int8=int8)] if onnx or int8 else []
        return publish(opened_run, name, Path(out), average, license, graphs)


def evaluate(
    task: str,
    models: PathOrName | Sequence[PathOrName],
    out: PathOrName,
    *,
    on_record: Callable[[Path], None] | None = None,
    progress: bool = False,
    **options: Any,
) -> "list[Record]":
    """Evaluate encoders on a task, write a record of each, and return the records.

    Args:
        task: `"validation"`, `"fill-mask"`, `"pseudo-perplexity"`, `"retrieval"`, `"geometry"`, `"jglue"` or `"ner"`.
        models: A folder or Hub id, or several.
        out: The folder of the records, `out/<model>/<task>.json`.
        on_record: Called with the path of each record as soon as it is written.
        progress: Whether to print progress to standard error.
        options: Options of the task, named as on the command line with `_` for `-`, such as `pairs="pairs.jsonl"`.

    Raises:
        UserError: The task or an option is unknown, an input is missing or can't be read, or no model can be opened.
        Incomplete: Some models could not be measured; the records of the others are written.
    """
    from anaume.evals.record import load_record
    from anaume.evals.tasks import TASKS
    from anaume.model.place import check_any_place

    names = [str(model) for model in ([models] if isinstance(models, str | PathLike) else models)]
    records = []
    with verb(progress, out):
        if task not in TASKS:
            raise UserError(f"task {task!r}: unknown; expected {', '.join(TASKS)}")
        chosen = TASKS[task].options(**_checked(task, options))
        TASKS[task].require_inputs(chosen)
        check_any_place(names)
        TASKS[task].check_inputs(chosen)
        from anaume.evals.evaluate import evaluate_models

        for path in evaluate_models(task, names, chosen, Path(out)):
            records.append(load_record(path))
            if on_record:
                on_record(path)
    return records


def evaluate_run(
    run: PathOrName,
    out: PathOrName | None = None,
    *,
    hours: float | None = None,
    progress: bool = False,
    **options: Any,
) -> Path:
    """Export and evaluate every kept checkpoint of a run on every task that has its inputs.

    Args:
        run: A run directory.
        out: The folder of the records; by default the run's own.
        hours: About how long it may take on this machine: tokens, documents, positions, and the grid of fine-tuning are
            chosen by a forecast, whatever `options` says of them, and kept for the next call with the same hours.
        progress: Whether to print progress to standard error.
        options: Options of any task, named as on the command line with `_` for `-`.

    Returns:
        The folder of the records. Checkpoints that have their record are not measured again.

    Raises:
        UserError: The folder is no run, an option is unknown, or an input can't be read.
    """
    from anaume.evals.tasks import TASKS
    from anaume.run import Run

    with verb(progress, out):
        choices = {name: value for name, value in _checked("all", options).items() if value is not None}
        opened_run = Run(Path(run))
        opened_run.recipe()  # a missing run is told before torch is imported
        for task in TASKS.values():
            task.check_inputs(task.select(choices))
        from anaume.evals.amounts import amounts_for
        from anaume.evals.evaluate import evaluate_run

        records = None if out is None else Path(out)
        if hours is not None:
            choices = amounts_for(opened_run.folder, choices, hours, records)
        return evaluate_run(opened_run.folder, choices, records)


def _checked(task: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, with a path in place of a text or a text in place of a path as the task declares them.

    Raises:
        UserError: `task`, or with "all" every task, lacks one of the options, or a number is out of its range.
    """
    from dataclasses import Field, fields

    from anaume.evals.tasks import TASKS, owners_of

    tasks = TASKS.values() if task == "all" else [TASKS[task]]
    declared: dict[str, Field[Any]] = {}
    for row in tasks:
        for field in fields(row.options):  # of two tasks with an option of one name, the first declares it
            declared.setdefault(field.name, field)
    for name in options:
        if name not in declared:
            expected = f"with {' or '.join(owners_of(name))}" if owners_of(name) else ", ".join(sorted(declared))
            raise UserError(f"eval {task}: {name}: not an option here; expected {expected}")
        least, most = (declared[name].metadata[key] for key in ("minimum", "maximum"))
        if most is not None and options[name] is not None and not least <= options[name] <= most:
            raise UserError(f"eval {task}: {name}: {options[name]}: out of range; expected {least} to {most}")
    kinds: dict[Any, type] = {Path | None: Path, str: str}
    return {
        name: kinds[declared[name].type](value)
        if isinstance(value, str | PathLike) and declared[name].type in kinds
        else value
        for name, value in options.items()
    }


def finetune(
    model: PathOrName,
    data: PathOrName,
    out: PathOrName,
    *,
    text: str | Sequence[str] = (),
    label: str = "",
    split: str = "auto",
    epochs: int | str | Sequence[int] = 3,
    learning_rates: float | str | Sequence[float] = 5e-5,
    seeds: int = 1,
    seed: int = 0,
    progress: bool = False,
) -> Path:
    """Fine-tune an encoder on labelled data: classes, labels, pairs, numbers or entities, whichever the data hold.

    Of several epochs and learning rates, the pair that scores best on a tenth of the training examples is taken.

    Args:
        model: A folder or Hub id.
        data: CSV or JSON lines; for entities also CoNLL, Parquet or a folder; or a data set of the Hub,
            `hub:NAME[:SUBSET[:SPLIT]]`.
        out: The folder to write: an ordinary model for transformers' `pipeline`, and `finetune.json` with its metrics.
        text: Column of the text, or two columns for pairs; by default the usual names.
        label: Column of the label; by default `label`, `labels` or `score`.
        split: For entities, where pieces end: `"auto"`, `"none"`, `"scripts"`, `"kanji"` or `"characters"`.
        epochs: Passes over the examples, or several numbers to choose from, such as `[3, 5]` or `"3,5"`.
        learning_rates: The peak, at a tenth of the steps, or several to choose from.
        seeds: Trainings with the chosen settings; the first model is written, and the metrics are means over all.
        seed: The first seed: of the held-out examples, of the head's first weights and of the order.
        progress: Whether to print progress to standard error.

    Returns:
        The folder `out`.

    Raises:
        UserError: Model, data or folder can't be used, or the training diverged. Nothing has been written then.
    """
    from anaume.evals.labelled.hub import check_data
    from anaume.files.outputs import require_own_folder
    from anaume.finetune import COMMAND
    from anaume.model.place import check_place

    with verb(progress, out):
        require_own_folder(Path(out), COMMAND)
        check_place(str(model))
        check_data(str(data))
        from anaume.evals.jglue.grid import parse
        from anaume.evals.labelled import tune

        grid = parse("", "held-out", _joined(learning_rates), _joined(epochs), seeds=seeds, seed=seed)
        columns = (text,) if isinstance(text, str) else tuple(text)
        return tune.finetune(str(model), str(data), Path(out), grid, columns, label, split)


def _joined(values: float | str | Sequence[float]) -> str:
    """One value or several as they stand on the command line."""
    return ",".join(map(str, values)) if isinstance(values, Sequence) and not isinstance(values, str) else str(values)


def report(inputs: PathOrName | Sequence[PathOrName], out: PathOrName, *, progress: bool = False) -> Path:
    """Write the page, the figures and the tables of runs and evaluations, and return the path of `index.html`.

    Args:
        inputs: A run directory or a folder of records, or several.
        out: The folder to write.
        progress: Whether to name damaged files, which are left out, on standard error as well as on the page.

    Raises:
        UserError: A path is neither a run directory nor a folder of records, or `out` holds something else.
    """
    with verb(progress, out):
        from anaume.report.page import write_report

        paths = [inputs] if isinstance(inputs, str | PathLike) else inputs
        return write_report([Path(path) for path in paths], Path(out))
