"""The table of a stage → the same stage with more or fewer steps."""

from collections.abc import Mapping
from typing import Any

# Keys that are counted in steps, and so keep their proportion to `steps`.
COUNTED = ("warmup_steps", "decay_steps", "validate_every", "save_every", "keep_every")


def scaled_stage(stage: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Return the table with `factor` times the steps, and what is counted in steps in proportion.

    A stage of no step is possible. No count is above the steps, and no other count falls to 0.
    """

    def times(steps: int) -> int:
        return min(max(1, total), max(1, round(steps * factor))) if steps else 0

    total = round(stage["steps"] * factor)
    kept = sorted({times(step) for step in stage.get("keep_steps", ()) if times(step) <= total})
    counted = {key: times(stage[key]) for key in COUNTED if key in stage}
    return {**stage, "steps": total, **counted} | ({"keep_steps": kept} if kept else {})
