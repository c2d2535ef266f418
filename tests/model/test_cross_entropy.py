import pytest
import torch
from torch import Tensor

from anaume.batches.batch import IGNORE
from anaume.model import cross_entropy
from anaume.model.cross_entropy import linear_cross_entropy, reference_cross_entropy


def _loss_and_gradients(function: object, rows: int, scale: float) -> list[Tensor]:
    torch.manual_seed(0)
    hidden, weight, bias = torch.randn(rows, 8), torch.randn(50, 8), torch.randn(50)
    labels = torch.randint(0, 50, (rows,))
    labels[::5] = IGNORE
    inputs = [x.requires_grad_() for x in (hidden, weight, bias)]
    loss = function(*inputs, labels)  # type: ignore[operator]
    (loss * scale).backward()
    return [loss.detach(), *(x.grad for x in inputs if x.grad is not None)]


@pytest.mark.parametrize("rows", [1, 15, 16, 35])
@pytest.mark.parametrize("scale", [1.0, 1 / 300])
@pytest.mark.parametrize("entries", [7, 50, 64])
def test_tiles_equal_the_reference(rows: int, scale: float, entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "ROWS", 16)
    monkeypatch.setattr(cross_entropy, "ENTRIES", entries)
    ours = _loss_and_gradients(linear_cross_entropy, rows, scale)
    theirs = _loss_and_gradients(reference_cross_entropy, rows, scale)
    assert len(ours) == len(theirs) == 4
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("entries", [3, 2048])
def test_large_logits_stay_finite(entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "ENTRIES", entries)
    hidden = torch.full((3, 8), 100.0, requires_grad=True)
    weight = torch.eye(8).repeat(2, 1) * 50
    loss = linear_cross_entropy(hidden, weight.requires_grad_(), torch.zeros(16, requires_grad=True), torch.arange(3))
    loss.backward()
    assert torch.isfinite(loss)
    assert hidden.grad is not None
    assert torch.isfinite(hidden.grad).all()
