"""Models × tasks → records: a list of models on one task, or every kept checkpoint of a run on all tasks.

The rule: a user's mistakes are reported before anything is measured, and a checkpoint is measured only if it has no
record of equal provenance, so that an interrupted evaluation goes on where it stopped.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anaume.corpus import hakoniwa
from anaume.encoder.load import load_encoder, name_of, open_tokenizer, revision_of
from anaume.errors import Incomplete, UserError
from anaume.evals.record import DIGITS, Record, folder_of, free_name, load_record, save_record
from anaume.evals.task import PRECISION, Evaluation, Request, Subject, Task, TaskOptions
from anaume.evals.tasks import TASKS
from anaume.export.checkpoint import export
from anaume.export.selection import is_export_of
from anaume.files import folder_atomic, path_lock, remove_leftovers
from anaume.files.outputs import require_folder
from anaume.formats import duration
from anaume.progress import say
from anaume.recipe import Recipe
from anaume.run import CheckpointName, Run, run_id


def evaluate_models(name: str, models: Sequence[str], options: TaskOptions, out: Path) -> Iterator[Path]:
    """Evaluate models on the task `name` and yield the paths of their records, baselines last.

    Raises:
        UserError: the task is unknown, an input is missing or can't be read, no model can be opened, or two models
            share a name.
        Incomplete: some models could not be opened or measured; raised after the others are measured.
    """
    if name not in TASKS:
        raise UserError(f"task {name!r}: unknown; expected {', '.join(TASKS)}, all")
    task = TASKS[name]
    task.require_inputs(options)
    if task.opens_models:
        task.make(Request((), options, out))  # a mistake in the inputs is told before a model is opened
    suitable = _suitable(models, lambda model: _check(model, task))
    names = record_names(suitable, out)
    evaluation = task.make(Request(suitable, options, out))
    skipped = len(models) - len(suitable)
    for model in suitable:
        try:
            for record in _measure(evaluation, Subject(model, task.masked_lm)):
                yield save_record(replace(record, model=names[model]), out)
        except UserError as error:
            if len(models) == 1:
                raise
            skipped += 1
            _say_skipped(error)
    yield from _measure_baselines(evaluation, options.seed, out)
    if skipped:
        raise Incomplete(f"{skipped} of {len(models)} models skipped; the others are measured")


def _check(model: str, task: Task) -> None:
    """Open the tokenizer, or the whole model where the task opens all models before it measures the first."""
    if task.opens_models:
        load_encoder(model, masked_lm=task.masked_lm)
    else:
        open_tokenizer(model, masked_lm=task.masked_lm)


def _suitable(models: Sequence[str], check: Callable[[str], None]) -> tuple[str, ...]:
    """The models that pass `check`. The others are named on standard error.

    Raises:
        UserError: none passes; the error of the first one.
    """
    suitable, errors = [], []
    for model in models:
        try:
            check(model)
            suitable.append(model)
        except UserError as error:
            errors.append(error)
    if not suitable:
        raise errors[0]
    for reason in errors:
        _say_skipped(reason)
    return tuple(suitable)


def _say_skipped(error: UserError) -> None:
    say(f"anaume: skipped: {error}")


def record_names(models: Sequence[str], out: Path) -> dict[str, str]:
    """Model → its name in the records of the folder `out`. No record of other weights has that name.

    Raises:
        UserError: a model is given twice, or two have one name and equal weights.
    """
    if twice := {model for model in models if models.count(model) > 1}:
        raise UserError(f"{min(twice)}: given twice; expected each model once")
    plain = {model: name_of(model) for model in models}
    repeated = {name for name in plain.values() if list(plain.values()).count(name) > 1}
    names = {}
    for model, name in plain.items():
        revision = revision_of(model)
        names[model] = f"{name}-{revision[:DIGITS]}" if name in repeated else free_name(name, revision, out)
    if len({*names.values()}) < len(models):
        raise UserError(f"two models are called {min(repeated)!r} and have equal weights; expected each model once")
    return names


def evaluate_run(folder: Path, choices: Mapping[str, Any], out: Path | None = None) -> Path:
    """Export and evaluate every kept checkpoint of a run, step 0 included, and return the folder of the records.

    `choices` holds options of any task by name. A task whose inputs are not among them is left out. Validation and
    pseudo-perplexity read the run's own validation corpus unless `texts` is given; a run on the built-in corpus brings
    its cloze questions and retrieval pairs along. A forecast of the time is printed to standard error first.

    Raises:
        UserError: the folder is no run; see also `evaluate_models`.
    """
    work = _prepare_run(folder, choices, out)
    _forecast(work, tell=True)
    for checkpoint in work.checkpoints:
        _evaluate_checkpoint(checkpoint, work)
    for name, evaluation in work.evaluations.items():
        for _ in _measure_baselines(evaluation, work.options[name].seed, work.out):
            pass
    return work.out


def forecast_run(folder: Path, choices: Mapping[str, Any], tasks: Collection[str] = TASKS) -> dict[str, float]:
    """Estimate the seconds that `evaluate_run` needs for each of the tasks, by timing parts of them on one checkpoint.

    Records that exist count as no time, and tasks without their inputs are left out.

    Raises:
        UserError: see `evaluate_run`.
    """
    return _forecast(_prepare_run(folder, choices, None, tasks), tell=False)


@dataclass(frozen=True)
class RunWork:
    """The tasks that have their inputs, and the checkpoints to measure. Records go to `out`."""

    evaluations: Mapping[str, Evaluation]
    options: Mapping[str, TaskOptions]
    checkpoints: Sequence["Checkpoint"]
    out: Path

    def missing(self, name: str) -> list[Subject]:
        """The checkpoints without a record of a task; all of them where the task itself knows what is missing."""
        subjects = [(c, Subject(str(c.folder), masked_lm=True)) for c in self.checkpoints]
        return [subject for c, subject in subjects if not self.is_measured(name, c, subject)]

    def is_measured(self, name: str, checkpoint: "Checkpoint", subject: Subject) -> bool:
        """Whether a checkpoint has its record of a task."""
        provenance, path = self.evaluations[name].provenance, folder_of(checkpoint.model, self.out) / f"{name}.json"
        return provenance is not None and _is_measured(path, _provenance(provenance, subject), self.options[name].seed)


def _prepare_run(folder: Path, choices: Mapping[str, Any], out: Path | None, tasks: Collection[str] = TASKS) -> RunWork:
    """Read the inputs of the tasks and export the checkpoints."""
    run = Run(folder)
    recipe = run.recipe()
    out = out or run.evals
    require_folder(out)
    choices = {name: value for name, value in choices.items() if value is not None}
    choices |= _builtin_inputs(run, recipe, choices)
    options = {name: TASKS[name].select(choices) for name in TASKS if name in tasks}
    selected = [TASKS[name] for name, chosen in options.items() if not TASKS[name].missing(chosen, run=True)]
    evaluations = {
        task.name: task.make(Request((), options[task.name], out, run)) for task in selected if not task.opens_models
    }
    checkpoints = _named(list(_export_all(run)), run, out)
    models = tuple(str(checkpoint.folder) for checkpoint in checkpoints)
    for task in selected:
        if task.opens_models:
            evaluations[task.name] = task.make(Request(models, options[task.name], out, run))
    return RunWork(evaluations, options, checkpoints, out)


def _forecast(work: RunWork, *, tell: bool) -> dict[str, float]:
    """The seconds of each task; with `tell`, a line for each and the sum. A grid prints its own lines beforehand."""
    seconds: dict[str, float] = {}
    for name, evaluation in work.evaluations.items():
        missing = work.missing(name)
        seconds[name] = evaluation.forecast(missing) if missing and evaluation.forecast else 0.0
        if tell and missing and evaluation.provenance is not None:
            say(f"{name}: {len(missing)} of {len(work.checkpoints)} checkpoints to do, about {duration(seconds[name])}")
    total = sum(seconds.values())
    if tell and len(seconds) > 1 and total > 0:
        say(f"all tasks: about {duration(total)}")
    return seconds


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint exported to a folder, and the tokens that training had read by then.

    `run` is the name of the run in records outside its own folder, where other runs may have records, too.
    """

    name: CheckpointName
    folder: Path
    tokens: int
    run: str = ""

    @property
    def model(self) -> str:
        """The name in the records."""
        return f"{self.run}-{self.name.model}" if self.run else self.name.model

    def place(self, record: Record) -> Record:
        """Return the record with the name, stage, step and tokens of this checkpoint."""
        checkpoint = {"stage": self.name.stage, "step": self.name.step, "tokens": self.tokens}
        checkpoint |= {"run": self.run} if self.run else {}
        return replace(record, model=self.model, checkpoint=checkpoint)


