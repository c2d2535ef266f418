"""The text that training read: tokens of each source and of each length, from the last line of each stage.

The counts are those of metrics.jsonl; shares are computed here.
"""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from anaume.formats import MISSING
from anaume.report.inputs import ReportInput
from anaume.report.section import Content, Page, Section, table_of_each
from anaume.report.sections.made_of.documents import BINS
from anaume.report.tables import Cell, Column, Table


def content(page: Page) -> Content:
    """Tokens by source, then by length, for each run that counted them."""
    return Content((*table_of_each(page.inputs, sources_read), *table_of_each(page.inputs, lengths_read)))


def sources_read(run: ReportInput, suffix: str = "") -> Table | None:
    """The tokens that each stage read of each source of the recipe, beside the weight that was asked for."""
    tables = run.recipe.get("corpus", {}).get("train", [])
    weights = [f"{table.get('weight', 1):g}" for table in tables]
    rows = _read(run, "source_tokens", [_name(table) for table in tables], dict.fromkeys(run.stages, weights))
    caption = "What training read of each source. The weight is how often an epoch uses each of its documents."
    return _mixture(f"sources-read{suffix}", caption, Column("Source", wide=True), "Weight", rows)


def lengths_read(run: ReportInput, suffix: str = "") -> Table | None:
    """The tokens that each stage read in pieces of each length, beside the share that was asked for."""
    stages = run.recipe.get("stage", [])
    wanted = {str(s.get("name")): [f"{share:.1%}" for share in s.get("length_shares", [])] for s in stages}
    rows = _read(run, "length_tokens", BINS, wanted)
    caption = (
        "What training read in pieces of each length in tokens; a document that is longer than its stage's length "
        "comes as several pieces, or as its first one."
    )
    return _mixture(f"lengths-read{suffix}", caption, Column("Length"), "Share wanted", rows)


def _read(run: ReportInput, field: str, names: Sequence[str], wanted: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Stage, what was read, what was wanted of it, its tokens, its share of the stage's; without what is neither."""
    rows = []
    for stage, line in run.last_lines.items():
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


SECTION = Section("read", "What training read", content)
