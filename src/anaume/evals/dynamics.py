"""Every task on every model: a list of models for one task, or all tasks over all kept checkpoints of a run.

The rule for runs: a record made from the same inputs is not made again, so an interrupted evaluation goes on where it
stopped.
"""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from transformers import AutoTokenizer

from anaume.corpus import hakoniwa
from anaume.corpus.readers import documents, parse_source
from anaume.errors import UserError
from anaume.evals import encoder, fill_mask, geometry, grid, pseudo_perplexity, retrieval, validation
from anaume.evals.encoder import Encoder
from anaume.evals.grid import PAPERS, Grid
from anaume.evals.lexical import Unit
from anaume.evals.result import Result, load, save
from anaume.evals.rows import data_settings
from anaume.files import folder_atomic
from anaume.model.export import export
from anaume.recipe import Recipe
from anaume.run import Run
from anaume.tokens import tokenizer
from anaume.tokens.build import build, open_stores
from anaume.tokens.store import Store
from anaume.tokens.tokenizer import Tokenizer

TASKS = ("validation", "fill-mask", "pseudo-perplexity", "retrieval", "geometry")
HEADLESS = ("retrieval", "geometry")  # the other tasks need a masked language model
OWN_TEXTS = "the run's validation corpus"


@dataclass(frozen=True)
class Inputs:
    """What the user gave to evaluate on; a task without its input is left out of `all` and an error elsewhere.

    `tokens`                  the validation task reads at most so many
    `documents`, `positions`  of pseudo-perplexity: in each length bin, and masked in each document
    `random_pairs`            of geometry
    `unit`                    what the baselines of retrieval count, empty for each its own; tokens are those of the
                              first model, or the run's
    `query_prefix`, `positive_prefix`  go before the texts of retrieval, for models trained with them
    `data`, `grid`            of JGLUE: the folder of its files, and what to train on each checkpoint

    Of the first three, 0 stands for the tasks' own numbers, in `all` for `EACH_CHECKPOINT`.
    """

    pairs: Path | None = None
    texts: str = ""
    cloze: Path | None = None
    seed: int = 0
    tokens: int = 0
    documents: int = 0
    positions: int = 0
    random_pairs: int = geometry.RANDOM_PAIRS
    unit: Unit | None = None
    query_prefix: str = ""
    positive_prefix: str = ""
    data: Path | None = None
    grid: Grid = PAPERS

    def missing(self, task: str) -> str:
        """The option that a task lacks; empty if it has what it needs."""
        texts, cloze = ("--texts", self.texts), ("--cloze", self.cloze)
        given = {"validation": texts, "pseudo-perplexity": texts, "fill-mask": cloze}
        option, value = given.get(task, ("--pairs", self.pairs))
        return "" if value else option

    def sized(self, tokens: int, documents: int, positions: int) -> "Inputs":
        """The same with these amounts where none is given."""
        return replace(
            self,
            tokens=self.tokens or tokens,
            documents=self.documents or documents,
            positions=self.positions or positions,
        )


# Tokens, documents, positions.
ALONE = validation.TOKENS, pseudo_perplexity.DOCUMENTS, pseudo_perplexity.POSITIONS
# Minutes, not hours. Few suffice to compare checkpoints, for all are asked the same.
EACH_CHECKPOINT = 262_144, 20, 20


def evaluate_models(task: str, models: Sequence[str], inputs: Inputs, out: Path) -> Iterator[Path]:
    """Evaluate models on one task; gives the paths of the records.

    Raises:
        UserError: an unknown task, a missing input, a model that can't be opened, two models of one name.
    """
    _check_unit(inputs)
    if task not in TASKS:
        raise UserError(f"task {task!r}; accepted: jglue, {', '.join(TASKS)}, all")
    if option := inputs.missing(task):
        raise UserError(f"anaume eval {task}: {option} is missing")
    encoder.check_names(models)
    for model in models:
        opened = encoder.load(model, masked_lm=task not in HEADLESS)
        yield save(_evaluate(task, opened, model, inputs.sized(*ALONE), out), out)
    if task == "retrieval":
        yield from _lexical(inputs, out, models[0])


def evaluate_run(folder: Path, inputs: Inputs, out: Path | None = None) -> Path:
    """Export and evaluate every kept checkpoint of a run, step 0 included; gives the folder of the records.

    Validation and pseudo-perplexity read the run's own validation corpus unless `--texts` is given. A run on the
    built-in corpus brings its cloze questions and retrieval pairs along.
    """
    _check_unit(inputs)
    run = Run(folder)
    recipe = run.recipe()
    out = out or run.evals
    inputs = _with_builtin_tasks(run, recipe, inputs).sized(*EACH_CHECKPOINT)
    tasks = [task for task in TASKS if inputs.missing(task) in ("", "--texts")]
    origins = {task: _origin(task, inputs) for task in tasks}
    for name in run.checkpoints():
        model = run.export(name)
        if not model.exists():
            export(run, name, model)
        to_do = [task for task in tasks if not _is_done(out / name.model / f"{task}.json", origins[task], inputs.seed)]
        moment = {"stage": name.stage, "step": name.step, "tokens": run.tokens_seen(name)}
        opened = encoder.load(str(model), masked_lm=True) if to_do else None
        for task in to_do:
            assert opened
            print(f"{name.model}: {task}", file=sys.stderr)
            result = _evaluate(task, opened, str(model), inputs, out, run)
            save(replace(result, model=name.model, checkpoint=moment), out)
        if inputs.data:  # its cells are kept, so what is done takes no time
            for result in grid.results([str(model)], inputs.data, out, inputs.grid):
                save(replace(result, model=name.model, checkpoint=moment), out)
    if inputs.pairs:
        for _ in _lexical(inputs, out, str(run.tokenizer)):
            pass
    return out


