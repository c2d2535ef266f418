"""The colours of the page and of the paper figures: a role has the same colour everywhere.

After Okabe and Ito's colours, which stay apart for the common forms of colour blindness; the second of each
pair is lighter, for dark backgrounds. Lines also differ in width, dashes or markers, so that grey works.
"""

COLOURS: dict[str, tuple[str, str]] = {
    "train": ("#0072b2", "#5ab4e8"),
    "validation": ("#d55e00", "#ff9a52"),
    "recall": ("#00805c", "#3ecba3"),
    "mrr": ("#a8508a", "#e69bc6"),
    "cloze": ("#0072b2", "#5ab4e8"),
    "cloze5": ("#56a3d9", "#9fcdf0"),
    "plain": ("#4d5663", "#b4bdc9"),
    "baseline": ("#7b8490", "#8a94a2"),
}


def light(role: str) -> str:
    """The role's colour on paper."""
    return COLOURS[role][0]
