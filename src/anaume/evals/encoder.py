"""Any Hugging Face encoder through one door: texts → ids → hidden states → embeddings, or logits at masks.

Padding never leaves `hidden_states`: what comes out of it is one flat row of real tokens per batch. ModernBERTs never
see any, for they run on packed rows; other models on padded ones.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoTokenizer,
    ModernBertForMaskedLM,
    ModernBertModel,
)
from transformers.utils import logging

from anaume.errors import UserError
from anaume.evals.origin import revision
from anaume.evals.progress import bar
from anaume.model.attention import layout_of, packed_rows

TEXTS_AT_ONCE = 16_384  # ids of so many texts are held at a time: a million of them as Python integers would not fit
FULL_LOGITS_TOKENS = 1_024  # logits for every position: 1,024 × 100,000 × 4 bytes is already 400 MB


@dataclass(frozen=True)
class Encoder:
    """A model ready for evaluation, in float32 and evaluation mode.

    `name`        the folder's name, or the Hub id
    `tokenizer`   a transformers tokenizer (fast or slow)
    `model`       AutoModelForMaskedLM if loaded with `masked_lm`, else AutoModel
    `max_length`  tokens, special ones included; what is longer is truncated and counted
    `revision`    which weights: see `origin.revision`; empty for a model made in memory
    """

    name: str
    tokenizer: Any
    model: Any
    max_length: int
    device: torch.device
    revision: str = ""


@dataclass(frozen=True)
class Tokenized:
    """Token ids with the special ones, and how many of the rows were cut to the model's length."""

    rows: list[list[int]]
    truncated: int


@dataclass(frozen=True)
class Embedded:
    """`vectors` (texts, hidden) float32 on the CPU, not normalised; `truncated` texts."""

    vectors: Tensor
    truncated: int


@dataclass(frozen=True)
class Hidden:
    """Last hidden states of one batch, without padding.

    `rows`     which of the given rows these are, in the order of `states`
    `lengths`  tokens of each
    `states`   (sum of lengths, hidden), on the encoder's device
    """

    rows: list[int]
    lengths: list[int]
    states: Tensor