def _check_unit(inputs: Inputs) -> None:
    if inputs.unit not in (None, *get_args(Unit)):
        raise UserError(f"--unit {inputs.unit}; accepted: {', '.join(get_args(Unit))}")


def _is_done(record: Path, origin: dict[str, Any], seed: int) -> bool:
    """Whether a record is there and was made from this data with these settings."""
    if not record.exists():
        return False
    made = load(record)
    return made.seed == seed and all(made.settings.get(key) == value for key, value in origin.items())


def _origin(task: str, inputs: Inputs) -> dict[str, Any]:
    """What a record's settings say of the data that it was made from, and of what the user may choose."""
    texts = {"texts": inputs.texts or OWN_TEXTS}
    match task:
        case "validation":
            return texts | {"tokens": inputs.tokens}
        case "pseudo-perplexity":
            return texts | {"documents": inputs.documents, "positions": inputs.positions}
        case "geometry":
            origin = inputs.texts or geometry.OTHER_PAIRS
            return data_settings(inputs.pairs) | {"texts": origin, "random_pairs": inputs.random_pairs}
        case "retrieval":
            prefixes = {"query_prefix": inputs.query_prefix, "positive_prefix": inputs.positive_prefix}
            return data_settings(inputs.pairs) | prefixes
    return data_settings(inputs.cloze)


def _evaluate(task: str, opened: Encoder, model: str, inputs: Inputs, out: Path, run: Run | None = None) -> Result:
    match task:
        case "fill-mask":
            assert inputs.cloze
            return fill_mask.evaluate(opened, fill_mask.read_cloze(inputs.cloze), data=inputs.cloze, seed=inputs.seed)
        case "retrieval":
            assert inputs.pairs
            return retrieval.evaluate(
                opened,
                retrieval.read_pairs(inputs.pairs),
                data=inputs.pairs,
                query_prefix=inputs.query_prefix,
                positive_prefix=inputs.positive_prefix,
                seed=inputs.seed,
            )
        case "geometry":
            return _geometry(opened, inputs)
        case "pseudo-perplexity":
            return _pseudo_perplexity(opened, model, inputs, run)
    stores, loaded = _stores(opened, model, inputs, out, run)
    texts = inputs.texts or OWN_TEXTS
    return validation.evaluate(opened, stores, loaded, texts=texts, tokens=inputs.tokens, seed=inputs.seed)


def _texts(pattern: str) -> Iterator[str]:
    return (document.text for document in documents(parse_source(pattern)))


def _geometry(opened: Encoder, inputs: Inputs) -> Result:
    assert inputs.pairs
    return geometry.evaluate(
        opened,
        retrieval.read_pairs(inputs.pairs),
        _texts(inputs.texts) if inputs.texts else None,
        origin=inputs.texts or geometry.OTHER_PAIRS,
        random_pairs=inputs.random_pairs,
        data=inputs.pairs,
        seed=inputs.seed,
    )


def _pseudo_perplexity(opened: Encoder, model: str, inputs: Inputs, run: Run | None) -> Result:
    if run and not inputs.texts:
        loaded = tokenizer.load(model)
        stores = open_stores(run.tokens("validation"), loaded)
        found = pseudo_perplexity.documents_of_stores(opened, stores, loaded)
    else:
        found = pseudo_perplexity.documents_of_texts(opened, _texts(inputs.texts))
    return pseudo_perplexity.evaluate(
        opened,
        found,
        texts=inputs.texts or OWN_TEXTS,
        limit=inputs.documents,
        positions=inputs.positions,
        seed=inputs.seed,
    )


def _stores(
    opened: Encoder, model: str, inputs: Inputs, out: Path, run: Run | None
) -> tuple[Sequence[Store], Tokenizer]:
    """The tokens of the texts, made once a vocabulary, or those of the run's validation corpus."""
    loaded = validation.tokenizer_of(opened, model)
    if run and not inputs.texts:
        return open_stores(run.tokens("validation"), loaded), loaded
    key = hashlib.sha256(f"{loaded.vocabulary_hash} {inputs.texts}".encode()).hexdigest()[:16]
    build([parse_source(inputs.texts)], loaded, out / ".tokens" / key)
    return open_stores(out / ".tokens" / key, loaded), loaded


def _lexical(inputs: Inputs, out: Path, model: str) -> Iterator[Path]:
    """The baselines that need no model, except for its tokenizer where they count tokens."""
    assert inputs.pairs
    tokenizer = AutoTokenizer.from_pretrained(model) if inputs.unit == "tokens" else None
    for kind, own in retrieval.UNITS.items():
        unit = inputs.unit or own
        origin = data_settings(inputs.pairs) | {"unit": unit}
        if tokenizer:
            origin["tokenizer"] = str(tokenizer.name_or_path)
        if not _is_done(out / kind / "retrieval.json", origin, inputs.seed):
            pairs = retrieval.read_pairs(inputs.pairs)
            result = retrieval.evaluate_lexical(
                kind, pairs, unit, tokenizer=tokenizer, data=inputs.pairs, seed=inputs.seed
            )
            yield save(result, out)


def _with_builtin_tasks(run: Run, recipe: Recipe, inputs: Inputs) -> Inputs:
    if not any(source.builtin for source in recipe.corpus.train):
        return inputs
    folder = run.folder / "tasks"
    if not folder.exists():
        with folder_atomic(folder) as temporary:
            hakoniwa.write_tasks(temporary, recipe.seed)
    return replace(inputs, pairs=inputs.pairs or folder / "pairs.jsonl", cloze=inputs.cloze or folder / "cloze.jsonl")
