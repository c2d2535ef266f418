"""To be run once on a GPU: is the CUDA path right, and how fast is it?

    python benchmarks/gpu.py                  the paper's model: parity, then speed at both lengths
    python benchmarks/gpu.py --parity         parity only
    torchrun --nproc-per-node 2 benchmarks/gpu.py --parity      several GPUs against one

Written without a GPU at hand and not yet run on one; its checks ran on a CPU, where they compare the CPU's path.

Parity holds the CUDA path (`varlen_attn`, bf16 autocast, torch.compile, fused AdamW) against the plain reference
`anaume_reference`. A bf16 result is judged as flash-attention's own tests judge it: its distance from the reference in
float32 may be at most twice that of the reference in bf16, plus a small constant. Exit status: 1 if a check fails, 2
without CUDA.

Both run what `anaume pretrain` runs: its objective (`shared`), its accumulation and its step (`update`).

Speed is that of whole optimizer steps on made-up documents, packed and masked as in training; their lengths follow an
exponential law. MFU counts what the text needs, as a share of the data sheet's dense bf16 peak.
"""

import argparse
import copy
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from anaume.batches.batch import PackedBatch
from anaume.batches.loader import batches
from anaume.batches.plan import BatchPlan
from anaume.model import mlm
from anaume.model.attention import REFERENCE, layout_of, packed_attention, reference_attention
from anaume.model.cross_entropy import reference_cross_entropy
from anaume.model.flops import peak_flops, training_flops
from anaume.model.mlm import ModelInputs
from anaume.plan.cost import DOCUMENT_TOKENS
from anaume.pretrain.loop import update
from anaume.pretrain.objective import accumulate, make_objective
from anaume.pretrain.optim import optimizers
from anaume.pretrain.ranks import Ranks, process_group, this_rank
from anaume.recipe import Model, Precision, Stage
from anaume.tokenizer.load import Tokenizer
from anaume.tokens.memory import MemoryStore

VOCABULARY = 99_574
# The recipe's stages: length, slots of a micro-batch.
STAGES = {"stage1": (1024, 26_624), "stage2": (8192, 24_576)}
# Lengths of documents of a row: one of them, tiny ones, those about the window's and the kernel's blocks.
ROWS = ([2048], [1, 2, 3, 1000, 64, 65, 66, 127, 128, 129, 463], [512] * 4, [1500, 548])
# What a bf16 result may be off besides twice the reference's own error: of values about 1, and relative.
VALUE, RELATIVE = 1e-3, 2e-3
WARM_UP = 5
COLUMNS = ["length", "slots", "optimizer", "compiled", "checkpointing", "tokens/s", "MFU", "ms a step", "GiB"]
COLUMNS += [f"first {WARM_UP} steps, s"]

Loss = Callable[[ModelInputs], Tensor]


@dataclass(frozen=True)
class Check:
    """A distance from the reference, and what it may be."""

    name: str
    found: float
    allowed: float

    @property
    def passed(self) -> bool:
        """NaN does not pass."""
        return self.found <= self.allowed


def tokenizer_of(vocab_size: int) -> Tokenizer:
    """Ids as the paper's tokenizer has them, without its pieces: documents here are numbers."""
    return Tokenizer(Path(), vocab_size, 3, 4, 5, 6, 0, tuple(range(8)), "", "none", lambda _: [])


def made_up(model_length: int, slots: int, vocab_size: int, seed: int = 0) -> Iterator[PackedBatch]:
    """Endless packed batches of random documents."""
    random = np.random.default_rng(seed)
    lengths = np.ceil(random.exponential(DOCUMENT_TOKENS, 4_000)).astype(np.int64)
    ids = random.integers(8, vocab_size, int(lengths.sum()), dtype=np.uint32)
    store = MemoryStore(ids, np.cumsum(lengths), 0)
    # Cut, not split: a split looks for the ends of sentences, and there are none.
    plan = BatchPlan([store], (1.0,), tokenizer_of(vocab_size), seed, model_length, slots, documents="truncate")
    return (batch for batch, _ in batches(plan))


