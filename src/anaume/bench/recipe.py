"""The recipe that `anaume bench` runs: one stage of the user's recipe, or of bench.toml, changed by the options."""

from collections.abc import Sequence
from pathlib import Path

from anaume import recipe as recipes
from anaume.corpus.readers import parse_source
from anaume.errors import UserError
from anaume.model.place import check_place
from anaume.recipe import Recipe, TokenizerTable

RECIPE = Path(__file__).with_name("bench.toml")
# Documents read of each source: enough for the fastest side, few enough to tokenise in seconds.
DOCUMENTS = 20_000


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
    """One stage of the recipe at `path` (None: bench.toml), with a step of one micro-batch.

    `changes` are KEY=VALUE of the recipe. An option that is empty or 0 keeps the recipe's value; `stage` then is the
    first one.

    Raises:
        UserError: the recipe can't be read or is wrong; an unknown stage.
    """
    loaded_recipe = recipes.load(path or RECIPE, changes)
    if corpus:
        sources = loaded_recipe.corpus.model_copy(update={"train": [parse_source(corpus)]})
        loaded_recipe = loaded_recipe.model_copy(update={"corpus": sources})
    if tokenizer:
        loaded_recipe = loaded_recipe.model_copy(update={"tokenizer": TokenizerTable(adapt=tokenizer)})
    names = [stage_table.name for stage_table in loaded_recipe.stage]
    if stage and stage not in names:
        raise UserError(f"--stage {stage}: not in the recipe; expected one of {', '.join(names)}")
    if loaded_recipe.model.init:
        check_place(loaded_recipe.model.init)
        from anaume.model.init import with_shape_of_init  # brings torch

        loaded_recipe = with_shape_of_init(loaded_recipe)
    table = loaded_recipe.model_dump()
    if layers:
        table["model"]["layers"] = layers
    if hidden:  # the recipe's defaults fill in the other widths
        shape = {key: value for key, value in table["model"].items() if key not in ("heads", "intermediate")}
        table["model"] = shape | {"hidden": hidden}
    selected = table["stage"][names.index(stage) if stage else 0]
    if length:
        selected["length"] = length
        table["model"]["positions"] = max(length, table["model"]["positions"])
        selected["micro_batch_tokens"] = max(length, selected["micro_batch_tokens"])
    selected["batch_tokens"] = selected["micro_batch_tokens"]
    table["stage"] = [selected]
    table["corpus"]["in_memory"] = False
    for source in table["corpus"]["train"]:
        source["max_documents"] = min(DOCUMENTS, source["max_documents"] or DOCUMENTS)
    table["corpus"]["validation"] = [{**table["corpus"]["train"][0], "max_documents": 1}]
    return recipes.parse(table, str(path or "anaume bench"))
