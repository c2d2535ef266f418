"""Speed of fine-tuning one cell of a JGLUE task: anaume beside a plain script, on the same batches.

    python benchmarks/jglue.py MODEL DATA [--task jsts] [--epochs 1] [--learning-rate 3e-5] [--rounds 2]

The script is the common one: transformers' class with sdpa, batches of 32 in random order padded to their longest row,
and torch's AdamW over all weights. Both sides open the model, train, and score the validation split. They take turns,
and the fastest round counts. Tokenising is not timed, because it takes both the same time.
"""

import argparse
import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, get_linear_schedule_with_warmup
from transformers.utils import logging

from anaume.encoder.load import load_encoder
from anaume.evals.jglue.read import read_task
from anaume.evals.jglue.scores import measure
from anaume.evals.jglue.tasks import TASKS, JglueTask
from anaume.finetune.items import MAX_LENGTH, Encoded, Item, encode
from anaume.finetune.train import BATCH, Settings, predict, train


def ours(model: str, task: JglueTask, splits: dict[str, Encoded], settings: Settings, device: torch.device) -> Any:
    network = train(model, task.head, splits, settings, device)
    return predict(network, task.kind, splits["validation"].items)


def script(
    model: str, task: JglueTask, splits: dict[str, Encoded], settings: Settings, device: torch.device, tokenizer: Any
) -> Any:
    torch.manual_seed(settings.seed)
    network = AutoModelForSequenceClassification.from_pretrained(
        model, num_labels=len(task.classes) or 1, dtype=torch.float32, attn_implementation="sdpa"
    ).to(device)
    items = splits["train"].items
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    steps = settings.epochs * math.ceil(len(items) / BATCH)
    schedule = get_linear_schedule_with_warmup(optimizer, math.ceil(steps / 10), steps)

    def inputs(batch: Sequence[Item]) -> dict[str, Any]:
        rows = {"input_ids": [item.rows[0].ids for item in batch]}
        return dict(tokenizer.pad(rows, return_tensors="pt").to(device))

    network.train()
    for epoch in range(settings.epochs):
        order = np.random.default_rng((settings.seed, epoch)).permutation(len(items))
        for start in range(0, len(items), BATCH):
            batch = [items[i] for i in order[start : start + BATCH]]
            labels = torch.tensor([item.target[0] for item in batch], device=device)
            loss = network(**inputs(batch), labels=labels.long() if task.classes else labels).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    network.eval()
    scores: list[Any] = []
    for start in range(0, len(splits["validation"].items), BATCH):
        with torch.inference_mode():
            scores.extend(network(**inputs(splits["validation"].items[start : start + BATCH])).logits.cpu().numpy())
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--task", default="jsts", choices=["jsts", "jnli", "jcola", "marc-ja"])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=3e-5)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    logging.set_verbosity_error()  # hides the table of the head's missing weights
    task, opened = TASKS[options.task], load_encoder(options.model, masked_lm=False)
    data = read_task(task, options.data)
    splits = {n: encode(opened.tokenizer, task.kind, data.splits[n], MAX_LENGTH) for n in ("train", "validation")}
    arguments = (options.model, task, splits, Settings(options.learning_rate, options.epochs, 0), opened.device)
    seconds: dict[str, float] = {}
    for _ in range(options.rounds):
        for name, run in (("anaume", ours), ("script", partial(script, tokenizer=opened.tokenizer))):
            start = time.perf_counter()
            scores = run(*arguments)
            seconds[name] = min(seconds.get(name, math.inf), time.perf_counter() - start)
            metrics = measure(task, splits["validation"], scores)
            rate = options.epochs * len(splits["train"].items) / seconds[name]
            numbers = ", ".join(f"{key} {value:.4f}" for key, value in metrics.items())
            print(f"{name}: {seconds[name]:.1f} s, {rate:,.0f} examples/s, {numbers}", flush=True)
    print(f"{options.task}: {seconds['script'] / seconds['anaume']:.2f} times as fast")


if __name__ == "__main__":
    main()
