import pytest
import torch
from torch import Tensor

from anaume.batches.batch import IGNORE
from anaume.model import cross_entropy
from anaume.model.cross_entropy import linear_cross_entropy, reference_cross_entropy


def _loss_and_gradients(
    function: object, rows: int, scale: float, vocabulary: int = 50, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    """The loss and its gradients for values rounded to `dtype`; the tiled function receives rows of that dtype."""
    torch.manual_seed(0)
    hidden, weight, bias = torch.randn(rows, 8), torch.randn(vocabulary, 8), torch.randn(vocabulary)
    labels = torch.randint(0, vocabulary, (rows,))
    labels[::5] = IGNORE
    inputs = [x.to(dtype).float().requires_grad_() for x in (hidden, weight, bias)]
    rows_in = inputs[0].to(dtype if function is linear_cross_entropy else torch.float32)
    loss = function(rows_in, *inputs[1:], labels)  # type: ignore[operator]
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


def test_tiles_of_bfloat16_rows_are_near_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sums over 500 tiles are float32, so the error does not grow with the number of tiles."""
    monkeypatch.setattr(cross_entropy, "ROWS", 16)
    monkeypatch.setattr(cross_entropy, "ENTRIES", 2)
    ours = _loss_and_gradients(linear_cross_entropy, 40, 1 / 40, 1000, torch.bfloat16)
    theirs = _loss_and_gradients(reference_cross_entropy, 40, 1 / 40, 1000, torch.bfloat16)
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).norm() < 2**-7 * b.norm()


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
