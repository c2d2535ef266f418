"""Pseudo-perplexity by length (paper, Figure 2, after NeoBERT): how well a model guesses within long documents.

Of a document some positions are drawn with replacement and each is masked alone; P = exp(mean cross entropy there).
Documents are whole: one that is longer than the model's positions is left out, never cut, and counted.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from transformers import ModernBertForMaskedLM

from anaume.batches.lengths import BIN_NAMES, bins_of
from anaume.encoder.load import Encoder
from anaume.encoder.logits import logits_at
from anaume.encoder.states import check_numbers
from anaume.encoder.tokenize import special_ids
from anaume.errors import UserError
from anaume.evals.inputs.reservoir import Reservoir
from anaume.evals.record import Record
from anaume.model.masked_copies import masked_states, supports
from anaume.progress import bar
from anaume.recipe import LENGTH_BINS
from anaume.tokenizer.load import Tokenizer
from anaume.tokenizer.surfaces import surfaces
from anaume.tokens.store import Store

DOCUMENTS, POSITIONS = 500, 100  # the paper's
TEXTS_AT_ONCE = 256
LOGITS_AT_ONCE = 128  # 128 × 100,000 float32 logits are 51 MB


@dataclass(frozen=True)
class Document:
    """A whole document: its ids with the special ones, its length in characters, its number in the corpus."""

    ids: NDArray[np.int64]
    characters: int
    number: int


@dataclass(frozen=True)
class Sample:
    """Documents drawn from a corpus, by number; how many each bin has there, and how many are left out."""

    documents: list[Document]
    seen: list[int]
    too_long: int
    empty: int


def documents_of_texts(encoder: Encoder, texts: Iterable[str]) -> Iterator[Document]:
    """Encode texts with the model's own tokenizer."""
    remaining = iter(texts)
    number = 0
    while block := list(islice(remaining, TEXTS_AT_ONCE)):
        for text, ids in zip(block, encoder.tokenizer(block, verbose=False)["input_ids"], strict=True):
            yield Document(np.array(ids), len(text), number)
            number += 1


def documents_of_stores(encoder: Encoder, stores: Sequence[Store], tokenizer: Tokenizer) -> Iterator[Document]:
    """Read documents that are tokens already; their characters are those that the tokens spell."""
    spelled = surfaces(tokenizer)
    prefix, suffix = special_ids(encoder.tokenizer)
    number = 0
    for store in stores:
        for index in range(len(store)):
            ids = store.document(index)
            text = b"".join(spelled[i] for i in ids).decode(errors="replace").removeprefix(" ")
            yield Document(np.concatenate([prefix, ids, suffix]).astype(np.int64), len(text), number)
            number += 1


def sample(encoder: Encoder, documents: Iterable[Document], limit: int, seed: int) -> Sample:
    """Draw up to `limit` documents of each length bin, in one pass."""
    longest = min(encoder.max_length, LENGTH_BINS[-1])
    bins = [Reservoir[Document](np.random.default_rng((seed, 0, bin)), limit) for bin in range(len(LENGTH_BINS))]
    special = encoder.tokenizer.all_special_ids
    too_long = empty = 0
    for document in documents:
        if len(document.ids) > longest:
            too_long += 1
        elif np.isin(document.ids, special).all():
            empty += 1
        else:
            bins[int(bins_of(np.array(len(document.ids))))].offer(document)
    chosen = sorted((document for bin in bins for document in bin.kept), key=lambda document: document.number)
    return Sample(chosen, [bin.seen for bin in bins], too_long, empty)