def _export_all(run: Run) -> Iterator[Checkpoint]:
    """Export all kept checkpoints, before any is measured: a run that is still training may prune them later."""
    for name in run.checkpoints():
        if name not in run.checkpoints():
            say(f"{name.model}: pruned meanwhile, left out")
            continue
        folder, tokens = run.export(name), run.tokens_seen(name)
        with path_lock(folder):
            if not is_export_of(folder, run, name):  # absent, or made of other weights of that name
                export(run, name, folder)
        yield Checkpoint(name, folder, tokens)


def _named(checkpoints: list[Checkpoint], run: Run, out: Path) -> list[Checkpoint]:
    """The checkpoints with the run's name where `out` is not the run's own folder.

    If another run of that name has records there, digits of the run's id make the name unique.
    """
    if out.resolve() == run.evals.resolve():
        return checkpoints
    named = [replace(checkpoint, run=run.recipe().name) for checkpoint in checkpoints]
    if any(free_name(item.model, revision_of(str(item.folder)), out) != item.model for item in named):
        unique = f"{run.recipe().name}-{run_id(run)[:DIGITS]}"
        named = [replace(checkpoint, run=unique) for checkpoint in checkpoints]
    return named


def _evaluate_checkpoint(checkpoint: Checkpoint, work: RunWork) -> None:
    subject = Subject(str(checkpoint.folder), masked_lm=True)
    remove_leftovers(work.out / checkpoint.name.model)
    for name, evaluation in work.evaluations.items():
        if work.is_measured(name, checkpoint, subject):
            continue
        if evaluation.provenance is not None:
            say(f"{checkpoint.model}: {name}")
        for record in _measure(evaluation, subject):
            save_record(checkpoint.place(record), work.out)


