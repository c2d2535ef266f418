"""Losses: cached gradients are those of the whole batch, and Matryoshka's loss by hand."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from anaume.encoder.modules import open_late, open_single_vector
from anaume.finetune.contrast.losses import loss_of
from anaume.finetune.contrast.sets import Columns, ContrastSettings

from ...support.models import sentences

TEXTS = sentences(24, seed=3)
TRIPLETS: Columns = {"anchor": TEXTS[:8], "positive": TEXTS[8:16], "negative": TEXTS[16:]}
SCORED: Columns = {"sentence1": TEXTS[:8], "sentence2": TEXTS[8:16], "score": [i / 8 for i in range(8)]}
WHOLE = ContrastSettings(1, 1e-3, batch=8, temperature=0.1, max_length=48, seed=0)


def step(network: Any, columns: Columns, training: ContrastSettings) -> tuple[float, dict[str, Tensor]]:
    """The loss of one batch that holds all rows, and its gradients."""
    network.zero_grad()
    loss: nn.Module = loss_of(network, columns, training)
    features = [network.preprocess(texts) for name, texts in columns.items() if name != "score"]
    value = loss(features, torch.tensor(columns.get("score", [0.0] * 8)))
    value.backward()
    return value.item(), {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("opened", "columns", "changes"),
    [
        (open_single_vector, TRIPLETS, {}),
        (open_single_vector, TRIPLETS, {"dimensions": (4, 16)}),
        (open_single_vector, SCORED, {}),
        (open_single_vector, SCORED, {"dimensions": (8,)}),
        (open_late, TRIPLETS, {"late": True, "temperature": 1.0}),
    ],
)
def test_cached_gradients_are_those_of_the_whole_batch(
    opened: Callable[[str], Any], columns: Columns, changes: dict[str, Any], modernbert_folder: Path
) -> None:
    network = opened(str(modernbert_folder)).double()
    whole = replace(WHOLE, **changes)
    expected_loss, expected = step(network, columns, whole)
    # MaxSim of sentence-transformers is in float32, whatever the vectors are in.
    close: dict[str, Any] = {"atol": 1e-6, "rtol": 1e-4} if whole.late else {"atol": 1e-9, "rtol": 1e-7}
    for micro_batch in (1, 3):
        loss, gradients = step(network, columns, replace(whole, micro_batch=micro_batch))
        assert loss == pytest.approx(expected_loss, rel=close["rtol"])
        assert gradients.keys() == expected.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, expected[name], **close)
    assert max(gradient.abs().max() for gradient in expected.values()) > 1e-3


def test_matryoshka_sums_the_losses_of_normalised_prefixes(modernbert_folder: Path) -> None:
    network = open_single_vector(str(modernbert_folder))
    left, right, wrong = (
        network.encode(TRIPLETS[name], convert_to_tensor=True) for name in ("anchor", "positive", "negative")
    )
    expected = 0.0
    for size in (8, 16, 32):  # 32 is the whole embedding
        documents = normalize(torch.cat([right, wrong])[:, :size])
        similarities = normalize(left[:, :size]) @ documents.T
        expected += cross_entropy(similarities / WHOLE.temperature, torch.arange(8)).item()
    loss, _ = step(network, TRIPLETS, replace(WHOLE, dimensions=(16, 8)))
    assert loss == pytest.approx(expected, rel=1e-4)
