"""Correctness and speed of the CUDA path, on a GPU.

    python benchmarks/gpu.py                  the paper's model: parity, then speed at both lengths
    python benchmarks/gpu.py --parity         parity only
    torchrun --nproc-per-node 2 benchmarks/gpu.py --parity      several GPUs against one

The script was written without a GPU and has not yet run on one. Its checks ran on a CPU, where they compare the CPU's
path.

Parity compares the CUDA path (`varlen_attn`, bf16 autocast, torch.compile, fused AdamW) with the plain reference
`anaume_reference`. The criterion for bf16 is that of flash-attention's own tests: the distance of a result from the
reference in float32 may be at most twice the distance of the reference in bf16, plus a small constant. The exit status
is 1 if a check fails and 2 without CUDA.

Speed is that of whole optimizer steps on random documents, packed and masked as in training, with exponentially
distributed lengths. MFU is the operations that the text needs, as a share of the data sheet's dense bf16 peak. The rows
"stock" are the strongest stock loop of `anaume bench` on the same documents and as many slots. It has sdpa; a user with
flash-attn installed would be faster, and run fewer operations, than it.

Both parts run the code of `anaume pretrain`: `make_objective`, `accumulate` and `update`.
"""

import argparse
import copy
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from anaume.batches.batch import PackedBatch
from anaume.batches.loader import batches
from anaume.batches.plan import BatchPlan
from anaume.bench.rounds import BenchJob
from anaume.bench.stock import grouped_trainer
from anaume.corpus.source import Source
from anaume.model import mlm
from anaume.model.attention import REFERENCE, Layout, layout_of, packed_attention, reference_attention
from anaume.model.cross_entropy import reference_cross_entropy
from anaume.model.flops import peak_flops, training_flops
from anaume.model.mlm import ModelInputs
from anaume.plan.cost import DOCUMENT_TOKENS
from anaume.pretrain.loop import update
from anaume.pretrain.objective import accumulate, make_objective
from anaume.pretrain.optim import optimizers
from anaume.pretrain.ranks.peers import connected
from anaume.pretrain.ranks.rank import Ranks, this_rank
from anaume.recipe import Corpus, Model, Precision, Recipe, Stage, TokenizerTable
from anaume.tokenizer.load import Tokenizer
from anaume.tokens.memory import MemoryStore

VOCABULARY = 99_574
# The paper's stages: length, slots per micro-batch.
STAGES = {"stage1": (1024, 26_624), "stage2": (8192, 24_576)}
# Document lengths of each row: a single one, tiny ones, and ones near the edges of the window and the kernel's blocks.
ROWS = ([2048], [1, 2, 3, 1000, 64, 65, 66, 127, 128, 129, 463], [512] * 4, [1500, 548])
# Constants added to twice the reference's bf16 error: for values of about 1, and for relative distances.
VALUE, RELATIVE = 1e-3, 2e-3
WARM_UP = 5
COLUMNS = ["loop", "length", "slots", "optimizer", "compiled", "checkpointing", "tokens/s", "MFU", "ms a step", "GiB"]
COLUMNS += [f"first {WARM_UP} steps, s"]

Loss = Callable[[ModelInputs], Tensor]
Attention = Callable[..., tuple[Tensor, None]]


@dataclass(frozen=True)
class Check:
    """A distance from the reference, and the largest one that passes."""

    name: str
    distance: float
    allowed: float

    @property
    def passed(self) -> bool:
        """Whether the distance is small enough; NaN does not pass."""
        return self.distance <= self.allowed


def make_tokenizer(vocab_size: int) -> Tokenizer:
    """A tokenizer with the special ids of the paper's and without pieces, because the documents are random ids."""
    return Tokenizer(Path(), vocab_size, 3, 4, 5, 6, 0, tuple(range(8)), "", "none", lambda _: [])


def random_plan(length: int, slots: int, tokenizer: Tokenizer, seed: int = 0) -> BatchPlan:
    """A plan of random documents."""
    random = np.random.default_rng(seed)
    lengths = np.ceil(random.exponential(DOCUMENT_TOKENS, 4_000)).astype(np.int64)
    ids = random.integers(8, tokenizer.vocab_size, int(lengths.sum()), dtype=np.uint32)
    store = MemoryStore(ids, np.cumsum(lengths), characters=0, unknown_tokens=0)
    # "truncate", because "split" looks for ends of sentences, and random ids have none.
    return BatchPlan([store], (1.0,), tokenizer, seed, length, slots, documents="truncate")


