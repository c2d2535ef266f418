"""Every task on every model: a list of models for one task, or all tasks over all kept checkpoints of a run.

The rule for runs: a record made from the same inputs is not made again, so an interrupted evaluation goes on where it
stopped.
"""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from anaume.corpus import hakoniwa
from anaume.corpus.readers import parse_source
from anaume.errors import UserError
from anaume.evals import encoder, fill_mask, retrieval, validation
from anaume.evals.result import Result, load, save
from anaume.evals.rows import data_settings
from anaume.files import folder_atomic
from anaume.model.export import export
from anaume.recipe import Recipe
from anaume.run import CheckpointName, Run
from anaume.tokens import tokenizer
from anaume.tokens.build import build, open_stores

TASKS = ("validation", "fill-mask", "retrieval")
OWN_TEXTS = "the run's validation corpus"
LEXICAL: tuple[Literal["edit-distance", "jaccard"], ...] = ("edit-distance", "jaccard")


@dataclass(frozen=True)
class Inputs:
    """What the user gave to evaluate on; a task without its input is left out of `all` and an error elsewhere."""

    pairs: Path | None = None
    texts: str = ""
    cloze: Path | None = None
    seed: int = 0

    def missing(self, task: str) -> str:
        """The option that a task lacks; empty if it has what it needs."""
        given = {"validation": ("--texts", self.texts), "fill-mask": ("--cloze", self.cloze)}
        option, value = given.get(task, ("--pairs", self.pairs))
        return "" if value else option


def evaluate_models(task: str, models: Sequence[str], inputs: Inputs, out: Path) -> Iterator[Path]:
    """Evaluate models on one task; gives the paths of the records.

    Raises:
        UserError: an unknown task, a missing input, a model that can't be opened, two models of one name.
    """
    if task not in TASKS:
        raise UserError(f"task {task!r}; accepted: {', '.join(TASKS)}, all")
    if option := inputs.missing(task):
        raise UserError(f"anaume eval {task}: {option} is missing")
    names = [encoder.name_of(model) for model in models]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise UserError(f"two models are called {min(repeated)!r}, and so would be their records; rename a folder")
    for model in models:
        yield save(_evaluate(task, model, inputs, out), out)
    if task == "retrieval":
        yield from _lexical(inputs, out)


def evaluate_run(folder: Path, inputs: Inputs, out: Path | None = None) -> Path:
    """Export and evaluate every kept checkpoint of a run, step 0 included; gives the folder of the records.

    The validation task reads the run's own validation corpus unless `--texts` is given. A run on the built-in corpus
    brings its cloze questions and retrieval pairs along.
    """
    run = Run(folder)
    recipe = run.recipe()
    out = out or run.evals
    inputs = _with_builtin_tasks(run, recipe, inputs)
    for name in run.checkpoints():
        model = run.export(name)
        if not model.exists():
            export(run, name, model)
        for task in TASKS:
            if task != "validation" and inputs.missing(task):
                continue
            if _is_done(out / name.model / f"{task}.json", task, inputs):
                continue
            print(f"{name.model}: {task}", file=sys.stderr)
            result = _evaluate(task, str(model), inputs, out, run)
            save(replace(result, model=name.model, checkpoint=_moment(run, name)), out)
    if inputs.pairs:
        for _ in _lexical(inputs, out):
            pass
    return out


def _is_done(record: Path, task: str, inputs: Inputs) -> bool:
    """Whether a record is there and was made from these inputs."""
    if not record.exists():
        return False
    made = load(record)
    return made.seed == inputs.seed and all(
        made.settings.get(key) == value for key, value in _origin(task, inputs).items()
    )


def _origin(task: str, inputs: Inputs) -> dict[str, str]:
    """What a record's settings say of the data that it was made from."""
    if task == "validation":
        return {"texts": inputs.texts or OWN_TEXTS}
    return data_settings(inputs.cloze if task == "fill-mask" else inputs.pairs)


def _evaluate(task: str, model: str, inputs: Inputs, out: Path, run: Run | None = None) -> Result:
    opened = encoder.load(model, masked_lm=task != "retrieval")
    if task == "fill-mask":
        assert inputs.cloze
        return fill_mask.evaluate(opened, fill_mask.read_cloze(inputs.cloze), data=inputs.cloze, seed=inputs.seed)
    if task == "retrieval":
        assert inputs.pairs
        return retrieval.evaluate(opened, retrieval.read_pairs(inputs.pairs), data=inputs.pairs, seed=inputs.seed)
    loaded = tokenizer.load(model)
    if run and not inputs.texts:
        stores = open_stores(run.tokens("validation"), loaded)
        tokens = max(stage.validation_tokens for stage in run.recipe().stage)
        return validation.evaluate(opened, stores, loaded, texts=OWN_TEXTS, tokens=tokens, seed=inputs.seed)
    key = hashlib.sha256(f"{loaded.vocabulary_hash} {inputs.texts}".encode()).hexdigest()[:16]
    build([parse_source(inputs.texts)], loaded, out / ".tokens" / key)
    stores = open_stores(out / ".tokens" / key, loaded)
    return validation.evaluate(opened, stores, loaded, texts=inputs.texts, seed=inputs.seed)


def _lexical(inputs: Inputs, out: Path) -> Iterator[Path]:
    """The baselines that need no model."""
    assert inputs.pairs
    for kind in LEXICAL:
        if not _is_done(out / kind / "retrieval.json", "retrieval", inputs):
            pairs = retrieval.read_pairs(inputs.pairs)
            yield save(retrieval.evaluate_lexical(kind, pairs, data=inputs.pairs, seed=inputs.seed), out)


def _with_builtin_tasks(run: Run, recipe: Recipe, inputs: Inputs) -> Inputs:
    if not any(source.builtin for source in recipe.corpus.train):
        return inputs
    folder = run.folder / "tasks"
    if not folder.exists():
        with folder_atomic(folder) as temporary:
            hakoniwa.write_tasks(temporary, recipe.seed)
    return replace(inputs, pairs=inputs.pairs or folder / "pairs.jsonl", cloze=inputs.cloze or folder / "cloze.jsonl")


def _moment(run: Run, name: CheckpointName) -> dict[str, Any]:
    return {"stage": name.stage, "step": name.step, "tokens": run.tokens_seen(name)}
