"""Lengths of the training documents: the paper's Figure 5 and its table, from the summary of the tokens."""

from bisect import bisect_left
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from anaume.recipe import LENGTH_BINS
from anaume.report.draw.figures import PrintFigure
from anaume.report.draw.panels import Axis, Line, Panel, logarithmic
from anaume.report.inputs import ReportInput
from anaume.report.section import ChartGroups, Content, Page, Section, single_chart, suffixed, table_of_each
from anaume.report.tables import Cell, Column, Table

EDGES = (0, *LENGTH_BINS)
BINS = (*(f"({low}, {high}]" if low else f"[0, {high}]" for low, high in pairwise(EDGES)), f"({EDGES[-1]}, …)")
STEEP = 100  # ratio of the fullest to the emptiest bin, from which a linear axis would hide the long documents
BAR = (256, 768)  # start and end of the bar of longer documents, in tokens after the last bin


def content(page: Page) -> Content:
    """A histogram and a table for each run whose tokens have a summary."""
    several = len(page.inputs) > 1
    charts: ChartGroups = ()
    figures: list[PrintFigure | None] = []
    for run, suffix in suffixed(page.inputs):
        panel = length_panel(run, suffix)
        charts += tuple((run.name if several else "", group) for _, group in single_chart(panel))
        figures.append(PrintFigure((panel,), (5.5, 2.5)) if panel else None)
    return Content(table_of_each(page.inputs, lengths), charts, figures=tuple(figures))


def length_panel(run: ReportInput, suffix: str = "") -> Panel | None:
    """Documents by length in tokens; one bar behind the last bin holds the longer documents."""
    rows = _histogram(run)
    closed = [row for row in rows if row["high"] is not None]
    if not closed:
        return None
    counts = np.array([row["documents"] for row in closed], dtype=np.float64)
    end = closed[-1]["high"]
    edges = np.array([*(row["low"] for row in closed), end], dtype=np.float64)
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
        note=_quantiles(run),
        hover="nearest",
    )


def lengths(run: ReportInput, suffix: str = "") -> Table | None:
    """Documents in the paper's four length bins, and the longer ones."""
    rows = _histogram(run)
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


def _histogram(run: ReportInput) -> list[dict[str, Any]]:
    rows = run.summary.get("length_histogram", [])
    return [row for row in rows if row.keys() >= {"low", "high", "documents"}]


def _bin(row: dict[str, Any]) -> int:
    """The index in `BINS` of the bin that contains this row of the histogram."""
    return bisect_left(LENGTH_BINS, row["low"] + 1)


def _quantiles(run: ReportInput) -> str:
    quantiles = run.summary.get("length_quantiles", {})
    words = {"0.5": "half have up to", "0.9": "90% up to", "0.99": "99% up to", "1": "the longest has"}
    phrases = [f"{text} {quantiles[share]:,}" for share, text in words.items() if share in quantiles]
    return ", ".join(phrases) + " tokens" if phrases else ""


SECTION = Section("documents", "Lengths of documents", content, figure="figure-5-lengths")
