"""A stage with more or fewer steps: what is counted in steps keeps its proportion."""

import pytest

from anaume.recipe.scaling import scaled_stage

STAGE = {"name": "a", "length": 1024, "steps": 1000, "warmup_steps": 50, "decay_steps": 200, "keep_steps": [8, 500]}


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (2.0, {"steps": 2000, "warmup_steps": 100, "decay_steps": 400, "keep_steps": [16, 1000]}),
        (0.1, {"steps": 100, "warmup_steps": 5, "decay_steps": 20, "keep_steps": [1, 50]}),
        (0.001, {"steps": 1, "warmup_steps": 1, "decay_steps": 1, "keep_steps": [1]}),
    ],
)
def test_counts_keep_their_proportion(factor: float, expected: dict[str, object]) -> None:
    assert scaled_stage(STAGE, factor) == STAGE | expected


def test_no_warm_up_stays_none() -> None:
    assert scaled_stage({"steps": 10, "warmup_steps": 0}, 3) == {"steps": 30, "warmup_steps": 0}


def test_a_stage_may_end_up_without_steps() -> None:
    assert scaled_stage({"steps": 100}, 0.001)["steps"] == 0
