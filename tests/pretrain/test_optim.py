from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Muon

from anaume.pretrain.optim import Float32Muon, learning_rate, optimizers, orthogonalise
from anaume.recipe import Stage

STAGE = Stage(name="s", steps=100, warmup_steps=10, learning_rate=1.0)


def test_the_rate_rises_to_its_peak_and_falls_to_zero() -> None:
    rates = [learning_rate(STAGE, step) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 11)
    assert max(rates) == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(1 / 90)
    assert all(a < b for a, b in pairwise(rates[:11]))
    assert all(a > b for a, b in pairwise(rates[10:]))


def test_without_warmup_the_first_rate_is_the_peak() -> None:
    assert learning_rate(Stage(name="s", steps=10, warmup_steps=0, learning_rate=2.0), 0) == 2.0


def test_cosine_falls_slowly_at_both_ends() -> None:
    stage = STAGE.model_copy(update={"schedule": "cosine", "final_learning_rate": 0.1})
    rates = [learning_rate(stage, step) for step in range(100)]
    assert rates[:11] == [learning_rate(STAGE, step) for step in range(11)]
    assert rates[55] == pytest.approx(0.55)
    assert rates[20] > learning_rate(STAGE, 20)
    assert rates[99] == pytest.approx(0.1, abs=0.001)
    assert all(a > b for a, b in pairwise(rates[10:]))


def test_wsd_is_constant_and_then_falls() -> None:
    stage = STAGE.model_copy(update={"schedule": "wsd", "decay_steps": 20})
    rates = [learning_rate(stage, step) for step in range(100)]
    assert rates[10:81] == [1.0] * 71
    assert rates[90] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(1 / 20)
    stable = STAGE.model_copy(update={"schedule": "wsd"})
    assert [learning_rate(stable, step) for step in range(10, 100)] == [1.0] * 90


def test_weight_decay_is_on_matrices_only() -> None:
    network = nn.Sequential(nn.Embedding(4, 3), nn.LayerNorm(3), nn.Linear(3, 2))
    stage = Stage(name="s", weight_decay=0.1)
    decayed, kept = optimizers(network, stage)[0].param_groups
    assert {tuple(p.shape) for p in decayed["params"]} == {(4, 3), (2, 3)}
    assert {tuple(p.shape) for p in kept["params"]} == {(3,), (2,)}
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)


def test_one_step_is_adamws_formula() -> None:
    weight = nn.Parameter(torch.tensor([[1.0, -2.0]]))
    network = nn.Module()
    network.weight = weight
    stage = Stage(name="s", learning_rate=0.1, weight_decay=0.01)
    weight.grad = torch.tensor([[0.5, 0.25]])
    optimizers(network, stage)[0].step()
    # After one step the bias-corrected moments are the gradient and its square.
    expected = torch.tensor([[1.0, -2.0]]) * (1 - 0.1 * 0.01) - 0.1 * torch.tensor([[0.5 / 0.500001, 0.25 / 0.250001]])
    torch.testing.assert_close(weight.detach(), expected)


def test_muon_updates_all_matrices_but_the_embedding() -> None:
    network = nn.ModuleDict({"embeddings": nn.Embedding(4, 3), "norm": nn.LayerNorm(3), "dense": nn.Linear(3, 2)})
    muon, adamw = optimizers(network, Stage(name="s", optimizer="muon"))
    assert [tuple(p.shape) for group in muon.param_groups for p in group["params"]] == [(2, 3)]
    assert {tuple(p.shape) for group in adamw.param_groups for p in group["params"]} == {(4, 3), (3,), (2,)}


@pytest.mark.parametrize("shape", [(6, 10), (10, 6)])
def test_float32_muon_is_torchs_but_for_rounding(shape: tuple[int, int]) -> None:
    """torch's Muon multiplies in bfloat16, which has three significant digits."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(shape, generator=generator)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    options: dict[str, Any] = {"lr": 1.0, "weight_decay": 0.01, "adjust_lr_fn": "match_rms_adamw"}
    steppers = Float32Muon([ours], **options), Muon([theirs], **options)
    for _ in range(4):
        gradient = torch.randn(shape, generator=generator)
        for weight, stepper in zip((ours, theirs), steppers, strict=True):
            weight.grad = gradient.clone()
            stepper.step()
    torch.testing.assert_close(ours, theirs, atol=2e-2, rtol=0)
    assert (ours - start).abs().mean() > 0.3
    assert steppers[0].state[ours].keys() == steppers[1].state[theirs].keys()


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    options = Muon([nn.Parameter(torch.ones(2, 2))]).param_groups[0]
    matrix = torch.randn((20, 12), generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalise(matrix, options))
    assert 0.5 < values.min() < values.max() < 1.5
