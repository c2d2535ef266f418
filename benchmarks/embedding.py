"""How fast documents become embeddings: `anaume.encoder.embed.embed` beside `SentenceTransformer.encode` with sdpa.

    python benchmarks/embedding.py MODEL 'data/*.jsonl.gz' [--documents 24] [--batch-size 32] [--rounds 3]

MODEL is an export (or another ModernBERT with mean-pooling modules), the documents are drawn from the texts and cut at
the model's positions by both sides. 32 is sentence-transformers' own batch size; it sorts by length and pads. A batch
of 1 pads nothing: what is left of the ratio then is local attention and unmasked products. Both take turns; what counts
is the median of the rounds, tokenising included.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sentence_transformers import SentenceTransformer
from torch import Tensor

from anaume.corpus.readers import documents, parse_source
from anaume.encoder.embed import embed
from anaume.encoder.load import load_encoder
from anaume.encoder.tokenize import tokenize
from anaume.evals.inputs.reservoir import Reservoir


def drawn(texts: str, count: int, seed: int) -> list[str]:
    """Some documents of a corpus."""
    reservoir = Reservoir[str](np.random.default_rng(seed), count)
    for document in documents(parse_source(texts)):
        reservoir.offer(document.text)
    return reservoir.kept


def timed(function: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Seconds, and what the function gave."""
    start = time.perf_counter()
    found = function()
    return time.perf_counter() - start, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("texts", help="a glob of files")
    parser.add_argument("--documents", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=32, help="rows a batch of sentence-transformers")
    parser.add_argument("--batch-tokens", type=int, default=8192, help="tokens a batch of ours")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    texts = drawn(given.texts, given.documents, given.seed)
    ours = load_encoder(given.model, masked_lm=False)
    theirs = SentenceTransformer(
        given.model, device=str(ours.device), model_kwargs={"attn_implementation": "sdpa", "dtype": torch.float32}
    )
    lengths = [len(row) for row in tokenize(ours, texts).rows]
    sides: dict[str, Callable[[], Tensor]] = {
        f"sentence-transformers, batches of {given.batch_size}": lambda: theirs.encode(
            texts, batch_size=given.batch_size, convert_to_tensor=True, show_progress_bar=False
        ).cpu(),
        f"anaume, {given.batch_tokens:,} tokens a batch": lambda: embed(ours, texts, batch_tokens=given.batch_tokens),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    found: dict[str, Tensor] = {}
    for _ in range(given.rounds):
        for name, side in sides.items():
            spent, found[name] = timed(side)
            seconds[name].append(spent)

    table = Table(title=f"{len(texts)} documents of {min(lengths)} to {max(lengths)} tokens, {sum(lengths):,} in all")
    for title in ("", "seconds", "tokens/s"):
        table.add_column(title, justify="right" if title else "left")
    medians = {name: statistics.median(spent) for name, spent in seconds.items()}
    for name, median in medians.items():
        table.add_row(name, f"{median:.2f}", f"{sum(lengths) / median:,.0f}")
    theirs_median, ours_median = medians.values()
    first, second = found.values()
    console = Console()
    console.print(table)
    console.print(
        f"{theirs_median / ours_median:.2f} times as fast; largest difference {(first - second).abs().max():.1e}"
    )


if __name__ == "__main__":
    main()
