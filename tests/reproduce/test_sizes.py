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


def _forecast(task: str, amounts: sizes.Amounts) -> float:
    """A second for a thousand tokens and for a hundred positions, 10 s for a pass over JGLUE, 5 s for other tasks."""
    match task:
        case "validation":
            return float(amounts["tokens"]) / 1000
        case "pseudo-perplexity":
            return float(amounts["documents"] * amounts["positions"]) / 100
        case "jglue":
            return 10.0
    return 5.0


def test_amounts_fill_the_time_and_no_more() -> None:
    amounts, seconds = sizes.choose_amounts(_forecast, ("retrieval", "geometry"), 200)
    # 190 s are left: at most 19 for validation, 57 for pseudo-perplexity, and what remains, 123.6 s, for JGLUE.
    assert amounts == {
        **{"tokens": 1 << 14, "documents": 100, "positions": 50},
        **{"learning_rates": "1e-4,3e-4", "epochs": "3", "seeds": 2},
    }
    assert seconds["jglue"] == 120
    assert sum(seconds.values()) < 200


def test_few_rungs_are_forecast() -> None:
    """A forecast opens a checkpoint and takes seconds, so the rungs are halved instead of climbed."""
    asked: list[str] = []

    def forecast(task: str, amounts: sizes.Amounts) -> float:
        asked.append(task)
        return _forecast(task, amounts)

    sizes.choose_amounts(forecast, (), 1e6)
    assert asked.count("validation") <= 3
    assert asked.count("pseudo-perplexity") <= 4


def test_jglue_is_left_out_where_its_smallest_grid_takes_too_long() -> None:
    amounts, seconds = sizes.choose_amounts(_forecast, (), 15)
    assert amounts["data"] is None
    assert "jglue" not in seconds
