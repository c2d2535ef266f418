"""One task on one opened encoder → its record.

The rule: a record's settings hold the task's *origin*, which is what the user gave and chose, with checksums of the
weights, files and texts. Two records of one origin hold the same numbers.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from anaume.corpus.readers import documents, parse_source
from anaume.encoder.load import Encoder
from anaume.errors import UserError
from anaume.evals import fill_mask, geometry, pseudo_perplexity, retrieval, validation
from anaume.evals.inputs.pairs import read_pairs
from anaume.evals.jglue.grid import PAPERS, Grid
from anaume.evals.lexical.units import Unit
from anaume.evals.provenance import OWN_TEXTS, data_settings, stores_settings, texts_settings
from anaume.evals.record import Record
from anaume.run import Run
from anaume.tokenizer.load import Tokenizer, load_tokenizer
from anaume.tokens.build import build, open_stores
from anaume.tokens.store import Store

TASKS = ("validation", "fill-mask", "pseudo-perplexity", "retrieval", "geometry")
HEADLESS = ("retrieval", "geometry")  # the other tasks need a masked language model
# Of all tasks here, on every device: see `encoder.load`.
PRECISION = "float32"

Origin = dict[str, Any]


@dataclass(frozen=True)
class Inputs:
    """What the user gave to evaluate on; a task without its input is left out of `all` and an error elsewhere.

    `tokens`                  the validation task reads at most so many
    `documents`, `positions`  of pseudo-perplexity: in each length bin, and masked in each document
    `random_pairs`            of geometry
    `unit`                    what the baselines of retrieval count, empty for each its own; tokens are those of the
                              first model, or the run's
    `query_prefix`, `positive_prefix`  go before the texts of retrieval, for models trained with them
    `data`, `grid`, `fetch`   of JGLUE: the folder of its files, what to train on each checkpoint, and whether to
                              download what the folder lacks

    Of the first three, 0 stands for the tasks' own numbers, in `all` for `dynamics.EACH_CHECKPOINT`.
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
    fetch: bool = False

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


def origins(tasks: Sequence[str], inputs: Inputs, run: Run | None = None) -> dict[str, Origin]:
    """Read the files that these tasks need, and say what their records will be of; the weights are still to come.

    Without `--texts` a run's own validation corpus is read.

    Raises:
        UserError: a file is not there, a line of it can't be used, an option's value is not known.
    """
    if inputs.unit not in (None, *get_args(Unit)):
        raise UserError(f"--unit {inputs.unit}; accepted: {', '.join(get_args(Unit))}")
    if inputs.pairs and {"retrieval", "geometry"} & {*tasks}:
        read_pairs(inputs.pairs)
    if inputs.cloze and "fill-mask" in tasks:
        fill_mask.read_cloze(inputs.cloze)
    texts: Origin = {}
    if inputs.texts:
        texts = texts_settings(inputs.texts)
    elif run and {"validation", "pseudo-perplexity"} & {*tasks}:
        texts = stores_settings(open_stores(run.tokens("validation"), load_tokenizer(run.tokenizer)))
    return {task: _origin(task, inputs, texts) for task in tasks}


def _origin(task: str, inputs: Inputs, texts: Origin) -> Origin:
    match task:
        case "validation":
            return texts | {"tokens": inputs.tokens}
        case "pseudo-perplexity":
            return texts | {"documents": inputs.documents, "positions": inputs.positions}
        case "geometry":
            others = texts if inputs.texts else {"texts": geometry.OTHER_PAIRS}
            return data_settings(inputs.pairs) | others | {"random_pairs": inputs.random_pairs}
        case "retrieval":
            prefixes = {"query_prefix": inputs.query_prefix, "positive_prefix": inputs.positive_prefix}
            return data_settings(inputs.pairs) | prefixes
    return data_settings(inputs.cloze)


def of_weights(origin: Origin, revision: str) -> Origin:
    """The origin of a task's record on these weights."""
    return origin | {"revision": revision, "precision": PRECISION}


def evaluate(
    task: str, opened: Encoder, model: str, inputs: Inputs, origin: Origin, out: Path, run: Run | None = None
) -> Record:
    """Measure; `origin` is the task's of `origins`, `out` the folder where tokens of the texts are kept."""
    result = _measured(task, opened, model, inputs, out, run)
    return replace(result, settings=result.settings | of_weights(origin, opened.revision))


def _measured(task: str, opened: Encoder, model: str, inputs: Inputs, out: Path, run: Run | None) -> Record:
    match task:
        case "fill-mask":
            assert inputs.cloze
            return fill_mask.evaluate(opened, fill_mask.read_cloze(inputs.cloze), data=inputs.cloze, seed=inputs.seed)
        case "retrieval":
            assert inputs.pairs
            return retrieval.evaluate(
                opened,
                read_pairs(inputs.pairs),
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


def _geometry(opened: Encoder, inputs: Inputs) -> Record:
    assert inputs.pairs
    return geometry.evaluate(
        opened,
        read_pairs(inputs.pairs),
        _texts(inputs.texts) if inputs.texts else None,
        origin=inputs.texts or geometry.OTHER_PAIRS,
        random_pairs=inputs.random_pairs,
        data=inputs.pairs,
        seed=inputs.seed,
    )


def _pseudo_perplexity(opened: Encoder, model: str, inputs: Inputs, run: Run | None) -> Record:
    if run and not inputs.texts:
        loaded = load_tokenizer(model)
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
