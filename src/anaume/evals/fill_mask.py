"""Fill in the blank (paper, Table 3): free text → likely words; a set of cloze questions → accuracy and rank.

Everything exists twice: on careful rows and, as `naive_…`, on those of transformers' pipeline (see
`blanks`).

How an answer is judged. A blank gets as many masks as the answer has tokens at that place, and all are
predicted at once, each without seeing the others' words. A mask's prediction is right if its piece spells the
answer's piece, with or without a mark of word boundary ("東京", "▁東京", "##東京"). The rank of a mask is 1 +
the wrong entries of the vocabulary that score as high or higher (so ties count against the model), the rank
of an answer the worst of its masks, the rank of a question the best of its answers: rank 1 means that every
mask's first guess is right.
"""

import heapq
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor

from anaume.corpus.rows import read_rows, text_of
from anaume.encoder.load import Encoder, check_names, load_encoder
from anaume.encoder.logits import logits_at
from anaume.errors import UserError
from anaume.evals.blanks import PLACEHOLDER, Form, answer_ids, careful, naive
from anaume.evals.provenance import data_settings
from anaume.evals.record import Record
from anaume.evals.task import Evaluation, Request, Subject
from anaume.evals.tasks import FillMaskOptions
from anaume.progress import bar
from anaume.tokenizer.unigram import SPACE

BOUNDARY_MARKS = (SPACE, "##", "Ġ")  # SentencePiece, WordPiece, byte-level BPE
SHOWN_AT = (1, 5)
JAPANESE_SPACE = re.compile(r"(?<=[^\x00-\x7f]) (?=[^\x00-\x7f])")  # MeCab tokenizers decode with spaces


