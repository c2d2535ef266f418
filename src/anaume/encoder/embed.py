"""Texts → mean-pooled embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from anaume.encoder.load import Encoder
from anaume.encoder.states import check_numbers, hidden_states
from anaume.encoder.tokenize import tokenize
from anaume.progress import bar

# Number of texts tokenized at a time: the ids of a million texts would not fit in memory as Python integers.
TEXTS_AT_ONCE = 16_384


@dataclass(frozen=True)
class Embeddings:
    """`vectors`: (texts, hidden) float32 on the CPU, not normalised. `truncated`: number of texts cut to the length."""

    vectors: Tensor
    truncated: int


def embed_counted(encoder: Encoder, texts: Sequence[str], *, batch_tokens: int = 8192) -> Embeddings:
    """Return the mean of the last hidden states over all tokens of each text, special tokens included.

    This is the mean pooling of the paper's retrieval (section 4.3) and of sentence-transformers.
    """
    vectors = torch.empty(len(texts), encoder.model.config.hidden_size)
    truncated = 0
    with bar(f"{encoder.name}: embeddings", len(texts)) as advance:
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            tokenized = tokenize(encoder, texts[start : start + TEXTS_AT_ONCE])
            truncated += tokenized.truncated
            block = vectors[start : start + TEXTS_AT_ONCE]
            for hidden in hidden_states(encoder, tokenized.rows, batch_tokens=batch_tokens):
                lengths = torch.tensor(hidden.lengths, device=encoder.device)
                block[hidden.rows] = torch.segment_reduce(hidden.states.float(), "mean", lengths=lengths).cpu()
                check_numbers(encoder, block[hidden.rows])
                advance(len(hidden.rows))
    return Embeddings(vectors, truncated)


def embed(encoder: Encoder, texts: Sequence[str], *, batch_tokens: int = 8192) -> Tensor:
    """Return mean-pooled embeddings of `texts`: (texts, hidden) float32 on the CPU, not normalised."""
    return embed_counted(encoder, texts, batch_tokens=batch_tokens).vectors


def unit_length(vectors: Tensor) -> Tensor:
    """Scale (texts, hidden) vectors to length 1, in float64, so that equal texts stay exactly equal."""
    return torch.nn.functional.normalize(vectors.double(), dim=1)
