"""Fill in the blank (paper, Table 3): free text → likely words; cloze questions → accuracy and rank.

Every question is scored on careful rows and, under names that begin with `naive_`, on the rows that transformers'
pipeline makes (see `blanks`).

A blank gets as many masks as the answer has tokens in its place. The model predicts all masks at once, each without
seeing the words of the others. A mask's prediction is right if its piece spells the answer's piece, with or without a
mark of word boundary ("東京", "▁東京", "##東京"). The rank of a mask is 1 + the number of wrong entries of the
vocabulary that score as high or higher, so ties count against the model. The rank of an answer is that of its worst
mask, the rank of a question that of its best answer: rank 1 means that every mask's first guess is right.
"""

import heapq
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor

from anaume.corpus.rows import require_unicode
from anaume.encoder.load import Encoder, check_names, load_encoder
from anaume.encoder.logits import logits_at
from anaume.errors import UserError
from anaume.evals.blanks import MaskedRow, answer_ids, careful, naive
from anaume.evals.inputs.cloze import PLACEHOLDER, Cloze
from anaume.evals.inputs.cloze import read_cloze as read_cloze
from anaume.evals.overlap.clean import clean_metrics, clean_rows, clean_settings
from anaume.evals.provenance import data_settings
from anaume.evals.record import Record
from anaume.evals.task import Evaluation, Request, Subject, estimate
from anaume.evals.tasks import FillMaskOptions
from anaume.progress import bar
from anaume.tokenizer.unigram import SPACE

BOUNDARY_MARKS = (SPACE, "##", "Ġ")  # SentencePiece, WordPiece, byte-level BPE
ACCURACY_AT = (1, 5)
# Tokenizers with MeCab decode Japanese with spaces between the words.
JAPANESE_SPACE = re.compile(r"(?<=[^\x00-\x7f]) (?=[^\x00-\x7f])")


@dataclass(frozen=True, slots=True)
class Prediction:
    """A filling of all blanks and its probability. Words of blanks that stand apart are joined by " / ".

    With several masks, the probability is the product of theirs, because the model predicts them independently.
    """

    text: str
    probability: float


@dataclass(frozen=True)
class _Attempt:
    """One answer to one question in one variant ("" or "naive_").

    `targets`  for each mask the ids that are right; None if the vocabulary lacks a part of the answer
    `shown`    whether its predictions go into the record's details
    """

    question: int
    variant: str
    row: MaskedRow
    targets: tuple[tuple[int, ...], ...] | None
    shown: bool


def predict(encoder: Encoder, text: str, k: int = 5) -> list[Prediction]:
    """Return the k most probable fillings of all blanks of `text`, with one token for each [MASK], best first.

    Raises:
        UserError: no [MASK] in the text, or blanks too far apart for the model.
    """
    return predict_variants(encoder, text, k)[""]


def predict_variants(encoder: Encoder, text: str, k: int = 5) -> dict[str, list[Prediction]]:
    """Return variant → its k most probable fillings: "" is the careful row, "naive_" the naive row if it differs.

    Raises:
        UserError: no [MASK] in the text, or blanks too far apart for the model.
    """
    count = text.count(PLACEHOLDER)
    if not count:
        raise UserError(f"text {text!r}: no {PLACEHOLDER} in it; expected one or more")
    rows = {encode(encoder, text, [1] * count): variant for variant, encode in (("naive_", naive), ("", careful))}
    logits = dict(_logits(encoder, list(rows), batch_tokens=8192))
    return {
        variant: _most_probable(encoder.tokenizer, row.positions, logits[number], k)
        for number, (row, variant) in enumerate(rows.items())
    }


def show(models: Sequence[str], texts: Sequence[str], k: int = 5) -> None:
    """Print a table for each text (paper, Table 3), with a column for each model and for each naive row that differs.

    Raises:
        UserError: a text that is not Unicode; a model that can't be opened or has no mask, two models of one name; the
            errors of `predict`.
    """
    for text in texts:
        require_unicode(text, "--text")
    check_names(models)
    console = Console()
    tables: list[dict[str, list[Prediction]]] = [{} for _ in texts]
    for model in models:
        encoder = load_encoder(model, masked_lm=True)
        for columns, text in zip(tables, texts, strict=True):
            variants = predict_variants(encoder, text, k)
            columns[encoder.name] = variants[""]
            if "naive_" in variants:
                columns[f"{encoder.name}, naive"] = variants["naive_"]
    for columns, text in zip(tables, texts, strict=True):
        table = Table()
        for name in columns:
            table.add_column(Text(name))
        for row in zip_longest(*columns.values()):
            table.add_row(*(Text("" if p is None else f"{p.text} {p.probability:.1%}") for p in row))
        console.print(Text(text), table)


