"""Fine-tuning of any Hugging Face encoder on a task: its examples as rows of ids → a trained network → metrics.

ModernBERT gets the examples of a batch end to end in one packed row, any other model padded to the longest one; the
heads are transformers' own. The rule: what is trained is what transformers' ForSequenceClassification,
ForMultipleChoice or ForQuestionAnswering would be with the same batches: packing, and the vocabulary cut to what the
task uses, change nothing but the time. A seed fixes the head's first weights, the order and the dropout.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import AdamW
from transformers import (
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    ModernBertModel,
    get_linear_schedule_with_warmup,
)

from anaume.errors import UserError
from anaume.evals import spans
from anaume.evals.agreement import accuracy, matthews, pearson, spearman
from anaume.evals.encoder import batches, quiet
from anaume.evals.jglue import Example, Kind, Task
from anaume.model.attention import PACKED, layout_of
from anaume.model.mlm import mixed_precision

# The paper's batch and length; the rest is what JGLUE's scripts use: transformers' Trainer with its defaults, and a
# tenth of the steps to warm up. Weight decay is 0 there, which makes `UsedEmbedding` exact.
BATCH = 32
MAX_LENGTH = 512
WARMUP = 0.1
BETAS, EPSILON, CLIP = (0.9, 0.999), 1e-8, 1.0
PREDICT_TOKENS = 8_192

HEADS = {
    "similarity": AutoModelForSequenceClassification,
    "classes": AutoModelForSequenceClassification,
    "choice": AutoModelForMultipleChoice,
    "span": AutoModelForQuestionAnswering,
}


@dataclass(frozen=True, slots=True)
class Row:
    """Ids with the special ones, and their token types where the tokenizer gives any."""

    ids: list[int]
    types: list[int] | None


@dataclass(frozen=True, slots=True)
class Item:
    """What is learnt from at a time.

    `rows`    one; for a choice one a choice
    `target`  the similarity or the number of the class or choice; for a span its first and last token in the row
    """

    rows: tuple[Row, ...]
    target: tuple[float, ...]


@dataclass(frozen=True)
class Encoded:
    """A split as ids: an item an example, or a window of a span's context; `truncated` counts texts that were cut."""

    examples: tuple[Example, ...]
    items: list[Item]
    windows: list[spans.Window]
    truncated: int


@dataclass(frozen=True)
class Settings:
    """What may differ between two trainings on the same items."""

    learning_rate: float
    epochs: int
    seed: int


def encode(tokenizer: Any, task: Task, examples: tuple[Example, ...], max_length: int) -> Encoded:
    """Turn a split into rows of at most `max_length` ids; of a pair the longer text is cut first, as JGLUE does."""
    if task.kind == "span":
        windows, cut = spans.windows(tokenizer, examples, max_length)
        items = [
            Item((Row(w.ids, w.types if _has_types(tokenizer) else None),), w.target(examples[w.example].answers[0]))
            for w in windows
        ]
        return Encoded(examples, items, windows, cut)
    texts = [example.texts for example in examples]
    if task.kind == "choice":
        texts = [(question, choice) for question, *choices in texts for choice in choices]
    rows, cut = _rows(tokenizer, texts, max_length)
    a_time = len(rows) // len(examples)
    groups = (tuple(rows[i : i + a_time]) for i in range(0, len(rows), a_time))
    return Encoded(examples, [Item(g, (e.label,)) for g, e in zip(groups, examples, strict=True)], [], cut)


def _has_types(tokenizer: Any) -> bool:
    return "token_type_ids" in tokenizer.model_input_names


def _rows(tokenizer: Any, texts: Sequence[tuple[str, ...]], max_length: int) -> tuple[list[Row], int]:
    sides = [list(side) for side in zip(*texts, strict=True)]
    encoded = tokenizer(*sides, verbose=False)
    ids: list[list[int]] = encoded["input_ids"]
    types = encoded["token_type_ids"] if _has_types(tokenizer) else [None] * len(ids)
    rows = [Row(*pair) for pair in zip(ids, types, strict=True)]
    long = [i for i, row in enumerate(ids) if len(row) > max_length]
    for i in long:
        cut = tokenizer(*texts[i], truncation=True, max_length=max_length)
        rows[i] = Row(cut["input_ids"], cut.get("token_type_ids"))
    return rows, len(long)


