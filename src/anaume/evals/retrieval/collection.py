"""What a retrieval evaluation is made of: queries, documents, and which documents answer which query, how well.

The rule: only queries with at least one positive document are evaluated. The others are counted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anaume.errors import UserError
from anaume.evals.inputs.pairs import Pair
from anaume.evals.provenance import data_settings

ABSENT = -1  # index of a document that is judged, but not in the corpus
# Fraction of the positives that a published corpus may lack. If it lacks more, a part of the corpus is missing.
MAX_ABSENT = 0.01


@dataclass(frozen=True, slots=True)
class Positive:
    """A document that answers a query: its index in the collection, or `ABSENT`, and its grade, 1 or more."""

    document: int
    grade: int


@dataclass(frozen=True)
class Collection:
    """A retrieval set.

    `queries`     texts, each with at least one positive
    `documents`   texts
    `positives`   documents that answer each query
    `settings`    for records: files with their checksums, counts, how the texts were made
    `clean`       (queries,) whether the training text lacks a query; those that it lacks have scores of their own, too
    """

    queries: Sequence[str]
    documents: Sequence[str]
    positives: Sequence[Sequence[Positive]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    clean: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A line of a file of judgements (qrels). A grade of 0 means that the document does not answer the query."""

    place: str
    query: str
    document: str
    grade: int


def from_pairs(pairs: Sequence[Pair], path: Path | None = None) -> Collection:
    """Make a collection in which each pair is a query, and the distinct positives are the documents.

    `path` is the pairs' file, which records name.

    Raises:
        UserError: no pairs.
    """
    if not pairs:
        raise UserError("retrieval: no pairs; expected at least one")
    indices: dict[str, int] = {}
    positives = [(Positive(indices.setdefault(pair.positive, len(indices)), 1),) for pair in pairs]
    settings: dict[str, Any] = {**data_settings(path)}
    if sources := sorted({pair.source for pair in pairs} - {""}):
        settings["source"] = "; ".join(sources)
    return Collection([pair.query for pair in pairs], list(indices), positives, settings)


def from_judgements(
    place: Path,
    queries: Mapping[str, str],
    documents: Mapping[str, str],
    judgements: Iterable[Judgement],
    settings: Mapping[str, Any],
) -> Collection:
    """Join the parts of a published set, whose texts have ids. `place` is the file of the judgements.

    Judgements of ids that are no query are ignored, because a set may share its judgements between splits.

    Raises:
        UserError: more than 1 % of the positives are not among the documents; two grades for one query and document;
            no query has a positive.
    """
    index = {name: number for number, name in enumerate(documents)}
    grades: dict[str, dict[str, int]] = {name: {} for name in queries}
    absent: list[Judgement] = []
    for judgement in judgements:
        if (of_query := grades.get(judgement.query)) is None:
            continue
        if of_query.setdefault(judgement.document, judgement.grade) != judgement.grade:
            raise UserError(
                f"{judgement.place}: {judgement.query}, {judgement.document}: judged twice, with grades"
                f" {of_query[judgement.document]} and {judgement.grade}; expected one grade"
            )
        if judgement.grade and judgement.document not in index:
            absent.append(judgement)
    positives = {
        query: [Positive(index.get(document, ABSENT), grade) for document, grade in of_query.items() if grade]
        for query, of_query in grades.items()
    }
    scored = {query: of_query for query, of_query in positives.items() if of_query}
    total = sum(map(len, scored.values()))
    if len(absent) > MAX_ABSENT * total:
        first = absent[0]
        raise UserError(
            f"{first.place}: {first.document}: not in the corpus, like {len(absent)} of {total} positive documents;"
            " expected the whole corpus"
        )
    if not scored:
        raise UserError(f"{place}: none of the {len(queries)} queries has a positive document; expected some")
    counts = {"queries_without_positives": len(queries) - len(scored), "absent_positives": len(absent)}
    return Collection(
        [queries[query] for query in scored],
        list(documents.values()),
        list(scored.values()),
        {**settings, **counts},
    )
