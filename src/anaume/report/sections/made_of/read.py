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
    """Tokens that each stage read of each source of the recipe, beside the weights of the recipe."""
    tables = run.recipe.get("corpus", {}).get("train", [])
    weights = [f"{table.get('weight', 1):g}" for table in tables]
    rows = _rows(run, "source_tokens", [_name(table) for table in tables], dict.fromkeys(run.stages, weights))
    caption = (
        "Tokens that training read of each source. The weight is how often an epoch uses a document of the source."
    )
    return _mixture(f"sources-read{suffix}", caption, Column("Source", wide=True), "Weight", rows)


def lengths_read(run: ReportInput, suffix: str = "") -> Table | None:
    """Tokens that each stage read in pieces of each length, beside the shares of the recipe."""
    stages = run.recipe.get("stage", [])
    shares = {str(s.get("name")): [f"{share:.1%}" for share in s.get("length_shares", [])] for s in stages}
    rows = _rows(run, "length_tokens", BINS, shares)
    caption = (
        "Tokens that training read in pieces of each length in tokens. A document that is longer than the length of a "
        "stage becomes several pieces, or is cut to its first one."
    )
    return _mixture(f"lengths-read{suffix}", caption, Column("Length"), "Share wanted", rows)


def _rows(run: ReportInput, field: str, names: Sequence[str], targets: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Rows of stage, name, target, tokens and share of the stage's tokens. A row has tokens or a target or both.

    `field` of a stage's last line counts the tokens of each of `names`; `targets` has the recipe's texts by stage.
    """
    rows = []
    for stage, line in run.last_lines.items():
        counts = line.get(field) or []
        for name, target, count in zip_longest(names, targets.get(stage, ()), counts, fillvalue=None):
            if count or (counts and target):
                share = f"{(count or 0) / max(1, sum(counts)):.1%}"
                rows.append([stage, name or MISSING, target or MISSING, f"{count or 0:,}", share])
    return rows


def _mixture(name: str, caption: str, first: Column, target: str, rows: list[list[str]]) -> Table | None:
    """The rows as a table, without the column of targets (titled `target`) where no stage has one."""
    if not rows:
        return None
    columns = [Column("Stage"), first, *(Column(title, numeric=True) for title in (target, "Tokens", "Share"))]
    if all(row[2] == MISSING for row in rows):
        columns, rows = columns[:2] + columns[3:], [row[:2] + row[3:] for row in rows]
    return Table(name, caption, tuple(columns), tuple(tuple(Cell(text) for text in row) for row in rows))


def _name(table: dict[str, Any]) -> str:
    """The path, Hub name or builtin name of a source, from its table in the recipe."""
    if table.get("builtin"):
        return f"{table['builtin']}, built in"
    return str(table.get("path") or table.get("hub") or MISSING)


SECTION = Section("read", "What training read", content)
