"""What there was to read and what training read of it: lengths of documents (the paper's Figure 5), the mixture.

Counts are those of the tokens' summary and of each stage's last line in metrics.jsonl; shares are made here.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, zip_longest
from typing import Any

import numpy as np

from anaume.formats import MISSING
from anaume.recipe import LENGTH_BINS
from anaume.report.panels import Axis, Line, Panel, logarithmic
from anaume.report.sources import Source
from anaume.report.tables import Cell, Column, Table

EDGES = (0, *LENGTH_BINS)
BINS = (*(f"({low}, {high}]" if low else f"[0, {high}]" for low, high in pairwise(EDGES)), f"({EDGES[-1]}, …)")
STEEP = 100  # times as many documents in the fullest bin as in the emptiest: a linear axis would hide the long ones
BAR = (256, 768)  # tokens after the last bin, where the bar of the longer documents stands


def length_panel(source: Source, suffix: str = "") -> Panel | None:
    """Documents by their length; those longer than the last bin are one bar behind it."""
    rows = _histogram(source)
    equal = [row for row in rows if row["high"] is not None]
    if not equal:
        return None
    counts = np.array([row["documents"] for row in equal], dtype=np.float64)
    end = equal[-1]["high"]
    edges = np.array([*(row["low"] for row in equal), end], dtype=np.float64)
    lines = [Line("", "train", "bars", edges, counts)]
    if longer := sum(row["documents"] for row in rows if row["high"] is None):
        name = f"longer than {end:,} tokens: {longer:,}"
        lines.append(Line(name, "plain", "bars", end + np.array(BAR, dtype=np.float64), np.array([float(longer)])))
    heights = np.concatenate([line.y for line in lines])
    most, least = heights.max(), heights[heights > 0].min(initial=np.inf)
    log = bool(most > STEEP * least)
    y = Axis("Documents", from_zero=True, form=",d", tick="~s")
    if log:
        y = logarithmic(replace(y, from_zero=False, span=(least / 2, 2 * most)), lines)
    return Panel(
        f"document-lengths{suffix}",
        "Training documents by length" + (" (logarithmic)" if log else ""),
        tuple(lines),
        x=Axis("Tokens", form=",d", ticks=tuple((edge, f"{edge:,}") for edge in EDGES if edge <= end)),
        y=y,
        note=_quantiles(source),
        hover="nearest",
    )


def lengths(source: Source, suffix: str = "") -> Table | None:
    """The same in the paper's four bins and what is longer."""
    rows = _histogram(source)
    counts = [0] * len(BINS)
    for row in rows:
        counts[_bin(row)] += row["documents"]
    total = sum(counts)
    if not total:
        return None
    cells = [
        (Cell(name), Cell(f"{count:,}"), Cell(f"{count / total:.1%}"))
        for name, count in zip(BINS, counts, strict=True)
        if count
    ]
    caption = "Training documents by their length in tokens, before any is cut."
    columns = Column("Tokens"), Column("Documents", numeric=True), Column("Share", numeric=True)
    return Table(f"document-lengths{suffix}", caption, columns, tuple(cells))


def sources_read(source: Source, suffix: str = "") -> Table | None:
    """The tokens that each stage read of each source of the recipe, beside the weight that was asked for."""
    tables = source.recipe.get("corpus", {}).get("train", [])
    weights = [f"{table.get('weight', 1):g}" for table in tables]
    rows = _read(source, "source_tokens", [_name(table) for table in tables], dict.fromkeys(source.stages, weights))
    caption = "What training read of each source. The weight is how often an epoch uses each of its documents."
    return _mixture(f"sources-read{suffix}", caption, Column("Source", wide=True), "Weight", rows)


def lengths_read(source: Source, suffix: str = "") -> Table | None:
    """The tokens that each stage read in pieces of each length, beside the share that was asked for."""
    stages = source.recipe.get("stage", [])
    wanted = {str(s.get("name")): [f"{share:.1%}" for share in s.get("length_shares", [])] for s in stages}
    rows = _read(source, "length_tokens", BINS, wanted)
    caption = (
        "What training read in pieces of each length in tokens; a document that is longer than its stage's length "
        "comes as several pieces, or as its first one."
    )
    return _mixture(f"lengths-read{suffix}", caption, Column("Length"), "Share wanted", rows)


def _read(source: Source, field: str, names: Sequence[str], wanted: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Stage, what was read, what was wanted of it, its tokens, its share of the stage's; without what is neither."""
    rows = []
    for stage, line in source.last_lines.items():
        counts = line.get(field) or []
        for name, asked, count in zip_longest(names, wanted.get(stage, ()), counts, fillvalue=None):
            if count or (counts and asked):
                share = f"{(count or 0) / max(1, sum(counts)):.1%}"
                rows.append([stage, name or MISSING, asked or MISSING, f"{count or 0:,}", share])
    return rows


def _mixture(name: str, caption: str, what: Column, wanted: str, rows: list[list[str]]) -> Table | None:
    if not rows:
        return None
    columns = [Column("Stage"), what, *(Column(title, numeric=True) for title in (wanted, "Tokens", "Share"))]
    if all(row[2] == MISSING for row in rows):
        columns, rows = columns[:2] + columns[3:], [row[:2] + row[3:] for row in rows]
    return Table(name, caption, tuple(columns), tuple(tuple(Cell(text) for text in row) for row in rows))


def _name(table: dict[str, Any]) -> str:
    """Where a source's text comes from, as its table in the recipe says."""
    if table.get("builtin"):
        return f"{table['builtin']}, built in"
    return str(table.get("path") or table.get("hub") or MISSING)


def _histogram(source: Source) -> list[dict[str, Any]]:
    found = source.summary.get("length_histogram", [])
    return [row for row in found if row.keys() >= {"low", "high", "documents"}]


def _bin(row: dict[str, Any]) -> int:
    """Which of the paper's bins a narrower one lies in."""
    return bisect_left(LENGTH_BINS, row["low"] + 1)


def _quantiles(source: Source) -> str:
    found = source.summary.get("length_quantiles", {})
    named = {"0.5": "half have up to", "0.9": "90% up to", "0.99": "99% up to", "1": "the longest has"}
    said = [f"{words} {found[share]:,}" for share, words in named.items() if share in found]
    return ", ".join(said) + " tokens" if said else ""
