"""What a build gave: counts of each source, and how long documents are."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from anaume.tokens import store
from anaume.tokens.store import Header, Store

QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)

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

    `length_quantiles`: share of documents ("0.5") → length in tokens that so many don't exceed.
    `seconds` and `encoded_tokens` are of this run, without the shards that were there already.
    """

    sources: dict[str, Counts]
    length_quantiles: dict[str, int]
    seconds: float
    encoded_tokens: int


def summarize(stores: Sequence[Store], seconds: float, encoded_tokens: int) -> Summary:
    """The summary of a build that took so long and made so many tokens; `stores` are its sources' stores."""
    headers = [store.read_header(one.folder) for one in stores]
    return Summary(
        **asdict(_counts(headers)),
        sources={f"{i}: {h.details['source']}": _counts([h]) for i, h in enumerate(headers)},
        length_quantiles=length_quantiles(stores),
        seconds=round(seconds, 3),
        encoded_tokens=encoded_tokens,
    )


def length_quantiles(stores: Sequence[Store]) -> dict[str, int]:
    """Share of documents → the length in tokens that so many don't exceed; memory doesn't grow with them."""
    histogram = np.zeros(_LONGEST + 1, dtype=np.int64)
    for one in stores:
        for lengths in store.lengths_in_blocks(one):
            histogram += np.bincount(np.minimum(lengths, _LONGEST), minlength=_LONGEST + 1)
    up_to = np.cumsum(histogram)
    ranks = [max(1, int(np.ceil(share * up_to[-1]))) for share in QUANTILES]
    return {f"{share:g}": int(np.searchsorted(up_to, rank)) for share, rank in zip(QUANTILES, ranks, strict=True)}


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
