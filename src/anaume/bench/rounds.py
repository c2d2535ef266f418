"""A round of `anaume bench`: the job that one process gets, and the timed steps that it gives back."""

from dataclasses import dataclass
from typing import Any

# The stock loops are those of bench/stock.py, the strongest one first.
SIDES = {"grouped": "strongest stock loop", "padded": "padded stock loop", "anaume": "anaume"}
OWN = "anaume"


@dataclass(frozen=True)
class BenchJob:
    """The work of one process: one side of a recipe with one stage, in the folder `run`, for at least `seconds`.

    `rows` is the number of rows per micro-batch of a stock loop. The data is that of epoch `round`. The
    process writes a `Round` to the file `out`.
    """

    side: str
    recipe: dict[str, Any]
    run: str
    rows: int
    seconds: float
    round: int
    out: str


@dataclass(frozen=True)
class Step:
    """One optimizer step: text tokens, slots with padding, operations that the text needs, mean loss in nats."""

    seconds: float
    tokens: int
    slots: int
    flops: float
    loss: float


@dataclass(frozen=True)
class Round:
    """The timed steps of one process, without its first one.

    `products`  dtype of the side's matrix products
    `peaks`     FLOP/s of a matrix product in that dtype, measured before and after the steps
    `memory`    peak memory of the process in bytes
    """

    side: str
    products: str
    steps: list[Step]
    peaks: tuple[float, float]
    memory: int
    device: str
    threads: int

    @property
    def tokens_per_second(self) -> float:
        """Text tokens per second, over all steps."""
        return sum(step.tokens for step in self.steps) / sum(step.seconds for step in self.steps)

    @property
    def flops_per_second(self) -> float:
        """Operations per second over all steps, counting only those that the text needs."""
        return sum(step.flops for step in self.steps) / sum(step.seconds for step in self.steps)
