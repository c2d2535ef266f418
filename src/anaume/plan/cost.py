"""`anaume plan`: what a recipe costs before anyone pays for it, from its numbers alone, without weights or data.

Comes in: a recipe, a kind of GPU and how many, and what nobody knows beforehand: the share of the peak that will be
reached, and how long the documents are. Goes out: arithmetic, time and memory, part by part. The rule: a figure is
computed from the shapes with the same functions that training uses, or it is printed as an assumption.

A stage is costed in three ways that read the same text: as a Hugging Face loop would (a padded row a document, logits
everywhere), with logits only where tokens are scored, and packed as well.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anaume.batches.lengths import bins_of, keep_probabilities
from anaume.batches.packing import cut
from anaume.errors import UserError
from anaume.model.flops import DEVICES, Device, Flops, flops
from anaume.model.memory import Parameters, memory, parameters, scored_slots
from anaume.recipe import Model, Recipe, Stage, TokenizerTable
from anaume.tokenizer.adapt import adapt_tokenizer

# Mean tokens of a document unless the user says otherwise. A page of the Swallow corpus has 1,804 characters (312.1e9
# in 173e6 pages, arXiv 2404.17733), and a token of the paper's tokenizer some 1.8.
DOCUMENT_TOKENS = 1000.0
# Tokenizers on the Hub whose size is known without a download.
VOCABULARIES = {"llm-jp/llm-jp-3-1.8b": 99_574}
# Documents from which the lengths of pieces are computed.
_SAMPLE = 1 << 16
_MOST_PIECES = 1e7

EVERYWHERE, SCORED, PACKED = "padded, all logits", "padded, scored logits", "packed, scored logits"


@dataclass(frozen=True)
class Lengths:
    """Pieces of documents: (n,) slots of each, [CLS] and [SEP] included, and (n,) how often it is read."""

    slots: NDArray[np.int64]
    counts: NDArray[np.float64]

    def padding(self, length: int) -> float:
        """Share of slots without text if each piece has a row of `length` slots."""
        return 1 - float(self.counts @ self.slots) / (length * float(self.counts.sum()))


@dataclass(frozen=True)
class Way:
    """A way to read a stage's text: token slots, operations a slot, and the time on all GPUs together.

    `recomputed`  operations a slot that gradient checkpointing adds: the layers' forward pass once more
    """

    name: str
    slots: float
    flops: Flops
    recomputed: float
    seconds: float
    gpu_hours: float


@dataclass(frozen=True)
class StagePlan:
    """A stage: its text, what is assumed, its three ways, and the memory (bytes by part) on each GPU."""

    name: str
    length: int
    steps: int
    batch_slots: int
    micro_batch_slots: int
    accumulation: int
    mfu: float
    document_tokens: float
    padding: float
    text_tokens: float
    ways: tuple[Way, ...]
    own_way: str
    memory: dict[str, int]


@dataclass(frozen=True)
class Disk:
    """Checkpoints that stay, their bytes, and the bytes of those that come and go beside them while a run trains."""

    checkpoints: int
    stays: int
    passes: int


@dataclass(frozen=True)
class Plan:
    """A recipe on `gpus` GPUs of a kind."""

    recipe: str
    gpus: int
    device: str
    peak: float
    device_memory: float
    vocab_size: int
    parameters: Parameters
    stages: tuple[StagePlan, ...]
    disk: Disk

    def to_json(self) -> dict[str, Any]:
        """As nested dictionaries, with the sums that a reader would otherwise have to form."""
        table = asdict(self)
        table["parameters"]["total"] = self.parameters.total
        for stage, found in zip(self.stages, table["stages"], strict=True):
            for way, row in zip(stage.ways, found["ways"], strict=True):
                row["flops"]["total"], row["days"] = way.flops.total, way.seconds / 86_400
            found["memory"]["total"] = sum(stage.memory.values())
        return table


def plan(
    recipe: Recipe,
    vocab_size: int,
    device: str,
    gpus: int,
    mfu: Sequence[float],
    document_tokens: float = DOCUMENT_TOKENS,
    padding: Sequence[float] = (),
) -> Plan:
    """Cost a recipe. `mfu` and `padding` hold one number for all stages or one for each.

    `mfu` is the share of the peak that goes into the arithmetic of a way, padding and unneeded logits included where
    the way has them. `padding` says which share of a padded row holds no text, in place of `document_tokens`.

    Raises:
        UserError: an unknown device; GPUs that the batch can't be shared among; a number out of its range.
    """
    kind = _device(device)
    shares = _for_each_stage(recipe, "--mfu", mfu)
    if not all(0 < share <= 1 for share in shares):
        raise UserError(f"--mfu {', '.join(map(str, mfu))}: accepted: above 0, at most 1")
    given = _for_each_stage(recipe, "--padding", padding) if padding else [None] * len(recipe.stage)
    stages = [
        _stage(recipe.model, stage, vocab_size, kind, gpus, share, document_tokens, wanted)
        for stage, share, wanted in zip(recipe.stage, shares, given, strict=True)
    ]
    counted = parameters(recipe.model, vocab_size)
    disk = _disk(recipe, stages)
    return Plan(recipe.name, gpus, device, kind.peak, kind.memory, vocab_size, counted, tuple(stages), disk)


def _disk(recipe: Recipe, stages: Sequence[StagePlan]) -> Disk:
    """A checkpoint is the weights and the moments; the run's first one has no moments yet."""
    count, stays, passes = 1, stages[0].memory["weights"], 0
    for stage, planned in zip(recipe.stage, stages, strict=True):
        size = sum(part for name, part in planned.memory.items() if name == "weights" or "moment" in name)
        kept = sum(map(stage.keeps, {*range(stage.save_every, stage.steps, stage.save_every), stage.steps}))
        count, stays = count + kept, stays + kept * size
        passes = max(passes, (stage.keep_last + 1) * size)  # and the one that is being written
    return Disk(count, stays, passes)