def build(model: str, task: Task, device: torch.device) -> Any:
    """Open a model with the task's head; new weights come from torch's generator.

    Raises:
        UserError: transformers has no such head for the model.
    """
    labels = {"similarity": 1, "classes": len(task.classes), "choice": 1, "span": 2}[task.kind]
    try:
        with quiet(bars=False):
            network = HEADS[task.kind].from_pretrained(model, num_labels=labels, dtype=torch.float32)
    except ValueError as error:
        reason = " ".join(str(error).split()).split(". ")[0]
        raise UserError(f"{model}: can't be fine-tuned on {task.name}: {reason}") from error
    # The packed attention knows no dropout of its weights; a model that wants one is trained padded.
    if isinstance(network.base_model, ModernBertModel) and not network.config.attention_dropout:
        network.set_attn_implementation(PACKED)
    return network.to(device)


class UsedEmbedding(nn.Module):
    """The rows of an embedding that a task's ids need, under the same ids.

    A row that no id asks for has no gradient, so AdamW without weight decay leaves it as it is: leaving such rows out
    changes nothing, but saves a pass over 100,000 rows, their gradients and their moments in each step.
    """

    def __init__(self, table: nn.Embedding, ids: NDArray[np.int64]) -> None:
        super().__init__()
        self.lookup: Tensor
        used = torch.from_numpy(ids).to(table.weight.device)
        self.weight = nn.Parameter(table.weight.detach()[used].clone())
        lookup = torch.full((table.num_embeddings,), -1, device=used.device)  # −1 is no row: asking for it fails
        lookup[used] = torch.arange(len(used), device=used.device)
        self.register_buffer("lookup", lookup, persistent=False)
        padding = -1 if table.padding_idx is None else int(lookup[table.padding_idx])
        self.padding = padding if padding >= 0 else None  # this row gets no gradient, as in the table

    def forward(self, ids: Tensor) -> Tensor:
        """(…) ids → (…, hidden)."""
        return F.embedding(self.lookup[ids], self.weight, padding_idx=self.padding)


def use_only(network: Any, splits: Iterable[Encoded]) -> None:
    """Cut the network's table of embeddings to the ids in these splits, and padding's."""
    ids = {i for split in splits for item in split.items for row in item.rows for i in row.ids}
    used = np.array(sorted(ids | {network.config.pad_token_id or 0}))
    network.set_input_embeddings(UsedEmbedding(network.get_input_embeddings(), used))


def logits(network: Any, kind: Kind, rows: Sequence[Row]) -> Tensor:
    """(rows, classes), one class for a similarity or a choice; for a span (tokens, 2), the rows end to end."""
    packed = network.config._attn_implementation == PACKED
    with mixed_precision(network.device):
        found = (_packed if packed else _padded)(network, kind, rows)
    return found.to(torch.promote_types(found.dtype, torch.float32))  # losses are not taken in bf16


def _packed(network: Any, kind: Kind, rows: Sequence[Row]) -> Tensor:
    """What ModernBERT's heads compute, on one row without padding."""
    lengths = [len(row.ids) for row in rows]
    layout = layout_of(lengths, MAX_LENGTH, network.device)
    ids = torch.tensor([i for row in rows for i in row.ids], device=network.device)
    positions = torch.tensor([i for length in lengths for i in range(length)], device=network.device)
    states = network.model(
        input_ids=ids[None],
        position_ids=positions[None],
        attention_mask={"full_attention": layout, "sliding_attention": layout},
    ).last_hidden_state[0]
    if kind != "span" and network.config.classifier_pooling == "cls":
        states = states[layout.cu_seqlens[:-1].long()]
    elif kind != "span":
        states = torch.segment_reduce(states, "mean", lengths=torch.tensor(lengths, device=network.device))
    found: Tensor = network.classifier(network.drop(network.head(states)))
    return found


def _padded(network: Any, kind: Kind, rows: Sequence[Row]) -> Tensor:
    longest = max(len(row.ids) for row in rows)

    def pad(values: Sequence[Sequence[int]], filling: int) -> Tensor:
        return torch.tensor([[*v, *[filling] * (longest - len(v))] for v in values], device=network.device)

    inputs = {
        "input_ids": pad([row.ids for row in rows], network.config.pad_token_id or 0),
        "attention_mask": pad([[1] * len(row.ids) for row in rows], 0),
    }
    if rows[0].types is not None:
        inputs["token_type_ids"] = pad([row.types or [] for row in rows], 0)
    if kind == "choice":  # the head scores each choice by itself, so all rows may stand as choices of one question
        choices: Tensor = network(**{name: value[None] for name, value in inputs.items()}).logits
        return choices.reshape(-1, 1)
    out = network(**inputs)
    if kind == "span":
        ends = torch.stack([out.start_logits, out.end_logits], dim=-1)
        return ends[inputs["attention_mask"].bool()]
    found: Tensor = out.logits
    return found


