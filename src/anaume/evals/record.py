"""The record of one evaluation, `evals/<model>/<task>.json`: measurements → a file, and back.

The rule: nothing here imports torch, because the report reads records.
"""

import json
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from anaume import __version__
from anaume.errors import UserError
from anaume.files import write_json

# Packages whose versions decide the last digits.
SOFTWARE = ("torch", "transformers", "tokenizers", "numpy")


@dataclass(frozen=True)
class Record:
    """The measurements of one task on one model.

    `metrics`     name → number; fractions and correlations in [0, 1], losses in nats
    `n`           number of examples scored
    `settings`    everything that another person needs to get equal numbers
    `checkpoint`  {"stage", "step", "tokens"} for a run's own checkpoint; empty for other models
    `details`     rows worth showing (the fill-mask table), each a flat object
    `software`    versions of the packages in `SOFTWARE` when the record was saved
    """

    model: str
    task: str
    metrics: dict[str, float]
    n: int
    settings: dict[str, Any]
    seed: int
    version: str = __version__
    checkpoint: dict[str, Any] = field(default_factory=dict)
    details: list[dict[str, Any]] = field(default_factory=list)
    software: dict[str, str] = field(default_factory=dict)


def save_record(record: Record, folder: Path) -> Path:
    """Write a record to `folder/<model>/<task>.json`, with "--" for the "/" of a Hub id, and return the path."""
    path = folder / record.model.replace("/", "--") / f"{record.task}.json"
    write_json(path, asdict(record) | {"software": {name: version(name) for name in SOFTWARE}})
    return path


def load_record(path: Path) -> Record:
    """Read one record.

    Raises:
        UserError: the file is not an evaluation record.
    """
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, TypeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not an evaluation record ({error})") from error
