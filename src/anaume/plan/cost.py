"""`anaume plan`: what a recipe costs, computed from its numbers alone, without weights or data.

Comes in: a recipe, a kind of GPU, the number of GPUs, and two assumptions: the share of the peak that training
reaches, and the lengths of documents. Goes out: a `Plan` with arithmetic, time and memory, part by part. The rule:
a figure is computed from the shapes by the functions that training uses, or it is printed as an assumption.

A stage is costed in three ways of reading the same text: as a Hugging Face loop does (one padded row per document,
logits everywhere), with logits only where tokens are scored, and with packed rows in addition.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from anaume.errors import UserError
from anaume.model.flops import DEVICES, Device, Flops, flops
from anaume.model.memory import memory, parameters, scored_slots
from anaume.plan.bound import step_bound
from anaume.plan.machine import this_cpu
from anaume.plan.pieces import PieceLengths, full_rows, mean_length_for_padding, padded_rows, piece_lengths
from anaume.plan.result import EVERYWHERE, PACKED, SCORED, Disk, Plan, StagePlan, Way
from anaume.recipe import Model, Recipe, Stage, TokenizerTable
from anaume.tokenizer.adapt import adapt_tokenizer

# Default mean length of a document in tokens. A page of the Swallow corpus has 1,804 characters (312.1e9 in 173e6
# pages, arXiv 2404.17733), and a token of the paper's tokenizer has about 1.8.
DOCUMENT_TOKENS = 1000.0
# Tokenizers on the Hub whose size is known without a download.
VOCABULARIES = {"llm-jp/llm-jp-3-1.8b": 99_574}


def plan(
    recipe: Recipe,
    vocab_size: int,
    device: str,
    gpus: int,
    mfu: Sequence[float],
    document_tokens: float = DOCUMENT_TOKENS,
    padding: Sequence[float] = (),
) -> Plan:
    """Cost of a recipe on `gpus` GPUs of the kind `device`, or on this machine's processor ("cpu").

    `mfu` and `padding` hold one number, or one per stage.

    `mfu` is the share of the peak at which the arithmetic of a way runs, its padding and unneeded logits included.
    `padding` is the share of a padded row that holds no text; it replaces `document_tokens`.

    Raises:
        UserError: an unknown device; a batch that can't be divided among the GPUs; a number out of its range.
    """
    kind = this_cpu(recipe.precision) if device.lower() == "cpu" else DEVICES.get(device.lower())
    if not kind:
        raise UserError(f"--device {device}: unknown; expected one of {', '.join(DEVICES)}, cpu")
    shares = _one_per_stage(recipe, "--mfu", mfu)
    if not all(0 < share <= 1 for share in shares):
        raise UserError(f"--mfu {', '.join(map(str, mfu))}: not a share of the peak; expected above 0, at most 1")
    paddings = _one_per_stage(recipe, "--padding", padding) if padding else [None] * len(recipe.stage)
    stages = [
        _stage_plan(recipe.model, stage, vocab_size, kind, gpus, share, document_tokens, stage_padding)
        for stage, share, stage_padding in zip(recipe.stage, shares, paddings, strict=True)
    ]
    weights = parameters(recipe.model, vocab_size)
    disk = _disk(recipe, stages)
    return Plan(recipe.name, gpus, device, kind.peak, kind.memory, vocab_size, weights, tuple(stages), disk)


def vocabulary_size(table: TokenizerTable) -> int:
    """Number of entries of the recipe's tokenizer; one of the Hub that is not in `VOCABULARIES` is downloaded.

    Raises:
        UserError: the tokenizer can't be opened.
    """
    source = table.adapt or table.load
    if table.train:
        return table.train
    if source in VOCABULARIES:
        return VOCABULARIES[source]
    from anaume.tokenizer.load import load_tokenizer

    if table.load:
        return load_tokenizer(source).vocab_size
    with tempfile.TemporaryDirectory() as folder:
        adapt_tokenizer(source, Path(folder) / "tokenizer")
        return load_tokenizer(Path(folder) / "tokenizer").vocab_size


def _one_per_stage(recipe: Recipe, option: str, numbers: Sequence[float]) -> list[float]:
    if len(numbers) not in (1, len(recipe.stage)):
        raise UserError(
            f"{option} {', '.join(map(str, numbers))}: {len(numbers)} numbers for {len(recipe.stage)} stages;"
            " expected one for all stages, or one per stage"
        )
    return list(numbers) * (len(recipe.stage) // len(numbers))


def _stage_plan(
    model: Model,
    stage: Stage,
    vocab_size: int,
    kind: Device,
    gpus: int,
    mfu: float,
    document_tokens: float,
    assumed_padding: float | None,
) -> StagePlan:
    micro_batches = stage.batch_tokens // stage.micro_batch_tokens
    if micro_batches % gpus:
        divisors = ", ".join(str(n) for n in range(1, micro_batches + 1) if micro_batches % n == 0)
        raise UserError(
            f"--gpus {gpus}: the batch of stage {stage.name!r} is {micro_batches} micro-batches; expected one of"
            f" {divisors}"
        )
    mean = document_tokens if assumed_padding is None else mean_length_for_padding(stage, assumed_padding)
    pieces = piece_lengths(stage, mean)
    padding = pieces.padding(stage.length)
    slots = float(stage.steps * stage.batch_tokens)
    text = slots if stage.packing else slots * (1 - padding)

    def way(name: str, slots: float, operations: Flops) -> Way:
        recomputed = (operations.total - operations.head) / 3 if stage.gradient_checkpointing else 0.0
        seconds = slots * (operations.total + recomputed) / (gpus * kind.peak * mfu)
        return Way(name, slots, operations, recomputed, seconds, seconds * gpus / 3600)

    scored = scored_slots(stage, stage.micro_batch_tokens) / stage.micro_batch_tokens
    padded, causal = text / (1 - padding), stage.objective == "causal"
    ways = (
        way(EVERYWHERE, padded, _flops_per_slot(model, vocab_size, full_rows(stage), 1.0, causal)),
        way(SCORED, padded, _flops_per_slot(model, vocab_size, padded_rows(stage, pieces), scored, causal)),
        way(PACKED, text, _flops_per_slot(model, vocab_size, pieces, scored, causal)),
    )
    sizes = memory(model, vocab_size, stage, kind.product, on_cpu=kind.name == "CPU")
    own = ways[2] if stage.packing else ways[1]
    weights = parameters(model, vocab_size)
    bound = None
    if kind.bandwidth:
        slots_of_micro_batch, accumulation = stage.micro_batch_tokens, micro_batches // gpus
        bound = step_bound(own.flops, own.recomputed, slots_of_micro_batch, sizes, accumulation, weights, kind, gpus)
    return StagePlan(
        name=stage.name,
        length=stage.length,
        steps=stage.steps,
        batch_slots=stage.batch_tokens,
        micro_batch_slots=stage.micro_batch_tokens,
        accumulation=micro_batches // gpus,
        mfu=mfu,
        document_tokens=mean,
        padding=padding,
        text_tokens=text,
        ways=ways,
        own_way=own.name,
        memory=sizes,
        bound=bound,
    )


def _flops_per_slot(model: Model, vocab_size: int, pieces: PieceLengths, scored: float, causal: bool) -> Flops:
    """Operations per slot; `scored` is the share of slots that get logits."""
    slots = float(pieces.counts @ pieces.slots)
    return flops(model, vocab_size, pieces.slots, scored, pieces.counts / slots, causal)


def _disk(recipe: Recipe, stages: Sequence[StagePlan]) -> Disk:
    """Disk that the checkpoints take: weights and moments, but no moments in the run's first one."""
    count, stays, passes = 1, stages[0].memory["weights"], 0
    for stage, stage_plan in zip(recipe.stage, stages, strict=True):
        size = sum(part for name, part in stage_plan.memory.items() if name == "weights" or "moment" in name)
        saved = {*range(stage.save_every, stage.steps, stage.save_every), *stage.keep_steps, stage.steps}
        kept = sum(map(stage.keeps, saved))
        count, stays = count + kept, stays + kept * size
        passes = max(passes, (stage.keep_last + 1) * size)  # the checkpoint being written is one more
    return Disk(count, stays, passes)