def load(path_or_id: str, *, masked_lm: bool) -> Encoder:
    """Open a local folder or a Hub id.

    Raises:
        UserError: it doesn't exist or can't be opened, weights are missing from it (without a masked-LM
            head it would run with a random one), or its tokenizer has no mask token though `masked_lm`.
    """
    tokenizer = open_tokenizer(path_or_id, masked_lm=masked_lm)
    kind = AutoModelForMaskedLM if masked_lm else AutoModel
    with _opening(path_or_id), quiet(bars=not Path(path_or_id).is_dir()):
        # float32 whatever the checkpoint holds: half is slow on a CPU, and numbers must compare.
        model, info = kind.from_pretrained(path_or_id, dtype=torch.float32, output_loading_info=True)
    missing = sorted(key for key in info["missing_keys"] if "pooler" not in key)  # mean pooling needs no pooler
    if missing:
        what = "a masked language model" if masked_lm else "an encoder"
        raise UserError(f"{path_or_id}: lacks weights of {what}: {', '.join(missing[:3])}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    length = _max_length(tokenizer, model)
    return Encoder(name_of(path_or_id), tokenizer, model.to(device).eval(), length, device, revision(path_or_id))


def open_tokenizer(path_or_id: str, *, masked_lm: bool) -> Any:
    """A model's tokenizer, after a look at its config: what most mistakes show in, before any weights are read.

    Raises:
        UserError: as `load`.
    """
    folder = Path(path_or_id)
    if not folder.is_dir() and (folder.is_absolute() or path_or_id.startswith(".") or path_or_id.count("/") > 1):
        raise UserError(f"{path_or_id}: no such folder; expected a model's folder or a Hub id (owner/name)")
    with _opening(path_or_id):
        AutoConfig.from_pretrained(path_or_id)  # first: without it the tokenizer's error would be a riddle
        tokenizer = AutoTokenizer.from_pretrained(path_or_id)
    if masked_lm and tokenizer.mask_token_id is None:
        raise UserError(f"{path_or_id}: its tokenizer has no mask token; expected a masked language model")
    return tokenizer


@contextmanager
def _opening(path_or_id: str) -> Iterator[None]:
    """What transformers says when it can't open something, in one line."""
    try:
        yield
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        reason = " ".join(str(error).split()).split(". ")[0]
        raise UserError(f"{path_or_id}: can't be opened as a model's folder or Hub id: {reason}") from error


def name_of(path_or_id: str) -> str:
    """What a model is called in its records: the folder's name, or the Hub id."""
    folder = Path(path_or_id)
    return folder.resolve().name if folder.is_dir() else path_or_id


def check_names(models: Sequence[str]) -> None:
    """Refuse models that would share a name, and with it their records.

    Raises:
        UserError: naming one of them.
    """
    names = [name_of(model) for model in models]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise UserError(f"two models are called {min(repeated)!r}, and so would be their records; rename a folder")


@contextmanager
def quiet(*, bars: bool) -> Iterator[None]:
    """Hold back transformers' table of weights left over, as `load` checks what matters of it."""
    verbosity, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if not bars:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def _max_length(tokenizer: Any, model: Any) -> int:
    limits = [int(tokenizer.model_max_length)]  # 10^30 where the tokenizer states none
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions and positions > 0:
        table = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
        # RoBERTa and its family count positions from behind the padding index: 514 rows hold 512 tokens.
        padding = table.padding_idx if isinstance(table, nn.Embedding) else None
        limits.append(positions if padding is None else positions - padding - 1)
    return min(limits)


@lru_cache(maxsize=16)
def special_ids(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the ids that the tokenizer puts before and after a text: (CLS,) and (SEP,).

    Raises:
        UserError: it does something else than adding some at both ends.
    """
    full = tokenizer("あ")["input_ids"]
    bare = tokenizer("あ", add_special_tokens=False)["input_ids"]
    starts = [i for i in range(len(full) - len(bare) + 1) if full[i : i + len(bare)] == bare]
    if not starts:
        raise UserError(
            f"{tokenizer.name_or_path}: without special tokens its tokenizer encodes あ as {bare}, with them as {full};"
            " accepted: one that only adds them"
        )
    return tuple(full[: starts[0]]), tuple(full[starts[0] + len(bare) :])


def tokenize(encoder: Encoder, texts: Sequence[str]) -> Tokenized:
    """Encode texts with special tokens, cut on the right to `max_length` as `truncation=True` does."""
    if not texts:
        return Tokenized([], 0)
    rows = encoder.tokenizer(list(texts), verbose=False)["input_ids"]
    _, suffix = special_ids(encoder.tokenizer)
    kept = encoder.max_length - len(suffix)
    truncated = 0
    for i, row in enumerate(rows):
        if len(row) > encoder.max_length:
            rows[i] = [*row[:kept], *suffix]
            truncated += 1
    return Tokenized(rows, truncated)


def batches(lengths: Sequence[int], batch_tokens: int, *, packed: bool = False) -> Iterator[list[int]]:
    """Yield indices of rows, longest first, within `batch_tokens` or one row alone.

    Counted are rows × longest, or the rows' own tokens where they are `packed`.
    """
    batch: list[int] = []
    tokens = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        after = tokens + lengths[index] if packed else (len(batch) + 1) * lengths[(batch or [index])[0]]
        if batch and after > batch_tokens:
            yield batch
            batch, after = [], lengths[index]
        batch.append(index)
        tokens = after
    if batch:
        yield batch


def hidden_states(encoder: Encoder, rows: Sequence[Sequence[int]], *, batch_tokens: int) -> Iterator[Hidden]:
    """Run the network without its head over rows of ids; the batches come longest rows first.

    A ModernBERT runs on packed rows, end to end without padding; both ways give the same numbers. Token types are left
    out: every model that has them takes zeros then, which is what a tokenizer returns for one text.
    """
    packed = isinstance(encoder.model.base_model, ModernBertModel)
    run = _packed_states if packed else _padded_states
    for batch in batches([len(row) for row in rows], batch_tokens, packed=packed):
        chosen = [rows[i] for i in batch]
        with torch.inference_mode():
            states = run(encoder, chosen)
        yield Hidden(batch, [len(row) for row in chosen], states)


def _packed_states(encoder: Encoder, rows: Sequence[Sequence[int]]) -> Tensor:
    lengths = [len(row) for row in rows]
    layout = layout_of(lengths, encoder.max_length, encoder.device)
    ids = torch.tensor(list(chain.from_iterable(rows)), device=encoder.device)
    positions = torch.cat([torch.arange(length) for length in lengths]).to(encoder.device)
    with packed_rows(encoder.model):
        states: Tensor = encoder.model.base_model(
            input_ids=ids.unsqueeze(0),
            position_ids=positions.unsqueeze(0),
            attention_mask={"full_attention": layout, "sliding_attention": layout},
        ).last_hidden_state
    return states[0]


def _padded_states(encoder: Encoder, rows: Sequence[Sequence[int]]) -> Tensor:
    ids, mask = _padded(encoder, rows)
    states: Tensor = encoder.model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
    return states[mask.bool()]


def _padded(encoder: Encoder, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return ids and attention mask, both (rows, longest) int64."""
    longest = max(len(row) for row in rows)
    padding = encoder.tokenizer.pad_token_id or 0  # never attended to, so any id will do where there is none
    ids = torch.tensor([[*row, *[padding] * (longest - len(row))] for row in rows])
    mask = torch.arange(longest)[None, :] < torch.tensor([len(row) for row in rows])[:, None]
    return ids.to(encoder.device), mask.long().to(encoder.device)


def embed_counted(encoder: Encoder, texts: Sequence[str], *, batch_tokens: int = 8192) -> Embedded:
    """Mean of the last hidden states over all real tokens, CLS and SEP included, and the texts cut.

    What the paper's retrieval and sentence-transformers' mean pooling compute.
    """
    vectors = torch.empty(len(texts), encoder.model.config.hidden_size)
    truncated = 0
    with bar(f"{encoder.name}: embeddings", len(texts)) as show:
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            tokenized = tokenize(encoder, texts[start : start + TEXTS_AT_ONCE])
            truncated += tokenized.truncated
            here = vectors[start : start + TEXTS_AT_ONCE]
            for hidden in hidden_states(encoder, tokenized.rows, batch_tokens=batch_tokens):
                lengths = torch.tensor(hidden.lengths, device=encoder.device)
                here[hidden.rows] = torch.segment_reduce(hidden.states.float(), "mean", lengths=lengths).cpu()
                check_numbers(encoder, here[hidden.rows])
                show(len(hidden.rows))
    return Embedded(vectors, truncated)


def check_numbers(encoder: Encoder, outputs: Tensor) -> None:
    """Refuse NaN, which compares with nothing: every metric would make something else of it, some of them a 1.

    Raises:
        UserError: naming the model.
    """
    if outputs.isnan().any():
        raise UserError(f"{encoder.name}: gives NaN; expected numbers (weights of a training that diverged?)")


def unit_length(vectors: Tensor) -> Tensor:
    """(texts, hidden) → the same scaled to length 1, in float64, where equal vectors stay equal."""
    return torch.nn.functional.normalize(vectors.double(), dim=1)


def embed(encoder: Encoder, texts: Sequence[str], *, batch_tokens: int = 8192) -> Tensor:
    """Return mean-pooled embeddings of `texts`: (texts, hidden) float32 on the CPU, not normalised."""
    return embed_counted(encoder, texts, batch_tokens=batch_tokens).vectors


def logits_at(
    encoder: Encoder,
    rows: Sequence[Sequence[int]],
    positions: Sequence[Sequence[int]],
    *,
    batch_tokens: int = 8192,
) -> Iterator[tuple[int, Tensor]]:
    """Yield (index of the row, its logits (positions, vocabulary) float32 on the CPU), longest rows first.

    A ModernBERT computes its head at these positions only; other models at least their product with the vocabulary.
    """
    if not isinstance(encoder.model, ModernBertForMaskedLM):
        yield from _logits_padded(encoder, rows, positions, batch_tokens)
        return
    for hidden in hidden_states(encoder, rows, batch_tokens=batch_tokens):
        flat = _flat([positions[row] for row in hidden.rows], hidden.lengths)
        with torch.inference_mode():
            chosen = hidden.states[torch.tensor(flat, device=encoder.device)]
            logits = encoder.model.decoder(encoder.model.head(chosen)).float().cpu()
        check_numbers(encoder, logits)
        counts = [len(positions[row]) for row in hidden.rows]
        yield from zip(hidden.rows, logits.split(counts), strict=True)


def _flat(positions: Sequence[Sequence[int]], lengths: Sequence[int]) -> list[int]:
    """Positions in rows → positions in those rows laid end to end."""
    starts = accumulate(lengths[:-1], initial=0)
    return [start + p for start, places in zip(starts, positions, strict=True) for p in places]


def _logits_padded(
    encoder: Encoder, rows: Sequence[Sequence[int]], positions: Sequence[Sequence[int]], batch_tokens: int
) -> Iterator[tuple[int, Tensor]]:
    """The padded way. Where the last module is a linear one, it is handed the wanted positions only."""
    decoder = encoder.model.get_output_embeddings()
    narrow = isinstance(decoder, nn.Linear)
    for batch in batches([len(row) for row in rows], batch_tokens if narrow else min(batch_tokens, FULL_LOGITS_TOKENS)):
        ids, mask = _padded(encoder, [rows[i] for i in batch])
        wanted = torch.tensor(_flat([positions[i] for i in batch], [ids.shape[1]] * len(batch)), device=ids.device)
        hook = decoder.register_forward_pre_hook(lambda _, x, at=wanted: x[0].flatten(0, 1)[at]) if narrow else None
        try:
            with torch.inference_mode():
                logits = encoder.model(input_ids=ids, attention_mask=mask).logits
        finally:
            if hook:
                hook.remove()
        logits = (logits if narrow else logits.flatten(0, 1)[wanted]).float().cpu()
        check_numbers(encoder, logits)
        yield from zip(batch, logits.split([len(positions[i]) for i in batch]), strict=True)
