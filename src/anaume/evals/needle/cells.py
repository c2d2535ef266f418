"""What both tests fill: cells of the grid of lengths and depths → metrics of the record."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class DepthScore:
    """The score of a test over `n` questions, at a length in tokens and a depth."""

    test: str
    length: int
    depth: float
    score: float
    n: int


def metrics_of(cells: Sequence[DepthScore]) -> dict[str, float]:
    """Return each test's mean ("cloze"), its means by length ("cloze 512") and its cells ("cloze 512 25%")."""
    tests = dict.fromkeys(cell.test for cell in cells)
    metrics = {test: fmean(cell.score for cell in cells if cell.test == test) for test in tests}
    for test, length in dict.fromkeys((cell.test, cell.length) for cell in cells):
        metrics[f"{test} {length}"] = fmean(cell.score for cell in cells if (cell.test, cell.length) == (test, length))
    return metrics | {f"{cell.test} {cell.length} {cell.depth:.0%}": cell.score for cell in cells}