@dataclass(frozen=True, slots=True)
class Cloze:
    """A text with one [MASK], and the words that are right there."""

    text: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What may stand in the blanks (several apart are joined by " / "), and its probability.

    With several masks the probability is the product of theirs: the model predicts them independently.
    """

    text: str
    probability: float


@dataclass(frozen=True)
class _Trial:
    """One answer to one question in one variant.

    `targets` are the ids that are right at each mask, None where the vocabulary lacks a part of the answer.
    """

    question: int
    variant: str
    form: Form
    targets: tuple[tuple[int, ...], ...] | None
    shown: bool


def read_cloze(path: Path) -> list[Cloze]:
    """Read JSON lines with `text` (one [MASK] in it) and `answers` (a list of words).

    Raises:
        UserError: naming file and line: not JSON, no or several [MASK], no answers, an empty one; or an empty
        file.
    """
    return [_cloze(row, place) for place, row in read_rows(path)]


def _cloze(row: dict[str, Any], place: str) -> Cloze:
    text = text_of(row, "text", place)
    if (count := text.count(PLACEHOLDER)) != 1:
        raise UserError(f"{place}: 'text' must hold one {PLACEHOLDER}, has {count}: {text!r}")
    answers = row.get("answers")
    if not isinstance(answers, list) or not answers:
        raise UserError(f"{place}: 'answers' must be a list of words that is not empty, got {answers!r}")
    for answer in answers:
        if not isinstance(answer, str) or not answer.strip():
            raise UserError(f"{place}: 'answers' must hold words that are not empty, got {answer!r}")
    return Cloze(text, tuple(answers))


def predict(encoder: Encoder, text: str, k: int = 5) -> list[Prediction]:
    """Return the k most probable fillings of all blanks of `text`, one token a [MASK], best first.

    Raises:
        UserError: no [MASK] in the text, or blanks too far apart for the model.
    """
    return predict_both(encoder, text, k)[""]


def predict_both(encoder: Encoder, text: str, k: int = 5) -> dict[str, list[Prediction]]:
    """The same as "", and as "naive_" on the naive row where that is another one.

    Raises:
        UserError: as `predict`.
    """
    count = text.count(PLACEHOLDER)
    if not count:
        raise UserError(f"text must hold {PLACEHOLDER} at least once: {text!r}")
    forms = {encode(encoder, text, [1] * count): variant for variant, encode in (("naive_", naive), ("", careful))}
    answers = dict(_logits(encoder, list(forms), batch_tokens=8192))
    return {
        variant: _most_probable(encoder.tokenizer, form.positions, answers[number], k)
        for number, (form, variant) in enumerate(forms.items())
    }


def show(models: Sequence[str], texts: Sequence[str], k: int = 5) -> None:
    """Print a table for each text (paper, Table 3): a column a model, and one more where the naive row is another.

    Raises:
        UserError: a model that can't be opened or has no mask, two of one name; as `predict`.
    """
    check_names(models)
    console = Console()
    columns: list[dict[str, list[Prediction]]] = [{} for _ in texts]
    for model in models:
        encoder = load_encoder(model, masked_lm=True)
        for column, text in zip(columns, texts, strict=True):
            found = predict_both(encoder, text, k)
            column[encoder.name] = found[""]
            if "naive_" in found:
                column[f"{encoder.name}, naive"] = found["naive_"]
    for column, text in zip(columns, texts, strict=True):
        table = Table()
        for name in column:
            table.add_column(Text(name))
        for row in zip_longest(*column.values()):
            table.add_row(*(Text("" if p is None else f"{p.text} {p.probability:.1%}") for p in row))
        console.print(Text(text), table)


def evaluate(
    encoder: Encoder,
    cloze: Sequence[Cloze],
    *,
    k: int = 5,
    data: Path | None = None,
    batch_tokens: int = 8192,
    seed: int = 0,
) -> Record:
    """Score cloze questions: accuracy_at_1, accuracy_at_5, mrr (whole vocabulary), and naive_… of each.

    `data` is the file that `cloze` came from, named in the record. Each row of `details` holds a question's
    text and answers, the k most probable fillings (of as many masks as its first answer has tokens) and its
    rank, null if the vocabulary can't spell any answer: such a question counts as wrong.

    Raises:
        UserError: no questions.
    """
    if not cloze:
        raise UserError("fill-mask: no questions, expected one at least")
    trials = [trial for number, item in enumerate(cloze) for trial in _trials(encoder, number, item)]
    ranks: dict[str, list[int | None]] = {"": [None] * len(cloze), "naive_": [None] * len(cloze)}
    shown: dict[int, list[Prediction]] = {}
    for trial, logits in _answered(encoder, trials, batch_tokens):
        if trial.shown:
            shown[trial.question] = _most_probable(encoder.tokenizer, trial.form.positions, logits, k)
        if trial.targets is not None:
            best = ranks[trial.variant][trial.question]
            rank = _rank(logits, trial.targets)
            ranks[trial.variant][trial.question] = rank if best is None else min(best, rank)
    details = [_detail(item, shown[i], ranks[""][i]) for i, item in enumerate(cloze)]
    metrics = {f"{variant}{name}": value for variant, some in ranks.items() for name, value in _metrics(some).items()}
    settings = {
        "k": k,
        "variant": "no space imagined after a mask; naive_ is transformers' pipeline",
        "rank": "worst mask of an answer, best answer of a question; ties count against the model",
        "max_length": encoder.max_length,
        "truncated": len({trial.question for trial in trials if trial.form.truncated}),
        "unspeakable": sum(rank is None for rank in ranks[""]),
        **data_settings(data),
    }
    return Record(encoder.name, "fill-mask", metrics, len(cloze), settings, seed, details=details)


def _trials(encoder: Encoder, number: int, item: Cloze) -> Iterator[_Trial]:
    left = item.text.split(PLACEHOLDER)[0]
    for i, answer in enumerate(item.answers):
        lead, ids = answer_ids(encoder.tokenizer, left, answer)
        unspeakable = not ids or encoder.tokenizer.unk_token_id in ids
        targets = None if unspeakable else tuple(_same_spelling(encoder.tokenizer, token) for token in ids)
        masks = [max(1, len(ids))]
        yield _Trial(number, "", careful(encoder, item.text, masks, lead), targets, shown=i == 0)
        yield _Trial(number, "naive_", naive(encoder, item.text, masks), targets, shown=False)


def _answered(encoder: Encoder, trials: Sequence[_Trial], batch_tokens: int) -> Iterator[tuple[_Trial, Tensor]]:
    """Yield every trial with the logits (masks, vocabulary) of its form; equal forms run once."""
    by_form: dict[Form, list[_Trial]] = {}
    for trial in trials:
        by_form.setdefault(trial.form, []).append(trial)
    forms = list(by_form)
    with bar(f"{encoder.name}: fill-mask", len(forms)) as show:
        for index, logits in _logits(encoder, forms, batch_tokens):
            show(1)
            for trial in by_form[forms[index]]:
                yield trial, logits


def _logits(encoder: Encoder, forms: Sequence[Form], batch_tokens: int) -> Iterator[tuple[int, Tensor]]:
    """Yield (index, logits (masks, vocabulary)); rows that pad a model's vocabulary to a round size are no words."""
    rows, positions = [form.ids for form in forms], [form.positions for form in forms]
    for index, logits in logits_at(encoder, rows, positions, batch_tokens=batch_tokens):
        yield index, logits[:, : len(encoder.tokenizer)]


