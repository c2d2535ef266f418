"""Numbers and lists as text, in one form for the page, for Markdown and for LaTeX."""

import math
from collections.abc import Sequence

MISSING = "–"


def number(value: float | None) -> str:
    """A number for a table cell: integers with thousands separators, other numbers with three decimals.

    Numbers below 0.001 keep three digits (5e-4), and numbers from 1,000 lose their decimals. None becomes a dash.
    """
    if value is None:
        return MISSING
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return str(value)
    if value != 0 and abs(value) < 0.001:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}"


def percent(share: float | None, deviation: float | None = None) -> str:
    """A fraction and its standard deviation in percent as papers print them, without the sign "%": 92.0 ± 0.3."""
    if share is None:
        return MISSING
    return f"{100 * share:.1f}" + ("" if deviation is None else f" ± {100 * deviation:.1f}")


def join_words(names: Sequence[str]) -> str:
    """Names as a list in a sentence: "a, b and c"."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def one_line(text: object) -> str:
    """A text on one line, with single spaces for all white space and line ends."""
    return " ".join(str(text).split())


def short(count: float) -> str:
    """A count with one decimal and a letter for the power of 1,000: 187494646 → "187.5M"; "500k" from 100,000 on."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            digits = 0 if count >= 100 * size and letter == "k" else 1
            return f"{count / size:.{digits}f}".removesuffix(".0") + letter
    return f"{count:.0f}"


def duration(seconds: float) -> str:
    """A time in its two largest units, for example "8 min 40 s"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    for size, name, below, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            return f"{int(seconds // size)} {name} {int(seconds % size // below)} {part}"
    raise AssertionError(seconds)
