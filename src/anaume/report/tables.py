"""Tables of text cells → HTML, Markdown, LaTeX (booktabs) and CSV. Every text is escaped in each of them."""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from math import isfinite

from anaume.formats import MISSING, number

JAPANESE = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
THOUSANDS = re.compile(r"-?\d{1,3}(,\d{3})+(\.\d+)?")
TEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "–": "--",
        "±": r"$\pm$",
        "\n": " ",
        **{character: f"{{{character}}}" for character in "[]*"},  # LaTeX reads them as options after the end of a row
        **{character: "\\" + character for character in "&%$#_{}"},
    }
)
DENSE = 7  # columns that fit on the page with room around them


@dataclass(frozen=True)
class Cell:
    """A text, a smaller note behind it, and whether the cell stands out, as a best value or a right answer."""

    text: str = MISSING
    note: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Column:
    """The title of a column. `numeric` aligns it to the right; `wide` lets its sentences wrap."""

    title: str
    numeric: bool = False
    wide: bool = False


@dataclass(frozen=True)
class Table:
    """A table; `name` is the stem of its files, and every row has a cell for each column.

    `caution` says why the rows can't be ranked. It follows the caption, and stands out on the page.

    Raises:
        ValueError: a row has another number of cells than there are columns.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caution: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.name}: a row of {len(row)} cells; expected {len(self.columns)}")


def number_cells(values: Iterable[float | None]) -> list[Cell]:
    """A cell for each value, a dash for a missing one."""
    return [Cell(number(value)) for value in values]


def file_stem(text: str) -> str:
    """The text as the stem of a file name: other characters than letters, digits, ".", "_" and "-" become "-"."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.") or "table"


def strongest(cells: Sequence[Cell], values: Sequence[float | None], *, lowest: bool = False) -> list[Cell]:
    """The cells, with the best value made strong; a column with fewer than two finite values stays as it is."""
    present = [value for value in values if value is not None and isfinite(value)]
    if len(present) < 2:
        return list(cells)
    best = min(present) if lowest else max(present)
    return [Cell(cell.text, cell.note, strong=value == best) for cell, value in zip(cells, values, strict=True)]


def html(table: Table) -> str:
    """The table as an HTML element. Japanese cells carry `lang`, which selects the Japanese shapes of characters."""
    head = "".join(f"<th{_classes(column)}>{escape(column.title)}</th>" for column in table.columns)
    body = "\n".join(
        "<tr>" + "".join(_html_cell(c, column) for c, column in zip(row, table.columns, strict=True)) + "</tr>"
        for row in table.rows
    )
    dense = ' class="dense"' if len(table.columns) > DENSE else ""
    return f"<table{dense}>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _full_caption(table: Table) -> str:
    return f"{table.caption} {table.caution}".rstrip()


def _html_cell(cell: Cell, column: Column) -> str:
    language = ' lang="ja"' if JAPANESE.search(cell.text) else ""
    text = f"<strong>{escape(cell.text)}</strong>" if cell.strong else escape(cell.text)
    note = f" <small>{escape(cell.note)}</small>" if cell.note else ""
    return f"<td{_classes(column, missing=cell.text == MISSING)}{language}>{text}{note}</td>"


def _classes(column: Column, *, missing: bool = False) -> str:
    names = [name for name, on in (("num", column.numeric), ("wide", column.wide), ("missing", missing)) if on]
    return f' class="{" ".join(names)}"' if names else ""


def markdown(table: Table) -> str:
    """The table in GitHub's Markdown, its caption as a paragraph before it."""
    titles = [markdown_text(column.title) for column in table.columns]
    rules = ["---:" if column.numeric else "---" for column in table.columns]
    rows = [[_markdown_cell(cell) for cell in row] for row in table.rows]
    lines = ["| " + " | ".join(line) + " |" for line in (titles, rules, *rows)]
    return f"{markdown_text(_full_caption(table))}\n\n" + "\n".join(lines) + "\n"


def _markdown_cell(cell: Cell) -> str:
    text = markdown_text(cell.text)
    text = f"**{text}**" if cell.strong and text.strip() else text
    return f"{text} ({markdown_text(cell.note)})" if cell.note else text


def markdown_text(text: str) -> str:
    """The text as Markdown that shows it as it is, on one line."""
    escaped = re.sub(r"([\\`*_\[\]|])", r"\\\1", text).replace("\n", " ")
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def latex(table: Table) -> str:
    """The table as a LaTeX float with booktabs rules; for Japanese cells compile with LuaLaTeX or upLaTeX."""
    layout = "".join("r" if c.numeric else r"p{0.3\linewidth}" if c.wide else "l" for c in table.columns)
    head = " & ".join(_tex(column.title) for column in table.columns)
    rows = [" & ".join(_latex_cell(cell) for cell in row) + r" \\" for row in table.rows]
    lines = [
        r"% \usepackage{booktabs}; Japanese: LuaLaTeX with luatexja, or upLaTeX",
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{_tex(_full_caption(table))}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{layout}}}",
        r"\toprule",
        head + r" \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_cell(cell: Cell) -> str:
    text = rf"\textbf{{{_tex(cell.text)}}}" if cell.strong else _tex(cell.text)
    return rf"{text} {{\small {_tex(cell.note)}}}" if cell.note else text


def csv_text(table: Table) -> str:
    """The table as CSV (RFC 4180), without its caption: numbers lose their thousands separators, a dash is empty."""
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow(column.title for column in table.columns)
    writer.writerows([_csv_cell(c, column) for c, column in zip(row, table.columns, strict=True)] for row in table.rows)
    return out.getvalue()


def _csv_cell(cell: Cell, column: Column) -> str:
    text = "" if cell.text == MISSING else cell.text
    if column.numeric and THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    return f"{text} ({cell.note})" if cell.note else text


def _tex(text: str) -> str:
    return text.translate(TEX)
