"""Pseudo-perplexity by length (paper, Figure 2, after NeoBERT): how well a model guesses within long documents.

Documents → exp(mean cross entropy) at positions that are drawn with replacement and masked one at a time. The rule: a
document is scored whole; one that is longer than the model's positions is left out and counted.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from transformers import ModernBertForMaskedLM

from anaume.batches.lengths import BIN_NAMES, bins_of
from anaume.encoder.load import Encoder, special_ids
from anaume.encoder.logits import logits_at
from anaume.encoder.states import check_numbers
from anaume.errors import UserError
from anaume.evals.inputs.reservoir import Reservoir
from anaume.evals.provenance import OWN_TEXTS, corpus_settings, texts_of
from anaume.evals.record import Record
from anaume.evals.task import Evaluation, Request, Subject, estimate
from anaume.evals.tasks import PseudoPerplexityOptions
from anaume.model.masked_copies import masked_states, supports
from anaume.progress import bar
from anaume.recipe import LENGTH_BINS
from anaume.tokenizer.load import Tokenizer, load_tokenizer
from anaume.tokenizer.vocabulary import surfaces
from anaume.tokens.build import open_stores
from anaume.tokens.store import Store

DOCUMENTS, POSITIONS = 500, 100  # in each length bin, and in each document: the paper's numbers
TEXTS_AT_ONCE = 256
LOGITS_AT_ONCE = 128  # 128 × 100,000 float32 logits are 51 MB


@dataclass(frozen=True)
class EncodedDocument:
    """A whole document: its ids with the special ones, its length in characters, and its index in the corpus."""

    ids: NDArray[np.int64]
    characters: int
    number: int


@dataclass(frozen=True)
class Sample:
    """Documents drawn from a corpus.

    `documents`  the drawn ones, ordered by their numbers
    `seen`       number of documents of the corpus in each length bin
    `too_long`   number of documents left out because they exceed the model's length or the last bin
    `empty`      number of documents left out because they have only special tokens
    """

    documents: list[EncodedDocument]
    seen: list[int]
    too_long: int
    empty: int


def documents_of_texts(encoder: Encoder, texts: Iterable[str]) -> Iterator[EncodedDocument]:
    """Yield texts as documents, encoded with the model's own tokenizer."""
    remaining = iter(texts)
    number = 0
    while block := list(islice(remaining, TEXTS_AT_ONCE)):
        for text, ids in zip(block, encoder.tokenizer(block, verbose=False)["input_ids"], strict=True):
            yield EncodedDocument(np.array(ids), len(text), number)
            number += 1


def documents_of_stores(encoder: Encoder, stores: Sequence[Store], tokenizer: Tokenizer) -> Iterator[EncodedDocument]:
    """Yield the documents of token stores. Their lengths in characters are those of the text that the tokens spell."""
    spelled = surfaces(tokenizer)
    prefix, suffix = special_ids(encoder.tokenizer)
    number = 0
    for store in stores:
        for index in range(len(store)):
            ids = store.document(index)
            text = b"".join(spelled[i] for i in ids).decode(errors="replace").removeprefix(" ")
            yield EncodedDocument(np.concatenate([prefix, ids, suffix]).astype(np.int64), len(text), number)
            number += 1


def sample(encoder: Encoder, documents: Iterable[EncodedDocument], limit: int, seed: int) -> Sample:
    """Draw up to `limit` documents of each length bin, in one pass."""
    longest = min(encoder.max_length, LENGTH_BINS[-1])
    bins = [Reservoir[EncodedDocument](np.random.default_rng((seed, 0, bin)), limit) for bin in range(len(LENGTH_BINS))]
    special = _never_asked(encoder.tokenizer)
    too_long = empty = 0
    for document in documents:
        if len(document.ids) > longest:
            too_long += 1
        elif np.isin(document.ids, special).all():
            empty += 1
        else:
            bins[int(bins_of(np.array(len(document.ids))))].offer(document)
    drawn = sorted((document for bin in bins for document in bin.kept), key=lambda document: document.number)
    return Sample(drawn, [bin.seen for bin in bins], too_long, empty)


