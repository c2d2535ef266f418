"""What a build gave: counts of each source, and how long documents are."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from anaume.tokens import store
from anaume.tokens.store import Header, Integers, Store

QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
BIN, HISTOGRAM_END = 128, 8192  # tokens; the paper's Figure 5 ends at the longest length it trains on

_LONGEST = 1 << 20  # tokens: longer documents count as this long in the quantiles


@dataclass(frozen=True)
class Counts:
    """What was found in a source; `characters` and `tokens` are those of its `documents`.

    `bad_lines` were unreadable, `empty_documents` held no text: both are left out.
    """

    documents: int
    tokens: int
    characters: int
    bad_lines: int
    empty_documents: int


@dataclass(frozen=True)
class Summary(Counts):
    """The result of a build: counts over all sources, those of each source, and how long documents are.

    `first_bad` names the first unreadable lines of each source. `length_quantiles`: share of documents ("0.5") → length
    in tokens that so many don't exceed. `length_histogram`: documents longer than `low` and no longer than `high`
    tokens, in equal bins; of the last, which has the longer ones, `high` is None. `seconds` (with the wait in a
    cluster's queue), `encoded_tokens` and `tokens_per_second` are of this run, without the shards that were there.
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
    """The summary of a build that took so long and made so many tokens; `stores` are its sources' stores."""
    headers = [store.read_header(one.folder) for one in stores]
    counts = _counts(headers)
    lengths = count_lengths(stores)
    return Summary(
        **asdict(counts),
        sources={f"{i}: {h.details['source']}": _counts([h]) for i, h in enumerate(headers)},
        characters_per_token=round(counts.characters / counts.tokens, 4),
        first_bad=[line for header in headers for line in header.details["first_bad"]],
        length_quantiles=length_quantiles(lengths),
        length_histogram=length_histogram(lengths),
        seconds=round(seconds, 3),
        encoded_tokens=encoded_tokens,
        tokens_per_second=round(encoded_tokens / seconds, 1),
    )


def count_lengths(stores: Sequence[Store]) -> Integers:
    """How many documents there are of 0, 1, 2 … tokens; memory doesn't grow with them."""
    counts = np.zeros(_LONGEST + 1, dtype=np.int64)
    for one in stores:
        for lengths in store.lengths_in_blocks(one):
            counts += np.bincount(np.minimum(lengths, _LONGEST), minlength=_LONGEST + 1)
    return counts


def length_quantiles(lengths: Integers) -> dict[str, int]:
    """Share of documents → the length in tokens that so many don't exceed."""
    up_to = np.cumsum(lengths)
    ranks = [max(1, int(np.ceil(share * up_to[-1]))) for share in QUANTILES]
    return {f"{share:g}": int(np.searchsorted(up_to, rank)) for share, rank in zip(QUANTILES, ranks, strict=True)}


def length_histogram(lengths: Integers) -> list[dict[str, int | None]]:
    """Documents in equal bins of their length, (low, high]; the last bin has no end."""
    bins = range(0, HISTOGRAM_END, BIN)
    rows: list[dict[str, int | None]] = [
        {"low": low, "high": low + BIN, "documents": int(lengths[low + 1 : low + BIN + 1].sum())} for low in bins
    ]
    return [*rows, {"low": HISTOGRAM_END, "high": None, "documents": int(lengths[HISTOGRAM_END + 1 :].sum())}]


def describe(summary: Summary) -> list[str]:
    """The summary in a few lines."""
    quantiles = summary.length_quantiles
    lines = [
        f"{summary.documents:,} documents, {summary.tokens:,} tokens, "
        f"{summary.characters_per_token:.2f} characters a token",
        f"half of the documents have up to {quantiles['0.5']:,} tokens, 90 % up to {quantiles['0.9']:,}, "
        f"99 % up to {quantiles['0.99']:,}, the longest {quantiles['1']:,}",
    ]
    if summary.empty_documents:
        lines.append(f"left out: {summary.empty_documents:,} documents without text")
    if summary.bad_lines:
        lines.append(f"left out: {summary.bad_lines:,} unreadable lines, the first of them:")
        lines += [f"  {line}" for line in summary.first_bad]
    if not summary.encoded_tokens:
        return [*lines, "nothing was left to do"]
    return [*lines, f"{summary.seconds:,.1f} s, {summary.tokens_per_second:,.0f} tokens a second"]


def _counts(headers: Sequence[Header]) -> Counts:
    def total(name: str) -> int:
        return sum(header.details[name] for header in headers)

    return Counts(
        documents=sum(header.documents for header in headers),
        tokens=sum(header.tokens for header in headers),
        characters=total("characters"),
        bad_lines=total("bad_lines"),
        empty_documents=total("empty_documents"),
    )
