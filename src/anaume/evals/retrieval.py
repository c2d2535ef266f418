"""Zero-shot sentence retrieval (paper, Table 4): pairs of texts → Recall@10 and MRR@10.

Query i must find corpus entry i among all positives. The rule: similarities are computed and ranked block by block, so
memory holds only the texts and, for each of them, its embedding in float32 or its units.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor

from anaume.corpus.rows import require_unicode
from anaume.encoder.embed import MEAN_POOLING, embed_counted, unit_length
from anaume.encoder.load import Encoder, open_tokenizer
from anaume.encoder.pooling import Pooling
from anaume.errors import UserError
from anaume.evals.inputs.pairs import Pair, read_pairs
from anaume.evals.lexical import bm25
from anaume.evals.lexical.units import Unit, Units, edit_similarities, jaccard_similarities, units_of
from anaume.evals.provenance import data_settings
from anaume.evals.record import Record
from anaume.evals.task import Baseline, Evaluation, Request, Subject, check_pooling
from anaume.evals.tasks import RetrievalOptions

CUTOFF = 10
QUERIES_AT_ONCE, CORPUS_AT_ONCE = 2_048, 4_096  # 64 MB of float64 similarities a block
# Two similarities within this distance are a tie. In float64, equal vectors agree to 1e-15 in every block, and sums of
# BM25's weights to 1e-13.
TOLERANCE = 1e-9
TIES = f"a wrong entry as similar as the right one, within {TOLERANCE:g}, ranks before it"

# (slice of queries, slice of the corpus) → similarities (queries, entries), float64, as a new tensor.
Block = Callable[[slice, slice], Tensor]
Lexical = Literal["edit-distance", "jaccard", "bm25"]
# Default unit of each baseline. Search engines index Japanese by bigrams (Lucene's CJKAnalyzer).
UNITS: dict[Lexical, Unit] = {"edit-distance": "characters", "jaccard": "characters", "bm25": "bigrams"}


def ranks_of(block: Block, positives: Sequence[str]) -> Tensor:
    """Return the rank of each query's right answer, 1 … 10, or 11 for a lower rank: (queries,) int64.

    `positives[i]` is the corpus entry that query i must find. Entries with the same text are right too, and the best of
    them counts. A wrong entry within `TOLERANCE` of the right one ranks before it, so a model that gives all texts one
    embedding scores zero. The tensors that `block` returns are overwritten.

    Only the ten best wrong similarities of each query are kept, which is enough for every rank up to ten.
    """
    numbers: dict[str, int] = {}
    texts = torch.tensor([numbers.setdefault(text, len(numbers)) for text in positives])
    total = len(positives)
    ranks = torch.empty(total, dtype=torch.int64)
    for start in range(0, total, QUERIES_AT_ONCE):
        queries = slice(start, min(start + QUERIES_AT_ONCE, total))
        best_right = torch.full((queries.stop - start,), -torch.inf, dtype=torch.float64)
        best_wrong = torch.full((queries.stop - start, CUTOFF), -torch.inf, dtype=torch.float64)
        for offset in range(0, total, CORPUS_AT_ONCE):
            corpus = slice(offset, min(offset + CORPUS_AT_ONCE, total))
            similarities = block(queries, corpus)
            right = (texts[queries, None] == texts[None, corpus]).nonzero(as_tuple=True)
            best_right.scatter_reduce_(0, right[0], similarities[right], "amax")
            similarities[right] = -torch.inf
            best_of_block = similarities.topk(min(CUTOFF, similarities.shape[1]), dim=1).values
            best_wrong = torch.cat([best_wrong, best_of_block], dim=1).topk(CUTOFF, dim=1).values
        # "Not less" instead of "as similar or more": NaN is neither, and must not rank a right answer first.
        ranks[queries] = 1 + (~(best_wrong < best_right[:, None] - TOLERANCE)).sum(dim=1)
    return ranks


def metrics_of(ranks: Tensor) -> dict[str, float]:
    """Return Recall@10, the fraction of ranks up to ten, and MRR@10, the mean of 1/rank with 0 for lower ranks."""
    in_first_ten = ranks <= CUTOFF
    reciprocal = torch.where(in_first_ten, 1 / ranks.double(), 0.0)
    return {"recall_at_10": in_first_ten.double().mean().item(), "mrr_at_10": reciprocal.mean().item()}


def evaluate(
    encoder: Encoder,
    pairs: Sequence[Pair],
    *,
    data: Path | None = None,
    pooling: Pooling = MEAN_POOLING,
    query_prefix: str = "",
    positive_prefix: str = "",
    batch_tokens: int = 8192,
    seed: int = 0,
) -> Record:
    """Measure retrieval by the cosine of the embeddings.

    `data` is the pairs' file, which the record names. The prefixes are for models trained with them (ruri: "クエリ: "
    and "文章: "); an empty one means the prompt of `pooling`.

    Raises:
        UserError: no pairs.
    """
    _check_not_empty(pairs)
    query_prefix, positive_prefix = query_prefix or pooling.query, positive_prefix or pooling.document
    queries, corpus = (
        embed_counted(encoder, texts, pooling=pooling, prompt=prompt, batch_tokens=batch_tokens)
        for texts, prompt in (
            ([pair.query for pair in pairs], query_prefix),
            ([pair.positive for pair in pairs], positive_prefix),
        )
    )

    def cosine(rows: slice, columns: slice) -> Tensor:
        return unit_length(queries.vectors[rows]) @ unit_length(corpus.vectors[columns]).T

    ranks = ranks_of(cosine, [pair.positive for pair in pairs])
    settings = {
        "pooling": pooling.description,
        "similarity": "cosine",
        "max_length": min(encoder.max_length, pooling.max_length or encoder.max_length),
        "truncated_queries": queries.truncated,
        "truncated_positives": corpus.truncated,
        "query_prefix": query_prefix,
        "positive_prefix": positive_prefix,
    }
    return _record(encoder.name, pairs, ranks, settings, data, seed)


def evaluate_lexical(
    kind: Lexical,
    pairs: Sequence[Pair],
    unit: Unit | None = None,
    *,
    tokenizer: Any = None,
    data: Path | None = None,
    seed: int = 0,
) -> Record:
    """Measure retrieval by a baseline that counts `unit`, by default that of `UNITS`.

    `tokenizer` is needed for the unit "tokens". `data` is the pairs' file, which the record names.

    Raises:
        UserError: no pairs, an unknown kind or unit, "tokens" without a tokenizer.
    """
    _check_not_empty(pairs)
    if kind not in UNITS:
        raise UserError(f"lexical baseline {kind!r}: unknown; expected one of {', '.join(get_args(Lexical))}")
    unit = unit or UNITS[kind]
    queries = units_of([pair.query for pair in pairs], unit, tokenizer)
    corpus = units_of([pair.positive for pair in pairs], unit, tokenizer)
    block, settings = _lexical_block(kind, queries, corpus)
    ranks = ranks_of(block, [pair.positive for pair in pairs])
    settings["unit"] = unit
    if unit == "tokens":
        settings["tokenizer"] = str(tokenizer.name_or_path)
    return _record(kind, pairs, ranks, settings, data, seed)


def _lexical_block(kind: Lexical, queries: Sequence[Units], corpus: Sequence[Units]) -> tuple[Block, dict[str, Any]]:
    """Return the function that computes a block of similarities, and its description for the record."""
    if kind == "bm25":
        index = bm25.index(corpus)
        return (
            lambda rows, columns: torch.from_numpy(bm25.scores(index, queries[rows], columns)),
            {"similarity": f"BM25: {bm25.FORMULA}", "k1": bm25.K1, "b": bm25.B},
        )
    similarities, formula = {
        "edit-distance": (edit_similarities, "1 - Levenshtein distance / longer length"),
        "jaccard": (jaccard_similarities, "Jaccard index of sets"),
    }[kind]
    return (
        lambda rows, columns: torch.from_numpy(similarities(queries[rows], corpus[columns])),
        {"similarity": formula},
    )


def _check_not_empty(pairs: Sequence[Pair]) -> None:
    if not pairs:
        raise UserError("retrieval: no pairs; expected at least one")


def _record(
    model: str, pairs: Sequence[Pair], ranks: Tensor, settings: dict[str, Any], data: Path | None, seed: int
) -> Record:
    common: dict[str, Any] = {
        "corpus": len(pairs),
        "ties": TIES,
        "duplicates": "entries with the text of the right one are right",
        **data_settings(data),
    }
    if sources := sorted({pair.source for pair in pairs} - {""}):
        common["source"] = "; ".join(sources)
    return Record(model, "retrieval", metrics_of(ranks), len(pairs), settings | common, seed)


def prepare(request: Request[RetrievalOptions]) -> Evaluation:
    """Read the pairs; the lexical baselines are measured beside the models.

    Raises:
        UserError: see `read_pairs`; an unknown unit.
    """
    options = request.options
    if options.unit not in (None, *get_args(Unit)):
        raise UserError(f"--unit {options.unit}: unknown; expected {', '.join(get_args(Unit))}")
    assert options.pairs
    path, pairs = options.pairs, read_pairs(options.pairs, options.query_field, options.positive_field)
    check_pooling(options.pooling)
    chosen = {"pooling_choice": options.pooling}
    for name in ("query_prefix", "positive_prefix"):
        if prefix := getattr(options, name):  # without one, the record names the prompt of the model's folder
            chosen[name] = require_unicode(prefix, f"--{name.replace('_', '-')}")

    def measure(subject: Subject) -> Iterator[Record]:
        record = evaluate(
            subject.encoder,
            pairs,
            data=path,
            pooling=subject.pooling(options.pooling),
            query_prefix=options.query_prefix,
            positive_prefix=options.positive_prefix,
            seed=options.seed,
        )
        yield replace(record, settings=record.settings | options.other_fields)

    return Evaluation(measure, data_settings(path) | options.other_fields | chosen, _baselines(request, path, pairs))


def _baselines(request: Request[RetrievalOptions], path: Path, pairs: Sequence[Pair]) -> tuple[Baseline, ...]:
    """The lexical baselines. If they count tokens, the tokenizer is the run's or the first model's."""
    seed, common_unit = request.options.seed, request.options.unit
    model = str(request.run.tokenizer) if request.run else request.models[0]
    tokenizer = open_tokenizer(model, masked_lm=False) if common_unit == "tokens" else None
    of_tokenizer = {"tokenizer": str(tokenizer.name_or_path)} if tokenizer else {}

    other_fields = request.options.other_fields

    def baseline(kind: Lexical, unit: Unit) -> Baseline:
        def measure() -> Record:
            record = evaluate_lexical(kind, pairs, unit, tokenizer=tokenizer, data=path, seed=seed)
            return replace(record, settings=record.settings | other_fields)

        return Baseline(kind, "retrieval", data_settings(path) | other_fields | {"unit": unit} | of_tokenizer, measure)

    return tuple(baseline(kind, cast(Unit, common_unit or unit)) for kind, unit in UNITS.items())
