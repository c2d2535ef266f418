"""How large the miniature is: hours → steps of the training, and a share of the hours → amounts of the evaluations.

The rule: the proportions of the recipe stay, whatever the hours. Steps follow from the forecast of `anaume plan`, and
amounts from the forecast of `anaume eval all`.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from anaume import recipe as recipes
from anaume.errors import UserError
from anaume.plan import cost
from anaume.plan.budget import CPU_MFU
from anaume.recipe import Recipe
from anaume.recipe.scaling import scaled_stage

# Shares of the hours. The evaluations take at most as long as the training; the rest is for tokenising, validation,
# checkpoints and forecasts.
TRAINING = EVALUATIONS = 0.45
# The least steps of a stage, so that it has a warm-up and moments to look at.
FEWEST_STEPS = 4

Amounts = dict[str, Any]
# Amounts of each task, from the least to the most, the most being the paper's where it states them.
VALIDATION: tuple[Amounts, ...] = tuple({"tokens": 1 << power} for power in (12, 13, 14, 15, 16, 17, 18))
PSEUDO_PERPLEXITY: tuple[Amounts, ...] = tuple(
    {"documents": documents, "positions": positions}
    for documents, positions in ((5, 5), (10, 10), (20, 20), (50, 20), (50, 50), (100, 50), (200, 100), (500, 100))
)
# Grids, and how many passes over the training splits each of them takes. High rates suit small networks.
GRIDS: tuple[tuple[Amounts, int], ...] = (
    ({"learning_rates": "3e-4", "epochs": "1", "seeds": 1}, 1),
    ({"learning_rates": "3e-4", "epochs": "3", "seeds": 1}, 3),
    ({"learning_rates": "3e-4", "epochs": "3", "seeds": 2}, 6),
    ({"learning_rates": "1e-4,3e-4", "epochs": "3", "seeds": 2}, 12),
    ({"learning_rates": "1e-4,3e-4,1e-3", "epochs": "3", "seeds": 3}, 18),
)
# Shares of the time of the evaluations, after the tasks whose inputs decide their amounts; JGLUE has the rest.
VALIDATION_SHARE, PSEUDO_PERPLEXITY_SHARE = 0.1, 0.3


def sized(tables: dict[str, Any], hours: float) -> Recipe:
    """The recipe with as many steps as `hours` allow on this machine's processor, which is timed for some seconds.

    Raises:
        UserError: too few hours.
    """
    recipe = recipes.parse(tables, "anaume reproduce")
    planned = cost.plan(recipe, cost.vocabulary_size(recipe.tokenizer), "cpu", 1, [CPU_MFU])
    seconds = sum(way.seconds for stage in planned.stages for way in stage.ways if way.name == stage.own_way)
    factor = TRAINING * 3600 * hours / seconds
    stages = [scaled_stage(stage, factor) for stage in tables["stage"]]
    if min(stage["steps"] for stage in stages) < FEWEST_STEPS:
        raise UserError(f"--hours {hours:g}: too short for {FEWEST_STEPS} steps of each stage; expected more")
    return recipes.parse(tables | {"stage": stages}, "anaume reproduce")


def choose_amounts(
    forecast: Callable[[str, Amounts], float], fixed: Sequence[str], seconds: float
) -> tuple[dict[str, Any], dict[str, float]]:
    """Options for `eval all` that take about `seconds`, and the forecast of each task.

    `forecast(task, amounts)` gives seconds, 0 for a task that has no inputs; `fixed` are tasks whose amounts are given
    by their inputs. Without the option "data", JGLUE does not fit and is left out.
    """
    times = {task: forecast(task, {}) for task in fixed}
    rest = max(0.0, seconds - sum(times.values()))
    amounts: dict[str, Any] = {}
    ladders = (
        ("validation", VALIDATION, VALIDATION_SHARE),
        ("pseudo-perplexity", PSEUDO_PERPLEXITY, PSEUDO_PERPLEXITY_SHARE),
    )
    for task, ladder, share in ladders:
        chosen, times[task] = _highest(ladder, share * rest, partial(forecast, task))
        amounts |= chosen
    rest = max(0.0, seconds - sum(times.values()))
    single = forecast("jglue", GRIDS[0][0])
    fitting = [(grid, passes) for grid, passes in GRIDS if passes * single <= rest]
    if single and not fitting:
        return amounts | {"data": None}, times
    if single:
        grid, passes = fitting[-1]
        amounts, times["jglue"] = amounts | grid, passes * single
    return amounts, times


def _highest(ladder: Sequence[Amounts], seconds: float, forecast: Callable[[Amounts], float]) -> tuple[Amounts, float]:
    """The highest rung that takes at most `seconds`, or else the lowest one, and its forecast.

    A forecast takes seconds, so the rungs are halved; each takes longer than the one before it.
    """
    needed = cache(lambda place: forecast(ladder[place]))
    place = max(0, bisect_right(range(len(ladder)), seconds, key=needed) - 1)
    return ladder[place], needed(place)
