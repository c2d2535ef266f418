"""Variants of a recipe, trained for equal time with several seeds, and evaluated alike.

    python benchmarks/variants.py STUDY.toml --out FOLDER [--minutes 10] [--seeds 3] [--set KEY=VALUE …]

A study (benchmarks/studies/) names a recipe, the tasks with their inputs, and the variants with what each changes.
Before the first training, the steps of all variants are timed in turn; the numbers of steps are then scaled so that
every training takes `--minutes`, validation and checkpoints not counted. The same command goes on where it stopped,
with the steps that were chosen when it began. The table has the mean over the seeds and half the range; a paired
column has the difference from the first variant, seed by seed.
"""

import argparse
import json
import statistics
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import anaume
from anaume import recipe as recipes
from anaume.bench.rounds import OWN, BenchJob, Step
from anaume.bench.trainer import own_trainer
from anaume.files import write_json
from anaume.model.init import with_shape_of_init
from anaume.pretrain.prepare import prepare
from anaume.pretrain.ranks.rank import this_rank
from anaume.recipe import Recipe
from anaume.recipe.scaling import scaled_stage
from anaume.run import Run

# Steps of each stage that are timed in a round, without the first; and rounds, of which the fastest counts.
STEPS, ROUNDS = 6, 3
# Validations of a stage, of which only the last is read.
VALIDATIONS = 4


@dataclass(frozen=True)
class Study:
    """The variants by name, the first of which is the one to compare with, and the options of each task.

    `shown` has the metrics of the table by task.
    """

    variants: Mapping[str, dict[str, Any]]
    tasks: Mapping[str, dict[str, Any]]
    shown: Mapping[str, Sequence[str]]


def read_study(file: Path, changes: Sequence[str]) -> Study:
    """Read a study; `changes` are made to the recipe of every variant."""
    study = tomllib.loads(file.read_text(encoding="utf-8"))
    variants = {}
    for variant in study["variant"]:
        name = variant.pop("name")
        shared = [*study.get("set", []), *changes]
        tables = recipes.load_tables(file.parent / study["recipe"], [*shared, *variant.pop("set", [])])
        variants[name] = tables | variant
    tasks = study.get("tasks", {})
    return Study(variants, tasks, {task: options.pop("show") for task, options in tasks.items()})


def seconds_of_stages(tables: dict[str, Any], run: Run) -> Iterator[list[float]]:
    """Time STEPS micro-batches of each stage; each item has the seconds that all steps of each stage would take."""
    recipe = with_shape_of_init(recipes.parse(tables, "variant"))
    data, ranks = prepare(recipe, run), this_rank()
    trainers = []
    for stage in recipe.stage:
        single = recipe.model_copy(update={"stage": [stage]})
        job = BenchJob(OWN, {}, str(run.folder), 0, 0, 0, "")
        trainers.append((stage, own_trainer(single, data.plan(recipe, stage, "train"), job, ranks)))
    while True:
        seconds = []
        for stage, trainer in trainers:
            steps: list[Step] = [trainer.step(number) for number in range(STEPS)][1:]
            of_batch = statistics.median(step.seconds for step in steps) * stage.batch_tokens / stage.micro_batch_tokens
            seconds.append(stage.steps * of_batch)
        yield seconds


def choose_steps(study: Study, folder: Path, minutes: float) -> dict[str, list[dict[str, Any]]]:
    """Variant → its stages, with as many steps as take `minutes`. They are chosen once and kept in `folder`."""
    file = folder / "steps.json"
    if file.is_file():
        chosen: dict[str, list[dict[str, Any]]] = json.loads(file.read_text(encoding="utf-8"))
        return chosen
    timers = {name: seconds_of_stages(tables, Run(folder / name / "timed")) for name, tables in study.variants.items()}
    rounds = [{name: next(timer) for name, timer in timers.items()} for _ in range(ROUNDS)]
    chosen = {}
    for name, tables in study.variants.items():
        whole = sum(min(of_stage) for of_stage in zip(*(times[name] for times in rounds), strict=True))
        stages = [scaled_stage(stage, 60 * minutes / whole) for stage in tables["stage"]]
        chosen[name] = [
            stage | {"validate_every": -(-stage["steps"] // VALIDATIONS), "save_every": stage["steps"], "keep_last": 1}
            for stage in stages
        ]
    write_json(file, chosen)
    return chosen


def results(study: Study, name: str, recipe: Recipe, folder: Path) -> dict[str, float]:
    """Train and evaluate a variant with the seed of `recipe`, as far as that has not been done."""
    run = Run(anaume.pretrain(recipe, folder / "run", progress=True))
    values: dict[str, float] = {}
    for line in run.metrics_file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["kind"] == "validation":
            prefix = f"{row['set']}: " if row.get("set") else ""
            values |= {f"{prefix}{key}": row[key] for key in ("loss", "accuracy", "bits_per_character") if key in row}
    export = anaume.export(run.folder, folder / name)
    for task, options in study.tasks.items():
        for record in anaume.evaluate(task, export, folder / "evals", **options):
            if record.model == name:
                values |= {f"{task} {key}": record.metrics[key] for key in study.shown[task]}
    return values


def spread(values: Sequence[float]) -> str:
    """The mean and half the range of the seeds."""
    mean = statistics.mean(values)
    return f"{mean:.3f} ± {(max(values) - min(values)) / 2:.3f}" if len(values) > 1 else f"{mean:.3f}"


def show(measured: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    """Print a row for each metric, and two columns for each variant after the first."""
    reference = next(iter(measured))
    table = Table()
    table.add_column("")
    for name in measured:
        table.add_column(name, justify="right")
        if name != reference:
            table.add_column(f"− {reference}", justify="right")
    for metric in measured[reference][0]:
        cells = []
        for name, rows in measured.items():
            values = [row[metric] for row in rows]
            cells.append(spread(values))
            if name != reference:
                pairs = zip(values, (row[metric] for row in measured[reference]), strict=False)
                cells.append(spread([value - other for value, other in pairs]))
        table.add_row(metric, *cells)
    Console(width=160).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of every variant")
    options = parser.parse_args()
    study = read_study(options.study, options.set)
    stages = choose_steps(study, options.out, options.minutes)
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in study.variants}
    for seed in range(options.seeds):
        for name, tables in study.variants.items():
            recipe = recipes.parse(tables | {"stage": stages[name], "seed": seed, "name": name}, str(options.study))
            measured[name].append(results(study, name, recipe, options.out / name / f"seed-{seed}"))
        show(measured)
    write_json(options.out / "results.json", measured)


if __name__ == "__main__":
    main()
