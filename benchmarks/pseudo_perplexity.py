"""How fast pseudo-perplexity is measured: `masked_losses` beside the obvious script, on one document a length bin.

    python benchmarks/pseudo_perplexity.py MODEL 'data/*.jsonl.gz' [--positions 16] [--rounds 3]

The obvious script runs transformers' model with sdpa over batches of masked copies, logits everywhere. Both are asked
the same positions of the same documents, with as many copies a batch as fit into `--batch-tokens`; they take turns, and
what counts is the median of the rounds. With the paper's 100 positions ours gains a little more, for what all copies of
a document share is made once.
"""

import argparse
import statistics
import time

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from anaume.corpus.readers import documents, parse_source
from anaume.encoder.load import Encoder, load_encoder
from anaume.encoder.tokenize import special_ids
from anaume.evals.pseudo_perplexity import documents_of_texts, masked_losses, sample


def obvious(encoder: Encoder, ids: Tensor, places: Tensor, batch_tokens: int) -> Tensor:
    """(n,) ids, (P,) places → (P,) losses in nats."""
    losses = []
    for some in places.split(max(1, batch_tokens // len(ids))):
        copies = ids.repeat(len(some), 1)
        row = torch.arange(len(some))
        copies[row, some] = encoder.tokenizer.mask_token_id
        copies = copies.to(encoder.device)
        with torch.inference_mode():
            logits = encoder.model(input_ids=copies, attention_mask=torch.ones_like(copies)).logits[row, some].cpu()
        losses.append(F.cross_entropy(logits.float(), ids[some], reduction="none"))
    return torch.cat(losses)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("texts", help="a glob of files")
    parser.add_argument("--positions", type=int, default=16)
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    encoder = load_encoder(given.model, masked_lm=True)
    encoder.model.set_attn_implementation("sdpa")
    texts = (document.text for document in documents(parse_source(given.texts)))
    drawn = sample(encoder, documents_of_texts(encoder, texts), 1, given.seed)
    random = np.random.default_rng(given.seed)
    table = Table(title=f"{encoder.name}: {given.positions} positions a document, seconds")
    for title in ("tokens", "obvious script", "anaume", "times as fast", "largest difference, nats"):
        table.add_column(title, justify="right")
    totals = np.zeros(2)
    prefix, suffix = special_ids(encoder.tokenizer)
    for document in sorted(drawn.documents, key=lambda document: len(document.ids)):
        ids = torch.from_numpy(document.ids)
        inside = len(prefix) + random.permutation(len(ids) - len(prefix) - len(suffix))
        places = torch.from_numpy(inside[: given.positions])
        seconds: tuple[list[float], list[float]] = ([], [])
        found: list[Tensor] = []
        for _ in range(given.rounds):
            start = time.perf_counter()
            plain = obvious(encoder, ids, places, given.batch_tokens)
            middle = time.perf_counter()
            found = [plain, masked_losses(encoder, ids, places, batch_tokens=given.batch_tokens)]
            seconds[0].append(middle - start)
            seconds[1].append(time.perf_counter() - middle)
        medians = np.array([statistics.median(spent) for spent in seconds])
        totals += medians
        difference = (found[0] - found[1]).abs().max()
        table.add_row(
            f"{len(ids):,}", *(f"{s:.2f}" for s in medians), f"{medians[0] / medians[1]:.1f}", f"{difference:.1e}"
        )
    table.add_row("all", *(f"{s:.2f}" for s in totals), f"{totals[0] / totals[1]:.1f}", "")
    Console().print(table)


if __name__ == "__main__":
    main()
