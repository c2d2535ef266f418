"""Text → two stages of training → all evaluations at the paper's moments → the report and the page.

Everything is done by the functions behind the other verbs. The rule: the same command goes on where it stopped, with
the steps and amounts that were chosen when it began.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from anaume import recipe as recipes
from anaume.corpus.readers import parse_source
from anaume.evals.amounts import amounts_for
from anaume.evals.evaluate import evaluate_run
from anaume.pretrain.loop import pretrain
from anaume.progress import say
from anaume.recipe import Recipe
from anaume.recipe.ready import ready_recipes
from anaume.reproduce import sizes
from anaume.reproduce.inputs import Inputs
from anaume.reproduce.page import write_page
from anaume.run import Run

# Held out of the text where no text for validation is given.
VALIDATION_SHARE = 0.02


def reproduce(inputs: Inputs, out: Path, hours: float, seed: int | None = None, file: Path | None = None) -> Path:
    """Run the paper in miniature in the run directory `out` within about `hours` hours, and return the page.

    `file` is the recipe whose steps are scaled to the hours, by default recipes/miniature.toml; `seed` replaces its
    seed.

    Raises:
        UserError: an input can't be read; too few hours; `out` holds a run on other text or with another seed.
    """
    inputs.check()
    run = Run(out)
    recipe = _recipe(run, inputs, hours, seed, file or ready_recipes()["miniature"])
    pretrain(recipe, out)
    if not inputs.text and inputs.data is None:
        inputs = replace(inputs, data=run.tasks)
    files = {name: getattr(inputs, name) for name in ("pairs", "cloze", "data")}
    evaluate_run(out, amounts_for(out, files, sizes.EVALUATIONS * hours))
    return write_page([out], out)


def _recipe(run: Run, inputs: Inputs, hours: float, seed: int | None, file: Path) -> Recipe:
    """The recipe sized for the hours; that of a run which has begun keeps its stages."""
    tables = recipes.load_tables(file)
    if inputs.text:
        tables["corpus"] = _corpus(inputs)
    if seed is not None:
        tables["seed"] = seed
    if run.recipe_file.is_file():
        stages = [stage.model_dump() for stage in run.recipe().stage]
        return recipes.parse(tables | {"stage": stages}, str(file))
    recipe = sizes.sized(tables, hours)
    say(f"{recipe.name}: " + ", then ".join(f"{s.steps:,} steps of {s.batch_tokens:,} tokens" for s in recipe.stage))
    return recipe


def _corpus(inputs: Inputs) -> dict[str, Any]:
    def source(text: str) -> dict[str, Any]:
        return parse_source(text).model_dump(exclude_defaults=True)

    held_out: dict[str, Any] = {"validation_share": VALIDATION_SHARE}
    if inputs.validation:
        held_out = {"validation": [source(text) for text in inputs.validation]}
    return {"train": [source(text) for text in inputs.text], **held_out}
