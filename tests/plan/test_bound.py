"""The least time of a step: its parts by hand, and the bound for the paper's model."""

from pathlib import Path

import pytest

from anaume import recipe
from anaume.model.flops import Device, Flops
from anaume.model.memory import Parameters
from anaume.plan.bound import LINK, step_bound
from anaume.plan.cost import plan

BASE = Path(__file__).parents[2] / "recipes" / "llm-jp-base.toml"


def test_the_parts_by_hand() -> None:
    memory = {"weights": 999, "activations of the layers": 30, "activations of the head": 10, "logits of the slots": 5}
    bound = step_bound(
        Flops(matrices=6, global_attention=1, local_attention=1, head=2),
        recomputed=2,
        slots=100,
        memory=memory,
        micro_batches=3,
        weights=Parameters(vocabulary=7, matrices=11, vectors=2),
        device=Device("by hand", peak=300.0, memory=1, bandwidth=10.0),
        gpus=4,
    )
    assert bound.parts == pytest.approx(
        {
            "products of the layers": 6.0,
            "products of the head": 2.0,
            "products of attention": 2.0,
            "activations to and from memory": 3 * 4 * 40 / 10,
            "logits to and from memory": 3 * 2 * 5 / 10,
            "weights in bf16, once a micro-batch": 3 * 6 * 11 / 10,
            "optimizer": 28 * 20 / 10,
            "recomputed forward pass": 2.0,
        }
    )
    assert bound.mfu == pytest.approx(10 / sum(bound.parts.values()))
    assert bound.communication == pytest.approx(2 * 3 / 4 * 4 * 20 / LINK)


def test_the_papers_model_on_an_h100() -> None:
    """The best published rate for a masked encoder of this kind, 47 % of the peak, does not pass the bound."""
    stages = plan(recipe.load(BASE), 99_574, "h100", 16, [0.3]).stages
    bounds = [stage.bound for stage in stages if stage.bound]
    assert len(bounds) == 2
    assert 0.47 < bounds[0].mfu < bounds[1].mfu < 0.7
    for stage, bound in zip(stages, bounds, strict=True):
        assert bound.communication < 0.1 * sum(bound.parts.values())
        unit = plan(recipe.load(BASE), 99_574, "h100", 16, [1.0]).stages[stages.index(stage)]
        at_the_peak = next(way.seconds for way in unit.ways if way.name == unit.own_way) / stage.steps
        assert at_the_peak == pytest.approx(bound.mfu * sum(bound.parts.values()))
