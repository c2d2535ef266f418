"""The result of the comparison follows from its steps."""

from dataclasses import replace

import pytest

from anaume.batches.plan import BatchPlan
from anaume.bench.rounds import Round
from anaume.bench.summary import summarize
from anaume.recipe import Recipe


@pytest.mark.slow
def test_the_summary_follows_from_the_steps(rounds: dict[str, Round], selected: Recipe, plan: BatchPlan) -> None:
    uneven = [replace(measured, peaks=(1e9, 3e9)) for measured in rounds.values()]
    result = summarize(selected, plan.tokenizer.vocab_size, 3, uneven)
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
    assert result["speed_ratio"] == pytest.approx(speeds["anaume"] / speeds["padded"])
