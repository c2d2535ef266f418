"""Where a model puts texts on the unit sphere (paper, Figures 3 and 4, after Wang and Isola, arXiv 2005.10242).

Pairs of texts that belong together, and random pairs → alignment, uniformity, and how far the cosines of the two kinds
of pairs lie apart. Embeddings are mean-pooled, scaled to length 1 and compared in float64.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anaume.encoder.embed import embed_counted, unit_length
from anaume.encoder.load import Encoder
from anaume.errors import UserError
from anaume.evals.inputs.pairs import Pair, read_pairs
from anaume.evals.inputs.reservoir import Reservoir
from anaume.evals.provenance import data_settings, texts_of, texts_settings
from anaume.evals.record import Record
from anaume.evals.task import Evaluation, Request, Subject
from anaume.evals.tasks import GeometryOptions

RANDOM_PAIRS = 2_000  # the paper's
OTHER_PAIRS = "texts of different pairs"
EDGES = np.linspace(-1, 1, 51)
ROWS_AT_ONCE = 1_024

Floats = NDArray[np.float64]


def evaluate(
    encoder: Encoder,
    pairs: Sequence[Pair],
    texts: Iterable[str] | None = None,
    *,
    origin: str = OTHER_PAIRS,
    random_pairs: int = RANDOM_PAIRS,
    data: Path | None = None,
    batch_tokens: int = 8192,
    seed: int = 0,
) -> Record:
    """Measure a model on positive pairs and on random ones.

    `random_pairs` random pairs, or as many as there can be, are made of `texts`, each used once; without `texts`, of
    the queries and positives of different pairs. `origin` names the texts in the record, `data` is the pairs' file.

    alignment             mean ‖q − p‖² of the positive pairs
    uniformity            log mean exp(−2 ‖x − y‖²) of the random pairs, as in the paper's text
    uniformity_all_pairs  the same over all pairs of the texts in them, as in its code
    positive_mean, random_mean   mean cosines
    overlap               area that the two histograms of cosines share, 50 bins of equal width from −1 to 1
    auc                   how often a positive pair is closer than a random one; a tie counts half

    Raises:
        UserError: fewer than two pairs, or fewer than two texts.
    """
    if len(pairs) < 2:
        raise UserError(f"geometry: {len(pairs)} pairs, expected two at least")
    queries = embed_counted(encoder, [pair.query for pair in pairs], batch_tokens=batch_tokens)
    positives = embed_counted(encoder, [pair.positive for pair in pairs], batch_tokens=batch_tokens)
    left, right = unit_length(queries.vectors), unit_length(positives.vectors)
    random = np.random.default_rng((seed, 0))
    cut = 0
    if texts is None:
        vectors, groups = torch.cat([left, right]), torch.arange(len(pairs)).repeat(2)
        first, second = different_pairs(random, len(pairs), random_pairs)
    else:
        drawn = Reservoir[str](random, 2 * random_pairs)
        for text in texts:
            drawn.offer(text)
        chosen = drawn.kept
        if len(chosen) < 2:
            raise UserError(f"{origin}: {len(chosen)} texts for random pairs, expected two at least")
        embedded = embed_counted(encoder, chosen, batch_tokens=batch_tokens)
        vectors, groups, cut = unit_length(embedded.vectors), torch.arange(len(chosen)), embedded.truncated
        count = len(chosen) // 2
        first, second = torch.arange(count), torch.arange(count, 2 * count)
    close, apart = cosines(left, right), cosines(vectors[first], vectors[second])
    shares = histogram(close), histogram(apart)
    metrics = {
        "alignment": (left - right).square().sum(1).mean().item(),
        "uniformity": (vectors[first] - vectors[second]).square().sum(1).mul(-2).exp().mean().log().item(),
        "uniformity_all_pairs": uniformity_of_all(vectors, groups),
        "overlap": float(np.minimum(*shares).sum()),
        "auc": auc(close, apart),
        "positive_mean": float(close.mean()),
        "random_mean": float(apart.mean()),
    }
    settings = {
        "pooling": "mean over all tokens, special ones included",
        "texts": origin,
        "random_pairs": random_pairs,
        "random_pairs_found": len(first),
        "max_length": encoder.max_length,
        "truncated_queries": queries.truncated,
        "truncated_positives": positives.truncated,
        "truncated_texts": cut,
        **data_settings(data),
    }
    details: list[dict[str, Any]] = [
        {"low": float(low), "high": float(high), "positive": float(p), "random": float(r)}
        for low, high, p, r in zip(EDGES[:-1], EDGES[1:], *shares, strict=True)
    ]
    return Record(encoder.name, "geometry", metrics, len(pairs), settings, seed, details=details)


def different_pairs(random: np.random.Generator, pairs: int, count: int) -> tuple[Tensor, Tensor]:
    """Draw `count` pairs, or all that there are, among 2 × `pairs` texts: the queries, then the positives.

    No pair comes twice, and none is a positive one. Returns the indices of both texts of each.
    """
    # With the texts in a circle, a text's partner is half way round. Each other text is nearer on one of the two ways.
    texts = 2 * pairs
    total = texts * (pairs - 1)
    numbers = torch.from_numpy(random.choice(total, min(count, total), replace=False, shuffle=False))
    first, distance = numbers // (pairs - 1), 1 + numbers % (pairs - 1)
    return first, (first + distance) % texts


def uniformity_of_all(vectors: Tensor, groups: Tensor) -> float:
    """log mean exp(−2 ‖x − y‖²) over all pairs of unit vectors of different groups, (texts, hidden), (texts,)."""
    total, count = 0.0, 0
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        other = groups[rows, None] != groups[None, :]
        squared = (2 - 2 * vectors[rows] @ vectors.T).clamp_(min=0)
        total += squared.mul_(-2).exp_()[other].sum().item()
        count += int(other.sum())
    return float(np.log(total / count))


def cosines(left: Tensor, right: Tensor) -> Floats:
    """Row by row, of unit vectors; to nine digits, so that rounding breaks no ties."""
    rounded: Floats = (left * right).sum(1).numpy().round(9)
    return rounded


def histogram(values: Floats) -> Floats:
    """The share of the cosines in each of the 50 bins."""
    counts, _ = np.histogram(values, EDGES)
    shares: Floats = counts / len(values)
    return shares


def auc(positive: Floats, random: Floats) -> float:
    """The area under the ROC curve of the cosine as a test for positive pairs."""
    ordered = np.sort(random)
    below = np.searchsorted(ordered, positive, side="left")
    up_to = np.searchsorted(ordered, positive, side="right")
    return float((below + up_to).sum() / (2 * len(positive) * len(random)))


def prepare(request: Request[GeometryOptions]) -> Evaluation:
    """Read the pairs, and check the texts of the random pairs if there are any.

    Raises:
        UserError: see `read_pairs`; the texts can't be listed, or there are none.
    """
    options = request.options
    assert options.pairs
    path, pairs = options.pairs, read_pairs(options.pairs)

    def measure(subject: Subject) -> Iterator[Record]:
        yield evaluate(
            subject.encoder,
            pairs,
            texts_of(options.texts) if options.texts else None,
            origin=options.texts or OTHER_PAIRS,
            random_pairs=options.random_pairs,
            data=path,
            seed=options.seed,
        )

    texts = texts_settings(options.texts) if options.texts else {"texts": OTHER_PAIRS}
    return Evaluation(measure, data_settings(path) | texts | {"random_pairs": options.random_pairs})
