"""What a contrastive training reads: rows of texts that belong together, and its settings."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from anaume.errors import UserError

Columns: TypeAlias = dict[str, list[Any]]
NEGATIVE = "negative"  # prefix of the columns of hard negatives


@dataclass(frozen=True)
class ContrastSettings:
    """Settings of a contrastive training.

    `batch`        rows in a batch
    `micro_batch`  rows whose activations are in memory at once; the gradients of a larger batch are cached
    `temperature`  divisor of the cosines, or of the sums of cosines of late interaction
    `max_length`   longest text in tokens; longer ones are truncated and counted
    `dimensions`   lengths of the prefixes of the embedding that are trained beside the whole one (Matryoshka)
    `late`         whether a text has one vector for each token, which MaxSim compares
    """

    epochs: int
    learning_rate: float
    batch: int
    temperature: float
    max_length: int
    seed: int
    micro_batch: int = 64
    dimensions: tuple[int, ...] = ()
    late: bool = False


@dataclass(frozen=True)
class TrainingSets:
    """Training data.

    `rows`    name of a set → columns of equal length. Rows with a `score` are ranked by it. In other sets, `anchor` and
              `positive` belong together, and `negative`, `negative_2`, … do not belong to them.
    `sha256`  file → its checksum
    `notes`   remarks on the files, such as differences from the published ones
    """

    rows: Mapping[str, Columns]
    sha256: Mapping[str, str]
    notes: tuple[str, ...]


def is_scored(columns: Columns) -> bool:
    """Whether the rows of a set are ranked by a score."""
    return "score" in columns


def texts_of(columns: Columns) -> list[str]:
    """All texts of a set."""
    return [text for name, texts in columns.items() if name != "score" for text in texts]


def parse_dimensions(words: str) -> tuple[int, ...]:
    """Read "64,128".

    Raises:
        UserError: a word is no whole number.
    """
    try:
        return tuple(int(word) for word in words.split(",")) if words.strip() else ()
    except ValueError as error:
        raise UserError(f"--dimensions {words!r:.80}: not numbers; expected some such as 64,128") from error


def check_settings(training: ContrastSettings) -> None:
    """Check the numbers that need neither a model nor data.

    Raises:
        UserError: the learning rate or the temperature is not a positive number; dimensions for late interaction.
    """
    for name in ("learning_rate", "temperature"):
        if not 0 < (value := getattr(training, name)) < math.inf:
            raise UserError(f"--{name.replace('_', '-')} {value:g}: not usable; expected a finite number above 0")
    if training.late and training.dimensions:
        raise UserError("--dimensions: given with --late, whose vectors are whole; expected one of them")


def check_learnable(sets: TrainingSets, training: ContrastSettings) -> None:
    """Check, before any model is opened, that the sets and the settings can teach something.

    Raises:
        UserError: see `check_settings`; a set without negatives has fewer than two different texts on one side, so
            that every batch would be a single row with the loss 0; scored rows for late interaction.
    """
    check_settings(training)
    for name, columns in sets.rows.items():
        if training.late and is_scored(columns):
            raise UserError(f"{name}: scored rows, which late interaction can't learn; expected --nli or --pairs")
        sides = [column for column in columns if column in ("anchor", "positive")]
        poor = [side for side in sides if len(set(columns[side])) < 2]
        if poor and NEGATIVE not in columns:
            raise UserError(
                f"{name}: all rows share one {poor[0]}, so no row has a negative and nothing can be learnt; expected"
                " two or more different ones"
            )
