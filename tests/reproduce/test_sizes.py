"""Hours → steps in the paper's proportions, and seconds → amounts of the evaluations."""

import pytest

from anaume.errors import UserError
from anaume.plan import cost
from anaume.plan.machine import this_cpu
from anaume.recipe import load, load_tables
from anaume.recipe.ready import ready_recipes
from anaume.reproduce import sizes

FILE = ready_recipes()["miniature"]


@pytest.fixture
def steady_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose speed does not change between two forecasts."""
    kind = this_cpu("float32")
    monkeypatch.setattr(cost, "this_cpu", lambda _: kind)


@pytest.mark.usefixtures("steady_machine")
def test_steps_follow_the_hours_in_the_papers_proportions() -> None:
    short, long = (sizes.sized(load_tables(FILE), hours) for hours in (20.0, 200.0))
    first, second = long.stage
    assert first.steps / short.stage[0].steps == pytest.approx(10, rel=0.05)
    assert second.steps / (first.steps + second.steps) == pytest.approx(200 / 700, rel=0.01)
    shares = [step / first.steps for step in first.keep_steps]
    assert shares == pytest.approx([0.008, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8], rel=0.02)
    assert first.warmup_steps / first.steps == pytest.approx(24 / 500, rel=0.01)
    assert second.warmup_steps / second.steps == pytest.approx(24 / 200, rel=0.01)
    assert second.learning_rate / first.learning_rate == pytest.approx(0.1)
    kept = [step for step in range(1, first.steps + 1) if first.saves(step) and first.keeps(step)]
    assert kept == [*first.keep_steps, first.steps]


def test_the_miniature_keeps_the_papers_settings() -> None:
    for stage in load(FILE).stage:
        assert (stage.mask_rate, stage.mask_share, stage.random_share, stage.rope_theta) == (0.3, 0.8, 0.1, 10_000)
        assert (stage.adam_beta1, stage.adam_beta2, stage.adam_eps) == (0.9, 0.98, 1e-6)
        assert (stage.optimizer, stage.weight_decay, stage.schedule) == ("adamw", 1e-5, "linear")


@pytest.mark.usefixtures("steady_machine")
def test_too_few_hours_are_refused() -> None:
    with pytest.raises(UserError, match=r"--hours 1e-06: too short for 4 steps of each stage; expected more"):
        sizes.sized(load_tables(FILE), 1e-6)
