"""Geometry of the embeddings on the unit sphere (paper, Figures 3 and 4, after Wang and Isola, arXiv 2005.10242).

Pairs of texts that belong together, and random pairs → alignment, uniformity, the overlap of the cosines of both kinds
of pairs, and isotropy: how evenly the texts of the random pairs lie around the sphere. The rule: embeddings are
mean-pooled, scaled to length 1 and compared in float64.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anaume.encoder.embed import MEAN_POOLING, Embeddings, embed_counted, unit_length
from anaume.encoder.load import Encoder
from anaume.encoder.pooling import Pooling
from anaume.errors import UserError
from anaume.evals.inputs.pairs import Pair, read_pairs
from anaume.evals.inputs.reservoir import Reservoir
from anaume.evals.provenance import data_settings, texts_of, texts_settings
from anaume.evals.record import Record
from anaume.evals.task import Evaluation, Request, Subject, check_pooling, estimate
from anaume.evals.tasks import GeometryOptions

RANDOM_PAIRS = 2_000  # the paper's number
OTHER_PAIRS = "texts of different pairs"
BINS = 50  # of the histograms
# Part of the settings, because records before this definition compared histograms over [-1, 1].
OVERLAP = "1 - the Kolmogorov-Smirnov statistic"
ROWS_AT_ONCE = 1_024

Floats = NDArray[np.float64]


def evaluate(
    encoder: Encoder,
    pairs: Sequence[Pair],
    texts: Iterable[str] | None = None,
    *,
    origin: str = OTHER_PAIRS,
    random_pairs: int = RANDOM_PAIRS,
    pooling: Pooling = MEAN_POOLING,
    data: Path | None = None,
    batch_tokens: int = 8192,
    seed: int = 0,
) -> Record:
    """Measure a model on positive pairs and on random pairs.

    `random_pairs` random pairs, or fewer if there are not enough texts, are made of `texts`, each of which is used
    once. Without `texts`, they are made of the queries and positives of different pairs. `origin` names the texts in
    the record, `data` is the pairs' file. The metrics are those of `cosine_metrics` and `isotropy`, and:

    alignment             mean ‖q − p‖² of the positive pairs
    uniformity            log mean exp(−2 ‖x − y‖²) of the random pairs, as in the paper's text
    uniformity_all_pairs  log mean exp(−2 ‖x − y‖²) over all pairs of the texts in them, as in the paper's code

    Raises:
        UserError: fewer than two pairs, or fewer than two texts.
    """
    if len(pairs) < 2:
        raise UserError(f"geometry: {len(pairs)} pairs; expected two or more")
    queries, positives = _embed_pairs(encoder, pairs, pooling, batch_tokens)
    left, right = unit_length(queries.vectors), unit_length(positives.vectors)
    random = np.random.default_rng((seed, 0))
    truncated_texts = 0
    if texts is None:
        vectors, groups = torch.cat([left, right]), torch.arange(len(pairs)).repeat(2)
        first, second = different_pairs(random, len(pairs), random_pairs)
    else:
        drawn = draw_texts(random, texts, 2 * random_pairs, origin)
        embedded = embed_counted(encoder, drawn, pooling=pooling, prompt=pooling.document, batch_tokens=batch_tokens)
        vectors, groups, truncated_texts = unit_length(embedded.vectors), torch.arange(len(drawn)), embedded.truncated
        first, second = torch.arange(len(drawn) // 2 * 2).chunk(2)
    close, apart = cosines(left, right), cosines(vectors[first], vectors[second])
    metrics = {
        "alignment": (left - right).square().sum(1).mean().item(),
        "uniformity": uniformity(vectors[first], vectors[second]),
        "uniformity_all_pairs": uniformity_of_all(vectors, groups),
        **cosine_metrics(close, apart),
        **isotropy(vectors),
    }
    settings = {
        "pooling": pooling.description,
        "texts": origin,
        "random_pairs": random_pairs,
        "random_pairs_found": len(first),
        "overlap": OVERLAP,
        "max_length": min(encoder.max_length, pooling.max_length or encoder.max_length),
        "truncated_queries": queries.truncated,
        "truncated_positives": positives.truncated,
        "truncated_texts": truncated_texts,
        **data_settings(data),
    }
    return Record(encoder.name, "geometry", metrics, len(pairs), settings, seed, details=histogram_rows(close, apart))


def _embed_pairs(
    encoder: Encoder, pairs: Sequence[Pair], pooling: Pooling, batch_tokens: int
) -> tuple[Embeddings, Embeddings]:
    """Embed the queries and the positives, each after the prompt of its kind."""
    queries, positives = [pair.query for pair in pairs], [pair.positive for pair in pairs]
    return (
        embed_counted(encoder, queries, pooling=pooling, prompt=pooling.query, batch_tokens=batch_tokens),
        embed_counted(encoder, positives, pooling=pooling, prompt=pooling.document, batch_tokens=batch_tokens),
    )


def draw_texts(random: np.random.Generator, texts: Iterable[str], count: int, origin: str) -> list[str]:
    """Draw up to `count` texts of a stream, in random order.

    Raises:
        UserError: fewer than two texts; names their `origin`.
    """
    reservoir = Reservoir[str](random, count)
    for text in texts:
        reservoir.offer(text)
    if len(reservoir.kept) < 2:
        raise UserError(f"{origin}: {len(reservoir.kept)} texts for random pairs; expected two or more")
    return reservoir.kept


def different_pairs(random: np.random.Generator, pairs: int, count: int) -> tuple[Tensor, Tensor]:
    """Draw `count` pairs (or all, if there are fewer) of 2 × `pairs` texts: first the queries, then the positives.

    No pair is drawn twice, and none is a positive pair. Returns the indices of the first and of the second texts.
    """
    # With the texts in a circle, the two texts of a positive pair lie opposite each other. For any other two texts, one
    # is 1 to pairs − 1 steps ahead of the other, so these steps from each text give each pair once.
    texts = 2 * pairs
    total = texts * (pairs - 1)
    numbers = torch.from_numpy(random.choice(total, min(count, total), replace=False, shuffle=False))
    first, distance = numbers // (pairs - 1), 1 + numbers % (pairs - 1)
    return first, (first + distance) % texts


def uniformity(first: Tensor, second: Tensor) -> float:
    """Return log mean exp(−2 ‖x − y‖²) over pairs of unit vectors, (pairs, hidden) each."""
    return float((first - second).square().sum(1).mul(-2).exp().mean().log())


def uniformity_of_all(vectors: Tensor, groups: Tensor) -> float:
    """Return log mean exp(−2 ‖x − y‖²) over all pairs of vectors of different groups.

    `vectors` are of length 1, (texts, hidden); `groups` are (texts,).
    """
    total, count = 0.0, 0
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        other = groups[rows, None] != groups[None, :]
        squared = (2 - 2 * vectors[rows] @ vectors.T).clamp_(min=0)
        total += squared.mul_(-2).exp_()[other].sum().item()
        count += int(other.sum())
    return float(np.log(total / count))


def isotropy(vectors: Tensor) -> dict[str, float]:
    """Return how unevenly vectors of length 1, (texts, hidden), lie around the sphere; lower is more even.

    mean_cosine                 mean cosine of two different texts
    mean_cosine_centred         mean cosine of two different texts after the mean of all texts is removed
    first_component             share of the variance in the first principal component
    first_component_uncentred   share of the sum of squares in the first principal direction, the mean not removed
    """
    centred = vectors - vectors.mean(0)
    return {
        "mean_cosine": mean_cosine(vectors),
        "mean_cosine_centred": mean_cosine(unit_length(centred)),
        "first_component": first_component(centred),
        "first_component_uncentred": first_component(vectors),
    }


def mean_cosine(vectors: Tensor) -> float:
    """Return the mean cosine of two different vectors of length 1, (texts, hidden)."""
    texts = len(vectors)
    return float((vectors.sum(0).square().sum() - vectors.square().sum()) / (texts * (texts - 1)))


def first_component(vectors: Tensor) -> float:
    """Return the largest eigenvalue of `vectors.T @ vectors` as a share of the sum of all; 1 if all vectors are 0."""
    eigenvalues = torch.linalg.eigvalsh(vectors.T @ vectors).clamp_(min=0)
    total = eigenvalues.sum()
    return float(eigenvalues[-1] / total) if total > 0 else 1.0


def cosines(left: Tensor, right: Tensor) -> Floats:
    """Return the cosine of each pair of rows of unit vectors, to nine digits, so that rounding breaks no ties."""
    rounded: Floats = (left * right).sum(1).numpy().round(9)
    return rounded


def cosine_metrics(close: Floats, apart: Floats) -> dict[str, float]:
    """Compare the cosines of positive and of random pairs.

    positive_mean, random_mean   mean cosines
    overlap                      1 − the Kolmogorov-Smirnov statistic: the share of both kinds of pairs, taken equally
                                 often, that the best threshold puts on the wrong side, times 2
    auc                          area under the ROC curve of the cosine as a test for positive pairs

    Neither `overlap` nor `auc` changes if all cosines are stretched or moved. An overlap of histograms over [−1, 1]
    would: embeddings that lie close together would fall into few bins.
    """
    return {
        "overlap": overlap(close, apart),
        "auc": auc(close, apart),
        "positive_mean": float(close.mean()),
        "random_mean": float(apart.mean()),
    }


def overlap(first: Floats, second: Floats) -> float:
    """Return 1 − the largest difference of the two distribution functions; two equal samples have 1."""
    values = np.concatenate([first, second])
    below = [np.searchsorted(np.sort(sample), values, side="right") / len(sample) for sample in (first, second)]
    return float(1 - np.abs(below[0] - below[1]).max())


def histogram_rows(close: Floats, apart: Floats) -> list[dict[str, Any]]:
    """Return BINS bins from the lowest to the highest cosine, with the fractions of the positive and random pairs.

    Cosines that are all equal get one bin in the middle that holds them.
    """
    edges = np.histogram_bin_edges(np.concatenate([close, apart]), BINS)
    positive, random = (np.histogram(values, edges)[0] / len(values) for values in (close, apart))
    return [
        {"low": float(low), "high": float(high), "positive": float(p), "random": float(r)}
        for low, high, p, r in zip(edges[:-1], edges[1:], positive, random, strict=True)
    ]


def auc(positive: Floats, random: Floats) -> float:
    """Return the fraction of cases in which a positive pair is closer than a random one; a tie counts half."""
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
    path, pairs = options.pairs, read_pairs(options.pairs, options.query_field, options.positive_field)

    check_pooling(options.pooling)

    def measure(subject: Subject) -> Iterator[Record]:
        record = evaluate(
            subject.encoder,
            pairs,
            texts_of(options.texts) if options.texts else None,
            origin=options.texts or OTHER_PAIRS,
            random_pairs=options.random_pairs,
            pooling=subject.pooling(options.pooling, options.layer),
            data=path,
            seed=options.seed,
        )
        yield replace(record, settings=record.settings | options.other_fields)

    def forecast(subjects: Sequence[Subject]) -> float:
        encoder = subjects[0].encoder
        seconds = estimate(partial(evaluate, encoder, random_pairs=options.random_pairs), pairs)
        if options.texts:
            drawn = list(islice(texts_of(options.texts), 2 * options.random_pairs))
            seconds += estimate(partial(embed_counted, encoder), drawn)
        return len(subjects) * seconds

    texts = texts_settings(options.texts) if options.texts else {"texts": OTHER_PAIRS}
    chosen = {
        "random_pairs": options.random_pairs,
        "pooling_choice": options.pooling,
        "overlap": OVERLAP,
    }
    if options.layer is not None:
        chosen["layer"] = options.layer
    return Evaluation(measure, data_settings(path) | options.other_fields | texts | chosen, forecast=forecast)
