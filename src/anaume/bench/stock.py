"""The stock loops of `anaume bench`: what a user of Hugging Face's libraries would write, without anaume's model code.

Comes in: a recipe, a `BatchPlan` with the documents' order, a `BenchJob`. Goes out: a `Trainer`. The rule: these loops
stay as they are, because results are compared with them. Both run `ModernBertForMaskedLM` with sdpa on rows that
`DataCollatorForLanguageModeling` masks, clip the gradient and take a step of torch's `AdamW`.

Grouped: the strongest loop without code of one's own. As in transformers' `run_mlm`, documents run together and are cut
into rows of the full length, so no slot is padding. `sparse_prediction` computes logits at the masked positions only,
autocast multiplies in bfloat16 where the hardware does, and AdamW is fused, as in the defaults of transformers'
`Trainer`. On a GPU a user would also have flash attention; this loop has not.

Padded: the loop of the libraries' shorter examples. Each row is a document, truncated and padded to the longest of its
micro-batch, with logits at every position, in float32 on a CPU.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer, DataCollatorForLanguageModeling, ModernBertForMaskedLM

from anaume.batches.batch import IGNORE
from anaume.batches.plan import BatchPlan
from anaume.bench.rounds import BenchJob, Step
from anaume.bench.trainer import Trainer
from anaume.model import mlm
from anaume.model.flops import training_flops
from anaume.pretrain.optim import learning_rate
from anaume.pretrain.ranks.rank import Ranks
from anaume.recipe import Recipe

# Documents that a loop looks up at once.
BLOCK = 64


def documents(plan: BatchPlan, epoch: int) -> Iterator[NDArray[np.uint32]]:
    """Endless documents in the plan's order, from the beginning of an epoch, without special tokens."""
    at = 0
    while True:
        first = at % plan.order.epoch_size
        source, document = plan.order.at(epoch + at // plan.order.epoch_size, first, first + BLOCK)
        for number, index in zip(source, document, strict=True):
            ids = plan.stores[number].document(int(index))
            if len(ids) >= max(1, plan.min_document_tokens):
                yield ids
        at += len(source)


def padded_rows(plan: BatchPlan, epoch: int) -> Iterator[list[int]]:
    """Endless rows of one document each: [CLS], its first `length` - 2 ids, [SEP]."""
    for ids in documents(plan, epoch):
        yield [plan.tokenizer.cls_id, *ids[: plan.length - 2].tolist(), plan.tokenizer.sep_id]


def grouped_rows(plan: BatchPlan, epoch: int) -> Iterator[list[int]]:
    """Endless rows of `length` ids, cut from documents that run together, each [CLS], all its ids, [SEP]."""
    kept: list[int] = []
    for ids in documents(plan, epoch):
        kept += [plan.tokenizer.cls_id, *ids.tolist(), plan.tokenizer.sep_id]
        while len(kept) >= plan.length:
            yield kept[: plan.length]
            kept = kept[plan.length :]


def text_lengths(rows: Sequence[Sequence[int]], cls_id: int) -> NDArray[np.int64]:
    """Tokens of each piece of a document in the rows of a micro-batch, (n,). A piece begins with [CLS] or a row."""
    lengths: list[int] = []
    for row in rows:
        starts = [at for at, token in enumerate(row) if not at or token == cls_id]
        lengths += np.diff([*starts, len(row)]).tolist()
    return np.array(lengths, dtype=np.int64)


def grouped_trainer(recipe: Recipe, plan: BatchPlan, job: BenchJob, ranks: Ranks) -> Trainer:
    """The grouped loop: `job.rows` full rows per step, in epoch `job.round`."""
    dtype = mlm.product_dtype(ranks.device, mlm.training_precision(ranks.device, "auto"))
    return _stock_trainer(recipe, plan, job, ranks, grouped_rows(plan, job.round), dtype, sparse=True)


def padded_trainer(recipe: Recipe, plan: BatchPlan, job: BenchJob, ranks: Ranks) -> Trainer:
    """The padded loop: `job.rows` documents per step, in epoch `job.round`."""
    dtype = mlm.product_dtype(ranks.device)
    return _stock_trainer(recipe, plan, job, ranks, padded_rows(plan, job.round), dtype, sparse=False)


def _stock_trainer(
    recipe: Recipe,
    plan: BatchPlan,
    job: BenchJob,
    ranks: Ranks,
    rows: Iterator[list[int]],
    products: torch.dtype,
    sparse: bool,
) -> Trainer:
    stage, tokenizer = recipe.stage[0], plan.tokenizer
    torch.manual_seed(recipe.seed)
    config = mlm.config(recipe.model, tokenizer, tokenizer.vocab_size)
    config.sparse_prediction = sparse
    network = ModernBertForMaskedLM(config)
    network.set_attn_implementation("sdpa")
    torch.nn.Module.to(network, ranks.device).train()
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=stage.learning_rate,
        betas=(stage.adam_beta1, stage.adam_beta2),
        eps=stage.adam_eps,
        weight_decay=stage.weight_decay,
        fused=sparse,
    )
    collate = DataCollatorForLanguageModeling(
        AutoTokenizer.from_pretrained(tokenizer.folder), mlm_probability=stage.mask_rate, seed=recipe.seed
    )
    autocast = torch.autocast(ranks.device.type, torch.bfloat16, enabled=products == torch.bfloat16)

    def step(number: int) -> Step:
        start = time.perf_counter()
        batch_rows = list(islice(rows, job.rows))
        batch = collate([{"input_ids": row} for row in batch_rows]).to(ranks.device)
        with autocast:
            loss = network(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), stage.gradient_clip)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(stage, min(number, stage.steps - 1))
        optimizer.step()
        optimizer.zero_grad()
        loss_value = loss.item()
        seconds = time.perf_counter() - start
        lengths = text_lengths(batch_rows, tokenizer.cls_id)
        scored = int((batch["labels"] != IGNORE).sum())
        operations = training_flops(recipe.model, tokenizer.vocab_size, lengths, scored)
        return Step(seconds, int(lengths.sum()), batch["input_ids"].numel(), operations, loss_value)

    return Trainer(network, step, products)