def evaluate(
    encoder: Encoder,
    cloze: Sequence[Cloze],
    *,
    k: int = 5,
    data: Path | None = None,
    clean: NDArray[np.bool_] | None = None,
    batch_tokens: int = 8192,
    seed: int = 0,
) -> Record:
    """Score cloze questions: accuracy_at_1, accuracy_at_5, mrr (over the whole vocabulary), each also as naive_….

    `data` is the file of the questions, which the record names; `clean`, (questions,), marks those that also have
    metrics of their own, clean_…. Each row of `details` holds a question's text and
    answers, the k most probable fillings (of as many masks as its first answer has tokens) and its rank. The rank is
    null if the vocabulary can't spell any answer; such a question counts as wrong.

    Raises:
        UserError: no questions.
    """
    if not cloze:
        raise UserError("fill-mask: no questions; expected at least one")
    attempts = [attempt for number, item in enumerate(cloze) for attempt in _attempts(encoder, number, item)]
    ranks: dict[str, list[int | None]] = {"": [None] * len(cloze), "naive_": [None] * len(cloze)}
    shown: dict[int, list[Prediction]] = {}
    for attempt, logits in _with_logits(encoder, attempts, batch_tokens):
        if attempt.shown:
            shown[attempt.question] = _most_probable(encoder.tokenizer, attempt.row.positions, logits, k)
        if attempt.targets is not None:
            best = ranks[attempt.variant][attempt.question]
            rank = rank_of(logits, attempt.targets)
            ranks[attempt.variant][attempt.question] = rank if best is None else min(best, rank)
    details = [_detail(item, shown[i], ranks[""][i]) for i, item in enumerate(cloze)]
    metrics = _metrics(ranks)
    if clean is not None:
        metrics |= clean_metrics(
            _metrics({variant: list(compress(of_all, clean)) for variant, of_all in ranks.items()})
        )
    settings = {
        "k": k,
        "variant": "no space imagined after a mask; naive_ is transformers' pipeline",
        "rank": "worst mask of an answer, best answer of a question; ties count against the model",
        "max_length": encoder.max_length,
        "truncated": len({attempt.question for attempt in attempts if attempt.row.truncated}),
        "unspeakable": sum(rank is None for rank in ranks[""]),
        **data_settings(data),
    }
    return Record(encoder.name, "fill-mask", metrics, len(cloze), settings, seed, details=details)


def _attempts(encoder: Encoder, number: int, item: Cloze) -> Iterator[_Attempt]:
    left = item.text.split(PLACEHOLDER)[0]
    for i, answer in enumerate(item.answers):
        lead, ids = answer_ids(encoder.tokenizer, left, answer)
        unspeakable = not ids or encoder.tokenizer.unk_token_id in ids
        targets = None if unspeakable else tuple(same_spelling(encoder.tokenizer, token) for token in ids)
        masks = [max(1, len(ids))]
        yield _Attempt(number, "", careful(encoder, item.text, masks, lead), targets, shown=i == 0)
        yield _Attempt(number, "naive_", naive(encoder, item.text, masks), targets, shown=False)


def _with_logits(
    encoder: Encoder, attempts: Sequence[_Attempt], batch_tokens: int
) -> Iterator[tuple[_Attempt, Tensor]]:
    """Yield every attempt with its logits (masks, vocabulary). Attempts with equal rows share one forward pass."""
    by_row: dict[MaskedRow, list[_Attempt]] = {}
    for attempt in attempts:
        by_row.setdefault(attempt.row, []).append(attempt)
    rows = list(by_row)
    with bar(f"{encoder.name}: fill-mask", len(rows)) as advance:
        for index, logits in _logits(encoder, rows, batch_tokens):
            advance(1)
            for attempt in by_row[rows[index]]:
                yield attempt, logits


def _logits(encoder: Encoder, rows: Sequence[MaskedRow], batch_tokens: int) -> Iterator[tuple[int, Tensor]]:
    """Yield (index, logits (masks, vocabulary)), without the entries that pad a vocabulary to a round size."""
    ids, positions = [row.ids for row in rows], [row.positions for row in rows]
    for index, logits in logits_at(encoder, ids, positions, batch_tokens=batch_tokens):
        yield index, logits[:, : len(encoder.tokenizer)]