def evaluate(
    encoder: Encoder,
    documents: Iterable[EncodedDocument],
    *,
    texts: str,
    limit: int = DOCUMENTS,
    positions: int = POSITIONS,
    batch_tokens: int = 8192,
    seed: int = 0,
) -> Record:
    """Measure the pseudo-perplexity of up to `limit` documents in each length bin, and the bits per character.

    `positions` positions are drawn in each document. Lengths count special tokens. Every position of a bin has the same
    weight: the bin's pseudo-perplexity is exp of the mean of all its losses.

    `bits_per_character` compares models of different tokenizers: a document's mean loss stands for each of its tokens,
    and the nats of all documents are divided by their characters and by ln 2. Lengths in tokens decide which documents
    are drawn, so it compares two models only if their `drawn_sha256`, the checksum of the documents' numbers, is equal.
    `texts` names the corpus in the record.

    Raises:
        UserError: no document fits into the model.
    """
    drawn = sample(encoder, documents, limit, seed)
    if not drawn.documents:
        raise UserError(
            f"{texts}: no document for pseudo-perplexity, {drawn.too_long} are too long and {drawn.empty} have no token"
            f" to mask; expected 1 to {encoder.max_length} tokens for {encoder.name}"
        )
    lengths = np.array([len(document.ids) for document in drawn.documents])
    losses = np.empty(len(lengths))
    with bar(f"{encoder.name}: pseudo-perplexity", lengths.sum()) as advance:
        for i, document in enumerate(drawn.documents):
            losses[i] = _mean_loss(encoder, document, positions, batch_tokens, seed)
            advance(lengths[i])
    characters = np.array([document.characters for document in drawn.documents])
    nats = losses * (lengths - sum(map(len, special_ids(encoder.tokenizer))))
    bins = bins_of(lengths)
    metrics = {f"pseudo_perplexity {BIN_NAMES[bin]}": math.exp(losses[bins == bin].mean()) for bin in np.unique(bins)}
    metrics["pseudo_perplexity"] = math.exp(losses.mean())
    metrics["bits_per_character"] = float(nats.sum() / characters.sum() / math.log(2))
    settings = {
        "documents": limit,
        "positions": positions,
        "drawn": "documents of a bin without, positions of a document with replacement; no special tokens but unknown",
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


def _never_asked(tokenizer: Any) -> list[int]:
    """The special ids but that of unknown text, which stands for a part of the document and is asked like any other."""
    return [token for token in tokenizer.all_special_ids if token != tokenizer.unk_token_id]


def _mean_loss(encoder: Encoder, document: EncodedDocument, positions: int, batch_tokens: int, seed: int) -> float:
    """Return the mean loss at positions whose draw depends on the seed and the document's number only."""
    random = np.random.default_rng((seed, 1, document.number))
    ordinary = np.flatnonzero(~np.isin(document.ids, _never_asked(encoder.tokenizer)))
    drawn, counts = np.unique(random.choice(ordinary, positions), return_counts=True)
    ids = torch.from_numpy(document.ids)
    losses = masked_losses(encoder, ids, torch.from_numpy(drawn), batch_tokens=batch_tokens)
    return float(losses.double().numpy() @ counts / positions)


def masked_losses(encoder: Encoder, ids: Tensor, places: Tensor, *, batch_tokens: int = 8192) -> Tensor:
    """Return the cross entropy in nats of the token at each of `places`, when it alone is masked.

    `ids` is (tokens,), `places` (P,); the result is (P,) float32 on the CPU. The head runs at the masks only.
    """
    mask_id, model = encoder.tokenizer.mask_token_id, encoder.model
    losses = torch.empty(len(places))
    if isinstance(model, ModernBertForMaskedLM) and supports(model.model):
        device_ids, device_places = ids.to(encoder.device), places.to(encoder.device)
        states = masked_states(model.model, device_ids, device_places, mask_id, batch_tokens=batch_tokens)
        targets = device_ids[device_places]
        with torch.inference_mode():
            for part in torch.arange(len(places)).split(LOGITS_AT_ONCE):
                logits = model.decoder(model.head(states[part])).float()
                check_numbers(encoder, logits)
                losses[part] = F.cross_entropy(logits, targets[part], reduction="none").cpu()
        return losses
    copies = ids.repeat(len(places), 1)
    copies[torch.arange(len(places)), places] = mask_id
    positions = [[place] for place in places.tolist()]
    for row, logits in logits_at(encoder, copies.tolist(), positions, batch_tokens=batch_tokens):
        losses[row] = F.cross_entropy(logits, ids[places[row]].unsqueeze(0))
    return losses


def prepare(request: Request[PseudoPerplexityOptions]) -> Evaluation:
    """Check the texts; documents are encoded by each model's own tokenizer, or are tokens already in a run.

    Raises:
        UserError: the texts can't be listed, or there are none.
    """
    options, run = request.options, request.run

    def documents(subject: Subject) -> Iterator[EncodedDocument]:
        if run and not options.texts:
            tokenizer = load_tokenizer(subject.path)
            return documents_of_stores(subject.encoder, open_stores(run.tokens("validation"), tokenizer), tokenizer)
        return documents_of_texts(subject.encoder, texts_of(options.texts))

    def measure(subject: Subject) -> Iterator[Record]:
        yield evaluate(
            subject.encoder,
            documents(subject),
            texts=options.texts or OWN_TEXTS,
            limit=options.documents,
            positions=options.positions,
            seed=options.seed,
        )

    def forecast(subjects: Sequence[Subject]) -> float:
        """A document of median length stands for all documents of its bin."""
        encoder = subjects[0].encoder
        drawn = sample(encoder, documents(subjects[0]), options.documents, options.seed).documents
        bins = bins_of(np.array([len(document.ids) for document in drawn]))
        seconds = 0.0
        for bin in np.unique(bins):
            of_bin = sorted((drawn[i] for i in np.flatnonzero(bins == bin)), key=lambda document: len(document.ids))
            median = of_bin[len(of_bin) // 2]
            once = partial(evaluate, encoder, texts="", positions=options.positions)
            seconds += len(of_bin) * estimate(once, [median])
        return len(subjects) * seconds

    amounts = {"documents": options.documents, "positions": options.positions}
    return Evaluation(measure, corpus_settings(options.texts, run) | amounts, forecast=forecast)