def _same_spelling(tokenizer: Any, token: int) -> tuple[int, ...]:
    """Return the ids of all pieces that differ from this one by a mark of word boundary at most."""
    piece: str = tokenizer.convert_ids_to_tokens(token)
    core = next((piece.removeprefix(mark) for mark in BOUNDARY_MARKS if piece.startswith(mark)), piece)
    spellings = [core, *(mark + core for mark in BOUNDARY_MARKS)] if core else []
    known = set(tokenizer.convert_tokens_to_ids(spellings)) - {tokenizer.unk_token_id, None}
    return tuple(sorted({token, *known}))


def _rank(logits: Tensor, targets: Sequence[Sequence[int]]) -> int:
    worst = 1
    for scores, right in zip(logits, targets, strict=True):
        ahead = scores >= scores[list(right)].max()
        ahead[list(right)] = False
        worst = max(worst, 1 + int(ahead.sum()))
    return worst


def _metrics(ranks: Sequence[int | None]) -> dict[str, float]:
    accuracies = {
        f"accuracy_at_{n}": sum(rank is not None and rank <= n for rank in ranks) / len(ranks) for n in SHOWN_AT
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
    """Return the k best fillings of all masks, positions independent.

    Keeping the k best beginnings is exact: whatever ends a filling among the best, its beginning is among the
    best.
    """
    logs = logits.log_softmax(dim=-1)
    best: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for row in logs:
        values, ids = row.topk(min(k, len(row)))
        longer = (
            (log + value, (*begun, token))
            for log, begun in best
            for value, token in zip(values.tolist(), ids.tolist(), strict=True)
        )
        best = heapq.nlargest(k, longer, key=lambda item: item[0])
    return [Prediction(_spell(tokenizer, positions, ids), float(torch.tensor(log).exp())) for log, ids in best]


def _spell(tokenizer: Any, positions: Sequence[int], ids: Sequence[int]) -> str:
    words: list[list[int]] = []
    for i, token in enumerate(ids):
        if i and positions[i] == positions[i - 1] + 1:
            words[-1].append(token)
        else:
            words.append([token])
    return " / ".join(_word(tokenizer, word) for word in words)


def _word(tokenizer: Any, ids: list[int]) -> str:
    """Return the word as a reader sees it; its pieces where that is nothing (half a character, a "▁")."""
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

    def measure(subject: Subject) -> Iterator[Record]:
        yield evaluate(subject.encoder, cloze, data=path, seed=options.seed)

    return Evaluation(measure, data_settings(path))


def display(models: Sequence[str], options: FillMaskOptions) -> None:
    """Print what may stand in the blanks of `--text`: see `show`."""
    show(models, options.text or [], options.top_k)
