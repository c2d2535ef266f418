"""Verbs that tell what training costs: computed from a recipe, or measured on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from anaume.bounds import MOST_GPUS, MOST_HOURS, MOST_ITEMS, MOST_LENGTH, MOST_PIECES, MOST_ROWS, MOST_TOKENS
from anaume.cli.arguments import Changes, RecipeFile, check_new_file
from anaume.errors import UserError

Gpus = Annotated[
    int | None,
    typer.Option(min=1, max=MOST_GPUS, show_default=False, help="GPUs in all; not needed for the device cpu"),
]
VocabularySize = Annotated[
    int,
    typer.Option(min=0, max=MOST_PIECES, show_default=False, help="entries of the tokenizer, which is not opened then"),
]


def plan(
    recipe: RecipeFile,
    gpus: Gpus = None,
    device: Annotated[
        str, typer.Option(help="kind of GPU, such as h100, a100, l40s, rtx4090; cpu measures this machine")
    ] = "h100",
    mfu: Annotated[
        str,
        typer.Option(
            show_default=False,
            help="reached fraction of the peak, by default 0.3 on a GPU and 0.5 on a CPU; one, or one for each stage",
        ),
    ] = "",
    document_tokens: Annotated[
        float | None, typer.Option(min=1, max=MOST_TOKENS, help="mean tokens of a document (1,000)")
    ] = None,
    padding: Annotated[
        str,
        typer.Option(help="share of padding in one-document rows, in place of --document-tokens; one, or one a stage"),
    ] = "",
    vocab_size: VocabularySize = 0,
    changes: Changes = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Compute what a recipe costs: arithmetic, memory, days and GPU-hours, without loading weights or data.

    Example: anaume plan recipes/llm-jp-base.toml --gpus 16 --device h100 --mfu 0.19,0.27
    """
    import json

    from anaume.model.place import check_place
    from anaume.plan import cost
    from anaume.plan.table import show
    from anaume.recipe import load

    on_cpu = device.lower() == "cpu"
    _check_gpus(gpus, device, on_cpu)
    if document_tokens and padding:
        raise UserError(f"--padding {padding}: given with --document-tokens; expected one of the two")
    loaded_recipe = load(recipe, changes or ())
    if loaded_recipe.model.init:
        check_place(loaded_recipe.model.init)
        from anaume.model.init import with_shape_of_init  # brings torch

        loaded_recipe = with_shape_of_init(loaded_recipe)
    computed_plan = cost.plan(
        loaded_recipe,
        vocab_size or cost.vocabulary_size(loaded_recipe.tokenizer),
        device,
        gpus or 1,
        _numbers("--mfu", mfu or ("0.5" if on_cpu else "0.3")),
        document_tokens or cost.DOCUMENT_TOKENS,
        _numbers("--padding", padding),
    )
    if as_json:
        print(json.dumps(computed_plan.to_json(), ensure_ascii=False, indent=2))
    else:
        show(computed_plan)


def _check_gpus(gpus: int | None, device: str, on_cpu: bool) -> None:
    if gpus is None and not on_cpu:
        raise UserError(f"--gpus: missing; expected the number of GPUs of the kind {device}, or --device cpu")
    if on_cpu and gpus is not None:
        raise UserError(f"--gpus {gpus}: given with --device cpu, which has none; expected one of the two")


def _numbers(name: str, text: str) -> list[float]:
    """Read numbers separated by commas."""
    try:
        return [float(part) for part in text.split(",") if text]
    except ValueError:
        raise UserError(f"{name} {text}: not a number; expected a number, or several separated by commas") from None


def bench(
    recipe: Annotated[Path | None, typer.Argument(metavar="RECIPE.toml", help="by default a small model")] = None,
    corpus: Annotated[str, typer.Option(help="a glob of files, in place of the recipe's corpus")] = "",
    tokenizer: Annotated[str, typer.Option(help="a folder or .model file, in place of the recipe's")] = "",
    stage: Annotated[str, typer.Option(help="stage of the recipe; by default the first one")] = "",
    length: Annotated[
        int, typer.Option(min=0, max=MOST_LENGTH, show_default=False, help="tokens, in place of the stage's length")
    ] = 0,
    layers: Annotated[
        int, typer.Option(min=0, max=1000, show_default=False, help="layers, in place of the model's")
    ] = 0,
    hidden: Annotated[
        int,
        typer.Option(min=0, max=65_536, show_default=False, help="width, in place of the model's; other widths follow"),
    ] = 0,
    rows: Annotated[
        int,
        typer.Option(
            min=0,
            max=MOST_ROWS,
            show_default=False,
            help="rows per batch of the stock loops; by default as many slots as anaume",
        ),
    ] = 0,
    seconds: Annotated[
        float, typer.Option(min=0, max=3600 * MOST_HOURS, help="seconds for each side in each round")
    ] = 5.0,
    rounds: Annotated[int, typer.Option(min=1, max=MOST_ITEMS, help="measurements of each side")] = 3,
    changes: Changes = None,
    out: Annotated[Path | None, typer.Option(help="new file for the results, JSON", callback=check_new_file)] = None,
) -> None:
    """Compare anaume with two stock Hugging Face loops on this machine and the same documents.

    The strongest stock loop runs documents together, scores masked positions only and multiplies in bfloat16 where the
    machine does. The padded one pads a row for each document and scores every position.

    Example: anaume bench --length 8192 --rows 3
    """
    from anaume.bench.recipe import select_recipe
    from anaume.pretrain.prepare import check_places

    selected = select_recipe(recipe, changes or (), corpus, tokenizer, stage, length, layers, hidden)
    check_places(selected)
    from anaume.bench.compare import bench

    bench(selected, rows, seconds, rounds, out)
