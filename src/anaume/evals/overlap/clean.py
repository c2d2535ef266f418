"""The result of `anaume overlap` and an evaluation file → which of its items the training text does not contain.

The rule: a file is recognised by its content, so that a result never speaks for another version of the data.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anaume.corpus.rows import read_rows
from anaume.errors import UserError
from anaume.evals.overlap.items import item_number
from anaume.files import cached_sha256
from anaume.files.objects import read_object

FORM = {"n": int, "files": [{"file": str, "sha256": str, "overlapping_items": [int]}]}


def clean_rows(overlap: Path, data: Path) -> NDArray[np.bool_]:
    """Return for each row of a file of JSON lines whether it shares no run of characters with the training text: (n,).

    `overlap` is the file that `anaume overlap CORPUS --against DATA --out OVERLAP` wrote.

    Raises:
        UserError: `overlap` is no such file, or was not made with this content of `data`; no row is clean.
    """
    files = read_object(overlap, "a result of `anaume overlap`", FORM)["files"]
    checksum = cached_sha256(data)
    shared = next((set(file["overlapping_items"]) for file in files if file["sha256"] == checksum), None)
    if shared is None:
        raise UserError(f"--overlap {overlap}: made without {data}; expected anaume overlap … --against {data}")
    clean = np.array([item_number(place, n) not in shared for n, (place, _) in enumerate(read_rows(data), 1)])
    if not clean.any():
        raise UserError(
            f"--overlap {overlap}: the training text contains all items of {data}; expected some clean ones"
        )
    return clean


def clean_settings(overlap: Path, clean: NDArray[np.bool_]) -> dict[str, Any]:
    """What a record says of its clean items: their number, and the checksum of the result that names the others."""
    return {"clean": int(clean.sum()), "overlap_sha256": cached_sha256(overlap)}


def clean_metrics(metrics: dict[str, float]) -> dict[str, float]:
    """The metrics of the clean items under their names in a record."""
    return {f"clean_{name}": value for name, value in metrics.items()}
