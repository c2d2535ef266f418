"""Verbs that write recipes."""

from pathlib import Path
from typing import Annotated

import typer

from anaume.bounds import MOST_GPUS, MOST_HOURS
from anaume.cli.arguments import Corpus, TextField, check_new_file

NewFile = Annotated[Path, typer.Option("--out", help="new file, RECIPE.toml", callback=check_new_file)]


def recipe_new(
    corpus: Corpus,
    out: NewFile,
    hours: Annotated[float, typer.Option(min=0.001, max=MOST_HOURS, help="hours that the training may take")],
    device: Annotated[str, typer.Option(help="cpu for this machine, or a kind of GPU as in `anaume plan`")] = "cpu",
    gpus: Annotated[int, typer.Option(min=1, max=MOST_GPUS, help="number of GPUs")] = 1,
    tokenizer: Annotated[str, typer.Option(help="a tokenizer to adapt; by default one is trained")] = "",
    init: Annotated[str, typer.Option(help="a ModernBERT to continue from, a folder or Hub id")] = "",
    text_field: TextField = "text",
) -> None:
    """Write a commented recipe for a corpus, a machine and a number of hours; this machine is timed for some seconds.

    Example: anaume recipe new 'data/*.jsonl.gz' --hours 2 --out mine.toml
    """
    from anaume.corpus.readers import check_source, parse_source
    from anaume.errors import UserError
    from anaume.files import write_atomic
    from anaume.model.place import check_place
    from anaume.plan.budget import Machine, new_recipe

    if tokenizer and init:
        raise UserError(f"--tokenizer {tokenizer}: given with --init, whose tokenizer is used; expected one of the two")
    options = {} if text_field == "text" else {"text_field": text_field}
    sources = [parse_source(text, **options) for text in corpus]
    for source in sources:
        check_source(source)
    if init:
        check_place(init)
    text, planned = new_recipe(out.stem, sources, Machine(device, gpus), hours, tokenizer, init)
    write_atomic(out, text)
    print(text.partition("\nname = ")[0].replace("# ", ""))
    print(f"anaume pretrain {out} --run runs/{planned.recipe}")


def recipe_list() -> None:
    """List the ready-made recipes, which `anaume recipe copy` copies.

    Example: anaume recipe list
    """
    from anaume.recipe.ready import purpose, ready_recipes

    for name, file in ready_recipes().items():
        print(f"{name}: {purpose(file)}")


def recipe_copy(name: Annotated[str, typer.Argument(metavar="NAME")], out: NewFile) -> None:
    """Copy a ready-made recipe to a new file.

    Example: anaume recipe copy laptop --out mine.toml
    """
    from anaume.errors import UserError
    from anaume.files import write_atomic
    from anaume.recipe.ready import ready_recipes

    recipes = ready_recipes()
    if name not in recipes:
        raise UserError(f"{name}: no ready-made recipe; expected one of {', '.join(recipes)}")
    write_atomic(out, recipes[name].read_text(encoding="utf-8"))
    print(out)
