"""Every task on every model: a list of models for one task, or all tasks over all kept checkpoints of a run.

The rule: what a user got wrong is said before anything is measured, and a run's record of the same origin is not made
again, so that an interrupted evaluation goes on where it stopped.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from transformers import AutoTokenizer

from anaume.corpus import hakoniwa
from anaume.encoder.load import check_names, load_encoder, open_tokenizer, revision_of
from anaume.errors import UserError
from anaume.evals import pseudo_perplexity, retrieval, tasks, validation
from anaume.evals.inputs.pairs import read_pairs
from anaume.evals.jglue import grid
from anaume.evals.jglue.trials import Experiment
from anaume.evals.provenance import data_settings
from anaume.evals.record import Record, load_record, save_record
from anaume.evals.tasks import HEADLESS, TASKS, Inputs, Origin
from anaume.export.checkpoint import export, is_export_of
from anaume.files import alone, folder_atomic
from anaume.recipe import Recipe
from anaume.run import CheckpointName, Run

# Tokens, documents, positions.
ALONE = validation.TOKENS, pseudo_perplexity.DOCUMENTS, pseudo_perplexity.POSITIONS
# Minutes, not hours. Few suffice to compare checkpoints, for all are asked the same.
EACH_CHECKPOINT = 262_144, 20, 20


def evaluate_models(task: str, models: Sequence[str], inputs: Inputs, out: Path) -> Iterator[Path]:
    """Evaluate models on one task; gives the paths of the records.

    Raises:
        UserError: an unknown task, a missing input, a file or a model that can't be opened, two models of one name.
    """
    if task not in TASKS:
        raise UserError(f"task {task!r}; accepted: jglue, {', '.join(TASKS)}, all")
    if option := inputs.missing(task):
        raise UserError(f"anaume eval {task}: {option} is missing")
    check_names(models)
    for model in models:
        open_tokenizer(model, masked_lm=task not in HEADLESS)
    inputs = inputs.sized(*ALONE)
    origin = tasks.origins([task], inputs)[task]
    for model in models:
        opened = load_encoder(model, masked_lm=task not in HEADLESS)
        yield save_record(tasks.evaluate(task, opened, model, inputs, origin, out), out)
    if task == "retrieval":
        yield from _lexical(inputs, out, models[0])


def evaluate_run(folder: Path, inputs: Inputs, out: Path | None = None) -> Path:
    """Export and evaluate every kept checkpoint of a run, step 0 included; gives the folder of the records.

    Validation and pseudo-perplexity read the run's own validation corpus unless `--texts` is given. A run on the
    built-in corpus brings its cloze questions and retrieval pairs along.

    Raises:
        UserError: the folder is no run; as `evaluate_models`.
    """
    run = Run(folder)
    recipe = run.recipe()
    out = out or run.evals
    inputs = _with_builtin_tasks(run, recipe, inputs).sized(*EACH_CHECKPOINT)
    chosen = [task for task in TASKS if inputs.missing(task) in ("", "--texts")]
    origins = tasks.origins(chosen, inputs, run)
    moments = list(_export_all(run))
    studies: list[Experiment] = []
    if inputs.data:
        models = [str(moment.model) for moment in moments]
        studies = grid.prepare(models, inputs.data, out, inputs.grid, fetch=inputs.fetch)
    for moment in moments:
        _evaluate_checkpoint(run, moment, inputs, origins, out)
        for study in studies:
            if study.model == str(moment.model):
                save_record(moment.of(grid.evaluate(study, inputs.grid, out)), out)
    if inputs.pairs:
        for _ in _lexical(inputs, out, str(run.tokenizer)):
            pass
    return out


@dataclass(frozen=True)
class Moment:
    """A checkpoint as a model's folder, and the tokens that training had read by then."""

    name: CheckpointName
    model: Path
    tokens: int

    def of(self, result: Record) -> Record:
        """The record of this checkpoint."""
        moment = {"stage": self.name.stage, "step": self.name.step, "tokens": self.tokens}
        return replace(result, model=self.name.model, checkpoint=moment)


def _export_all(run: Run) -> Iterator[Moment]:
    """All kept checkpoints. Exports come first: a run that is still training may prune what it has now."""
    for name in run.checkpoints():
        if name not in run.checkpoints():
            print(f"{name.model}: pruned meanwhile, left out", file=sys.stderr)
            continue
        model, tokens = run.export(name), run.tokens_seen(name)
        with alone(model):
            if not is_export_of(model, run, name):  # not there, or of weights that were there before
                export(run, name, model)
        yield Moment(name, model, tokens)


def _evaluate_checkpoint(run: Run, moment: Moment, inputs: Inputs, origins: dict[str, Origin], out: Path) -> None:
    model, name = str(moment.model), moment.name.model
    weights = revision_of(model)
    to_do = [
        task
        for task, origin in origins.items()
        if not _is_done(out / name / f"{task}.json", tasks.of_weights(origin, weights), inputs.seed)
    ]
    opened = load_encoder(model, masked_lm=True) if to_do else None
    for task in to_do:
        assert opened
        print(f"{name}: {task}", file=sys.stderr)
        save_record(moment.of(tasks.evaluate(task, opened, model, inputs, origins[task], out, run)), out)


def _is_done(record: Path, origin: Origin, seed: int) -> bool:
    """Whether a record of this origin is there."""
    if not record.exists():
        return False
    made = load_record(record)
    return made.seed == seed and all(made.settings.get(key) == value for key, value in origin.items())


def _lexical(inputs: Inputs, out: Path, model: str) -> Iterator[Path]:
    """The baselines of retrieval, which need no model, except for its tokenizer where they count tokens."""
    assert inputs.pairs
    tokenizer = AutoTokenizer.from_pretrained(model) if inputs.unit == "tokens" else None
    for kind, own in retrieval.UNITS.items():
        unit = inputs.unit or own
        origin = data_settings(inputs.pairs) | {"unit": unit}
        if tokenizer:
            origin["tokenizer"] = str(tokenizer.name_or_path)
        if not _is_done(out / kind / "retrieval.json", origin, inputs.seed):
            pairs = read_pairs(inputs.pairs)
            result = retrieval.evaluate_lexical(
                kind, pairs, unit, tokenizer=tokenizer, data=inputs.pairs, seed=inputs.seed
            )
            yield save_record(result, out)


def _with_builtin_tasks(run: Run, recipe: Recipe, inputs: Inputs) -> Inputs:
    if not any(source.builtin for source in recipe.corpus.train):
        return inputs
    folder = run.folder / "tasks"
    if not folder.exists():
        with folder_atomic(folder) as temporary:
            hakoniwa.write_tasks(temporary, recipe.seed)
    return replace(inputs, pairs=inputs.pairs or folder / "pairs.jsonl", cloze=inputs.cloze or folder / "cloze.jsonl")
