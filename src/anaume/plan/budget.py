"""`anaume recipe new`: a corpus, a machine and a number of hours → a commented recipe that takes about that long.

The model is the largest of a few shapes that reads enough tokens in the time. The rule: the time is the forecast of
`anaume plan`, so that the two never disagree.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import tomli_w

from anaume import recipe as recipes
from anaume.corpus.source import Source
from anaume.errors import UserError
from anaume.plan import cost
from anaume.plan.result import Plan, StagePlan

# Shares of the peak that training is expected to reach: 0.57 to 0.62 were measured on CPUs in float32 (docs/log.md);
# for a GPU it is an assumption.
CPU_MFU, GPU_MFU = 0.5, 0.3
# Share of the hours for training. The rest is for tokenising, validation and checkpoints.
TRAINING = 0.9
# Share of the tokens that the second stage reads, and its length; about that of the paper (0.63T of 2.33T tokens).
LONG_SHARE, LENGTH, LONG_LENGTH = 0.25, 1024, 8192
# Tokens for each parameter outside the vocabulary (Hoffmann and others, arXiv 2203.15556).
TOKENS_PER_PARAMETER = 20
# Steps of the first stage, as far as the smallest batch allows: enough for a schedule, few enough for large batches.
STEPS, FEWEST_STEPS = 2_000, 100
SMALLEST_BATCH, LARGEST_BATCH = 2_048, 1 << 22
GPU_MICRO_BATCH = 16_384
# The rate of stage 1 on a trained checkpoint: its own last rates were lower than its peak.
CONTINUED_RATE = 1e-4


@dataclass(frozen=True)
class Shape:
    """Layers, width, entries of the vocabulary if one is trained, and the learning rate of stage 1."""

    layers: int
    hidden: int
    vocabulary: int
    learning_rate: float


# The rate of the widest shape is the paper's; that of 6 × 256 with Muon was measured (docs/log.md), and the others lie
# between and beside them.
SHAPES = (
    Shape(22, 768, 65_536, 5e-4),
    Shape(12, 512, 32_768, 1e-3),
    Shape(6, 256, 16_384, 2e-3),
    Shape(4, 128, 8_192, 2e-3),
)


@dataclass(frozen=True)
class Machine:
    """`device` as in `anaume plan`, and the number of GPUs; "cpu" is this machine."""

    device: str
    gpus: int = 1

    @property
    def mfu(self) -> float:
        """The share of the peak that training is expected to reach."""
        return CPU_MFU if self.on_cpu else GPU_MFU

    @property
    def on_cpu(self) -> bool:
        """Whether the device is this machine's processor."""
        return self.device.lower() == "cpu"


def new_recipe(
    name: str, corpus: Sequence[Source], machine: Machine, hours: float, tokenizer: str = "", init: str = ""
) -> tuple[str, Plan]:
    """Return the text of a recipe that trains about `hours` hours on `machine`, and its cost.

    `tokenizer` is a folder, .model file or Hub id that is adapted; without it, a vocabulary is trained on the corpus.
    With `init`, shape and tokenizer are those of that checkpoint.

    Raises:
        UserError: too few hours for any shape; `init` can't be opened; an unknown device.
    """
    for model in _models(tokenizer, init):
        tables = {"name": name, "corpus": _corpus(corpus), **model}
        if sized := _within(tables, machine, hours):
            tables["stage"], planned = sized
            body = planned.parameters.total - planned.parameters.vocabulary
            if init or _tokens(planned) >= TOKENS_PER_PARAMETER * body or model["model"]["layers"] == SHAPES[-1].layers:
                return _text(tables, planned, machine, hours), planned
    raise UserError(
        f"--hours {hours:g}: too short for {FEWEST_STEPS} steps of the smallest model on {machine.device}; expected"
        " more"
    )


def _models(tokenizer: str, init: str) -> Iterator[dict[str, Any]]:
    """The tables of the tokenizer, the model and the stages' rates, from the largest model to the smallest."""
    if init:
        yield {"model": {"init": init}, "stage": _rates(CONTINUED_RATE)}
        return
    for shape in SHAPES:
        yield {
            "tokenizer": {"adapt": tokenizer} if tokenizer else {"train": shape.vocabulary},
            "model": {"layers": shape.layers, "hidden": shape.hidden},
            "stage": _rates(shape.learning_rate),
        }


def _rates(learning_rate: float) -> list[dict[str, Any]]:
    return [{"name": "stage1", "learning_rate": learning_rate}, {"name": "stage2", "learning_rate": learning_rate / 4}]


def _corpus(sources: Sequence[Source]) -> dict[str, Any]:
    return {"train": [source.model_dump(exclude_defaults=True) for source in sources], "validation_share": 0.01}


