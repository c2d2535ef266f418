"""The record of one evaluation: what `evals/<model>/<task>.json` holds. Free of torch, for the report reads it."""

import json
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from anaume import __version__
from anaume.errors import UserError
from anaume.files import write_json

SOFTWARE = ("torch", "transformers", "tokenizers", "numpy")


@dataclass(frozen=True)
class Record:
    """What one task measured on one model.

    `metrics`     name → number; shares and correlations in [0, 1], losses in nats
    `n`           examples scored
    `settings`    everything that another person needs to get the same numbers
    `checkpoint`  for a run's own checkpoints: {"stage", "step", "tokens"}; empty for other models
    `details`     rows worth showing (the fill-mask table), each a flat object
    `software`    versions of the packages that decide the last digits, as they were when the record was saved
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


def save_record(result: Record, folder: Path) -> Path:
    """Write the record to `folder/<model>/<task>.json` and return that path; the "/" of a Hub id becomes "--"."""
    path = folder / result.model.replace("/", "--") / f"{result.task}.json"
    write_json(path, asdict(result) | {"software": {name: version(name) for name in SOFTWARE}})
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
