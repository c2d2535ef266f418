"""Texts → embeddings, pooled as the encoder's folder says or by the mean."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from anaume.encoder.load import Encoder, special_ids
from anaume.encoder.pooling import Pooling
from anaume.encoder.states import check_numbers, hidden_states
from anaume.encoder.tokenize import tokenize
from anaume.progress import bar

# Number of texts tokenized at a time: the ids of a million texts would not fit in memory as Python integers.
TEXTS_AT_ONCE = 16_384
MEAN_POOLING = Pooling()


@dataclass(frozen=True)
class Embeddings:
    """`vectors`: (texts, dimensions) float32 on the CPU. `truncated`: number of texts cut to the length."""

    vectors: Tensor
    truncated: int


def embed_blocks(
    encoder: Encoder,
    texts: Sequence[str],
    *,
    pooling: Pooling = MEAN_POOLING,
    prompt: str = "",
    batch_tokens: int = 8192,
) -> Iterator[Embeddings]:
    """Yield the embeddings of `embed_counted` one block of `TEXTS_AT_ONCE` texts at a time."""
    if pooling.max_length is not None:
        encoder = replace(encoder, max_length=min(encoder.max_length, pooling.max_length))
    prompt_tokens = len(tokenize(encoder, [prompt]).rows[0]) - len(special_ids(encoder.tokenizer)[1]) if prompt else 0
    with bar(f"{encoder.name}: embeddings", len(texts)) as advance:
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            prompted = [prompt + text for text in texts[start : start + TEXTS_AT_ONCE]]
            tokenized = tokenize(encoder, [text.lower() for text in prompted] if pooling.lower else prompted)
            block = torch.empty(0)
            for hidden in hidden_states(encoder, tokenized.rows, batch_tokens=batch_tokens, layer=pooling.layer):
                with torch.inference_mode():
                    vectors = pooling(hidden.states, hidden.lengths, prompt_tokens).cpu()
                check_numbers(encoder, vectors)
                if not len(block):
                    block = torch.empty(len(prompted), vectors.shape[1])
                block[hidden.rows] = vectors
                advance(len(hidden.rows))
            yield Embeddings(block, tokenized.truncated)


def embed_counted(
    encoder: Encoder,
    texts: Sequence[str],
    *,
    pooling: Pooling = MEAN_POOLING,
    prompt: str = "",
    batch_tokens: int = 8192,
) -> Embeddings:
    """Return one embedding for each text, by default the mean of the last hidden states over all tokens of the text.

    Special tokens are included. This is the mean pooling of the paper's retrieval (section 4.3). `prompt` is put before
    each text.
    """
    blocks = list(embed_blocks(encoder, texts, pooling=pooling, prompt=prompt, batch_tokens=batch_tokens))
    if not blocks:
        return Embeddings(torch.empty(0, encoder.model.config.hidden_size), 0)
    return Embeddings(torch.cat([block.vectors for block in blocks]), sum(block.truncated for block in blocks))


def embed(
    encoder: Encoder,
    texts: Sequence[str],
    *,
    pooling: Pooling = MEAN_POOLING,
    prompt: str = "",
    batch_tokens: int = 8192,
) -> Tensor:
    """Return the embeddings of `embed_counted`: (texts, dimensions) float32 on the CPU."""
    return embed_counted(encoder, texts, pooling=pooling, prompt=prompt, batch_tokens=batch_tokens).vectors


def unit_length(vectors: Tensor) -> Tensor:
    """Scale (texts, hidden) vectors to length 1, in float64, so that equal texts stay exactly equal."""
    return torch.nn.functional.normalize(vectors.double(), dim=1)
