"""The masked-language-model loss of any encoder on held-out text, with fixed masks, by length of the document.

The paper follows loss and accuracy over its checkpoints (Figure 1); the length bins are those of its Figure 2.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from transformers import ModernBertForMaskedLM

from anaume.batches.batch import IGNORE, PackedBatch
from anaume.batches.lengths import BIN_NAMES, bins_of
from anaume.batches.loader import validation_batches
from anaume.batches.masking import Masking
from anaume.batches.plan import BatchPlan
from anaume.encoder.load import Encoder
from anaume.encoder.logits import logits_at
from anaume.encoder.states import check_numbers
from anaume.evals.record import Record
from anaume.model.attention import packed_rows
from anaume.model.mlm import scores, to_device
from anaume.progress import bar
from anaume.tokenizer import folder
from anaume.tokenizer.hub import local_folder
from anaume.tokenizer.load import Tokenizer, load_tokenizer
from anaume.tokens.store import Store

MASK_RATE = 0.3
TOKENS = 1_048_576
PADDED_TOKENS = 4096  # at a time: 30 % of them × a vocabulary of 250,000 × 4 bytes are a gigabyte

TRANSFORMERS = "transformers"  # the engine of a tokenizer that only transformers can run

Floats = NDArray[np.float64]


def tokenizer_of(encoder: Encoder, path_or_id: str) -> Tokenizer:
    """A model's tokenizer as the token stores take it; where it has no tokenizer.json (MeCab's), transformers' own.

    Raises:
        UserError: it has no mask, cls, sep or pad token.
    """
    if (local_folder(path_or_id) / folder.TOKENIZER).exists():
        return load_tokenizer(path_or_id)
    slow = encoder.tokenizer
    ids = {role: getattr(slow, f"{role}_token_id") for role in folder.ROLES}
    folder.need_roles({role: "" for role, i in ids.items() if i is not None}, f"tokenizer {path_or_id}")
    pieces = [piece or "" for piece in slow.convert_ids_to_tokens(range(len(slow)))]

    def encode(texts: list[str]) -> list[NDArray[np.uint32]]:
        rows = slow(texts, add_special_tokens=False, verbose=False)["input_ids"]
        return [np.array(row, np.uint32) for row in rows]

    return Tokenizer(
        folder=local_folder(path_or_id),
        vocab_size=len(pieces),
        mask_id=ids["mask"],
        pad_id=ids["pad"],
        cls_id=ids["cls"],
        sep_id=ids["sep"],
        unk_id=slow.unk_token_id,
        special_ids=tuple(sorted(slow.all_special_ids)),
        vocabulary_hash=hashlib.sha256("\0".join([TRANSFORMERS, *pieces]).encode()).hexdigest(),
        engine=TRANSFORMERS,
        _encode=encode,
    )


def evaluate(
    encoder: Encoder,
    stores: Sequence[Store],
    tokenizer: Tokenizer,
    *,
    texts: str,
    tokens: int = TOKENS,
    length: int = 0,
    row_tokens: int = 16_384,
    seed: int = 0,
) -> Record:
    """Mean cross entropy (nats) and share of right first guesses over the hidden tokens, overall and by piece length.

    `long_loss` is the loss in pieces of more than 1,024 tokens, which stage 1 of the paper never sees whole.

    Each document is cut into pieces of at most `length` tokens (0: the model's positions), as in training; at most
    `tokens` tokens are read. The text and the masks depend on the seed and the stores only, so that the checkpoints of
    a run, and models with the same tokenizer and positions, are asked the same questions. Where the tokenizer can't say
    which tokens end a sentence, to cut a document there, its first piece stands for it.
    """
    length = length or encoder.max_length
    plan = BatchPlan(
        tuple(stores),
        (1.0,) * len(stores),
        tokenizer,
        seed=seed,
        length=length,
        row_tokens=max(row_tokens, length),
        masking=Masking(MASK_RATE, MASK_RATE),
        documents="truncate" if tokenizer.engine == TRANSFORMERS else "split",
    )
    score = _packed_scores if isinstance(encoder.model, ModernBertForMaskedLM) else _padded_scores
    bins = np.zeros((len(BIN_NAMES), 3))  # sum of losses, right guesses, targets
    batches = validation_batches(plan, tokens)
    with bar(f"{encoder.name}: validation", len(batches)) as show:
        for batch in batches:
            here = bins_of(np.repeat(batch.lengths, batch.lengths)[batch.scored[batch.labels != IGNORE]])
            for column, values in enumerate((*score(encoder, batch, length), np.ones(len(here)))):
                bins[:, column] += np.bincount(here, weights=values, minlength=len(bins))
            show(1)
    settings = {
        "length": length,
        "tokens": tokens,
        "mask_rate": MASK_RATE,
        "documents": plan.documents,
        "texts": texts,
    }
    return Record(encoder.name, "validation", _metrics(bins), int(bins[:, 2].sum()), settings, seed)


def _packed_scores(encoder: Encoder, batch: PackedBatch, length: int) -> tuple[Floats, Floats]:
    """Losses in nats and whether the first guess is right, for each target in order."""
    used = batch.labels != IGNORE
    with packed_rows(encoder.model):
        losses, right = scores(encoder.model, to_device(batch, length, encoder.device), "float32")
    check_numbers(encoder, losses)
    return losses.double().cpu().numpy()[used], right.double().cpu().numpy()[used]


def _padded_scores(encoder: Encoder, batch: PackedBatch, _length: int) -> tuple[Floats, Floats]:
    """The same from a model that takes padded rows: a piece a row."""
    used = batch.labels != IGNORE
    scored, labels = batch.scored[used], torch.from_numpy(batch.labels[used])
    ends = np.cumsum(batch.lengths)
    pieces, piece_of = np.unique(np.searchsorted(ends, scored, side="right"), return_inverse=True)
    starts = (ends - batch.lengths)[pieces]
    rows = [batch.input_ids[start:end].tolist() for start, end in zip(starts, ends[pieces], strict=True)]
    asked = [scored[piece_of == row] - starts[row] for row in range(len(rows))]
    losses, right = np.empty(len(scored)), np.empty(len(scored))
    for row, logits in logits_at(encoder, rows, asked, batch_tokens=PADDED_TOKENS):
        here = piece_of == row
        targets = labels[torch.from_numpy(here)]
        losses[here] = F.cross_entropy(logits, targets, reduction="none")
        right[here] = logits.argmax(-1) == targets
    return losses, right


def _metrics(bins: Floats) -> dict[str, float]:
    loss, right, targets = bins.sum(0)
    metrics = {"loss": loss / targets, "accuracy": right / targets}
    for name, (loss, _, targets) in zip(BIN_NAMES, bins, strict=True):
        if targets:
            metrics[f"loss {name}"] = loss / targets
    loss, _, targets = bins[1:].sum(0)
    if targets:
        metrics["long_loss"] = loss / targets
    return metrics