def _measure(evaluation: Evaluation, subject: Subject) -> Iterator[Record]:
    for record in evaluation.measure(subject):
        if evaluation.provenance is not None:
            record = replace(record, settings=record.settings | _provenance(evaluation.provenance, subject))
        yield record


def _provenance(of_inputs: Mapping[str, Any], subject: Subject) -> dict[str, Any]:
    """Provenance of a record: its inputs, the weights and the number format."""
    return {**of_inputs, "revision": revision_of(subject.path), "precision": PRECISION}


def _is_measured(path: Path, provenance: Mapping[str, Any], seed: int) -> bool:
    """Whether a record of equal provenance and seed exists."""
    if not path.exists():
        return False
    record = load_record(path)
    return record.seed == seed and all(record.settings.get(key) == value for key, value in provenance.items())


def _measure_baselines(evaluation: Evaluation, seed: int, out: Path) -> Iterator[Path]:
    """Save the baselines' records unless they exist, and yield the paths of the new ones."""
    for baseline in evaluation.baselines:
        if not _is_measured(out / baseline.name / f"{baseline.task}.json", baseline.provenance, seed):
            yield save_record(baseline.measure(), out)


def _builtin_inputs(run: Run, recipe: Recipe, choices: Mapping[str, Any]) -> dict[str, Path]:
    """The built-in corpus's questions and pairs for a run that trained on it, unless the user gives others."""
    if not any(source.builtin for source in recipe.corpus.train):
        return {}
    folder = run.tasks
    with path_lock(folder):
        if not folder.exists():
            with folder_atomic(folder) as temporary:
                hakoniwa.write_tasks(temporary, recipe.seed)
    return {name: folder / f"{name}.jsonl" for name in ("pairs", "cloze") if not choices.get(name)}