def vocabulary_size(table: TokenizerTable) -> int:
    """Entries of the recipe's tokenizer, if they can be known without the network.

    Raises:
        UserError: the tokenizer lies on the Hub and is no known one.
    """
    source = table.adapt or table.load
    if table.train:
        return table.train
    if Path(source).expanduser().exists():
        from anaume.tokenizer.load import load_tokenizer

        with tempfile.TemporaryDirectory() as folder:
            adapt_tokenizer(source, Path(folder) / "tokenizer")
            return load_tokenizer(Path(folder) / "tokenizer").vocab_size
    if source not in VOCABULARIES:
        raise UserError(f"tokenizer {source}: its size is not known without a download; give --vocab-size")
    return VOCABULARIES[source]


def _device(name: str) -> Device:
    if name.lower() not in DEVICES:
        raise UserError(f"--device {name}: accepted: {', '.join(DEVICES)}")
    return DEVICES[name.lower()]


def _for_each_stage(recipe: Recipe, option: str, numbers: Sequence[float]) -> list[float]:
    if len(numbers) not in (1, len(recipe.stage)):
        raise UserError(
            f"{option} {', '.join(map(str, numbers))}: {len(numbers)} numbers for {len(recipe.stage)} stages;"
            " accepted: one for all stages, or one for each"
        )
    return list(numbers) * (len(recipe.stage) // len(numbers))


def _stage(
    model: Model,
    stage: Stage,
    vocab_size: int,
    kind: Device,
    gpus: int,
    mfu: float,
    document_tokens: float,
    wanted_padding: float | None,
) -> StagePlan:
    micro_batches = stage.batch_tokens // stage.micro_batch_tokens
    if micro_batches % gpus:
        accepted = ", ".join(str(n) for n in range(1, micro_batches + 1) if micro_batches % n == 0)
        raise UserError(
            f"--gpus {gpus}: the batch of stage {stage.name!r} is {micro_batches} micro-batches; accepted: {accepted}"
        )
    mean = document_tokens if wanted_padding is None else _mean_of_padding(stage, wanted_padding)
    pieces = lengths(stage, mean)
    padding = pieces.padding(stage.length)
    slots = float(stage.steps * stage.batch_tokens)
    text = slots if stage.packing else slots * (1 - padding)

    def way(name: str, slots: float, operations: Flops) -> Way:
        again = (operations.total - operations.head) / 3 if stage.gradient_checkpointing else 0.0
        seconds = slots * (operations.total + again) / (gpus * kind.peak * mfu)
        return Way(name, slots, operations, again, seconds, seconds * gpus / 3600)

    scored = scored_slots(stage, stage.micro_batch_tokens) / stage.micro_batch_tokens
    padded = text / (1 - padding)
    ways = (
        way(EVERYWHERE, padded, _a_slot(model, vocab_size, _full_rows(stage), 1.0)),
        way(SCORED, padded, _a_slot(model, vocab_size, _padded_rows(stage, pieces), scored)),
        way(PACKED, text, _a_slot(model, vocab_size, pieces, scored)),
    )
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
        own_way=PACKED if stage.packing else SCORED,
        memory=memory(model, vocab_size, stage),
    )


def lengths(stage: Stage, mean: float) -> Lengths:
    """The pieces that a stage makes of documents whose lengths follow an exponential law with this mean (tokens).

    Cut where they are full: sentences, at whose ends training prefers to cut, are not known here.
    """
    count = int(min(_SAMPLE, max(100, _MOST_PIECES * stage.length / mean)))
    quantiles = (np.arange(count) + 0.5) / count
    documents = np.ceil(-mean * np.log1p(-quantiles)).astype(np.int64)
    kept = documents[documents >= stage.min_document_tokens]
    if not len(kept):
        raise UserError(
            f"--document-tokens {mean:g}: hardly a document has the {stage.min_document_tokens} tokens that stage"
            f" {stage.name!r} wants (min_document_tokens); accepted: more tokens"
        )
    slots = cut(kept, stage.length, stage.documents).lengths
    counts = np.ones(len(slots))
    if stage.length_shares:
        counts = keep_probabilities(slots, stage.length_shares)[bins_of(slots)]
    return Lengths(slots, counts)


def _mean_of_padding(stage: Stage, wanted: float) -> float:
    """The documents' mean length at which padded rows have this share of padding, by bisection."""
    low, high = 1.0 + stage.min_document_tokens / 8, 1000.0 * stage.length
    most, least = (lengths(stage, mean).padding(stage.length) for mean in (low, high))
    if not least <= max(wanted, least) <= most or wanted < 0:
        raise UserError(f"--padding {wanted:g}: accepted for stage {stage.name!r}: 0 to {most:.3f}")
    for _ in range(40):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if lengths(stage, middle).padding(stage.length) > wanted else (low, middle)
    return high


def _full_rows(stage: Stage) -> Lengths:
    """Rows in which each slot attends to each, padding too."""
    return Lengths(np.array([stage.length]), np.ones(1))


def _padded_rows(stage: Stage, pieces: Lengths) -> Lengths:
    """Rows of one piece, and a run of padding that attends to itself only."""
    behind = stage.length - pieces.slots
    there = behind > 0
    return Lengths(np.concatenate([pieces.slots, behind[there]]), np.concatenate([pieces.counts, pieces.counts[there]]))


def _a_slot(model: Model, vocab_size: int, found: Lengths, scored: float) -> Flops:
    """Operations a slot, if a share of `scored` gets logits."""
    slots = float(found.counts @ found.slots)
    return flops(model, vocab_size, found.slots, scored, found.counts / slots)
