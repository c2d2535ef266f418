import numpy as np
import pytest
import torch

from anaume.model import flops
from anaume.model.flops import _band_pairs, tell_if_slower, training_flops
from anaume.recipe import Model

MODEL = Model(layers=4, hidden=8, heads=2, intermediate=12, window=4)


@pytest.mark.parametrize("length", [1, 2, 3, 10])
def test_band_pairs_by_counting(length: int) -> None:
    counted = sum(abs(i - j) <= 2 for i in range(length) for j in range(length))
    assert _band_pairs(np.array([length]), 2).tolist() == [counted]


def test_flops_of_a_batch_by_hand() -> None:
    """Layers 0 and 3 are global, 1 and 2 see two neighbours on each side."""
    linear = 10 * 4 * (4 * 64 + 3 * 8 * 12)
    head = 3 * (64 + 8 * 100)
    pairs = 2 * (7**2 + 3**2) + 2 * (7 * 5 - 6 + 9)
    expected = 6 * (linear + head + 2 * 8 * pairs)
    assert training_flops(MODEL, 100, np.array([7, 3]), 3) == expected


def test_packing_many_documents_costs_less_than_one_of_the_same_size() -> None:
    assert training_flops(MODEL, 100, np.full(10, 100), 30) < training_flops(MODEL, 100, np.array([1000]), 30)


def test_slow_bfloat16_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(flops, "peak_flops", lambda _, dtype: {torch.float32: 200e9}[dtype])
    cpu = torch.device("cpu")
    tell_if_slower(cpu, torch.float32, 100e9)
    tell_if_slower(cpu, torch.bfloat16, 300e9)
    tell_if_slower(torch.device("cuda"), torch.bfloat16, 100e9)
    assert not capsys.readouterr().err
    tell_if_slower(cpu, torch.bfloat16, 100e9)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "100 GFLOP/s in bfloat16 and at 200 in float32; leave it out" in said
