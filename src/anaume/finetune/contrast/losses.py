"""A model and the columns of a set → the loss of its batches.

All losses are sentence-transformers' own. The rule: a batch of more than `micro_batch` rows has the loss and the
gradient of the whole batch, and needs the memory of `micro_batch` rows (Gao and others 2021, "Scaling Deep Contrastive
Learning Batch Size under Memory Limited Setup").
"""

from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from sentence_transformers.multi_vector_encoder.losses import (
    CachedMultiVectorMultipleNegativesRankingLoss,
    MultiVectorMultipleNegativesRankingLoss,
)
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    CoSENTLoss,
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
)
from torch import Tensor, nn

from anaume.finetune.contrast.sets import Columns, ContrastSettings, is_scored


def loss_of(network: Any, columns: Columns, training: ContrastSettings) -> nn.Module:
    """Return the loss of a set: CoSENT's ranking loss for scored rows, else cross entropy over the batch (InfoNCE)."""
    if training.late:
        return _late_loss(network, training)
    loss = _dense_loss(network, columns, training)
    if not training.dimensions:
        return loss
    whole = network.get_embedding_dimension()
    return MatryoshkaLoss(network, loss, sorted({*training.dimensions, whole}))


def _dense_loss(network: SentenceTransformer, columns: Columns, training: ContrastSettings) -> nn.Module:
    scale, cached = 1 / training.temperature, training.batch > training.micro_batch
    if is_scored(columns):
        return CachedCoSENTLoss(network, scale, training.micro_batch) if cached else CoSENTLoss(network, scale)
    if cached:
        return CachedMultipleNegativesRankingLoss(network, scale, mini_batch_size=training.micro_batch)
    return MultipleNegativesRankingLoss(network, scale)


def _late_loss(network: MultiVectorEncoder, training: ContrastSettings) -> nn.Module:
    scale = 1 / training.temperature
    if training.batch > training.micro_batch:
        return CachedMultiVectorMultipleNegativesRankingLoss(network, scale=scale, mini_batch_size=training.micro_batch)
    return MultiVectorMultipleNegativesRankingLoss(network, scale=scale)


class CachedCoSENTLoss(CachedLossMixin, nn.Module):
    """CoSENT's loss with cached gradients, which sentence-transformers has for its other losses."""

    def __init__(self, model: SentenceTransformer, scale: float, mini_batch_size: int) -> None:
        super().__init__()
        self.model = model
        self.loss = CoSENTLoss(model, scale)
        self.mini_batch_size = mini_batch_size

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """Return the loss of the embeddings of a batch, and propagate it back to them if asked to."""
        assert labels is not None
        loss = self.loss.compute_loss_from_embeddings([torch.cat(column) for column in reps], labels)
        if with_backward:
            loss.backward()
        return loss.detach() if with_backward else loss

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Return the loss of a batch; its backward pass embeds the batch again, `mini_batch_size` rows at a time."""
        return self.forward_cached(sentence_features, labels)
