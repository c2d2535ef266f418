"""The masked-language-model loss of any ModernBERT on held-out text, with fixed masks, by length of the document.

The paper follows loss and accuracy over its checkpoints (Figure 1); the length bins are those of its Figure 2.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from anaume.batches.batch import IGNORE, PackedBatch
from anaume.batches.loader import fixed
from anaume.batches.masking import Masking
from anaume.batches.plan import Plan
from anaume.errors import UserError
from anaume.evals.encoder import Encoder
from anaume.evals.result import Result
from anaume.model.attention import PACKED
from anaume.model.mlm import scores, to_device
from anaume.tokens.store import Store
from anaume.tokens.tokenizer import Tokenizer

# Upper ends of the length bins, in tokens (arXiv 2504.15544, section 4.4).
BINS = (1024, 2048, 4096, 8192)
MASK_RATE = 0.3


def evaluate(
    encoder: Encoder,
    stores: Sequence[Store],
    tokenizer: Tokenizer,
    *,
    texts: str,
    tokens: int = 1_048_576,
    length: int = 0,
    row_tokens: int = 16_384,
    seed: int = 0,
) -> Result:
    """Mean cross entropy (nats) and share of right first guesses over the hidden tokens, overall and by piece length.

    `long_loss` is the loss in pieces of more than 1,024 tokens, which stage 1 of the paper never sees whole.

    Each document is cut into pieces of at most `length` tokens (0: the model's positions), as in training; at most
    `tokens` tokens are read. The text and the masks depend on the seed and the stores only, so that the checkpoints of
    a run, and models with the same tokenizer, are asked the same questions.

    Raises:
        UserError: the model is no ModernBERT.
    """
    kind = encoder.model.config.model_type
    if kind != "modernbert":
        raise UserError(f"{encoder.name}: its model_type is {kind!r}; the validation task accepts 'modernbert'")
    length = length or encoder.max_length
    plan = Plan(
        tuple(stores),
        (1.0,) * len(stores),
        tokenizer,
        seed=seed,
        length=length,
        row_tokens=max(row_tokens, length),
        masking=Masking(MASK_RATE, MASK_RATE),
    )
    encoder.model.set_attn_implementation(PACKED)
    bins = np.zeros((len(BINS) + 1, 3))  # sum of losses, right guesses, targets; the last row: longer than any bin
    for batch in fixed(plan, tokens):
        losses, right = scores(encoder.model, to_device(batch, length, encoder.device))
        used = batch.labels != IGNORE
        here = np.searchsorted(BINS, _piece_lengths(batch)[used])
        for column, values in enumerate((losses.cpu().numpy()[used], right.cpu().numpy()[used], np.ones(used.sum()))):
            bins[:, column] += np.bincount(here, weights=values, minlength=len(bins))
    return Result(
        encoder.name,
        "validation",
        _metrics(bins),
        int(bins[:, 2].sum()),
        {
            "length": length,
            "tokens": tokens,
            "mask_rate": MASK_RATE,
            "texts": texts,
        },
        seed,
    )


def _piece_lengths(batch: PackedBatch) -> NDArray[np.int64]:
    """(M,) for each scored slot, the length of the piece that it lies in."""
    return np.repeat(batch.lengths, batch.lengths)[batch.scored]


def _metrics(bins: NDArray[np.float64]) -> dict[str, float]:
    loss, right, targets = bins.sum(0)
    metrics = {"loss": loss / targets, "accuracy": right / targets}
    names = [f"({low}, {high}]" for low, high in zip((0, *BINS), BINS, strict=False)] + [f"({BINS[-1]}, …)"]
    for name, (loss, _, targets) in zip(names, bins, strict=True):
        if targets:
            metrics[f"loss {name}"] = loss / targets
    loss, _, targets = bins[1:].sum(0)
    if targets:
        metrics["long_loss"] = loss / targets
    return metrics
