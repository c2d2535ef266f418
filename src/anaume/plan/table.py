"""Print a `Plan` in the terminal: a table of costs per stage, a table of memory, the disk, and the assumptions."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from anaume.plan.bound import StepBound
from anaume.plan.result import Plan, StagePlan

WIDTH = 100
GIB = 1 << 30


def show(plan: Plan) -> None:
    """Print a plan on standard output, at most `WIDTH` columns wide."""
    console = Console(width=min(WIDTH, Console().width), highlight=False)
    parameters = plan.parameters
    console.print(
        f"{plan.recipe} on {_machine(plan)}\n"
        f"{parameters.total:,} parameters: {parameters.vocabulary:,} in the matrix of {plan.vocab_size:,} entries,\n"
        f"{parameters.matrices:,} in other matrices, {parameters.vectors:,} in vectors"
    )
    for stage in plan.stages:
        console.print()
        console.print(_costs(plan, stage))
    if len(plan.stages) > 1:
        console.print()
        console.print(_total(plan))
    console.print()
    console.print(_memory(plan))
    if bounds := {stage.name: stage.bound for stage in plan.stages if stage.bound}:
        console.print()
        console.print(_bounds(bounds))
    disk = plan.disk
    console.print(
        f"disk: {disk.checkpoints:,} checkpoints stay, {disk.stays / 1e9:,.1f} GB (keep_every); the newest ones and the"
        f" one being written take at most {disk.passes / 1e9:,.1f} GB more"
    )
    console.print()
    for line in _assumptions(plan):
        console.print(line)


def _unit(plan: Plan) -> str:
    return "CPU" if plan.device.lower() == "cpu" else "GPU"


def _machine(plan: Plan) -> str:
    if _unit(plan) == "CPU":
        return f"this CPU ({plan.peak / 1e9:,.0f} GFLOP/s measured in matrix products, {plan.device_memory:g} GiB)"
    return f"{plan.gpus} × {plan.device} ({plan.peak / 1e12:,.0f} TFLOP/s dense bf16, {plan.device_memory:g} GiB each)"


def _titled(title: str) -> Table:
    """A table with a bold title and an empty first heading."""
    return Table("", title=title, title_justify="left", title_style="bold")


def _costs(plan: Plan, stage: StagePlan) -> Table:
    table = _titled(f"{stage.name}: {stage.steps:,} steps of {stage.batch_slots:,} slots, length {stage.length:,}")
    for way in stage.ways:
        table.add_column(_heading(way.name, way.name == stage.own_way), justify="right")
    ways, first = stage.ways, stage.ways[0]
    table.add_row("token slots", *(_short(way.slots) for way in ways))
    table.add_row("of which text", *(f"{stage.text_tokens / way.slots:.0%}" for way in ways))
    table.add_row("MFLOP a slot", *(_millions(way.flops.total + way.recomputed) for way in ways))
    table.add_row("  matrices of the layers", *(_millions(way.flops.matrices) for way in ways))
    table.add_row("  attention, global layers", *(_millions(way.flops.global_attention) for way in ways))
    table.add_row("  attention, local layers", *(_millions(way.flops.local_attention) for way in ways))
    table.add_row("  head", *(_millions(way.flops.head) for way in ways))
    if first.recomputed:
        table.add_row("  checkpointing, forward again", *(_millions(way.recomputed) for way in ways))
    table.add_row(
        f"slots a second on each {_unit(plan)}", *(f"{way.slots / way.seconds / plan.gpus:,.0f}" for way in ways)
    )
    table.add_row(f"time at {stage.mfu:.1%} of the peak", *(_time(way.seconds) for way in ways), style="bold")
    table.add_row(f"{_unit(plan)}-hours", *(_hours(way.gpu_hours) for way in ways))
    table.add_row("share of the first column", *(f"{way.seconds / first.seconds:.0%}" for way in ways))
    return table


def _heading(name: str, own: bool) -> str:
    return name.replace(", ", ",\n") + ("\nthis recipe" if own else "")


def _total(plan: Plan) -> Table:
    table = _titled("all stages")
    columns = list(zip(*(stage.ways for stage in plan.stages), strict=True))
    for ways in columns:
        own = all(way.name == stage.own_way for way, stage in zip(ways, plan.stages, strict=True))
        table.add_column(_heading(ways[0].name, own), justify="right")
    seconds = [sum(way.seconds for way in ways) for ways in columns]
    table.add_row("time", *map(_time, seconds), style="bold")
    table.add_row(f"{_unit(plan)}-hours", *(_hours(sum(way.gpu_hours for way in ways)) for ways in columns))
    table.add_row("share of the first column", *(f"{value / seconds[0]:.0%}" for value in seconds))
    return table


def _memory(plan: Plan) -> Table:
    table = _titled(f"memory of each {_unit(plan)} as the recipe has it, GiB")
    for stage in plan.stages:
        table.add_column(stage.name, justify="right")
    batches = (f"{stage.accumulation:,} × {stage.micro_batch_slots:,}" for stage in plan.stages)
    table.add_row("(micro-batches a step × slots)", *batches)
    parts = dict.fromkeys(part for stage in plan.stages for part in stage.memory)
    for part in parts:
        table.add_row(part, *(f"{stage.memory.get(part, 0) / GIB:.3g}" for stage in plan.stages))
    totals = [sum(stage.memory.values()) / GIB for stage in plan.stages]
    fits = ("" if total <= plan.device_memory else "[red] does not fit[/red]" for total in totals)
    sums = (f"{total:.1f} of {plan.device_memory:g}{note}" for total, note in zip(totals, fits, strict=True))
    table.add_row("together", *sums, style="bold")
    return table


def _bounds(bounds: Mapping[str, StepBound]) -> Table:
    table = _titled("least time of a step, ms")
    for name in bounds:
        table.add_column(name, justify="right")
    for part in dict.fromkeys(part for bound in bounds.values() for part in bound.parts):
        table.add_row(part, *(f"{1000 * bound.parts.get(part, 0):,.1f}" for bound in bounds.values()))
    table.add_row("together", *(f"{1000 * sum(bound.parts.values()):,.1f}" for bound in bounds.values()), style="bold")
    beside = (f"{1000 * bound.communication:,.1f}" for bound in bounds.values())
    table.add_row("beside it: gradients between GPUs at 400 Gb/s", *beside)
    table.add_row("MFU at most", *(f"{bound.mfu:.0%}" for bound in bounds.values()), style="bold")
    return table


def _assumptions(plan: Plan) -> list[str]:
    """The assumptions of a plan, each with the option that changes it."""
    shares = ", ".join(dict.fromkeys(f"{stage.mfu:.1%}" for stage in plan.stages))
    documents = ", ".join(
        f"{stage.name} {stage.document_tokens:,.0f} tokens and {stage.padding:.0%} padding" for stage in plan.stages
    )
    bounds = ["The least time of a step: every product at the peak and every byte at the full bandwidth, in turn."]
    return [
        *(bounds if any(stage.bound for stage in plan.stages) else []),
        f"Assumed: the arithmetic above (forward and backward, padding included) runs at {shares} of the peak in all"
        " ways (--mfu).",
        "Assumed: document lengths follow an exponential distribution; mean length, and share of padding with one"
        f" document per row: {documents} (--document-tokens, or --padding).",
        "Packed rows count as full; packing leaves less than 1 % of a row empty.",
    ]


def _short(number: float) -> str:
    for limit, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if number >= limit:
            return f"{number / limit:,.2f}{letter}"
    return f"{number:,.0f}"


def _millions(operations: float) -> str:
    return f"{operations / 1e6:,.0f}" if operations >= 1e8 else f"{operations / 1e6:,.2f}"


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:,.2f}"


def _time(seconds: float) -> str:
    for limit, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= limit:
            return f"{seconds / limit:,.2f} {unit}"
    return f"{seconds:.2f} seconds"
