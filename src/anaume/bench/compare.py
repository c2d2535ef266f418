"""`anaume bench`: this machine, anaume beside the loop that a user of Hugging Face's libraries would write.

Comes in: a recipe, of which one stage is run (without one, bench.toml beside this file). Goes out: a table, and the
steps one by one as JSON. The rule: both sides read the same documents in the same order and take an optimizer step a
micro-batch, and only text counts: padding is no work done. They run in turn, each time in a process of its own, so that
each has its own peak of memory; before and after its steps the process measures what the machine gives at that moment.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from anaume import recipe as recipes
from anaume.corpus.readers import parse_source
from anaume.errors import UserError
from anaume.files import write_json
from anaume.pretrain.prepare import prepare
from anaume.recipe import Recipe, Stage
from anaume.run import Run, describe_environment

RECIPE = Path(__file__).with_name("bench.toml")
SIDES = {"padded": "padded Hugging Face loop", "anaume": "anaume"}
# Documents read of each source: enough for the fastest side, few enough to tokenise in seconds.
DOCUMENTS = 20_000


@dataclass(frozen=True)
class Job:
    """What one process of one side is to do; the recipe holds the one stage."""

    side: str
    recipe: dict[str, Any]
    run: str
    rows: int
    seconds: float
    round: int
    out: str


@dataclass(frozen=True)
class Step:
    """One optimizer step: its time, its text and slots, the operations that the text needs, its mean loss (nats)."""

    seconds: float
    tokens: int
    slots: int
    flops: float
    loss: float


@dataclass(frozen=True)
class Round:
    """What a process found; its first step is left out. `peaks`: FLOP/s of a matrix product, before and after.

    `products` is the dtype in which the side multiplies matrices, and in which its peaks were found.
    """

    side: str
    products: str
    steps: list[Step]
    peaks: tuple[float, float]
    memory: int
    device: str
    threads: int

    @property
    def tokens_per_second(self) -> float:
        """Text tokens a second, over all steps."""
        return sum(step.tokens for step in self.steps) / sum(step.seconds for step in self.steps)

    @property
    def flops_per_second(self) -> float:
        """Operations a second that the text needs."""
        return sum(step.flops for step in self.steps) / sum(step.seconds for step in self.steps)


def select_recipe(
    path: Path | None,
    changes: Sequence[str],
    corpus: str,
    tokenizer: str,
    stage: str,
    length: int,
    layers: int,
    hidden: int,
) -> Recipe:
    """The recipe to run: one stage of `path` (or of bench.toml), changed by the options that are given (0, "": not).

    Raises:
        UserError: as `recipe.load`; an unknown stage.
    """
    table = recipes.load(path or RECIPE, changes).model_dump()
    if corpus:
        table["corpus"]["train"] = [parse_source(corpus).model_dump()]
    if tokenizer:
        table["tokenizer"] = {"adapt": tokenizer}
    if layers:
        table["model"]["layers"] = layers
    if hidden:  # ModernBERT's proportions
        table["model"] |= {"hidden": hidden, "heads": max(1, hidden // 64), "intermediate": hidden * 3 // 2}
    names = [one["name"] for one in table["stage"]]
    if stage and stage not in names:
        raise UserError(f"--stage {stage}: accepted: {', '.join(names)}")
    only = table["stage"][names.index(stage) if stage else 0]
    if length:
        only["length"] = length
        table["model"]["positions"] = max(length, table["model"]["positions"])
        only["micro_batch_tokens"] = max(length, only["micro_batch_tokens"])
    only["batch_tokens"] = only["micro_batch_tokens"]
    table["stage"] = [only]
    table["corpus"]["in_memory"] = False
    for source in table["corpus"]["train"]:
        source["max_documents"] = min(DOCUMENTS, source["max_documents"] or DOCUMENTS)
    table["corpus"]["validation"] = [{**table["corpus"]["train"][0], "max_documents": 1}]
    return recipes.parse(table, str(path or "anaume bench"))


def bench(recipe: Recipe, rows: int, seconds: float, rounds: int, out: Path | None) -> dict[str, Any]:
    """Run both sides `rounds` times in turn, at least `seconds` each; print the table and write the steps to `out`.

    `rows` are the comparator's documents a micro-batch; 0: as many slots as ours has.

    Raises:
        UserError: the corpus or the tokenizer is not usable; a side ran out of memory.
    """
    stage = recipe.stage[0]
    rows = rows or max(1, stage.micro_batch_tokens // stage.length)
    console = Console(stderr=True)
    found: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="anaume-bench-") as folder:
        run = Run(Path(folder) / "run")
        tokenizer = prepare(recipe, run).tokenizer
        for number in range(rounds):
            for side in SIDES:
                job = Job(side, recipe.model_dump(), str(run.folder), rows, seconds, number, str(Path(folder) / "out"))
                with console.status(f"round {number + 1} of {rounds}: {SIDES[side]} …"):
                    found.append(_measure(job))
                speed = f"{found[-1].tokens_per_second:,.0f} tokens/s"
                console.print(f"round {number + 1} of {rounds}: {SIDES[side]}: {speed}", highlight=False)
    result = _result(recipe, tokenizer.vocab_size, rows, found)
    if out:
        write_json(out, result)
    _show(result)
    return result


def _measure(job: Job) -> Round:
    """Run one side in a process of its own."""
    command = [sys.executable, "-m", "anaume.bench.process", json.dumps(asdict(job))]
    finished = subprocess.run(command, check=False)
    if finished.returncode:
        advice = "its memory was probably not enough" if finished.returncode < 0 else "its own words stand above"
        raise UserError(
            f"{SIDES[job.side]} ended with status {finished.returncode}: {advice}; fewer --rows than {job.rows} (of the"
            " padded loop) or a smaller micro_batch_tokens (of anaume) need less"
        )
    table = json.loads(Path(job.out).read_text(encoding="utf-8"))
    steps = [Step(**step) for step in table.pop("steps")]
    return Round(steps=steps, **table)


def _result(recipe: Recipe, vocab_size: int, rows: int, found: Sequence[Round]) -> dict[str, Any]:
    """Settings, machine, a summary of each side, their ratios, and every step."""
    sides = {side: _summary([one for one in found if one.side == side]) for side in SIDES}
    padded, own = sides["padded"], sides["anaume"]
    stage: Stage = recipe.stage[0]
    return {
        "settings": {
            "model": recipe.model.model_dump(),
            "vocab_size": vocab_size,
            "stage": stage.model_dump(),
            "corpus": [str(source) for source in recipe.corpus.train],
            "rows": rows,
        },
        "environment": describe_environment(found[0].device, found[0].threads),
        "sides": sides,
        "speed_ratio": own["tokens_per_second"] / padded["tokens_per_second"],
        "memory_ratio": own["memory"] / padded["memory"],
        "rounds": [asdict(one) for one in found],
    }


def _summary(rounds: Sequence[Round]) -> dict[str, Any]:
    """Medians over rounds; memory is the highest, and MFU the share of the highest peak of the rounds."""
    peaks = [peak for one in rounds for peak in one.peaks]
    steps = [step for one in rounds for step in one.steps]
    return {
        "tokens_per_second": statistics.median(one.tokens_per_second for one in rounds),
        "tokens_per_second_of_rounds": [one.tokens_per_second for one in rounds],
        "tokens_per_second_of_the_median_step": statistics.median(step.tokens / step.seconds for step in steps),
        "padding_fraction": 1 - sum(step.tokens for step in steps) / sum(step.slots for step in steps),
        "products": rounds[0].products,
        "peak_flops": {"lowest": min(peaks), "highest": max(peaks)},
        "mfu": statistics.median(one.flops_per_second for one in rounds) / max(peaks),
        "memory": max(one.memory for one in rounds),
        "steps": len(steps),
        "tokens": sum(step.tokens for step in steps),
    }


def _show(result: dict[str, Any]) -> None:
    settings, sides = result["settings"], result["sides"]
    model, stage = settings["model"], settings["stage"]
    table = Table(
        title=f"{model['layers']} layers × {model['hidden']}, {settings['vocab_size']:,} entries,"
        f" length {stage['length']:,}",
        title_justify="left",
    )
    table.add_column("")
    table.add_column(f"{SIDES['padded']},\n{settings['rows']} rows", justify="right")
    table.add_column(f"{SIDES['anaume']},\n{stage['micro_batch_tokens']:,} slots", justify="right")
    table.add_column("ratio", justify="right")

    def row(label: str, key: str, form: str, ratio: str = "", unit: float = 1) -> None:
        table.add_row(label, *(form.format(side[key] / unit) for side in sides.values()), ratio)

    row("tokens of text a second", "tokens_per_second", "{:,.0f}", f"{result['speed_ratio']:.1f} ×")
    row("… of the median step", "tokens_per_second_of_the_median_step", "{:,.0f}")
    row("padding", "padding_fraction", "{:.1%}")
    table.add_row("matrix products in", *(side["products"] for side in sides.values()), "")
    ranges = (side["peak_flops"] for side in sides.values())
    table.add_row(
        "… of 2,048², GFLOP/s", *(f"{x['lowest'] / 1e9:,.0f} to {x['highest'] / 1e9:,.0f}" for x in ranges), ""
    )
    row("MFU", "mfu", "{:.1%}")
    row("peak memory, GB", "memory", "{:.2f}", f"{result['memory_ratio']:.2f} ×", unit=1e9)
    row("steps timed", "steps", "{:,.0f}")
    console = Console(width=min(100, Console().width), highlight=False)
    console.print(table)
    place = result["environment"]
    console.print(
        f"{place['device']}, {place['threads']} threads, {place['cpu']}. Matrix products were timed before and after"
        " each run; MFU is the share of the fastest that went into what the text needs: its own tokens, logits where"
        " they are scored."
    )
