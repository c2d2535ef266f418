"""An encoder with a task's head: rows of ids → logits → loss.

ModernBERT reads the examples of a batch end to end in one packed row; other models read them padded to the longest.
The heads are transformers' own. The rule: the network equals transformers' ForSequenceClassification,
ForMultipleChoice, ForQuestionAnswering or ForTokenClassification on the same batches. Packing, and the embedding table
cut to the ids that the task uses, change nothing but the time.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import (
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    ModernBertModel,
)

from anaume.finetune.examples import PER_TOKEN, Head, Kind
from anaume.finetune.items import MAX_LENGTH, Encoded, Item, Row
from anaume.model.attention import PACKED
from anaume.model.mlm import mixed_precision
from anaume.model.opening import check_files, opening, quiet_transformers, safe_arguments
from anaume.model.packed import pack, packed_states

HEADS = {
    "similarity": AutoModelForSequenceClassification,
    "classes": AutoModelForSequenceClassification,
    "labels": AutoModelForSequenceClassification,
    "choice": AutoModelForMultipleChoice,
    "span": AutoModelForQuestionAnswering,
    "tokens": AutoModelForTokenClassification,
}
# What a saved config says about the loss, for the kinds whose outputs don't tell.
PROBLEM_TYPES = {
    "similarity": "regression",
    "classes": "single_label_classification",
    "labels": "multi_label_classification",
}


def build_network(model: str, head: Head, device: torch.device) -> Any:
    """Open a model with a head; the head's new weights come from torch's generator.

    Raises:
        UserError: transformers has no such head for the model, or the model can't be opened.
    """
    check_files(model)
    with opening(f"{model}: fine-tuning on {head.task}"), quiet_transformers(bars=False):
        network = HEADS[head.kind].from_pretrained(model, dtype=torch.float32, **_config_of(head), **safe_arguments())
    # The packed attention has no dropout of its weights, so a model that wants dropout is trained on padded rows.
    if isinstance(network.base_model, ModernBertModel) and not network.config.attention_dropout:
        network.set_attn_implementation(PACKED)
    return network.to(device)


def _config_of(head: Head) -> dict[str, Any]:
    """Return the keys of a config that describe a head."""
    if not head.names:
        return {"num_labels": head.outputs}
    names = {
        "id2label": dict(enumerate(head.names)),
        "label2id": {name: i for i, name in enumerate(head.names)},
    }
    return names | ({"problem_type": PROBLEM_TYPES[head.kind]} if head.kind in PROBLEM_TYPES else {})


class UsedEmbedding(nn.Module):
    """The rows of an embedding table that a task's ids need, under the same ids.

    A row that no id asks for has no gradient, so AdamW without weight decay never changes it. Leaving such rows out
    changes nothing, and saves a pass over 100,000 rows, their gradients and their moments in each step.
    """

    def __init__(self, table: nn.Embedding, ids: NDArray[np.int64]) -> None:
        super().__init__()
        self.lookup: Tensor
        used = torch.from_numpy(ids).to(table.weight.device)
        self.weight = nn.Parameter(table.weight.detach()[used].clone())
        lookup = torch.full((table.num_embeddings,), -1, device=used.device)  # −1 is no row, so looking it up fails
        lookup[used] = torch.arange(len(used), device=used.device)
        self.register_buffer("lookup", lookup, persistent=False)
        padding = -1 if table.padding_idx is None else int(lookup[table.padding_idx])
        self.padding = padding if padding >= 0 else None  # this row gets no gradient, as in the table

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ids of any shape (…): the result is (…, hidden)."""
        return F.embedding(self.lookup[ids], self.weight, padding_idx=self.padding)


def use_only(network: Any, splits: Iterable[Encoded]) -> nn.Embedding:
    """Cut the network's embedding table to the ids in these splits and to the padding id, and return the whole table.

    `use_all` gives the network its whole table back.
    """
    ids = {i for split in splits for item in split.items for row in item.rows for i in row.ids}
    used = np.array(sorted(ids | {network.config.pad_token_id or 0}))
    table: nn.Embedding = network.get_input_embeddings()
    network.set_input_embeddings(UsedEmbedding(table, used))
    return table