def random_batches(length: int, slots: int, vocab_size: int, seed: int = 0) -> Iterator[PackedBatch]:
    """Endless packed batches of random documents."""
    return (batch for batch, _ in batches(random_plan(length, slots, make_tokenizer(vocab_size), seed)))


def attention_checks(device: torch.device, dtype: torch.dtype, heads: int = 12, size: int = 64) -> list[Check]:
    """Checks of the output and of the gradients of query, key and value, for global and local layers and each row."""
    checks = []
    for (number, lengths), reach in itertools.product(enumerate(ROWS), (None, 64)):
        generator = torch.Generator(device).manual_seed(number)
        data = torch.randn(3, 1, sum(lengths), heads, size, generator=generator, device=device)
        weight = torch.randn(1, sum(lengths), heads, size, generator=generator, device=device)
        layout = layout_of(lengths, 2048, device)
        options = {"scaling": size**-0.5, "sliding_window": None if reach is None else reach + 1}
        truth = _attention_results(reference_attention, data.float(), weight, layout, options)
        plain = _attention_results(reference_attention, data.to(dtype), weight, layout, options)
        fast = _attention_results(packed_attention, data.to(dtype), weight, layout, options)
        for name, a, b, c in zip(("output", "d query", "d key", "d value"), fast, plain, truth, strict=True):
            label = f"attention, row {number}, {'global' if reach is None else 'local'}, {name}"
            checks.append(Check(label, _largest_difference(a, c), 2 * _largest_difference(b, c) + VALUE))
    return checks


def _attention_results(
    function: Attention, data: Tensor, weight: Tensor, layout: Layout, options: dict[str, Any]
) -> list[Tensor]:
    """Output and gradients of query, key and value, for a loss that is the weighted sum of the output."""
    query, key, value = inputs = [x.transpose(1, 2).detach().requires_grad_() for x in data]
    out, _ = function(nn.Identity(), query, key, value, layout, **options)
    (out * weight).sum().backward()
    return [out.detach().float(), *(x.grad.float() for x in inputs if x.grad is not None)]


def _largest_difference(a: Tensor, b: Tensor) -> float:
    return (a - b).abs().max().item()


def network_checks(device: torch.device, model: Model, vocab_size: int) -> list[Check]:
    """Checks of the loss and each weight's gradient: the training path, plain and compiled, against float32."""
    inputs = mlm.to_device(next(random_batches(1024, 2048, vocab_size)), 1024, device)
    network = mlm.build(model, make_tokenizer(vocab_size), 0, device).train()
    slow = copy.deepcopy(network)
    slow.config._attn_implementation = REFERENCE

    def float32(inputs: ModelInputs) -> Tensor:
        layouts = {"full_attention": inputs.layout, "sliding_attention": inputs.layout}
        states = slow.model(inputs.input_ids, layouts, inputs.position_ids).last_hidden_state[0]
        scored = slow.head(states.index_select(0, inputs.scored))
        return reference_cross_entropy(scored, slow.decoder.weight, slow.decoder.bias, inputs.labels)

    truth = _loss_and_gradients(float32, slow, inputs)
    plain = _loss_and_gradients(lambda inputs: mlm.loss_sum(slow, inputs), slow, inputs)
    checks = []
    for label, compiled in (("", False), (", compiled", True)):
        fast = _loss_and_gradients(make_objective(network, Ranks(0, 1, device), compiled, "auto"), network, inputs)
        for name in truth:
            allowed = 2 * _relative(plain[name], truth[name]) + RELATIVE
            checks.append(Check(f"network{label}, {name}", _relative(fast[name], truth[name]), allowed))
    return checks


def rank_checks(ranks: Ranks, model: Model, vocab_size: int) -> list[Check]:
    """Checks of all ranks together (compiled, two micro-batches each) against one process with all micro-batches."""
    batches = list(itertools.islice(random_batches(1024, 2048, vocab_size), 2 * ranks.count))
    targets = torch.tensor(float(sum(batch.targets for batch in batches)), device=ranks.device)
    network = mlm.build(model, make_tokenizer(vocab_size), 0, ranks.device).train()
    alone = Ranks(0, 1, ranks.device)

    def results(compiled: bool, precision: Precision, group: Ranks) -> dict[str, Tensor]:
        objective, share = make_objective(network, group, compiled, precision), batches[group.rank :: group.count]
        network.zero_grad()
        return _gradients(accumulate(objective, share, 1024, targets, group), network)

    truth, plain, fast = results(False, "float32", alone), results(False, "auto", alone), results(True, "auto", ranks)
    return [
        Check(
            f"{ranks.count} ranks, {name}",
            _relative(fast[name], truth[name]),
            2 * _relative(plain[name], truth[name]) + RELATIVE,
        )
        for name in truth
    ]


