"""The tabs of similarities and of search: texts → scores by every model, BM25 beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anaume.encoder.embed import embed, unit_length
from anaume.evals.lexical import bm25
from anaume.evals.lexical.units import units_of
from anaume.play.limits import lines_of, one_text, passages_of
from anaume.play.models import Embedder, Late

FOUND = 5


@dataclass(frozen=True)
class Similarities:
    """`lines`: the texts. `cosines`: model → (lines, lines) float64."""

    lines: list[str]
    cosines: dict[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found, and its score."""

    passage: str
    score: float


def compare(embedders: Sequence[Embedder], text: str) -> Similarities:
    """Compare each line with each other line.

    Raises:
        UserError: too few or too many lines, a text that is too long.
    """
    lines, cosines = lines_of(text), {}
    for embedder in embedders:
        vectors = unit_length(embed(embedder.encoder, lines, pooling=embedder.pooling))
        cosines[embedder.encoder.name] = (vectors @ vectors.T).numpy()
    return Similarities(lines, cosines)


def search(
    embedders: Sequence[Embedder], query: str, passages: str, *, late: Sequence[Late] = ()
) -> dict[str, list[Hit]]:
    """Return ranking → its best passages: models of one vector a passage, MaxSim of late models, BM25 over bigrams.

    Raises:
        UserError: an empty query, too many passages, a text that is too long.
    """
    one_text(query, "query")
    texts = passages_of(passages)
    rankings = {e.encoder.name: _cosines(e, query, texts) for e in embedders}
    rankings |= {f"{model.name} (MaxSim)": _max_sims(model, query, texts) for model in late}
    units = units_of(texts, "bigrams")
    lexical = bm25.scores(bm25.index(units), units_of([query], "bigrams"), slice(0, len(texts)))[0]
    return {name: _best(texts, scores) for name, scores in rankings.items()} | {"BM25": _best(texts, lexical)}


def _cosines(embedder: Embedder, query: str, texts: list[str]) -> NDArray[np.float64]:
    pooling = embedder.pooling
    question = embed(embedder.encoder, [query], pooling=pooling, prompt=pooling.query)
    corpus = embed(embedder.encoder, texts, pooling=pooling, prompt=pooling.document)
    scores: NDArray[np.float64] = (unit_length(corpus) @ unit_length(question)[0]).numpy()
    return scores


def _max_sims(model: Late, query: str, texts: list[str]) -> NDArray[np.float64]:
    question = model.network.encode_query([query], show_progress_bar=False)
    corpus = model.network.encode_document(texts, show_progress_bar=False)
    scores: NDArray[np.float64] = model.network.similarity(question, corpus)[0].double().cpu().numpy()
    return scores


def _best(texts: list[str], scores: NDArray[np.float64]) -> list[Hit]:
    return [Hit(texts[i], float(scores[i])) for i in np.argsort(-scores, kind="stable")[:FOUND]]
