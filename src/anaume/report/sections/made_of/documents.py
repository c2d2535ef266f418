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
STEEP = 100  # times as many documents in the fullest bin as in the emptiest: a linear axis would hide the long ones
BAR = (256, 768)  # tokens after the last bin, where the bar of the longer documents stands


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
    """Documents by their length; those longer than the last bin are one bar behind it."""
    rows = _histogram(run)
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
        note=_quantiles(run),
        hover="nearest",
    )


def lengths(run: ReportInput, suffix: str = "") -> Table | None:
    """The same in the paper's four bins and what is longer."""
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
    found = run.summary.get("length_histogram", [])
    return [row for row in found if row.keys() >= {"low", "high", "documents"}]


def _bin(row: dict[str, Any]) -> int:
    """Which of the paper's bins a narrower one lies in."""
    return bisect_left(LENGTH_BINS, row["low"] + 1)


def _quantiles(run: ReportInput) -> str:
    found = run.summary.get("length_quantiles", {})
    named = {"0.5": "half have up to", "0.9": "90% up to", "0.99": "99% up to", "1": "the longest has"}
    said = [f"{words} {found[share]:,}" for share, words in named.items() if share in found]
    return ", ".join(said) + " tokens" if said else ""


SECTION = Section("documents", "Lengths of documents", content, figure="figure-5-lengths")
