import csv

import pytest

from anaume.report.tables import Cell, Column, Table, csv_text, html, latex, markdown, strongest

TABLE = Table(
    "scores",
    "50% of <all> & more",
    (Column("Model_name"), Column("Recall|MRR", numeric=True)),
    (
        (Cell("edit_distance"), Cell("0.289", strong=True)),
        (Cell("<script>&東京"), Cell()),
        (Cell("[MASK] a\\b {c} ~^ $#*"), Cell("1", note="0.5 | x")),
    ),
)


def test_html_is_escaped_and_japanese_is_marked() -> None:
    text = html(TABLE)
    assert "<script>" not in text
    assert '<td lang="ja">&lt;script&gt;&amp;東京</td>' in text
    assert '<td class="num"><strong>0.289</strong></td>' in text
    assert '<td class="num missing">–</td>' in text
    assert '<td class="num">1 <small>0.5 | x</small></td>' in text


def test_a_strong_cell_and_a_note_are_escaped_too() -> None:
    text = html(Table("t", "", (Column("<i>"),), ((Cell("<b>", note="<u>", strong=True),),)))
    assert "<th>&lt;i&gt;</th>" in text
    assert "<td><strong>&lt;b&gt;</strong> <small>&lt;u&gt;</small></td>" in text


def test_markdown_has_a_row_a_line_and_no_html() -> None:
    lines = markdown(TABLE).splitlines()
    assert lines[:2] == ["50% of &lt;all&gt; &amp; more", ""]
    assert lines[2:5] == [
        r"| Model\_name | Recall\|MRR |",
        "| --- | ---: |",
        r"| edit\_distance | **0.289** |",
    ]
    assert lines[5] == "| &lt;script&gt;&amp;東京 | – |"
    assert lines[6] == r"| \[MASK\] a\\b {c} ~^ $#\* | 1 (0.5 \| x) |"


def test_latex_is_a_booktabs_float_with_every_special_character_escaped() -> None:
    lines = latex(TABLE).splitlines()
    assert r"\caption{50\% of <all> \& more}" in lines
    assert r"\label{tab:scores}" in lines
    assert r"\begin{tabular}{lr}" in lines
    assert [line for line in lines if line.endswith("rule")] == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert r"edit\_distance & \textbf{0.289} \\" in lines
    assert r"<script>\&東京 & -- \\" in lines
    special = r"{[}MASK{]} a\textbackslash{}b \{c\} \textasciitilde{}\textasciicircum{} \$\#{*}"
    assert special + r" & 1 {\small 0.5 | x} \\" in lines


def test_csv_has_plain_numbers_and_every_text_as_it_is() -> None:
    rows = (
        (Cell('a, "b"\n=1,000'), Cell("1,234,567")),
        (Cell("1,000"), Cell("-12,000.5")),
        (Cell("東京"), Cell("0.5", note="n 3", strong=True)),
        (Cell(), Cell()),
    )
    table = Table("t", "Caption.", (Column("Model"), Column("n", numeric=True)), rows)
    assert list(csv.reader(csv_text(table).splitlines(keepends=True))) == [
        ["Model", "n"],
        ['a, "b"\n=1,000', "1234567"],
        ["1,000", "-12000.5"],
        ["東京", "0.5 (n 3)"],
        ["", ""],
    ]


def test_a_caution_stands_behind_the_caption() -> None:
    table = Table("t", "Caption.", (Column("a"),), (), "Caution_1.")
    assert markdown(table).startswith("Caption. Caution\\_1.\n\n")
    assert r"\caption{Caption. Caution\_1.}" in latex(table)


def test_a_deviation_is_typeset() -> None:
    table = Table("t", "", (Column("a"),), ((Cell("92.0 ± 0.3", strong=True),),))
    assert r"\textbf{92.0 $\pm$ 0.3} \\" in latex(table)
    assert "| **92.0 ± 0.3** |" in markdown(table)
    assert "<strong>92.0 ± 0.3</strong>" in html(table)


def test_a_table_of_many_columns_is_set_closer() -> None:
    assert "<table>" in html(Table("t", "", (Column("a"),) * 7, ()))
    assert '<table class="dense">' in html(Table("t", "", (Column("a"),) * 8, ()))


def test_a_row_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="a row of 1 cells; expected 2"):
        Table("t", "", (Column("a"), Column("b")), ((Cell("1"),),))


def test_best_values_are_strong_and_missing_ones_never() -> None:
    cells = [Cell("0.3"), Cell(), Cell("0.5"), Cell("0.5")]
    values = [0.3, None, 0.5, 0.5]
    assert [cell.strong for cell in strongest(cells, values)] == [False, False, True, True]
    assert [cell.strong for cell in strongest(cells, values, lowest=True)] == [True, False, False, False]
    assert not strongest([Cell("0.3"), Cell()], [0.3, None])[0].strong
    assert [c.strong for c in strongest([Cell("nan"), *cells], [float("nan"), *values])] == [False] * 3 + [True] * 2