def _loss_and_gradients(loss: Loss, network: nn.Module, inputs: ModelInputs) -> dict[str, Tensor]:
    network.zero_grad()
    value = loss(inputs)
    value.backward()
    return _gradients(value, network)


def _gradients(loss: Tensor, network: nn.Module) -> dict[str, Tensor]:
    gradients = {"loss": loss.detach().float()}
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        gradients[f"d {name}"] = parameter.grad.clone()
    return gradients


def _relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def optimizer_checks(device: torch.device) -> list[Check]:
    """Checks of three fused AdamW steps in float32 against torch's plain ones in float64; the bound is float32's."""
    stage = Stage(name="stage")
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=generator) for shape in ((64, 32), (32,))]
    gradients = [[torch.randn(x.shape, generator=generator) for x in start] for _ in range(3)]

    def weights_after(place: torch.device, kind: torch.dtype, fused: bool) -> list[Tensor]:
        module = nn.Module()
        for name, x in zip("ab", start, strict=True):
            module.register_parameter(name, nn.Parameter(x.to(place, kind, copy=True)))
        steppers = optimizers(module, stage)
        for group in steppers[0].param_groups:
            group["fused"] = fused
        for step in gradients:
            for weight, gradient in zip(module.parameters(), step, strict=True):
                weight.grad = gradient.to(place, kind)
            steppers[0].step()
        return [weight.detach().cpu().double() for weight in module.parameters()]

    fast, plain = weights_after(device, torch.float32, True), weights_after(torch.device("cpu"), torch.float64, False)
    return [Check(f"AdamW, {len(a.shape)}-d", _relative(a, b), 1e-6) for a, b in zip(fast, plain, strict=True)]


def report(checks: Sequence[Check]) -> bool:
    """Print the failed checks and the closest check of each group; returns whether all passed."""
    failed = [check for check in checks if not check.passed]
    for check in failed:
        print(f"FAILED  {check.name}: {check.distance:.2e}, allowed {check.allowed:.2e}")
    for group in dict.fromkeys(check.name.split(",")[0] for check in checks):
        within = [check for check in checks if check.name.split(",")[0] == group]
        worst = max(within, key=lambda check: check.distance / check.allowed)
        passed = sum(check.passed for check in within)
        closest = f"{worst.name}, {worst.distance:.2e} of {worst.allowed:.2e}"
        print(f"{group}: {passed} of {len(within)} checks passed; the closest: {closest}")
    return not failed


