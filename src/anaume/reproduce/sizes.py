"""How large the miniature is: hours → steps of the training.

The rule: the proportions of the recipe stay, whatever the hours. Steps follow from the forecast of `anaume plan`.
"""

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
