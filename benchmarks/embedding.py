"""Speed of embedding documents: `anaume.encoder.embed.embed` beside `SentenceTransformer.encode` with sdpa.

    python benchmarks/embedding.py MODEL 'data/*.jsonl.gz' [--documents 24] [--batch-size 32] [--rounds 3]

MODEL is an export, or another ModernBERT with mean-pooling modules. The documents are drawn from the texts at random,
and both sides cut them at the model's positions. 32 is the default batch size of sentence-transformers, which sorts by
length and pads. With a batch size of 1 it pads nothing, and the ratio then shows the gain from local attention and from
products without masks. The sides take turns; the result is the median of the rounds, tokenising included.
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


def draw_documents(texts: str, count: int, seed: int) -> list[str]:
    """`count` random documents of a corpus."""
    reservoir = Reservoir[str](np.random.default_rng(seed), count)
    for document in documents(parse_source(texts)):
        reservoir.offer(document.text)
    return reservoir.kept


def timed(function: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Seconds that the function takes, and its result."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("texts", help="a glob of files")
    parser.add_argument("--documents", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=32, help="rows per batch of sentence-transformers")
    parser.add_argument("--batch-tokens", type=int, default=8192, help="tokens per batch of anaume")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    texts = draw_documents(options.texts, options.documents, options.seed)
    ours = load_encoder(options.model, masked_lm=False)
    theirs = SentenceTransformer(
        options.model, device=str(ours.device), model_kwargs={"attn_implementation": "sdpa", "dtype": torch.float32}
    )
    lengths = [len(row) for row in tokenize(ours, texts).rows]
    sides: dict[str, Callable[[], Tensor]] = {
        f"sentence-transformers, batches of {options.batch_size}": lambda: theirs.encode(
            texts, batch_size=options.batch_size, convert_to_tensor=True, show_progress_bar=False
        ).cpu(),
        f"anaume, {options.batch_tokens:,} tokens a batch": lambda: embed(
            ours, texts, batch_tokens=options.batch_tokens
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    embeddings: dict[str, Tensor] = {}
    for _ in range(options.rounds):
        for name, side in sides.items():
            duration, embeddings[name] = timed(side)
            seconds[name].append(duration)

    table = Table(title=f"{len(texts)} documents of {min(lengths)} to {max(lengths)} tokens, {sum(lengths):,} in all")
    for title in ("", "seconds", "tokens/s"):
        table.add_column(title, justify="right" if title else "left")
    medians = {name: statistics.median(durations) for name, durations in seconds.items()}
    for name, median in medians.items():
        table.add_row(name, f"{median:.2f}", f"{sum(lengths) / median:,.0f}")
    theirs_median, ours_median = medians.values()
    first, second = embeddings.values()
    console = Console()
    console.print(table)
    console.print(
        f"{theirs_median / ours_median:.2f} times as fast; largest difference {(first - second).abs().max():.1e}"
    )


if __name__ == "__main__":
    main()
