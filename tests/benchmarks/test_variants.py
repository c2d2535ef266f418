"""Studies of variants: every study's recipes are valid, and all variants get steps for the same time."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anaume import recipe as recipes
from anaume.evals.tasks import TASKS
from benchmarks import variants

STUDIES = sorted((Path(__file__).parents[2] / "benchmarks" / "studies").glob("*.toml"))


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_the_recipes_of_a_study_are_valid(file: Path) -> None:
    study = variants.read_study(file, ["seed=7"])
    assert len(study.variants) > 1
    for name, tables in study.variants.items():
        assert recipes.parse(tables, name).seed == 7
    for task, options in study.tasks.items():
        TASKS[task].options(**options)
        assert study.shown[task]


def test_every_variant_trains_for_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as long a step gives half as many steps, and the fastest round counts."""
    stage = {"name": "a", "steps": 100, "warmup_steps": 10}
    study = variants.Study({"fast": {"stage": [stage]}, "slow": {"stage": [stage, stage]}}, {}, {})

    def timer(tables: Any, _run: Any) -> Iterator[list[float]]:
        for disturbance in (5.0, 1.0, 3.0):
            yield [disturbance * 30.0 for _ in tables["stage"]]

    monkeypatch.setattr(variants, "seconds_of_stages", timer)
    chosen = variants.choose_steps(study, tmp_path, minutes=1)
    assert [[stage["steps"] for stage in stages] for stages in chosen.values()] == [[200], [100, 100]]
    assert chosen["fast"][0]["warmup_steps"] == 20
    monkeypatch.setattr(variants, "seconds_of_stages", None)
    assert variants.choose_steps(study, tmp_path, minutes=5) == json.loads(json.dumps(chosen))  # chosen once


def test_the_spread_is_half_the_range() -> None:
    assert variants.spread([1.0, 2.0, 4.5]) == "2.500 ± 1.750"
    assert variants.spread([1.0]) == "1.000"
