"""The rounds of all sides → the result of `anaume bench`: medians and ratios as a JSON table, printed for a person."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from anaume.bench.rounds import OWN, SIDES, Round
from anaume.recipe import Recipe, Stage
from anaume.run import describe_environment


def summarize(
    recipe: Recipe, vocab_size: int, rows: int, rounds: Sequence[Round], failures: Mapping[str, str]
) -> dict[str, Any]:
    """Settings (`rows` per micro-batch of a stock loop), machine, a summary of each side, ratios, and every step.

    A ratio is anaume's value divided by that of the stock loop. `failures` gives the reason of each loop that failed.
    """
    by_side = {side: [measured for measured in rounds if measured.side == side] for side in SIDES}
    sides = {side: _summarize_side(finished) for side, finished in by_side.items() if finished}
    stock = [side for side in sides if side != OWN]
    stage: Stage = recipe.stage[0]
    return {
        "settings": {
            "model": recipe.model.model_dump(),
            "vocab_size": vocab_size,
            "stage": stage.model_dump(),
            "corpus": [str(source) for source in recipe.corpus.train],
            "rows": rows,
        },
        "environment": describe_environment(rounds[0].device, rounds[0].threads),
        "sides": sides,
        "failures": dict(failures),
        "speed_ratio": {s: sides[OWN]["tokens_per_second"] / sides[s]["tokens_per_second"] for s in stock},
        "memory_ratio": {s: sides[OWN]["memory"] / sides[s]["memory"] for s in stock},
        "rounds": [asdict(measured) for measured in rounds],
    }


def _summarize_side(rounds: Sequence[Round]) -> dict[str, Any]:
    """Medians over the rounds. Memory is the highest of all rounds, and MFU a share of the highest peak of all."""
    peaks = [peak for measured in rounds for peak in measured.peaks]
    steps = [step for measured in rounds for step in measured.steps]
    return {
        "tokens_per_second": statistics.median(measured.tokens_per_second for measured in rounds),
        "tokens_per_second_of_rounds": [measured.tokens_per_second for measured in rounds],
        "tokens_per_second_of_the_median_step": statistics.median(step.tokens / step.seconds for step in steps),
        "padding_fraction": 1 - sum(step.tokens for step in steps) / sum(step.slots for step in steps),
        "products": rounds[0].products,
        "peak_flops": {"lowest": min(peaks), "highest": max(peaks)},
        "mfu": statistics.median(measured.flops_per_second for measured in rounds) / max(peaks),
        "memory": max(measured.memory for measured in rounds),
        "steps": len(steps),
        "tokens": sum(step.tokens for step in steps),
    }


def show(result: dict[str, Any]) -> None:
    """Print the result of `summarize` as a table, one column per side."""
    settings, sides = result["settings"], result["sides"]
    model, stage = settings["model"], settings["stage"]
    table = Table(
        title=f"{model['layers']} layers × {model['hidden']}, {settings['vocab_size']:,} entries,"
        f" length {stage['length']:,}",
        title_justify="left",
    )
    table.add_column("")
    for side, name in SIDES.items():
        size = f"{stage['micro_batch_tokens']:,} slots" if side == OWN else f"{settings['rows']} rows"
        table.add_column("\n".join((*name.split(" ", 1), size)), justify="right")

    def row(label: str, values: Mapping[str, str]) -> None:
        table.add_row(label, *(values.get(side, "failed" if side in result["failures"] else "") for side in SIDES))

    def number(label: str, key: str, form: str, unit: float = 1) -> None:
        row(label, {name: form.format(side[key] / unit) for name, side in sides.items()})

    number("tokens of text a second", "tokens_per_second", "{:,.0f}")
    number("… of the median step", "tokens_per_second_of_the_median_step", "{:,.0f}")
    row("speed of anaume, relative", {side: f"{ratio:.2f} ×" for side, ratio in result["speed_ratio"].items()})
    number("peak memory, GB", "memory", "{:.2f}", unit=1e9)
    row("memory of anaume, relative", {side: f"{ratio:.2f} ×" for side, ratio in result["memory_ratio"].items()})
    number("padding", "padding_fraction", "{:.1%}")
    number("MFU", "mfu", "{:.1%}")
    row("matrix products in", {name: side["products"] for name, side in sides.items()})
    peaks = {name: side["peak_flops"] for name, side in sides.items()}
    row(
        "… of 2,048², GFLOP/s",
        {name: f"{peak['lowest'] / 1e9:,.0f} to {peak['highest'] / 1e9:,.0f}" for name, peak in peaks.items()},
    )
    number("steps timed", "steps", "{:,.0f}")
    console = Console(width=min(100, Console().width), highlight=False)
    console.print(table)
    machine = result["environment"]
    console.print(
        f"{machine['device']}, {machine['threads']} threads, {machine['cpu']}. Matrix products were timed before and"
        " after each run; MFU is the operations that the text needs (its own tokens, logits where they are scored) as a"
        " share of the fastest product."
    )
