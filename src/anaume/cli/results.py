"""Verbs that end in a report."""

from pathlib import Path
from typing import Annotated

import typer

from anaume.api import verbs
from anaume.bounds import MOST_HOURS, MOST_SEED
from anaume.cli.arguments import Out


def demo(out: Out = Path("demo")) -> None:
    """Run the whole pipeline on the built-in corpus, in some minutes: from text to an evaluated, exported encoder.

    Example: anaume demo --out demo
    """
    from anaume.demo.pipeline import demo

    demo(out)


def report(
    inputs: Annotated[list[Path], typer.Argument(metavar="RUN_OR_EVALS…", help="run directories, folders of records")],
    out: Out,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="write again whenever the run goes on, until it ends; the page reloads itself"),
    ] = False,
) -> None:
    """Write the page, the figures and the tables.

    Example: anaume report runs/small --out runs/small/report
    """
    if watch:
        from anaume.report.watch import watch as follow

        print(follow(inputs, out))
        return
    print(verbs.report(inputs, out, progress=True))


def reproduce(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="RUN…", help="with --page: earlier --out folders")
    ] = None,
    out: Out = Path("reproduce"),
    text: Annotated[
        list[str] | None, typer.Option(help="training text, as for `anaume tokens`; may be repeated")
    ] = None,
    validation: Annotated[list[str] | None, typer.Option(help="text to measure on; by default 2 % of --text")] = None,
    pairs: Annotated[Path | None, typer.Option(help="JSON lines with query, positive, for retrieval")] = None,
    data: Annotated[Path | None, typer.Option(help="folder with JGLUE's and JCoLA's own files")] = None,
    cloze: Annotated[Path | None, typer.Option(help="JSON lines with text holding [MASK], answers")] = None,
    hours: Annotated[
        float, typer.Option(min=0.001, max=MOST_HOURS, help="hours that everything may take on this machine")
    ] = 3.0,
    seed: Annotated[
        int | None, typer.Option(min=0, max=MOST_SEED, help="seed of the training; by default the recipe's")
    ] = None,
    page: Annotated[
        bool, typer.Option("--page", help="write the page of the runs only, with verdicts over them")
    ] = False,
) -> None:
    """Run the paper in miniature, from text to a page with its tables, figures and findings beside ours.

    Without --text, the built-in corpus and its tasks are used. The same command again goes on where it stopped.

    Example: anaume reproduce --text 'data/train/*.jsonl.gz' --pairs pairs.jsonl --data jglue --out miniature

    Verdicts over seeds: anaume reproduce --page miniature miniature-2 --out over-seeds
    """
    from anaume.errors import UserError

    if page != bool(runs):
        raise UserError("--page: goes with one or more earlier folders, RUN…; expected both, or neither")
    if page:
        from anaume.reproduce.page import write_page

        print(write_page(runs or [], out))
        return
    from anaume.reproduce.inputs import Inputs

    inputs = Inputs(tuple(text or ()), tuple(validation or ()), pairs, data, cloze)
    inputs.check()
    from anaume.reproduce.pipeline import reproduce

    print(reproduce(inputs, out, hours, seed))
