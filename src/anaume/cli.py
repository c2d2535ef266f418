"""The command line. Each verb is a noun of the package; what it needs is imported inside it, so that it starts fast."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from anaume.errors import UserError

app = typer.Typer(
    name="anaume",
    help="Pretrain, extend and evaluate ModernBERT encoders, Japanese first.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
tokenizer_app = typer.Typer(help="Train a tokenizer, or adapt a decoder's for an encoder.", no_args_is_help=True)
app.add_typer(tokenizer_app, name="tokenizer")

Corpus = Annotated[
    list[str],
    typer.Argument(metavar="CORPUS…", help="a glob of files, hub:NAME[:SUBSET[:SPLIT]], or builtin:hakoniwa[:SPLIT]"),
]
Out = Annotated[Path, typer.Option(help="folder to write")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="a run directory")]


@app.command()
def demo(out: Out = Path("demo")) -> None:
    """The whole pipeline on the built-in corpus, in about five minutes: text to an evaluated, exported encoder.

    Example: anaume demo --out demo
    """
    from anaume.demo import demo

    demo(out)


@tokenizer_app.command("train")
def tokenizer_train(corpus: Corpus, vocab_size: Annotated[int, typer.Option(help="pieces")], out: Out) -> None:
    """Train a Unigram tokenizer with byte fallback.

    Example: anaume tokenizer train 'data/*.jsonl.gz' --vocab-size 32000 --out tokenizer
    """
    from anaume.corpus.readers import parse_source
    from anaume.tokens.tokenizer import train

    train([parse_source(text) for text in corpus], vocab_size, out)
    print(out)


@tokenizer_app.command("adapt")
def tokenizer_adapt(
    source: Annotated[str, typer.Argument(help="a SentencePiece .model, a Hugging Face folder or a Hub id")], out: Out
) -> None:
    """Make an encoder's tokenizer of a decoder's: [CLS] and [SEP] in the place of its <s>.

    Example: anaume tokenizer adapt llm-jp-tokenizer-100k.ver3.0b1.model --out tokenizer
    """
    from anaume.tokens.tokenizer import adapt

    adapt(source, out)
    print(out)


@app.command()
def tokens(
    corpus: Corpus,
    tokenizer: Annotated[Path, typer.Option(help="a tokenizer folder")],
    out: Out,
    workers: Annotated[int, typer.Option(min=1, help="processes")] = 1,
) -> None:
    """Turn a corpus into token ids on disk.

    Example: anaume tokens 'data/*.jsonl.gz' --tokenizer tokenizer --out tokens --workers 8
    """
    from anaume.corpus.readers import parse_source
    from anaume.tokens import tokenizer as tokenizers
    from anaume.tokens.build import build

    summary = build([parse_source(text) for text in corpus], tokenizers.load(tokenizer), out, workers=workers)
    print(f"{out}: {summary.documents:,} documents, {summary.tokens:,} tokens")


@app.command()
def pretrain(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml")],
    run: Annotated[Path, typer.Option(help="run directory, new or to be continued")],
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change a key of the recipe; may be repeated")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="processes that tokenise")] = 1,
) -> None:
    """Train every stage of a recipe. The same command again goes on where it stopped.

    Example: anaume pretrain recipes/small.toml --run runs/small --set stage.0.steps=100
    """
    from anaume.recipe import load

    loaded = load(recipe, changes or ())
    from anaume.pretrain.loop import pretrain  # after the recipe's check, for it brings torch

    pretrain(loaded, run, workers)
    print(run)


@app.command()
def export(
    run: RunFolder,
    out: Out,
    stage: Annotated[str, typer.Option(help="stage; the last one by default")] = "",
    step: Annotated[int, typer.Option(help="step; the last one by default")] = -1,
) -> None:
    """Write a checkpoint as a folder that transformers and sentence-transformers open.

    Example: anaume export runs/small --out my-encoder
    """
    from anaume.model.export import export, select
    from anaume.run import Run

    opened = Run(run)
    print(export(opened, select(opened, stage, step), out))


@app.command("eval")
def evaluate(
    task: Annotated[str, typer.Argument(metavar="TASK", help="validation, fill-mask, retrieval; or all, for a run")],
    models: Annotated[list[str], typer.Argument(metavar="MODEL…", help="folders or Hub ids; for all: a run directory")],
    out: Annotated[Path | None, typer.Option(help="folder for the records; for all: the run's own")] = None,
    pairs: Annotated[Path | None, typer.Option(help="JSON lines with query, positive (retrieval)")] = None,
    texts: Annotated[str, typer.Option(help="glob of files with text (validation)")] = "",
    cloze: Annotated[Path | None, typer.Option(help="JSON lines with text holding [MASK], answers (fill-mask)")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Evaluate encoders, one JSON record a model and task; `all` follows every checkpoint of a run.

    Example: anaume eval retrieval my-encoder cl-nagoya/ruri-large-v2 --pairs pairs.jsonl --out evals
    """
    from anaume.evals.dynamics import Inputs, evaluate_models, evaluate_run

    inputs = Inputs(pairs=pairs, texts=texts, cloze=cloze, seed=seed)
    if task == "all":
        if out and len(models) > 1:
            raise UserError(f"--out {out}: the records of {len(models)} runs would share it; accepted: one run")
        for run in models:
            print(evaluate_run(Path(run), inputs, out))
    elif out is None:
        raise UserError(f"anaume eval {task}: --out is missing; give the folder for the records")
    else:
        for path in evaluate_models(task, models, inputs, out):
            print(path)


@app.command()
def report(
    inputs: Annotated[list[Path], typer.Argument(metavar="RUN_OR_EVALS…", help="run directories, folders of records")],
    out: Out,
) -> None:
    """Draw the page, the figures and the tables.

    Example: anaume report runs/small --out runs/small/report
    """
    from anaume.report.page import write_report

    print(write_report(inputs, out))


# A thread of torch's that waits for the others spins for so many turns, then sleeps. Unset, it spins through whole time
# slices: with one core busy elsewhere, training a small model fell from 16,000 to 300 tokens a second (docs/log.md).
SPIN_COUNT = "5000"


def main() -> None:
    """Run the command line; a user's mistake becomes one line on standard error and exit status 2."""
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)  # read when torch loads
    command = typer.main.get_command(app)
    try:
        status = command.main(standalone_mode=False)
    except UserError as error:
        _fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        print("anaume: stopped", file=sys.stderr)
        sys.exit(130)  # 128 + SIGINT, the shells' custom
    except Exception as error:
        # click's usage errors, without importing the copy of click that typer brings along
        if not hasattr(error, "format_message"):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            sys.exit(0)
        _fail(error.format_message())
    sys.exit(status or 0)


def _fail(message: str) -> None:
    print(f"anaume: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)