def evaluate(
    encoder: Encoder,
    documents: Iterable[Document],
    *,
    texts: str,
    limit: int = DOCUMENTS,
    positions: int = POSITIONS,
    batch_tokens: int = 8192,
    seed: int = 0,
) -> Record:
    """Pseudo-perplexity of up to `limit` documents a length bin, `positions` draws in each; and bits per character.

    Lengths count special tokens. Every draw of a bin weighs the same: its pseudo-perplexity is exp of their mean loss.
    `bits_per_character`, for models of different tokenizers: a document's mean loss stands for each of its tokens, and
    the nats of all documents are divided by their characters and ln 2. Lengths in tokens decide which documents are
    drawn, so it compares two models only where `drawn_sha256`, of their numbers in the corpus, is the same.
    `texts` names the corpus in the record.

    Raises:
        UserError: no document that fits into the model.
    """
    drawn = sample(encoder, documents, limit, seed)
    if not drawn.documents:
        raise UserError(
            f"{texts}: no document for pseudo-perplexity, {drawn.too_long} are too long and {drawn.empty} have no token"
            f" to mask; {encoder.name} accepts 1 to {encoder.max_length} tokens"
        )
    lengths = np.array([len(document.ids) for document in drawn.documents])
    losses = np.empty(len(lengths))
    with bar(f"{encoder.name}: pseudo-perplexity", lengths.sum()) as show:
        for i, document in enumerate(drawn.documents):
            losses[i] = _mean_loss(encoder, document, positions, batch_tokens, seed)
            show(lengths[i])
    characters = np.array([document.characters for document in drawn.documents])
    added = sum(map(len, special_ids(encoder.tokenizer)))
    bins = bins_of(lengths)
    metrics = {f"pseudo_perplexity {BIN_NAMES[bin]}": math.exp(losses[bins == bin].mean()) for bin in np.unique(bins)}
    metrics["pseudo_perplexity"] = math.exp(losses.mean())
    metrics["bits_per_character"] = float((losses * (lengths - added)).sum() / characters.sum() / math.log(2))
    settings = {
        "documents": limit,
        "positions": positions,
        "drawn": "documents of a bin without, positions of a document with replacement; no special tokens",
        "of_documents": {name: count for name, count in zip(BIN_NAMES, drawn.seen, strict=False) if count},
        "left_out_too_long": drawn.too_long,
        "left_out_without_tokens": drawn.empty,
        "drawn_sha256": hashlib.sha256(str([document.number for document in drawn.documents]).encode()).hexdigest(),
        "max_length": encoder.max_length,
        "texts": texts,
    }
    details: list[dict[str, Any]] = [
        {"tokens": int(n), "characters": int(c), "loss": float(loss), "pseudo_perplexity": math.exp(loss)}
        for n, c, loss in zip(lengths, characters, losses, strict=True)
    ]
    return Record(encoder.name, "pseudo-perplexity", metrics, len(losses), settings, seed, details=details)


def _mean_loss(encoder: Encoder, document: Document, positions: int, batch_tokens: int, seed: int) -> float:
    random = np.random.default_rng((seed, 1, document.number))
    ordinary = np.flatnonzero(~np.isin(document.ids, encoder.tokenizer.all_special_ids))
    places, counts = np.unique(random.choice(ordinary, positions), return_counts=True)
    ids, here = torch.from_numpy(document.ids), torch.from_numpy(places)
    losses = masked_losses(encoder, ids, here, batch_tokens=batch_tokens)
    return float(losses.double().numpy() @ counts / positions)


def masked_losses(encoder: Encoder, ids: Tensor, places: Tensor, *, batch_tokens: int = 8192) -> Tensor:
    """(n,) ids, (P,) places → (P,) cross entropies in nats of the tokens there, each masked alone; on the CPU.

    Logits are made at the masks only.
    """
    mask_id, model = encoder.tokenizer.mask_token_id, encoder.model
    losses = torch.empty(len(places))
    if isinstance(model, ModernBertForMaskedLM) and supports(model.model):
        here, ids_there = places.to(encoder.device), ids.to(encoder.device)
        states = masked_states(model.model, ids_there, here, mask_id, batch_tokens=batch_tokens)
        targets = ids_there[here]
        with torch.inference_mode():
            for at in torch.arange(len(places)).split(LOGITS_AT_ONCE):
                logits = model.decoder(model.head(states[at])).float()
                check_numbers(encoder, logits)
                losses[at] = F.cross_entropy(logits, targets[at], reduction="none").cpu()
        return losses
    copies = ids.repeat(len(places), 1)
    copies[torch.arange(len(places)), places] = mask_id
    asked = [[place] for place in places.tolist()]
    for row, logits in logits_at(encoder, copies.tolist(), asked, batch_tokens=batch_tokens):
        losses[row] = F.cross_entropy(logits, ids[places[row]].unsqueeze(0))
    return losses
