"""How numbers and lists are written, the same on the page, in Markdown and in LaTeX."""

import math
from collections.abc import Sequence

MISSING = "–"


def number(value: float | None) -> str:
    """A number for a table cell: counts with thousands separators, others with three decimals.

    Values that three decimals would swallow keep three digits (5e-4); missing ones become a dash.
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
    """A score in percent, as papers print it: 92.0 ± 0.3, without the sign."""
    if share is None:
        return MISSING
    return f"{100 * share:.1f}" + ("" if deviation is None else f" ± {100 * deviation:.1f}")


def join_words(names: Sequence[str]) -> str:
    """Names in a sentence: a, b and c."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def short(count: float) -> str:
    """A large count in at most four characters and a letter: 187494646 → 187.5M."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            digits = 0 if count >= 100 * size and letter == "k" else 1
            return f"{count / size:.{digits}f}".removesuffix(".0") + letter
    return f"{count:.0f}"


def duration(seconds: float) -> str:
    """A span of time in its two largest units."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    for size, name, below, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            return f"{int(seconds // size)} {name} {int(seconds % size // below)} {part}"
    raise AssertionError(seconds)
