"""The files of a checkpoint as every room reads them: with their checksums, so that no changed byte is used.

step-0001000/  model.safetensors  optimizer.safetensors  state.json (position, checksums of the others and of itself)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anaume.errors import UserError
from anaume.files import sealed, sha256

# The file of a checkpoint or an export that holds the weights.
WEIGHTS = "model.safetensors"
# The file of a checkpoint that holds the position of training and the checksums of the other files.
STATE = "state.json"
# What the state of a checkpoint holds, with the types of the values.
FIELDS = {"stage": str, "step": int, "tokens": int, "position": dict, "sha256": dict}


def read_state(folder: Path) -> dict[str, Any]:
    """What training wrote into `STATE`.

    Raises:
        UserError: the file is missing, cut off or changed.
    """
    require_whole(folder, ())
    return sealed.read(folder / STATE)


def damage(folder: Path, files: Sequence[str] | None = None) -> str:
    """One line that says how a checkpoint is damaged; empty for an undamaged one.

    `files` are those whose content is read; None reads all. `STATE` is always read. Checkpoints of earlier versions
    have no checksum of `STATE`.

    Raises:
        OSError: a file exists but can't be read.
    """
    try:
        state = sealed.read(folder / STATE)
        if sealed.is_sealed(folder / STATE) and not sealed.is_unchanged(folder / STATE):
            return f"{folder / STATE}: changed since it was written (checksum)"
        if wrong := [key for key in {**FIELDS, **state} if not isinstance(state.get(key), FIELDS.get(key, ()))]:
            return f"{folder / STATE}: {wrong[0]} = {state.get(wrong[0])!r}: not the state of a checkpoint"
        for name, expected in state["sha256"].items():
            if (files is None or name in files) and sha256(folder / name) != expected:
                return f"{folder / name}: its checksum differs from the one in {STATE}"
    except FileNotFoundError as error:
        return f"{error.filename}: missing, so the checkpoint is incomplete"
    except ValueError as error:
        return f"{folder / STATE}: not the state of a checkpoint ({error})"
    return ""


def require_whole(folder: Path, files: Sequence[str]) -> None:
    """Check `files` of a checkpoint against their checksums.

    Raises:
        UserError: one of them is missing or changed.
    """
    if problem := damage(folder, files):
        raise UserError(f"{problem}; expected an undamaged checkpoint")
