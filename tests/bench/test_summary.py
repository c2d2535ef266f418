"""The result of the comparison follows from its steps."""

from dataclasses import replace

import pytest

from anaume.batches.plan import BatchPlan
from anaume.bench.rounds import Round
from anaume.bench.summary import show, summarize
from anaume.recipe import Recipe


@pytest.mark.slow
def test_the_summary_follows_from_the_steps(rounds: dict[str, Round], selected: Recipe, plan: BatchPlan) -> None:
    uneven = [replace(measured, peaks=(1e9, 3e9)) for measured in rounds.values()]
    result = summarize(selected, plan.tokenizer.vocab_size, 3, uneven, {})
    for measured in result["rounds"]:
        side = result["sides"][measured["side"]]
        seconds, tokens = (sum(step[key] for step in measured["steps"]) for key in ("seconds", "tokens"))
        slots, flops = (sum(step[key] for step in measured["steps"]) for key in ("slots", "flops"))
        assert side["tokens_per_second"] == pytest.approx(tokens / seconds)
        assert side["padding_fraction"] == pytest.approx(1 - tokens / slots)
        assert side["mfu"] == pytest.approx(flops / seconds / 3e9)
        assert side["memory"] == measured["memory"]
        assert side["peak_flops"] == {"lowest": 1e9, "highest": 3e9}
        assert side["products"] == measured["products"]
    speeds = {name: side["tokens_per_second"] for name, side in result["sides"].items()}
    expected = {side: speeds["anaume"] / speeds[side] for side in ("grouped", "padded")}
    assert result["speed_ratio"] == pytest.approx(expected)


@pytest.mark.slow
def test_a_stock_loop_that_failed_is_shown(
    rounds: dict[str, Round], selected: Recipe, plan: BatchPlan, capsys: pytest.CaptureFixture[str]
) -> None:
    finished = [measured for measured in rounds.values() if measured.side != "padded"]
    result = summarize(selected, plan.tokenizer.vocab_size, 3, finished, {"padded": "its memory was not enough"})
    assert set(result["sides"]) == set(result["speed_ratio"]) | {"anaume"} == {"grouped", "anaume"}
    show(result)
    assert "failed" in capsys.readouterr().out