def _within(tables: dict[str, Any], machine: Machine, hours: float) -> tuple[list[dict[str, Any]], Plan] | None:
    """The stages with batches and steps that take the time, and their cost; None if it is too short."""
    stages: list[dict[str, Any]] = tables["stage"]
    per_token = [
        _seconds(stage) / stage.text_tokens
        for stage in _cost(tables | {"stage": _sized(stages, machine, SMALLEST_BATCH, [1, 1])}, machine).stages
    ]
    shares = (1 - LONG_SHARE, LONG_SHARE)
    tokens = TRAINING * 3600 * hours / sum(s * seconds for s, seconds in zip(shares, per_token, strict=True))
    batch = max(1, int(tokens * shares[0] / STEPS))
    batch = min(LARGEST_BATCH, max(SMALLEST_BATCH, 1 << (batch.bit_length() - 1)))
    sizes = [stage["batch_tokens"] for stage in _sized(stages, machine, batch, [1, 1])]
    steps = [int(tokens * share / size) for share, size in zip(shares, sizes, strict=True)]
    if steps[0] < FEWEST_STEPS or not steps[1]:
        return None
    sized = _sized(stages, machine, batch, steps)
    return sized, _cost(tables | {"stage": sized}, machine)


def _sized(
    stages: Sequence[dict[str, Any]], machine: Machine, batch: int, steps: Sequence[int]
) -> list[dict[str, Any]]:
    """The stages with lengths, batches of at least `batch` tokens, and schedules."""
    sized = []
    for stage, length, count in zip(stages, (LENGTH, LONG_LENGTH), steps, strict=True):
        micro_batch = max(length, SMALLEST_BATCH if machine.on_cpu else GPU_MICRO_BATCH)
        sizes = {
            "length": length,
            "steps": count,
            "batch_tokens": -(-batch // (micro_batch * machine.gpus)) * micro_batch * machine.gpus,
            "micro_batch_tokens": micro_batch,
        }
        schedule = {"warmup_steps": count // 20, "schedule": "wsd", "decay_steps": count // 4, "optimizer": "muon"}
        sized.append(stage | sizes | schedule)
    return sized


def _cost(tables: dict[str, Any], machine: Machine) -> Plan:
    recipe = recipes.parse(tables, "anaume recipe new")
    if recipe.model.init:
        from anaume.model.init import open_config, with_shape_of_init  # brings torch

        recipe, vocab_size = with_shape_of_init(recipe), int(open_config(recipe.model).vocab_size)
    else:
        vocab_size = cost.vocabulary_size(recipe.tokenizer)
    return cost.plan(recipe, vocab_size, machine.device, machine.gpus, [machine.mfu])


def _tokens(planned: Plan) -> float:
    return sum(stage.text_tokens for stage in planned.stages)


def _seconds(stage: StagePlan) -> float:
    return next(way.seconds for way in stage.ways if way.name == stage.own_way)


def _text(tables: dict[str, Any], planned: Plan, machine: Machine, hours: float) -> str:
    """The recipe as TOML, with a comment above each table."""
    device = "this machine's processor" if machine.on_cpu else f"{machine.gpus} × {machine.device}"
    trained = sum(map(_seconds, planned.stages)) / 3600
    parts = [
        f"# {_tokens(planned) / 1e6:,.1f} million tokens in about {trained:.2g} of {hours:g} hours on {device},\n# if"
        f" training reaches {machine.mfu:.0%} of {planned.peak / 1e12:,.2g} TFLOP/s. docs/recipe.md lists every key.",
        tomli_w.dumps({"name": tables["name"]}),
        *(f"[[corpus.train]]\n{tomli_w.dumps(source)}" for source in tables["corpus"]["train"]),
        f"# The share of the documents that is held out.\n[corpus]\nvalidation_share = "
        f"{tables['corpus']['validation_share']}\n",
    ]
    comments = {
        "tokenizer": "`train` makes a vocabulary of the corpus; `adapt` takes a decoder's, `load` an encoder's.",
        "model": "Heads and the inner width follow from `hidden`; with `init`, everything comes from the checkpoint.",
    }
    for name, comment in comments.items():
        if name in tables:
            parts.append(f"# {comment}\n[{name}]\n{tomli_w.dumps(tables[name])}")
    reading = (
        "Pieces of up to 1,024 tokens; `steps` sets the time.",
        "Pieces of up to 8,192 tokens, for long context.",
    )
    for stage, comment in zip(tables["stage"], reading, strict=True):
        parts.append(f"# {comment}\n[[stage]]\n{tomli_w.dumps(stage)}")
    return "\n".join(parts)