@torch.no_grad()
def use_all(network: Any, table: nn.Embedding) -> None:
    """Put the trained rows of the cut table into the whole one, and give it back to the network."""
    cut: UsedEmbedding = network.get_input_embeddings()
    used = cut.lookup >= 0
    table.weight[used] = cut.weight
    network.set_input_embeddings(table)


def logits(network: Any, kind: Kind, rows: Sequence[Row]) -> Tensor:
    """Return (rows, classes) logits, with one class for a similarity or a choice.

    For a span the result is (tokens, 2), for tokens (tokens, classes), with the tokens of all rows end to end.
    """
    packed = network.config._attn_implementation == PACKED
    with mixed_precision(network.device):
        outputs = (_logits_of_packed_rows if packed else _logits_of_padded_rows)(network, kind, rows)
    return outputs.to(torch.promote_types(outputs.dtype, torch.float32))  # losses are never computed in bfloat16


def _logits_of_packed_rows(network: Any, kind: Kind, rows: Sequence[Row]) -> Tensor:
    """Compute what ModernBERT's heads compute, on one row without padding."""
    packed = pack([row.ids for row in rows], MAX_LENGTH, network.device)
    states = packed_states(network.model, packed.input_ids, packed.position_ids, packed.layout)
    if kind not in PER_TOKEN and network.config.classifier_pooling == "cls":
        states = states[packed.layout.cu_seqlens[:-1].long()]
    elif kind not in PER_TOKEN:
        lengths = torch.tensor(packed.layout.lengths, device=network.device)
        states = torch.segment_reduce(states, "mean", lengths=lengths)
    outputs: Tensor = network.classifier(network.drop(network.head(states)))
    return outputs


def _logits_of_padded_rows(network: Any, kind: Kind, rows: Sequence[Row]) -> Tensor:
    longest = max(len(row.ids) for row in rows)

    def pad(values: Sequence[Sequence[int]], filling: int) -> Tensor:
        return torch.tensor([[*v, *[filling] * (longest - len(v))] for v in values], device=network.device)

    inputs = {
        "input_ids": pad([row.ids for row in rows], network.config.pad_token_id or 0),
        "attention_mask": pad([[1] * len(row.ids) for row in rows], 0),
    }
    if rows[0].types is not None:
        inputs["token_type_ids"] = pad([row.types or [] for row in rows], 0)
    if kind == "choice":  # the head scores each choice by itself, so all rows may pass as choices of one question
        choices: Tensor = network(**{name: value[None] for name, value in inputs.items()}).logits
        return choices.reshape(-1, 1)
    outputs = network(**inputs)
    if kind == "span":
        ends = torch.stack([outputs.start_logits, outputs.end_logits], dim=-1)
        return ends[inputs["attention_mask"].bool()]
    result: Tensor = outputs.logits
    return result[inputs["attention_mask"].bool()] if kind == "tokens" else result


def loss_of(kind: Kind, outputs: Tensor, items: Sequence[Item]) -> Tensor:
    """Return the mean loss over the items: squared errors for a similarity, otherwise cross entropies in nats.

    For labels it is the mean over all labels, for tokens the mean over all labelled tokens of the batch.
    """
    if kind == "tokens":
        labels = [label for item in items for label in item.target]
        return F.cross_entropy(outputs, torch.tensor(labels, device=outputs.device).long())  # ignores −100
    targets = torch.tensor([item.target for item in items], device=outputs.device, dtype=outputs.dtype)
    if kind == "similarity":
        return F.mse_loss(outputs, targets)
    if kind == "span":
        # The mean of start and end, over the window's own tokens. (transformers' sum also runs over padding.)
        windows = outputs.split([len(item.rows[0].ids) for item in items])
        ends = [F.cross_entropy(w.T, target) for w, target in zip(windows, targets.long(), strict=True)]
        return torch.stack(ends).mean()
    if kind == "labels":
        return F.binary_cross_entropy_with_logits(outputs, targets)
    return F.cross_entropy(outputs.view(len(items), -1), targets[:, 0].long())