def loss_of(kind: Kind, found: Tensor, items: Sequence[Item]) -> Tensor:
    """The mean over the items, of squared errors for a similarity and of cross entropies (nats) else."""
    targets = torch.tensor([item.target for item in items], device=found.device, dtype=found.dtype)
    if kind == "similarity":
        return F.mse_loss(found, targets)
    if kind == "span":
        # Over the window's own tokens, the mean of start and end. (transformers' sum runs over padding, too.)
        windows = found.split([len(item.rows[0].ids) for item in items])
        ends = [F.cross_entropy(w.T, target) for w, target in zip(windows, targets.long(), strict=True)]
        return torch.stack(ends).mean()
    return F.cross_entropy(found.view(len(items), -1), targets[:, 0].long())


def train(
    model: str,
    task: Task,
    splits: Mapping[str, Encoded],
    settings: Settings,
    device: torch.device,
    on_step: Callable[[], None] = lambda: None,
) -> Any:
    """Open `model` with the task's head and train it on `splits["train"]`; only `splits` may be predicted with it."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.seed)
        network = build(model, task, device)
        use_only(network, splits.values())
        fit(network, task.kind, splits["train"].items, settings, on_step)
    return network


def fit(
    network: Any,
    kind: Kind,
    items: Sequence[Item],
    settings: Settings,
    on_step: Callable[[], None] = lambda: None,
) -> None:
    """Train all weights by AdamW: batches of 32 in an order of each epoch's own, the rate up over a tenth of the
    steps and straight down to zero, the gradient's norm clipped to 1. `on_step` is called after each step.
    """
    weights = [p for p in network.parameters() if p.requires_grad]
    optimizer = AdamW(weights, lr=settings.learning_rate, betas=BETAS, eps=EPSILON, weight_decay=0.0, fused=True)
    steps = steps_of(len(items), settings.epochs)
    schedule = get_linear_schedule_with_warmup(optimizer, math.ceil(WARMUP * steps), steps)
    network.train()
    for epoch in range(settings.epochs):
        order = np.random.default_rng((settings.seed, epoch)).permutation(len(items))
        for start in range(0, len(items), BATCH):
            batch = [items[i] for i in order[start : start + BATCH]]
            batch.sort(key=lambda item: len(item.rows[0].ids))  # the packed attention takes equal lengths in one call
            loss = loss_of(kind, logits(network, kind, [row for item in batch for row in item.rows]), batch)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(weights, CLIP)
            optimizer.step()
            schedule.step()
            on_step()


def steps_of(items: int, epochs: int) -> int:
    """Optimizer steps of a training; the last batch of an epoch may be short."""
    return epochs * math.ceil(items / BATCH)


def predict(network: Any, kind: Kind, items: Sequence[Item]) -> list[NDArray[np.float32]]:
    """For each item its logits (classes or choices), or for a span (tokens, 2)."""
    rows = [row for item in items for row in item.rows]
    found: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(rows)
    network.eval()
    for batch in batches([len(row.ids) for row in rows], PREDICT_TOKENS):
        chosen = [rows[i] for i in batch]
        with torch.inference_mode():
            outputs = logits(network, kind, chosen).cpu()
        parts = outputs.split([len(row.ids) for row in chosen] if kind == "span" else 1)
        for i, part in zip(batch, parts, strict=True):
            found[i] = part.numpy() if kind == "span" else part.numpy().ravel()
    a_time = len(items[0].rows)
    return found if a_time == 1 else [np.concatenate(found[i : i + a_time]) for i in range(0, len(found), a_time)]


def measure(task: Task, encoded: Encoded, outputs: Sequence[NDArray[np.float32]]) -> dict[str, float]:
    """The task's metrics on a split, all in [−1, 1]."""
    if task.kind == "span":
        return spans.scores(spans.answers_of(encoded.windows, outputs, encoded.examples), encoded.examples)
    labels = np.array([example.label for example in encoded.examples])
    if task.kind == "similarity":
        guesses = np.array([output[0] for output in outputs], dtype=np.float64)
        return {"pearson": pearson(guesses, labels), "spearman": spearman(guesses, labels)}
    guesses = np.array([output.argmax() for output in outputs], dtype=np.float64)
    metrics = {"accuracy": accuracy(guesses, labels)}
    if task.name == "jcola":
        metrics["mcc"] = matthews(guesses, labels)
    return metrics