def speed(model: Model, stage: Stage, device: torch.device, seconds: float, compiled: bool) -> list[str]:
    """A row of the table: optimizer steps of one micro-batch each, timed for `seconds` without waits between them."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    ranks = Ranks(0, 1, device)
    network = mlm.build(model, make_tokenizer(VOCABULARY), 0, device).train()
    mlm.set_gradient_checkpointing(network, stage.gradient_checkpointing)
    objective, steppers = make_objective(network, ranks, compiled, "auto"), optimizers(network, stage)
    stream = random_batches(stage.length, stage.micro_batch_tokens, VOCABULARY)
    ready = list(itertools.islice(stream, 16))  # beforehand, because benchmarks/loader.py measures the loading

    def step(batch: PackedBatch) -> None:
        targets = mlm.tensor_to_device(torch.tensor(float(batch.targets)), device)
        update(objective, steppers, stage, stage.learning_rate, [batch], targets, ranks)

    start = time.perf_counter()
    for batch in ready[:WARM_UP]:
        step(batch)
    torch.cuda.synchronize()
    first = time.perf_counter() - start
    rounds: list[float] = []
    while sum(rounds) < seconds or len(rounds) < 3:
        start = time.perf_counter()
        for batch in ready:
            step(batch)
        torch.cuda.synchronize()
        rounds.append(time.perf_counter() - start)
    median = statistics.median(rounds)
    tokens = sum(batch.tokens for batch in ready)
    operations = sum(training_flops(model, VOCABULARY, batch.text_lengths, batch.targets) for batch in ready)
    return [
        "anaume",
        f"{stage.length:,}",
        f"{stage.micro_batch_tokens:,}",
        stage.optimizer,
        "yes" if compiled else "no",
        "yes" if stage.gradient_checkpointing else "no",
        f"{tokens / median:,.0f}",
        f"{operations / median / peak_flops(device, mlm.product_dtype(device)):.1%}",
        f"{1000 * median / len(ready):,.1f}",
        f"{torch.cuda.max_memory_allocated() / 2**30:.1f}",
        f"{first:,.1f}",
    ]


def write_tokenizer(folder: Path, vocab_size: int) -> None:
    """Write a folder that transformers opens as a tokenizer, with the special ids of `make_tokenizer`."""
    words = {f"[{i}]" if i < 8 else str(i): i for i in range(vocab_size)}
    roles = {"unk_token": "[0]", "mask_token": "[3]", "pad_token": "[4]", "cls_token": "[5]", "sep_token": "[6]"}
    engine = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[0]"))
    PreTrainedTokenizerFast(tokenizer_object=engine, **roles).save_pretrained(folder)


def stock_speed(model: Model, length: int, slots: int, device: torch.device, seconds: float) -> list[str]:
    """A row of the table: the strongest stock loop of `anaume bench`, timed for `seconds`."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    stage = Stage(name="stock", length=length, batch_tokens=slots, micro_batch_tokens=slots)
    recipe = Recipe(
        name="stock",
        corpus=Corpus(train=[Source(builtin="hakoniwa")], validation_share=0.1),
        tokenizer=TokenizerTable(train=VOCABULARY),
        model=model,
        stage=[stage],
    )
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder), VOCABULARY)
        plan = random_plan(length, slots, replace(make_tokenizer(VOCABULARY), folder=Path(folder)))
        job = BenchJob("grouped", {}, "", slots // length, seconds, 0, "")
        trainer = grouped_trainer(recipe, plan, job, Ranks(0, 1, device))
    first = sum(trainer.step(number).seconds for number in range(WARM_UP))
    steps = [trainer.step(WARM_UP)]
    while sum(step.seconds for step in steps) < seconds:
        steps.append(trainer.step(WARM_UP + len(steps)))
    elapsed = sum(step.seconds for step in steps)
    return [
        "stock",
        f"{length:,}",
        f"{slots // length * length:,}",
        "adamw",
        "no",
        "no",
        f"{sum(step.tokens for step in steps) / elapsed:,.0f}",
        f"{sum(step.flops for step in steps) / elapsed / peak_flops(device, trainer.products):.1%}",
        f"{1000 * elapsed / len(steps):,.1f}",
        f"{torch.cuda.max_memory_allocated() / 2**30:.1f}",
        f"{first:,.1f}",
    ]


def variants() -> Iterator[tuple[Stage, bool]]:
    """Rows of the table: each stage without and with torch.compile, then with checkpointing and with Muon."""
    for name, (length, slots) in STAGES.items():
        stage = Stage(name=name, length=length, batch_tokens=slots, micro_batch_tokens=slots)
        yield stage, False
        yield stage, True
        yield stage.model_copy(update={"gradient_checkpointing": True}), True
        yield stage.model_copy(update={"optimizer": "muon"}), True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parity", action="store_true", help="check only, without timing")
    parser.add_argument("--layers", type=int, default=22)
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--seconds", type=float, default=20.0, help="seconds per row of the table")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print(f"gpu.py: torch {torch.__version__} finds no CUDA device; expected at least one", file=sys.stderr)
        sys.exit(2)
    ranks = this_rank()
    device = ranks.device
    model = Model(
        layers=options.layers, hidden=options.hidden, heads=options.hidden // 64, intermediate=options.hidden * 3 // 2
    )
    # Four layers have two of each kind; more would not fit, because the reference keeps T² scores per layer.
    shallow = model.model_copy(update={"layers": min(4, model.layers)})
    with connected(ranks):
        if ranks.is_main:
            print(f"{ranks.count} × {torch.cuda.get_device_name(device)}, torch {torch.__version__}", flush=True)
        if ranks.count > 1:
            checks = rank_checks(ranks, shallow, VOCABULARY)
        else:
            checks = attention_checks(device, torch.bfloat16) + optimizer_checks(device)
            checks += network_checks(device, shallow, VOCABULARY)
        passed = report(checks) if ranks.is_main else True
    if ranks.count == 1 and not options.parity:
        table = Table(*COLUMNS)
        for length, slots in STAGES.values():
            table.add_row(*stock_speed(model, length, slots, device, options.seconds))
        for stage, compiled in variants():
            table.add_row(*speed(model, stage, device, options.seconds, compiled))
        Console(width=120).print(table)
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
