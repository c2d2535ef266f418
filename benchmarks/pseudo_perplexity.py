"""Speed of pseudo-perplexity: `masked_losses` beside a plain script, on one document per length bin.

    python benchmarks/pseudo_perplexity.py MODEL 'data/*.jsonl.gz' [--positions 16] [--rounds 3]

The plain script runs transformers' model with sdpa over batches of masked copies, with logits everywhere. Both sides
score the same positions of the same documents, with as many copies per batch as fit into `--batch-tokens`. They take
turns; the result is the median of the rounds. With the paper's 100 positions `masked_losses` gains a little more,
because it computes the part that all copies of a document share once.
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
from anaume.encoder.load import Encoder, load_encoder, special_ids
from anaume.evals.pseudo_perplexity import documents_of_texts, masked_losses, sample


def plain_losses(encoder: Encoder, ids: Tensor, places: Tensor, batch_tokens: int) -> Tensor:
    """(n,) `ids`, (P,) `places` to mask → (P,) losses in nats."""
    losses = []
    for group in places.split(max(1, batch_tokens // len(ids))):
        copies = ids.repeat(len(group), 1)
        row = torch.arange(len(group))
        copies[row, group] = encoder.tokenizer.mask_token_id
        copies = copies.to(encoder.device)
        with torch.inference_mode():
            logits = encoder.model(input_ids=copies, attention_mask=torch.ones_like(copies)).logits[row, group].cpu()
        losses.append(F.cross_entropy(logits.float(), ids[group], reduction="none"))
    return torch.cat(losses)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("texts", help="a glob of files")
    parser.add_argument("--positions", type=int, default=16)
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    encoder = load_encoder(options.model, masked_lm=True)
    encoder.model.set_attn_implementation("sdpa")
    texts = (document.text for document in documents(parse_source(options.texts)))
    selected = sample(encoder, documents_of_texts(encoder, texts), 1, options.seed)
    random = np.random.default_rng(options.seed)
    table = Table(title=f"{encoder.name}: {options.positions} positions a document, seconds")
    for title in ("tokens", "plain script", "anaume", "times as fast", "largest difference, nats"):
        table.add_column(title, justify="right")
    totals = np.zeros(2)
    prefix, suffix = special_ids(encoder.tokenizer)
    for document in sorted(selected.documents, key=lambda document: len(document.ids)):
        ids = torch.from_numpy(document.ids)
        inside = len(prefix) + random.permutation(len(ids) - len(prefix) - len(suffix))
        places = torch.from_numpy(inside[: options.positions])
        seconds: tuple[list[float], list[float]] = ([], [])
        losses: list[Tensor] = []
        for _ in range(options.rounds):
            start = time.perf_counter()
            plain = plain_losses(encoder, ids, places, options.batch_tokens)
            middle = time.perf_counter()
            losses = [plain, masked_losses(encoder, ids, places, batch_tokens=options.batch_tokens)]
            seconds[0].append(middle - start)
            seconds[1].append(time.perf_counter() - middle)
        medians = np.array([statistics.median(durations) for durations in seconds])
        totals += medians
        difference = (losses[0] - losses[1]).abs().max()
        table.add_row(
            f"{len(ids):,}", *(f"{s:.2f}" for s in medians), f"{medians[0] / medians[1]:.1f}", f"{difference:.1e}"
        )
    table.add_row("all", *(f"{s:.2f}" for s in totals), f"{totals[0] / totals[1]:.1f}", "")
    Console().print(table)


if __name__ == "__main__":
    main()