def attention_checks(device: torch.device, dtype: torch.dtype, heads: int = 12, size: int = 64) -> list[Check]:
    """Output and the gradients of query, key and value, for global and local layers and each of ROWS."""
    checks = []
    for (number, lengths), reach in itertools.product(enumerate(ROWS), (None, 64)):
        generator = torch.Generator(device).manual_seed(number)
        data = torch.randn(3, 1, sum(lengths), heads, size, generator=generator, device=device)
        weight = torch.randn(1, sum(lengths), heads, size, generator=generator, device=device)
        layout = layout_of(lengths, 2048, device)

        def results(function: Callable[..., tuple[Tensor, None]], kind: torch.dtype, where: object) -> list[Tensor]:
            query, key, value = inputs = [x.to(kind).transpose(1, 2).detach().requires_grad_() for x in data]  # noqa: B023
            window = None if reach is None else reach + 1  # noqa: B023
            out, _ = function(nn.Identity(), query, key, value, where, scaling=size**-0.5, sliding_window=window)
            (out * weight).sum().backward()  # noqa: B023
            return [out.detach().float(), *(x.grad.float() for x in inputs if x.grad is not None)]

        truth = results(reference_attention, torch.float32, layout)
        plain = results(reference_attention, dtype, layout)
        fast = results(packed_attention, dtype, layout)
        for name, a, b, c in zip(("output", "d query", "d key", "d value"), fast, plain, truth, strict=True):
            what = f"attention, row {number}, {'global' if reach is None else 'local'}, {name}"
            checks.append(Check(what, _furthest(a, c), 2 * _furthest(b, c) + VALUE))
    return checks


def _furthest(a: Tensor, b: Tensor) -> float:
    return (a - b).abs().max().item()


def network_checks(device: torch.device, model: Model, vocab_size: int) -> list[Check]:
    """The loss and each weight's gradient: the training path, also compiled, against the reference in float32."""
    inputs = mlm.to_device(next(made_up(1024, 2048, vocab_size)), 1024, device)
    network = mlm.build(model, tokenizer_of(vocab_size), 0, device).train()
    slow = copy.deepcopy(network)
    slow.config._attn_implementation = REFERENCE

    def float32(given: ModelInputs) -> Tensor:
        layouts = {"full_attention": given.layout, "sliding_attention": given.layout}
        states = slow.model(given.input_ids, layouts, given.position_ids).last_hidden_state[0]
        scored = slow.head(states.index_select(0, given.scored))
        return reference_cross_entropy(scored, slow.decoder.weight, slow.decoder.bias, given.labels)

    truth = _loss_and_gradients(float32, slow, inputs)
    plain = _loss_and_gradients(lambda given: mlm.loss_sum(slow, given), slow, inputs)
    checks = []
    for label, compiled in (("", False), (", compiled", True)):
        fast = _loss_and_gradients(make_objective(network, Ranks(0, 1, device), compiled, "auto"), network, inputs)
        for name in truth:
            allowed = 2 * _relative(plain[name], truth[name]) + RELATIVE
            checks.append(Check(f"network{label}, {name}", _relative(fast[name], truth[name]), allowed))
    return checks


def rank_checks(ranks: Ranks, model: Model, vocab_size: int) -> list[Check]:
    """All ranks together, compiled, two micro-batches each, against one process that takes all of them."""
    batches = list(itertools.islice(made_up(1024, 2048, vocab_size), 2 * ranks.count))
    targets = torch.tensor(float(sum(batch.targets for batch in batches)), device=ranks.device)
    network = mlm.build(model, tokenizer_of(vocab_size), 0, ranks.device).train()
    alone = Ranks(0, 1, ranks.device)

    def found(compiled: bool, precision: Precision, who: Ranks) -> dict[str, Tensor]:
        objective, mine = make_objective(network, who, compiled, precision), batches[who.rank :: who.count]
        network.zero_grad()
        return _gradients(accumulate(objective, mine, 1024, targets, who), network)

    truth, plain, fast = found(False, "float32", alone), found(False, "auto", alone), found(True, "auto", ranks)
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
    found = {"loss": loss.detach().float()}
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        found[f"d {name}"] = parameter.grad.clone()
    return found


def _relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def optimizer_checks(device: torch.device) -> list[Check]:
    """Three steps of the fused AdamW against torch's plain one in float64; float32 all through, so the bound is its."""
    stage = Stage(name="stage")
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=generator) for shape in ((64, 32), (32,))]
    gradients = [[torch.randn(x.shape, generator=generator) for x in start] for _ in range(3)]

    def stepped(place: torch.device, kind: torch.dtype, fused: bool) -> list[Tensor]:
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

    fast, plain = stepped(device, torch.float32, True), stepped(torch.device("cpu"), torch.float64, False)
    return [Check(f"AdamW, {len(a.shape)}-d", _relative(a, b), 1e-6) for a, b in zip(fast, plain, strict=True)]


