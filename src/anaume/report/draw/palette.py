"""The colours of the page and of the print figures: a role has the same colour everywhere.

The colours follow Okabe and Ito, and stay distinct under the common forms of colour blindness. The second of each pair
is lighter, for dark backgrounds. Lines also differ in width, dashes or markers, for print without colour.
"""

BLUE, ORANGE, GREEN = ("#0072b2", "#5ab4e8"), ("#d55e00", "#ff9a52"), ("#00805c", "#3ecba3")
PURPLE, AMBER, GREY = ("#a8508a", "#e69bc6"), ("#b58900", "#e3c04b"), ("#4d5663", "#b4bdc9")

COLOURS: dict[str, tuple[str, str]] = {
    "train": BLUE,
    "validation": ORANGE,
    "recall": GREEN,
    "mrr": PURPLE,
    "cloze": BLUE,
    "cloze5": ("#56a3d9", "#9fcdf0"),
    "positive": BLUE,
    "random": ORANGE,
    "plain": GREY,
    "baseline": ("#7b8490", "#8a94a2"),
    "series1": BLUE,
    "series2": ORANGE,
    "series3": GREEN,
    "series4": PURPLE,
    "series5": AMBER,
    "series6": GREY,
}
# Dashes of horizontal lines in the order of a panel's levels: lengths of strokes and gaps in pixels or points.
DASHES = ((6, 4), (2, 3), (9, 3, 2, 3), (14, 4), (9, 3, 2, 3, 2, 3), (3, 7))
SERIES = 6  # series that colour alone tells apart

# Name of a marker in plotly → its name in matplotlib, and the character that shows it in a legend of the page.
MARKERS = {
    "circle": ("o", "●"),
    "square": ("s", "■"),
    "diamond": ("D", "◆"),
    "triangle-up": ("^", "▲"),
    "triangle-down": ("v", "▼"),
    "cross": ("P", "✚"),
}


def light(role: str) -> str:
    """The colour of a role on a light background."""
    return COLOURS[role][0]


def dashes(number: int) -> tuple[int, ...]:
    """The dashes of a panel's level by its number, from 0."""
    return DASHES[number % len(DASHES)]


def of_series(number: int) -> tuple[str, str]:
    """The role and the marker of a series by its number, from 0; the first 36 pairs are distinct."""
    markers = list(MARKERS)
    return f"series{number % SERIES + 1}", markers[(number + number // SERIES) % len(markers)]
