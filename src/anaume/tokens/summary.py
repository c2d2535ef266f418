"""Stores → the summary of a build: counts of each source and the distribution of document lengths."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from anaume.tokens import store
from anaume.tokens.store import Header, Integers, Store

QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
BIN, HISTOGRAM_END = 128, 8192  # tokens; the paper's Figure 5 ends at the longest length it trains on


MANY_UNKNOWN = 0.01  # share of the tokens


@dataclass(frozen=True)
class LengthCounts:
    """The document lengths that occur, in rising order, and the number of documents of each; both of shape (n,).

    A corpus of 10¹² tokens has at most 1.4 million different lengths, because their sum is at least n² / 2.
    """

    lengths: Integers
    documents: Integers


@dataclass(frozen=True)
class Counts:
    """Counts of a source; `characters`, `tokens` and `unknown_tokens` are those of its `documents`.

    `bad_lines` (unreadable) and `empty_documents` (without text) are left out of the store.
    """

    documents: int
    tokens: int
    characters: int
    unknown_tokens: int
    bad_lines: int
    empty_documents: int


@dataclass(frozen=True)
class Summary(Counts):
    """Result of a build: the counts over all sources and of each source, and the distribution of document lengths.

    `first_bad`: the first unreadable lines of each source.
    `length_quantiles`: quantiles of the document length in tokens; keys are the fractions ("0.5").
    `length_histogram`: number of documents longer than `low` and not longer than `high` tokens, in equal bins; `high`
    of the last bin is None.
    `seconds`, `encoded_tokens`, `tokens_per_second`: work of this run, without the shards that were whole before it;
    `seconds` includes the wait in a cluster's queue.
    """

    sources: dict[str, Counts]
    characters_per_token: float
    first_bad: list[str]
    length_quantiles: dict[str, int]
    length_histogram: list[dict[str, int | None]]
    seconds: float
    encoded_tokens: int
    tokens_per_second: float


def summarize(stores: Sequence[Store], seconds: float, encoded_tokens: int) -> Summary:
    """Summarize a build from the stores of its sources, its duration and the number of tokens that it encoded."""
    headers = [store.read_header(source_store.folder) for source_store in stores]
    counts = _sum_counts(headers)
    lengths = count_lengths(stores)
    return Summary(
        **asdict(counts),
        sources={f"{i}: {header.details['source']}": _sum_counts([header]) for i, header in enumerate(headers)},
        characters_per_token=round(counts.characters / counts.tokens, 4),
        first_bad=[line for header in headers for line in header.details["first_bad"]],
        length_quantiles=length_quantiles(lengths),
        length_histogram=length_histogram(lengths),
        seconds=round(seconds, 3),
        encoded_tokens=encoded_tokens,
        tokens_per_second=round(encoded_tokens / seconds, 1),
    )


def count_lengths(stores: Sequence[Store]) -> LengthCounts:
    """Count the documents of each length in all stores."""
    counts = LengthCounts(np.empty(0, np.int64), np.empty(0, np.int64))
    for source_store in stores:
        for block in store.lengths_in_blocks(source_store):
            lengths, documents = np.unique(block, return_counts=True)
            merged, places = np.unique(np.concatenate([counts.lengths, lengths]), return_inverse=True)
            totals = np.zeros(len(merged), np.int64)
            np.add.at(totals, places, np.concatenate([counts.documents, documents]))
            counts = LengthCounts(merged, totals)
    return counts


def length_quantiles(counts: LengthCounts) -> dict[str, int]:
    """Quantiles of the document length in tokens; keys are the fractions."""
    cumulative = np.cumsum(counts.documents)
    ranks = [max(1, int(np.ceil(fraction * cumulative[-1]))) for fraction in QUANTILES]
    return {
        f"{q:g}": int(counts.lengths[np.searchsorted(cumulative, rank)])
        for q, rank in zip(QUANTILES, ranks, strict=True)
    }


def length_histogram(counts: LengthCounts) -> list[dict[str, int | None]]:
    """Number of documents per bin of their length, (low, high]."""
    bounds = np.arange(0, HISTOGRAM_END + BIN, BIN)
    cumulative = np.concatenate([[0], np.cumsum(counts.documents)])
    up_to = cumulative[np.searchsorted(counts.lengths, bounds, side="right")]
    rows: list[dict[str, int | None]] = [
        {"low": int(low), "high": int(low) + BIN, "documents": int(documents)}
        for low, documents in zip(bounds, np.diff(up_to), strict=False)
    ]
    return [*rows, {"low": HISTOGRAM_END, "high": None, "documents": int(cumulative[-1] - up_to[-1])}]


def describe(summary: Summary) -> list[str]:
    """Describe a summary in a few lines of text."""
    quantiles = summary.length_quantiles
    lines = [
        f"{summary.documents:,} documents, {summary.tokens:,} tokens, "
        f"{summary.characters_per_token:.2f} characters per token",
        f"half of the documents have up to {quantiles['0.5']:,} tokens, 90 % up to {quantiles['0.9']:,}, "
        f"99 % up to {quantiles['0.99']:,}, the longest {quantiles['1']:,}",
    ]
    if warning := unknown_warning(summary.unknown_tokens, summary.tokens):
        lines.append(warning)
    if summary.empty_documents:
        lines.append(f"left out: {summary.empty_documents:,} documents without text")
    if summary.bad_lines:
        lines.append(f"left out: {summary.bad_lines:,} unreadable lines, the first of them:")
        lines += [f"  {line}" for line in summary.first_bad]
    if not summary.encoded_tokens:
        return [*lines, "nothing was left to do"]
    return [*lines, f"{summary.seconds:,.1f} s, {summary.tokens_per_second:,.0f} tokens per second"]


def unknown_warning(unknown: int, tokens: int) -> str | None:
    """Return one line if more than `MANY_UNKNOWN` of a corpus's tokens are unknown, otherwise None."""
    if unknown <= MANY_UNKNOWN * tokens:
        return None
    return f"{unknown / tokens:.1%} of the tokens are unknown: the tokenizer was not made for this text"


def _sum_counts(headers: Sequence[Header]) -> Counts:
    def total(name: str) -> int:
        return sum(header.details.get(name, 0) for header in headers)

    return Counts(
        documents=sum(header.documents for header in headers),
        tokens=sum(header.tokens for header in headers),
        characters=total("characters"),
        unknown_tokens=total("unknown_tokens"),
        bad_lines=total("bad_lines"),
        empty_documents=total("empty_documents"),
    )
