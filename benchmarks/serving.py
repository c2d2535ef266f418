"""Speed of embedding on a CPU, by each way to serve an export: short sentences, and documents of the longest input.

    anaume export RUN --out MODEL --int8
    python benchmarks/serving.py MODEL --sentences jglue/jsts-v1.3/valid-v1.3.json --documents 'data/*.jsonl.gz'

The ways: transformers with sdpa on padded rows in float32 (stock), anaume's packed rows, the ONNX graph in float32, the
graph with 8-bit products. All embeddings are means over the tokens. The ways take turns, tokenising included, and the
padded ones get texts sorted by length. A row is the median of the rounds: first how many times as fast as stock, then
the lowest and the mean cosine to the embeddings of stock.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from onnxruntime import InferenceSession, SessionOptions
from rich.console import Console
from rich.table import Table
from torch import Tensor

from anaume.corpus.readers import documents, parse_source
from anaume.encoder.embed import embed
from anaume.encoder.load import Encoder, load_encoder
from anaume.encoder.states import batches_by_length, pad
from anaume.encoder.tokenize import tokenize
from anaume.export.onnx import FOLDER, INT8, STATES

# Characters of a document that surely fill the longest input.
LONG = 30_000
States = Callable[[Tensor, Tensor], Tensor]


def read_sentences(file: Path, count: int) -> list[str]:
    """The first `count` sentences of a file of JGLUE, which has JSON lines."""
    lines = file.read_text(encoding="utf-8").splitlines()[:count]
    return [json.loads(line)["sentence1"] for line in lines]


def read_documents(pattern: str, count: int) -> list[str]:
    """The first `count` long documents of a corpus."""
    texts = (document.text for document in documents(parse_source(pattern)))
    return list(islice((text for text in texts if len(text) >= LONG), count))


def embed_padded(encoder: Encoder, texts: Sequence[str], states: States, batch_tokens: int) -> Tensor:
    """Mean embeddings, (texts, hidden), of padded batches."""
    rows = tokenize(encoder, texts).rows
    vectors = torch.empty(len(rows), encoder.model.config.hidden_size)
    for batch in batches_by_length([len(row) for row in rows], batch_tokens):
        ids, mask = pad(encoder, [rows[i] for i in batch])
        real = mask.unsqueeze(-1)
        vectors[batch] = (states(ids, mask) * real).sum(1) / real.sum(1)
    return vectors


def stock(encoder: Encoder) -> States:
    """transformers as it is."""

    def run(ids: Tensor, mask: Tensor) -> Tensor:
        with torch.inference_mode():
            states: Tensor = encoder.model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
        return states

    return run


def graph(file: Path, threads: int) -> States:
    """A graph in ONNX Runtime."""
    options = SessionOptions()
    options.intra_op_num_threads = threads
    session = InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def run(ids: Tensor, mask: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})[0])

    return run


def measure(
    title: str, encoder: Encoder, texts: Sequence[str], graphs: dict[str, States], batch_tokens: int, rounds: int
) -> Table:
    """The table of all ways on these texts."""
    ways: dict[str, Callable[[], Tensor]] = {
        "stock": lambda: embed_padded(encoder, texts, stock(encoder), batch_tokens),
        "packed": lambda: embed(encoder, texts, batch_tokens=batch_tokens),
    }
    for name, states in graphs.items():
        ways[name] = lambda states=states: embed_padded(encoder, texts, states, batch_tokens)  # type: ignore[misc]
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    vectors: dict[str, Tensor] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            vectors[name] = way()
            seconds[name].append(time.perf_counter() - start)
    lengths = [len(row) for row in tokenize(encoder, texts).rows]
    table = Table(title=f"{title}: {len(texts)} texts of {min(lengths)} to {max(lengths)} tokens, {rounds} rounds")
    for head in ("way", "times stock", "texts/s", "lowest cosine", "mean cosine"):
        table.add_column(head, justify="left" if head == "way" else "right")
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        cosines = torch.cosine_similarity(vectors[name].double(), vectors["stock"].double()).numpy()
        ratio, speed = medians["stock"] / median, len(texts) / median
        table.add_row(name, f"{ratio:.2f}", f"{speed:.1f}", f"{cosines.min():.5f}", f"{np.mean(cosines):.5f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--sentences", type=Path, help="a file of JGLUE with sentence1, such as JSTS's or JNLI's")
    parser.add_argument("--documents", default="", help="a glob of files")
    parser.add_argument("--count", type=int, default=500, help="sentences")
    parser.add_argument("--document-count", type=int, default=8)
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    encoder = replace(load_encoder(str(options.model), masked_lm=False), device=torch.device("cpu"))
    encoder.model.to("cpu")
    files = {"onnx": STATES, "onnx, 8 bits": INT8}
    graphs = {
        name: graph(options.model / FOLDER / file, torch.get_num_threads())
        for name, file in files.items()
        if (options.model / FOLDER / file).is_file()
    }
    console = Console()
    if options.sentences:
        texts = read_sentences(options.sentences, options.count)
        console.print(measure("sentences", encoder, texts, graphs, options.batch_tokens, options.rounds))
    if options.documents:
        texts = read_documents(options.documents, options.document_count)
        console.print(measure("documents", encoder, texts, graphs, options.batch_tokens, options.rounds))


if __name__ == "__main__":
    main()
