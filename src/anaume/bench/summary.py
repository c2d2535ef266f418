"""The rounds of both sides → the result of `anaume bench`: medians and ratios as a JSON table, printed for a person."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from anaume.bench.rounds import SIDES, Round
from anaume.recipe import Recipe, Stage
from anaume.run import describe_environment


def summarize(recipe: Recipe, vocab_size: int, rows: int, rounds: Sequence[Round]) -> dict[str, Any]:
    """Settings (`rows` documents per padded micro-batch), machine, a summary of each side, ratios, and every step."""
    sides = {side: _summarize_side([measured for measured in rounds if measured.side == side]) for side in SIDES}
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
        "environment": describe_environment(rounds[0].device, rounds[0].threads),
        "sides": sides,
        "speed_ratio": own["tokens_per_second"] / padded["tokens_per_second"],
        "memory_ratio": own["memory"] / padded["memory"],
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
    machine = result["environment"]
    console.print(
        f"{machine['device']}, {machine['threads']} threads, {machine['cpu']}. Matrix products were timed before and"
        " after each run; MFU is the operations that the text needs (its own tokens, logits where they are scored) as a"
        " share of the fastest product."
    )
