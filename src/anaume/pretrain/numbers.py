"""Numbers of training that must be finite: a run stops at the first one that is not."""

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from anaume.errors import UserError
from anaume.pretrain.checkpoint import ADVICE, State
from anaume.pretrain.validation import Validation
from anaume.run import Run


def check_finite(run: Run, unchecked: Sequence[tuple[State, Tensor, Tensor]]) -> None:
    """Raise an error at the first (state before the step, loss, gradient norm) whose numbers are not finite."""
    for before, loss, norm in unchecked:
        if not math.isfinite(loss.item() + norm.item()):
            position = before.position
            raise UserError(
                f"{run.folder}: loss {loss.item()}, gradient norm {norm.item()} in step {before.step + 1} of"
                f" {before.stage} (from epoch {position.epoch}, window {position.window}, row {position.row}); the step"
                f" was not saved; {ADVICE}; to see the step's documents, run"
                f" anaume batch {run.folder} --stage {before.stage} --step {before.step + 1}"
            )


def check_validation(run: Run, state: State, name: str, results: Mapping[str, Validation]) -> None:
    """Raise an error if a validation with targets has a loss that is not finite."""
    loss_name = f"{name} " if name else ""
    for prefix, result in results.items():
        if result.targets and not math.isfinite(result.loss):
            raise UserError(
                f"{run.folder}: validation {loss_name}{prefix}loss {result.loss} after step {state.step} of"
                f" {state.stage}; the step was not saved; {ADVICE}"
            )
