"""Which checkpoint of a run is exported, and of which checkpoint a folder is the export.

The rule: nothing here imports torch or transformers, so that a mistake is reported at once.
"""

from pathlib import Path

from anaume.checkpoints import WEIGHTS, read_state
from anaume.errors import UserError
from anaume.files.outputs import changed_files, read_mark
from anaume.run import CheckpointName, Run

# The command that writes exports.
COMMAND = "export"


def is_export_of(out: Path, run: Run, name: CheckpointName) -> bool:
    """Whether `out` is the export of this checkpoint alone, with the checkpoint's present weights, and undamaged."""
    mark = read_mark(out)
    expected = {"stage": name.stage, "step": name.step, "average": 1, "weights": checksum_of(run, name)}
    return all(mark.get(key) == value for key, value in expected.items()) and not changed_files(out)


def checksum_of(run: Run, name: CheckpointName) -> str:
    """The checksum of a checkpoint's weights."""
    return str(read_state(run.checkpoint(name))["sha256"][WEIGHTS])


def select_checkpoint(run: Run, stage: str = "", step: int = -1) -> CheckpointName:
    """The last checkpoint that matches `stage` and `step`; an empty stage or a negative step matches all.

    Raises:
        UserError: no checkpoint matches.
    """
    matching = [
        name for name in run.checkpoints() if (not stage or name.stage == stage) and (step < 0 or name.step == step)
    ]
    if not matching:
        place = f"stage {stage or 'any'}, step {step if step >= 0 else 'any'}"
        raise UserError(f"{run.folder}: {place}: no such checkpoint; expected {_names_of_checkpoints(run)}")
    return matching[-1]


def select_average(run: Run, name: CheckpointName, average: int) -> list[CheckpointName]:
    """The stage's last `average` checkpoints up to this one.

    Raises:
        UserError: the run has no such checkpoint, or too few before it.
    """
    if name not in run.checkpoints():
        raise UserError(f"{run.folder}: {name.model}: no such checkpoint; expected {_names_of_checkpoints(run)}")
    of_stage = [other for other in run.checkpoints() if other.stage == name.stage and other.step <= name.step]
    if len(of_stage) < average:
        raise UserError(
            f"--average {average}: too few checkpoints up to {name.model}; expected at most {len(of_stage)}"
        )
    return of_stage[-average:]


def _names_of_checkpoints(run: Run) -> str:
    return ", ".join(name.model for name in run.checkpoints()) or "a checkpoint, and the run has none yet"
