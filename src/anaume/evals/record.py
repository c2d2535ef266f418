"""The record of one evaluation, `evals/<model>/<task>.json`: measurements → a file, and back.

The rule: nothing here imports torch, because the report reads records.
"""

from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from anaume import __version__
from anaume.errors import UserError
from anaume.files import write_json
from anaume.files.objects import is_of, read_object

# Types of the fields of a record's file. Records of the first versions lack the optional ones.
REQUIRED = {"model": str, "task": str, "metrics": dict, "n": int, "settings": dict, "seed": int}
NUMBER = int | float
OPTIONAL = {
    "version": str,
    "software": dict,
    "checkpoint": {"stage": str, "step": int, "tokens": int, "run": str},
    # Entries of the tasks that the report reads; a task may have others.
    "settings": {
        **{"files": dict, "notes": [str], "seeds": int, "held_out": int | None},
        **{"learning_rates": [NUMBER], "epochs": [NUMBER]},
    },
    "details": [
        {
            **{"answers": list, "predictions": [{"probability": NUMBER | None}]},
            **{"tokens": int, "pseudo_perplexity": NUMBER | None},
            **{"test": str, "length": int, "depth": NUMBER, "score": NUMBER | None},
            **{"low": NUMBER, "high": NUMBER, "positive": NUMBER | None, "random": NUMBER | None},
        }
    ],
}

# The lexical baselines of retrieval, which have records but no network: name in the record → name on the page. A
# baseline of another unit than its usual one has the unit in its name.
_KINDS = {
    **{"edit-distance": "Edit distance", "edit-distance-raw": "Edit distance, not normalised"},
    **{"jaccard": "Jaccard", "bm25": "BM25"},
}
BASELINE_UNITS = ("characters", "bigrams", "trigrams", "words", "spaces", "mecab", "tokens")
BASELINES = _KINDS | {f"{kind}-{unit}": name for kind, name in _KINDS.items() for unit in BASELINE_UNITS}
DIGITS = 8  # of a revision, in the name of a model whose own name is taken

# Packages whose versions decide the last digits.
SOFTWARE = ("torch", "transformers", "tokenizers", "numpy")


@dataclass(frozen=True)
class Record:
    """The measurements of one task on one model.

    `metrics`     name → number; fractions and correlations in [0, 1], losses in nats
    `n`           number of examples scored
    `settings`    everything that another person needs to get equal numbers
    `checkpoint`  {"stage", "step", "tokens"} for a run's own checkpoint, and "run" outside its folder; else empty
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


def folder_of(model: str, folder: Path) -> Path:
    """The folder of a model's records, with "--" for the "/" of a Hub id."""
    return folder / model.replace("/", "--")


def free_name(name: str, revision: str, folder: Path) -> str:
    """The name for the records of a model: `name`, or with digits of the weights' `revision` if that is taken.

    A name is taken by a lexical baseline, by records in `folder` of other weights, and by files that are no records.
    """
    files = folder_of(name, folder).glob("*.json")
    taken = name in BASELINES or not all(_is_of_weights(file, revision) for file in files)
    return f"{name}-{revision[:DIGITS]}" if taken else name


def _is_of_weights(file: Path, revision: str) -> bool:
    """Whether a file is a record of these weights, or one of the first version, which does not name its weights."""
    try:
        return bool(load_record(file).settings.get("revision", revision) == revision)
    except UserError:
        return False


def save_record(record: Record, folder: Path) -> Path:
    """Write a record to `folder/<model>/<task>.json`, with "--" for the "/" of a Hub id, and return the path."""
    path = folder_of(record.model, folder) / f"{record.task}.json"
    write_json(path, asdict(record) | {"software": {name: version(name) for name in SOFTWARE}})
    return path


def load_record(path: Path) -> Record:
    """Read one record.

    Raises:
        UserError: the file is not an evaluation record.
    """
    content = read_object(path, "an evaluation record", REQUIRED)
    read_object(path, "an evaluation record", OPTIONAL, required=False)
    if unknown := content.keys() - {field.name for field in fields(Record)}:
        expected = ", ".join(field.name for field in fields(Record))
        raise UserError(f"{path}: {min(unknown)}: unknown key of an evaluation record; expected {expected}")
    for name, value in content["metrics"].items():
        if value is not None and not is_of(value, NUMBER):
            raise UserError(f"{path}: {name} = {value!r:.40}: not a number; expected a number or null")
    return Record(**content)
