"""An encoder, or a lexical baseline, and a collection → the record of its scores."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import compress
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from anaume.encoder.embed import MEAN_POOLING, embed_blocks, embed_counted, unit_length
from anaume.encoder.load import Encoder
from anaume.encoder.pooling import Pooling
from anaume.errors import UserError
from anaume.evals.lexical import bm25
from anaume.evals.lexical.units import (
    Similarities,
    Unit,
    Units,
    edit_similarities,
    jaccard_similarities,
    raw_edit_similarities,
    units_of,
)
from anaume.evals.overlap.clean import clean_metrics
from anaume.evals.record import Record
from anaume.evals.retrieval import ranking
from anaume.evals.retrieval.collection import Collection
from anaume.evals.retrieval.ranking import TIES, Block, nearest, ranks, slices
from anaume.evals.retrieval.scores import DEPTH, scores_of
from anaume.tokenizer.runs import separates_words, spaced_share

TASK = "retrieval"
Lexical = Literal["edit-distance", "edit-distance-raw", "jaccard", "bm25"]
# Default unit of each baseline. Search engines index Japanese by bigrams (Lucene's CJKAnalyzer), and languages with
# spaces by words (`default_unit`).
UNITS: dict[Lexical, Unit] = {
    **{"edit-distance": "characters", "edit-distance-raw": "characters"},
    **{"jaccard": "characters", "bm25": "bigrams"},
}
# The baselines beside the models. The paper's edit distance (Recall@10 0.289) and Jaccard distance (0.031) do not name
# their units; on 210 pairs of Wikipedia, the raw distance and white-space words come nearest (docs/log.md).
PAPERS_LIKELY: tuple[tuple[Lexical, Unit], ...] = (("edit-distance-raw", "characters"), ("jaccard", "spaces"))
_SAMPLE = 200_000  # characters of the documents from which the use of spaces is decided
_MATRICES = {
    "edit-distance": (edit_similarities, "1 - Levenshtein distance / longer length"),
    "edit-distance-raw": (raw_edit_similarities, "-Levenshtein distance"),
    "jaccard": (jaccard_similarities, "Jaccard index of sets"),
}


def default_unit(kind: Lexical, collection: Collection) -> Unit:
    """What a baseline counts unless the user chooses: `UNITS`, or words for BM25 of texts that separate them."""
    # Joined, so many documents have at least as many characters: a corpus of millions is not copied.
    sample = "\n".join(collection.documents[:_SAMPLE])[:_SAMPLE]
    return "words" if kind == "bm25" and separates_words(spaced_share(sample)) else UNITS[kind]


def evaluate(
    encoder: Encoder,
    collection: Collection,
    *,
    pooling: Pooling = MEAN_POOLING,
    query_prefix: str = "",
    positive_prefix: str = "",
    centre: bool = False,
    batch_tokens: int = 8192,
    seed: int = 0,
) -> Record:
    """Measure retrieval by the cosine of the embeddings.

    The prefixes are for models trained with them (ruri: "クエリ: " and "文章: "); `positive_prefix` is put before every
    document. An empty one means the prompt of `pooling`. With `centre`, the mean of the queries' embeddings is
    subtracted from all embeddings: what all texts have in common says nothing about their difference.
    """
    blocks, settings = cosine_blocks(encoder, collection, pooling, query_prefix, positive_prefix, batch_tokens, centre)
    return record_of(encoder.name, collection, measure(collection, blocks), settings, seed)


def cosine_blocks(
    encoder: Encoder,
    collection: Collection,
    pooling: Pooling = MEAN_POOLING,
    query_prefix: str = "",
    positive_prefix: str = "",
    batch_tokens: int = 8192,
    centre: bool = False,
) -> tuple[Iterator[Block], dict[str, Any]]:
    """Return the cosines of the embeddings, and their description for the record, which is whole after the last block.

    Documents are embedded block by block, and are forgotten when they have been compared with all queries.
    """
    prompts = query_prefix or pooling.query, positive_prefix or pooling.document
    queries = embed_counted(encoder, collection.queries, pooling=pooling, prompt=prompts[0], batch_tokens=batch_tokens)
    settings: dict[str, Any] = {
        "pooling": pooling.description,
        "similarity": "cosine",
        "max_length": min(encoder.max_length, pooling.max_length or encoder.max_length),
        "truncated_queries": queries.truncated,
        "truncated_documents": 0,
        "query_prefix": prompts[0],
        "positive_prefix": prompts[1],
    }
    common = queries.vectors.mean(0) if centre else 0.0
    query_vectors, documents = unit_length(queries.vectors - common), collection.documents

    def blocks() -> Iterator[Block]:
        start = 0
        for part in embed_blocks(encoder, documents, pooling=pooling, prompt=prompts[1], batch_tokens=batch_tokens):
            settings["truncated_documents"] += part.truncated
            for rows in slices(0, len(part.vectors), ranking.DOCUMENTS_AT_ONCE):
                vectors = unit_length(part.vectors[rows] - common)
                block = slice(start + rows.start, start + rows.stop)
                yield Block(block, partial(_products, query_vectors, vectors))
            start += len(part.vectors)

    return blocks(), settings


def evaluate_lexical(
    kind: Lexical, collection: Collection, unit: Unit | None = None, *, tokenizer: Any = None, seed: int = 0
) -> Record:
    """Measure retrieval by a baseline that counts `unit`, by default that of `default_unit`.

    `tokenizer` is needed for the unit "tokens".

    Raises:
        UserError: an unknown kind or unit, "tokens" without a tokenizer.
    """
    if kind not in UNITS:
        raise UserError(f"lexical baseline {kind!r}: unknown; expected one of {', '.join(get_args(Lexical))}")
    unit = unit or default_unit(kind, collection)
    blocks, settings = lexical_blocks(kind, collection, unit, tokenizer)
    metrics = measure(collection, blocks)
    settings["unit"] = unit
    if unit == "tokens":
        settings["tokenizer"] = str(tokenizer.name_or_path)
    return record_of(baseline_name(kind, unit), collection, metrics, settings, seed)


def baseline_name(kind: Lexical, unit: Unit) -> str:
    """The name of a baseline in records; baselines of several units stand side by side."""
    return kind if unit == UNITS[kind] else f"{kind}-{unit}"


def lexical_blocks(
    kind: Lexical, collection: Collection, unit: Unit, tokenizer: Any = None
) -> tuple[Iterator[Block], dict[str, Any]]:
    """Return the similarities of a baseline, and their description for the record.

    Raises:
        UserError: see `units_of`.
    """
    units = units_of([*collection.queries, *collection.documents], unit, tokenizer)
    queries, documents = units[: len(collection.queries)], units[len(collection.queries) :]
    if kind == "bm25":
        of_block = partial(_bm25, bm25.index(documents), queries)
        settings: dict[str, Any] = {"similarity": f"BM25: {bm25.FORMULA}", "k1": bm25.K1, "b": bm25.B}
    else:
        similarities, formula = _MATRICES[kind]
        of_block = partial(_matrix, similarities, queries, documents)
        settings = {"similarity": formula}
    parts = slices(0, len(documents), ranking.DOCUMENTS_AT_ONCE)
    return (Block(part, partial(of_block, part)) for part in parts), settings


def _products(queries: Tensor, documents: Tensor, rows: slice) -> Tensor:
    return queries[rows] @ documents.T


def _bm25(index: bm25.Index, queries: Sequence[Units], part: slice, rows: slice) -> Tensor:
    return torch.from_numpy(bm25.scores(index, queries[rows], part))


def _matrix(
    similarities: Callable[[Sequence[Units], Sequence[Units]], Similarities],
    queries: Sequence[Units],
    documents: Sequence[Units],
    part: slice,
    rows: slice,
) -> Tensor:
    return torch.from_numpy(similarities(queries[rows], documents[part]))


def measure(collection: Collection, blocks: Iterator[Block]) -> dict[str, float]:
    """Rank the documents of all blocks and return the scores of `scores_of`, those of the clean queries as clean_…."""
    neighbours = nearest(blocks, collection.positives, DEPTH)
    grades = [[positive.grade for positive in of_query] for of_query in collection.positives]
    of_queries = ranks(neighbours, collection.positives)
    scores = scores_of(of_queries, grades)
    if collection.clean is not None:
        clean = list(compress(of_queries, collection.clean)), list(compress(grades, collection.clean))
        scores |= clean_metrics(scores_of(*clean))
    return scores


def record_of(
    model: str, collection: Collection, metrics: dict[str, float], settings: dict[str, Any], seed: int
) -> Record:
    """The record of a model's scores on a collection."""
    common = {"corpus": len(collection.documents), "ties": TIES, **collection.settings}
    return Record(model, TASK, metrics, len(collection.queries), settings | common, seed)