def report(checks: Sequence[Check]) -> bool:
    """Print what failed, or the closest shave of each group; whether all passed."""
    failed = [check for check in checks if not check.passed]
    for check in failed:
        print(f"FAILED  {check.name}: {check.found:.2e}, allowed {check.allowed:.2e}")
    for group in dict.fromkeys(check.name.split(",")[0] for check in checks):
        within = [check for check in checks if check.name.split(",")[0] == group]
        worst = max(within, key=lambda check: check.found / check.allowed)
        passed = sum(check.passed for check in within)
        closest = f"{worst.name}, {worst.found:.2e} of {worst.allowed:.2e}"
        print(f"{group}: {passed} of {len(within)} checks passed; the closest: {closest}")
    return not failed


def speed(model: Model, stage: Stage, device: torch.device, seconds: float, compiled: bool) -> list[str]:
    """A row of the table: optimizer steps of one micro-batch, timed without waiting in between."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    ranks = Ranks(0, 1, device)
    network = mlm.build(model, tokenizer_of(VOCABULARY), 0, device).train()
    mlm.set_gradient_checkpointing(network, stage.gradient_checkpointing)
    objective, steppers = make_objective(network, ranks, compiled, "auto"), optimizers(network, stage)
    stream = made_up(stage.length, stage.micro_batch_tokens, VOCABULARY)
    ready = list(itertools.islice(stream, 16))  # made beforehand: loading is benchmarks/loader.py's

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
    took = statistics.median(rounds)
    tokens = sum(batch.tokens for batch in ready)
    needed = sum(training_flops(model, VOCABULARY, batch.text_lengths, batch.targets) for batch in ready)
    return [
        f"{stage.length:,}",
        f"{stage.micro_batch_tokens:,}",
        stage.optimizer,
        "yes" if compiled else "no",
        "yes" if stage.gradient_checkpointing else "no",
        f"{tokens / took:,.0f}",
        f"{needed / took / peak_flops(device, mlm.product_dtype(device)):.1%}",
        f"{1000 * took / len(ready):,.1f}",
        f"{torch.cuda.max_memory_allocated() / 2**30:.1f}",
        f"{first:,.1f}",
    ]


def variants() -> Iterator[tuple[Stage, bool]]:
    """The rows of the table: both stages without and with torch.compile, and what a recipe may turn on beside it."""
    for name, (length, slots) in STAGES.items():
        stage = Stage(name=name, length=length, batch_tokens=slots, micro_batch_tokens=slots)
        yield stage, False
        yield stage, True
        yield stage.model_copy(update={"gradient_checkpointing": True}), True
        yield stage.model_copy(update={"optimizer": "muon"}), True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parity", action="store_true", help="check, don't time")
    parser.add_argument("--layers", type=int, default=22)
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--seconds", type=float, default=20.0, help="each row of the table")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print(f"gpu.py: torch {torch.__version__} finds no CUDA device; there is nothing to check", file=sys.stderr)
        sys.exit(2)
    ranks = this_rank()
    device = ranks.device
    model = Model(
        layers=given.layers, hidden=given.hidden, heads=given.hidden // 64, intermediate=given.hidden * 3 // 2
    )
    # Four layers have two of each kind; the reference keeps T² scores of each.
    shallow = model.model_copy(update={"layers": min(4, model.layers)})
    with process_group(ranks):
        if ranks.is_main:
            print(f"{ranks.count} × {torch.cuda.get_device_name(device)}, torch {torch.__version__}", flush=True)
        if ranks.count > 1:
            checks = rank_checks(ranks, shallow, VOCABULARY)
        else:
            checks = attention_checks(device, torch.bfloat16) + optimizer_checks(device)
            checks += network_checks(device, shallow, VOCABULARY)
        passed = report(checks) if ranks.is_main else True
    if ranks.count == 1 and not given.parity:
        table = Table(*COLUMNS)
        for stage, compiled in variants():
            table.add_row(*speed(model, stage, device, given.seconds, compiled))
        Console(width=120).print(table)
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
