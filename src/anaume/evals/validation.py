"""The masked-language-model loss of any encoder on held-out text, by length of the document.

Token stores → loss and accuracy, which the paper follows over its checkpoints (Figure 1), also for each length bin of
its Figure 2. The rule: the text and its masks depend on the seed and the stores only.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.stats import sem
from transformers import ModernBertForMaskedLM

from anaume.batches.batch import IGNORE, PackedBatch
from anaume.batches.lengths import BIN_NAMES, bins_of
from anaume.batches.loader import validation_batches
from anaume.batches.masking import Masking
from anaume.batches.plan import BatchPlan
from anaume.corpus.readers import parse_source
from anaume.encoder.load import Encoder
from anaume.encoder.logits import logits_at
from anaume.encoder.states import check_numbers
from anaume.evals.provenance import OWN_TEXTS, corpus_settings
from anaume.evals.record import Record
from anaume.evals.task import Evaluation, Request, Subject, estimate
from anaume.evals.tasks import ValidationOptions
from anaume.model.attention import packed_rows
from anaume.model.mlm import scores, to_device
from anaume.progress import bar
from anaume.tokenizer.load import Tokenizer, load_tokenizer
from anaume.tokens.build import build, open_stores
from anaume.tokens.characters import bits_per_character, tokens_per_character
from anaume.tokens.store import Store

MASK_RATE = 0.3
# Defaults: tokens of text, and draws of masks. One draw alone moved a loss of 1.4 by 0.03 (docs/log.md).
TOKENS, MASKS = 262_144, 4
# Tokens of a padded batch: logits of 30 % of them over a vocabulary of 250,000 are a gigabyte in float32.
PADDED_TOKENS = 4096
# Tokens that are timed for a forecast.
FORECAST_TOKENS = 16_384
# Metrics that each named validation set has by itself.
OF_EACH_SET = ("loss", "accuracy", "loss_error")
WITH_ERROR = ("loss", "accuracy", "long_loss")

Floats = NDArray[np.float64]


def evaluate(
    encoder: Encoder,
    stores: Sequence[Store],
    tokenizer: Tokenizer,
    *,
    texts: str,
    names: Sequence[str] = (),
    tokens: int = TOKENS,
    masks: int = MASKS,
    length: int = 0,
    row_tokens: int = 16_384,
    seed: int = 0,
) -> Record:
    """Measure the mean cross entropy (nats) and the accuracy at masked tokens, overall and by length of the piece.

    `long_loss` is the loss in pieces of more than 1,024 tokens, which stage 1 of the paper never sees whole.

    Each document is cut into pieces of at most `length` tokens (0: the model's positions), as in training, and at most
    `tokens` tokens are read. The text is scored under `masks` independent draws of masks; the metrics are those of all
    targets together. `loss_error`, `accuracy_error` and `long_loss_error` are standard errors, from the deviation
    between the draws: what other masks on the same text would change. The checkpoints of a run, and models of one
    tokenizer and one number of positions, are scored on the same masks. `row_tokens` is the size of a batch, and
    `texts` names the corpus in the record.

    `names`: the validation set of each store. Several sets share `tokens` equally, and each has metrics of its own,
    such as "general: loss". For `bits_per_character` see `tokens.characters`.
    """
    length = length or encoder.max_length
    sets: dict[str, Sequence[Store]] = {
        name: [s for s, own in zip(stores, names, strict=True) if own == name] for name in dict.fromkeys(names)
    }
    draws = np.zeros((masks, len(BIN_NAMES), 3))  # sum of losses, right guesses, targets
    metrics: dict[str, float] = {}
    for name, own in (sets or {"": stores}).items():
        plan = BatchPlan(
            tuple(own),
            (1.0,) * len(own),
            tokenizer,
            seed=seed,
            length=length,
            row_tokens=max(row_tokens, length),
            masking=Masking(MASK_RATE, MASK_RATE),
            documents="split",
        )
        of_set = _score(encoder, plan, tokens // max(1, len(sets)), masks)
        draws += of_set
        values = {key: value for key, value in _metrics(of_set).items() if key in OF_EACH_SET}
        if (bits := bits_per_character(values["loss"], tokens_per_character(own))) is not None:
            values["bits_per_character"] = bits
        alone = not name and len(sets) < 2
        metrics |= {key if alone else f"{name or 'unnamed'}: {key}": value for key, value in values.items()}
    settings = {
        "length": length,
        "tokens": tokens,
        "masks": masks,
        "mask_rate": MASK_RATE,
        "documents": "split",
        "texts": texts,
    }
    return Record(encoder.name, "validation", _metrics(draws) | metrics, int(draws[..., 2].sum()), settings, seed)


def _score(encoder: Encoder, plan: BatchPlan, tokens: int, masks: int) -> Floats:
    """(masks, bins, 3) Sum of losses, number of right guesses and of targets, by draw and length of the piece."""
    score = scores_of_packed_rows if isinstance(encoder.model, ModernBertForMaskedLM) else scores_of_padded_rows
    draws = np.zeros((masks, len(BIN_NAMES), 3))
    batches = [(draw, batch) for draw in range(masks) for batch in validation_batches(replace(plan, draw=draw), tokens)]
    with bar(f"{encoder.name}: validation", len(batches)) as advance:
        for draw, batch in batches:
            target_bins = bins_of(np.repeat(batch.lengths, batch.lengths)[batch.scored[batch.labels != IGNORE]])
            for column, values in enumerate((*score(encoder, batch, plan.length), np.ones(len(target_bins)))):
                draws[draw, :, column] += np.bincount(target_bins, weights=values, minlength=len(BIN_NAMES))
            advance(1)
    return draws


def scores_of_packed_rows(encoder: Encoder, batch: PackedBatch, length: int) -> tuple[Floats, Floats]:
    """Return the loss in nats of each target and whether the first guess is right, from one packed row."""
    used = batch.labels != IGNORE
    with packed_rows(encoder.model):
        losses, right = scores(encoder.model, to_device(batch, length, encoder.device), "float32")
    check_numbers(encoder, losses)
    return losses.double().cpu().numpy()[used], right.double().cpu().numpy()[used]


def scores_of_padded_rows(encoder: Encoder, batch: PackedBatch, _length: int) -> tuple[Floats, Floats]:
    """Return the loss in nats of each target and whether the first guess is right, from one padded row per piece."""
    used = batch.labels != IGNORE
    scored, labels = batch.scored[used], torch.from_numpy(batch.labels[used])
    ends = np.cumsum(batch.lengths)
    pieces, piece_of = np.unique(np.searchsorted(ends, scored, side="right"), return_inverse=True)
    starts = (ends - batch.lengths)[pieces]
    rows = [batch.input_ids[start:end].tolist() for start, end in zip(starts, ends[pieces], strict=True)]
    positions = [scored[piece_of == row] - starts[row] for row in range(len(rows))]
    losses, right = np.empty(len(scored)), np.empty(len(scored))
    for row, logits in logits_at(encoder, rows, positions, batch_tokens=PADDED_TOKENS):
        of_piece = piece_of == row
        targets = labels[torch.from_numpy(of_piece)]
        losses[of_piece] = F.cross_entropy(logits, targets, reduction="none")
        right[of_piece] = logits.argmax(-1) == targets
    return losses, right


def _metrics(draws: Floats) -> dict[str, float]:
    """(masks, bins, 3) → the metrics over all draws, and their standard errors if there are several."""
    metrics = _of_bins(draws.sum(0))
    if len(draws) > 1:
        of_draws = [_of_bins(bins) for bins in draws]
        for name in WITH_ERROR:
            values = [values[name] for values in of_draws if name in values]
            if len(values) == len(draws):
                metrics[f"{name}_error"] = sem(values)
    return metrics


def _of_bins(bins: Floats) -> dict[str, float]:
    """(bins, 3) → loss and accuracy, and the loss by length of the piece."""
    loss, right, targets = bins.sum(0)
    metrics = {"loss": loss / targets, "accuracy": right / targets}
    for name, (loss, _, targets) in zip(BIN_NAMES, bins, strict=True):
        if targets:
            metrics[f"loss {name}"] = loss / targets
    loss, _, targets = bins[1:].sum(0)
    if targets:
        metrics["long_loss"] = loss / targets
    return metrics


def prepare(request: Request[ValidationOptions]) -> Evaluation:
    """Check the texts; each model reads their tokens, which are made once per vocabulary and kept under `out`/.tokens.

    Raises:
        UserError: the texts can't be listed, or there are none.
    """
    options = request.options
    own_run = None if options.texts else request.run

    def measure(subject: Subject) -> Iterator[Record]:
        tokenizer = load_tokenizer(subject.path)
        stores = _stores(request, tokenizer)
        texts = options.texts or OWN_TEXTS
        names = [source.name for source in own_run.recipe().corpus.sources("validation")] if own_run else []
        amounts = {"tokens": options.tokens, "masks": options.masks, "seed": options.seed}
        yield evaluate(subject.encoder, stores, tokenizer, texts=texts, names=names, **amounts)

    def forecast(subjects: Sequence[Subject]) -> float:
        """The time of a batch stands for that of the others."""
        encoder, tokenizer = subjects[0].encoder, load_tokenizer(subjects[0].path)
        stores = _stores(request, tokenizer)
        tokens = min(options.tokens, sum(store.tokens for store in stores))
        blocks = range(-(-tokens // FORECAST_TOKENS))

        def work(part: Sequence[int]) -> None:
            evaluate(encoder, stores, tokenizer, texts="", tokens=len(part) * FORECAST_TOKENS, masks=1)

        return len(subjects) * options.masks * estimate(work, blocks, sample=1)

    amounts = {"tokens": options.tokens, "masks": options.masks}
    return Evaluation(measure, corpus_settings(options.texts, request.run) | amounts, forecast=forecast)


def _stores(request: Request[ValidationOptions], tokenizer: Tokenizer) -> Sequence[Store]:
    """The tokens of the given texts, or those of the run's own validation corpus."""
    texts = request.options.texts
    if request.run and not texts:
        return open_stores(request.run.tokens("validation"), tokenizer)
    name = f"{tokenizer.vocabulary_hash} {texts}".encode(errors="surrogateescape")
    key = hashlib.sha256(name).hexdigest()[:16]
    folder = request.out / ".tokens" / key
    build([parse_source(texts)], tokenizer, folder)
    return open_stores(folder, tokenizer)