def same_spelling(tokenizer: Any, token: int) -> tuple[int, ...]:
    """Return the ids of all pieces that equal this one except for a mark of word boundary."""
    piece: str = tokenizer.convert_ids_to_tokens(token)
    core = next((piece.removeprefix(mark) for mark in BOUNDARY_MARKS if piece.startswith(mark)), piece)
    spellings = [core, *(mark + core for mark in BOUNDARY_MARKS)] if core else []
    known = set(tokenizer.convert_tokens_to_ids(spellings)) - {tokenizer.unk_token_id, None}
    return tuple(sorted({token, *known}))


def rank_of(logits: Tensor, targets: Sequence[Sequence[int]]) -> int:
    """Return the rank of the worst mask: `logits` are (masks, vocabulary), `targets` the right ids of each mask."""
    worst = 1
    for scores, right in zip(logits, targets, strict=True):
        ahead = scores >= scores[list(right)].max()
        ahead[list(right)] = False
        worst = max(worst, 1 + int(ahead.sum()))
    return worst


def _metrics(ranks: Mapping[str, Sequence[int | None]]) -> dict[str, float]:
    """Variant → the ranks of the questions → all metrics, their names beginning with the variant."""
    return {f"{variant}{name}": value for variant, r in ranks.items() for name, value in _accuracies(r).items()}


def _accuracies(ranks: Sequence[int | None]) -> dict[str, float]:
    accuracies = {
        f"accuracy_at_{n}": sum(rank is not None and rank <= n for rank in ranks) / len(ranks) for n in ACCURACY_AT
    }
    return accuracies | {"mrr": sum(1 / rank for rank in ranks if rank is not None) / len(ranks)}


def _detail(item: Cloze, predictions: Sequence[Prediction], rank: int | None) -> dict[str, Any]:
    return {
        "text": item.text,
        "answers": list(item.answers),
        "predictions": [{"text": p.text, "probability": p.probability} for p in predictions],
        "rank": rank,
    }


def _most_probable(tokenizer: Any, positions: Sequence[int], logits: Tensor, k: int) -> list[Prediction]:
    """Return the k best fillings of all masks, whose predictions are independent.

    Keeping only the k best beginnings is exact, because the beginning of each of the best fillings is among them.
    """
    best: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for log_probabilities in logits.log_softmax(dim=-1):
        values, ids = log_probabilities.topk(min(k, len(log_probabilities)))
        longer = (
            (log + value, (*beginning, token))
            for log, beginning in best
            for value, token in zip(values.tolist(), ids.tolist(), strict=True)
        )
        best = heapq.nlargest(k, longer, key=lambda item: item[0])
    return [Prediction(_spell(tokenizer, positions, ids), float(torch.tensor(log).exp())) for log, ids in best]


def _spell(tokenizer: Any, positions: Sequence[int], ids: Sequence[int]) -> str:
    """Join ids at neighbouring positions to words, and words that stand apart by " / "."""
    words: list[list[int]] = []
    for i, token in enumerate(ids):
        if i and positions[i] == positions[i - 1] + 1:
            words[-1].append(token)
        else:
            words.append([token])
    return " / ".join(_word(tokenizer, word) for word in words)


def _word(tokenizer: Any, ids: list[int]) -> str:
    """Return the word as a reader sees it, or its pieces if nothing is visible (half a character, a "▁")."""
    text: str = tokenizer.decode(ids).strip().removeprefix("##")
    text = JAPANESE_SPACE.sub("", text)
    if not text or "\ufffd" in text:
        return "".join(tokenizer.convert_ids_to_tokens(ids))
    return text


def prepare(request: Request[FillMaskOptions]) -> Evaluation:
    """Read the cloze questions.

    Raises:
        UserError: see `read_cloze`.
    """
    options = request.options
    assert options.cloze
    path, cloze = options.cloze, read_cloze(options.cloze)
    settings: dict[str, Any] = {**data_settings(path)}
    clean = None
    if options.overlap:
        clean = clean_rows(options.overlap, path)
        settings |= clean_settings(options.overlap, clean)

    def measure(subject: Subject) -> Iterator[Record]:
        yield evaluate(subject.encoder, cloze, data=path, clean=clean, seed=options.seed)

    def forecast(subjects: Sequence[Subject]) -> float:
        return len(subjects) * estimate(partial(evaluate, subjects[0].encoder), cloze)

    return Evaluation(measure, settings, forecast=forecast)


def display(models: Sequence[str], options: FillMaskOptions) -> None:
    """Print what may stand in the blanks of `--text`: see `show`."""
    show(models, options.text or [], options.top_k)
