"""The command line. Each verb is a noun of the package; what it needs is imported inside it, so that it starts fast."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

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
    from anaume.tokenizer.train import train_tokenizer

    train_tokenizer([parse_source(text) for text in corpus], vocab_size, out)
    print(out)


@tokenizer_app.command("adapt")
def tokenizer_adapt(
    source: Annotated[str, typer.Argument(help="a SentencePiece .model, a Hugging Face folder or a Hub id")], out: Out
) -> None:
    """Make an encoder's tokenizer of a decoder's: [CLS] and [SEP] in the place of its <s>.

    Example: anaume tokenizer adapt llm-jp-tokenizer-100k.ver3.0b1.model --out tokenizer
    """
    from anaume.tokenizer.adapt import adapt_tokenizer

    adapt_tokenizer(source, out)
    print(out)


@app.command()
def tokens(
    corpus: Annotated[
        list[str],
        typer.Argument(
            metavar="CORPUS…",
            help="a path, URL or glob of files, hub:NAME[:SUBSET[:SPLIT]], or builtin:hakoniwa[:SPLIT]; "
            "or the word verify, and folders that this verb wrote",
        ),
    ],
    tokenizer: Annotated[Path | None, typer.Option(help="a tokenizer folder (verify can do without)")] = None,
    out: Annotated[Path | None, typer.Option(help="folder to write")] = None,
    workers: Annotated[int, typer.Option(min=1, help="processes, or a cluster's tasks, at a time")] = 1,
    executor: Annotated[Literal["local", "slurm", "ray"], typer.Option(help="who runs them")] = "local",
    slurm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="an option of sbatch's, may be repeated: partition is needed; "
            "time=24:00:00, mem-per-cpu=2G and cpus-per-task=1 unless given",
        ),
    ] = None,
) -> None:
    """Turn a corpus into token ids on disk, or verify some. The same command again goes on where it stopped.

    Example: anaume tokens 'data/*.jsonl.gz' --tokenizer tokenizer --out tokens --workers 8

    On Slurm: anaume tokens 's3://…/*.jsonl' --tokenizer … --out … --workers 64 --executor slurm --slurm partition=cpu

    Check all of it: anaume tokens verify tokens --tokenizer tokenizer
    """
    if corpus[0] == "verify":
        _verify_tokens([Path(folder) for folder in corpus[1:]], tokenizer)
        return
    if tokenizer is None or out is None:
        raise UserError(f"anaume tokens: {'--out' if tokenizer else '--tokenizer'} is missing; accepted: a folder")
    if slurm and executor != "slurm":
        raise UserError(f"--slurm {slurm[0]}: goes with --executor slurm, not {executor}")
    from anaume.corpus.readers import parse_source
    from anaume.tokenizer.load import load_tokenizer
    from anaume.tokens import build, local
    from anaume.tokens.summary import describe

    run: build.Runner = local.run
    if executor != "local":
        from anaume.tokens import cluster

        run = cluster.run_on_ray
    sources, loaded = [parse_source(text) for text in corpus], load_tokenizer(tokenizer)
    if executor == "slurm":
        job = build.begin(sources, loaded, out)
        if job.todo:
            last = cluster.submit_to_slurm(job, loaded, workers, slurm or ())
            print(f"{out}: {len(job.todo):,} parts are submitted to Slurm; job {last} writes the summary")
            return
    first, *others = describe(build.build(sources, loaded, out, workers=workers, run=run))
    print(f"{out}: {first}", *others, sep="\n")


def _verify_tokens(folders: list[Path], tokenizer: Path | None) -> None:
    """Print what is wrong with each folder of tokens, or how much is in it; exit status 1 if anything is wrong."""
    from rich.console import Console

    from anaume.tokenizer.load import load_tokenizer
    from anaume.tokens import build

    if not folders:
        raise UserError("anaume tokens verify: DIR is missing; accepted: folders that `anaume tokens` wrote")
    vocabulary_hash = load_tokenizer(tokenizer).vocabulary_hash if tokenizer else None
    whole = True
    for folder in folders:
        with Console(stderr=True).status(f"reading {folder} …"):
            problems = build.verify(folder, vocabulary_hash)
        if problems:
            whole = False
            print(*problems, sep="\n")
        else:
            documents, ids = build.counts(folder)
            print(f"{folder}: whole: {documents:,} documents, {ids:,} tokens")
    if not whole:
        raise typer.Exit(1)


@app.command()
def pretrain(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml")],
    run: Annotated[Path, typer.Option(help="run directory, new or to be continued")],
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change a key of the recipe; may be repeated")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="processes that tokenise")] = 1,
    loaders: Annotated[
        int | None, typer.Option(min=0, help="processes that make batches; by default one on a GPU, none on a CPU")
    ] = None,
) -> None:
    """Train every stage of a recipe. The same command again goes on where it stopped; SIGTERM ends it well.

    Example: anaume pretrain recipes/small.toml --run runs/small --set stage.0.steps=100

    Several GPUs: torchrun --nproc-per-node 8 -m -- anaume pretrain recipes/llm-jp-base.toml --run runs/base
    """

    from anaume.recipe import load

    loaded = load(recipe, changes or ())
    from anaume.pretrain.loop import pretrain  # after the recipe's check, for it brings torch

    pretrain(loaded, run, workers, loaders)
    print(run)


@app.command()
def batch(
    run: RunFolder,
    stage: Annotated[str, typer.Option(help="stage")],
    step: Annotated[int, typer.Option(help="optimizer step, from 1")],
) -> None:
    """Show which documents an optimizer step read: what to look at when a loss is not finite.

    Example: anaume batch runs/small --stage stage1 --step 1234
    """
    from anaume.pretrain.look import look
    from anaume.run import Run

    for line in look(Run(run), stage, step):
        print(line)


@app.command()
def export(
    run: RunFolder,
    out: Out,
    stage: Annotated[str, typer.Option(help="stage; the last one by default")] = "",
    step: Annotated[int, typer.Option(help="step; the last one by default")] = -1,
    average: Annotated[int, typer.Option(min=1, help="mean of so many checkpoints, this one the last")] = 1,
) -> None:
    """Write a checkpoint as a folder that transformers and sentence-transformers open.

    Example: anaume export runs/small --out my-encoder
    """
    from anaume.export.checkpoint import export, select_checkpoint
    from anaume.run import Run

    opened = Run(run)
    print(export(opened, select_checkpoint(opened, stage, step), out, average))


@app.command("eval")
def evaluate(
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK",
            help="jglue, validation, fill-mask, pseudo-perplexity, retrieval, geometry; or all, for a run",
        ),
    ],
    models: Annotated[list[str], typer.Argument(metavar="MODEL…", help="folders or Hub ids; for all: a run directory")],
    out: Annotated[Path | None, typer.Option(help="folder for the records; for all: the run's own")] = None,
    pairs: Annotated[Path | None, typer.Option(help="JSON lines with query, positive (retrieval, geometry)")] = None,
    texts: Annotated[
        str, typer.Option(help="glob of files with text (validation, pseudo-perplexity; geometry's random pairs)")
    ] = "",
    cloze: Annotated[Path | None, typer.Option(help="JSON lines with text holding [MASK], answers (fill-mask)")] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="text with [MASK]: print what may stand there; may be repeated (fill-mask)")
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="words to print for --text (fill-mask)")] = 5,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    tokens: Annotated[
        int, typer.Option(min=0, help="tokens to read at most; else 1,048,576, all: 262,144 (validation)")
    ] = 0,
    documents: Annotated[
        int, typer.Option(min=0, help="documents a length bin; else 500, all: 20 (pseudo-perplexity)")
    ] = 0,
    positions: Annotated[
        int, typer.Option(min=0, help="masked tokens a document; else 100, all: 20 (pseudo-perplexity)")
    ] = 0,
    random_pairs: Annotated[int, typer.Option(min=1, help="random pairs (geometry)")] = 2_000,
    unit: Annotated[
        str | None,
        typer.Option(help="characters, bigrams, trigrams or the first MODEL's tokens, for the baselines (retrieval)"),
    ] = None,
    query_prefix: Annotated[str, typer.Option(help="goes before queries; for ruri: 'クエリ: ' (retrieval)")] = "",
    positive_prefix: Annotated[str, typer.Option(help="goes before positives; for ruri: '文章: ' (retrieval)")] = "",
    data: Annotated[Path | None, typer.Option(help="folder with JGLUE's and JCoLA's own files (jglue; all)")] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="download what that folder lacks (jglue; all)")] = False,
    tasks: Annotated[str, typer.Option(help="such as jsts,jnli,jcola; else all in the folder (jglue)")] = "",
    protocol: Annotated[str, typer.Option(help="how a cell is chosen: held-out, paper, both (jglue)")] = "held-out",
    learning_rates: Annotated[str, typer.Option(help="such as 2e-5,5e-5; else the paper's six (jglue)")] = "",
    epochs: Annotated[str, typer.Option(help="such as 3,5; else the paper's six (jglue)")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="trainings of the chosen cell (jglue)")] = 3,
    workers: Annotated[int, typer.Option(min=0, help="processes; else one a GPU, or one (jglue)")] = 0,
) -> None:
    """Evaluate encoders, one JSON record a model and task; `all` follows every checkpoint of a run.

    Example: anaume eval retrieval my-encoder cl-nagoya/ruri-large-v2 --pairs pairs.jsonl --out evals

    Example: anaume eval fill-mask my-encoder other-encoder --text '吾輩は[MASK]である。'

    Example: anaume eval jglue my-encoder --data jglue --fetch --learning-rates 3e-5,1e-4 --epochs 3,5 --out evals
    """
    from anaume.evals.jglue.grid import evaluate_jglue, parse

    grid = parse(tasks, protocol, learning_rates, epochs, seeds=seeds, seed=seed, workers=workers)
    if task == "jglue":
        if data is None or out is None:
            raise UserError(f"anaume eval jglue: {'--data' if data is None else '--out'} is missing")
        for path in evaluate_jglue(models, data, out, grid, fetch=fetch):
            print(path)
        return
    if text:
        if task != "fill-mask":
            raise UserError(f"anaume eval {task}: --text {text[0]!r} is an option of fill-mask")
        from anaume.evals.fill_mask import show

        show(models, text, top_k)
        return
    from anaume.evals.dynamics import evaluate_models, evaluate_run
    from anaume.evals.tasks import Inputs

    inputs = Inputs(
        pairs,
        texts,
        cloze,
        seed,
        tokens,
        documents,
        positions,
        random_pairs,
        unit,  # type: ignore[arg-type]  # checked there, where the accepted ones are known
        query_prefix,
        positive_prefix,
        data,
        grid,
        fetch,
    )
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
def pairs(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="miracl-ja, or MIRACL in another language")],
    out: Annotated[Path, typer.Option(help="file to write, JSON lines")],
    split: Annotated[str, typer.Option(help="train, dev")] = "train",
    data: Annotated[Path | None, typer.Option(help="folder with MIRACL's files; else they come from the Hub")] = None,
) -> None:
    """Make the pairs of passages that the paper's retrieval and geometry use.

    Example: anaume pairs miracl-ja --out pairs.jsonl
    """
    from anaume.evals.inputs import miracl

    kind, _, language = source.partition("-")
    if kind != "miracl":
        raise UserError(f"pairs {source!r}; accepted: miracl-ja, or another of MIRACL's languages")
    written = miracl.write_pairs(out, language, split, data)
    print(f"{out}: {written.pairs:,} pairs of {written.topics:,} topics; {written.absent} passages not in the corpus")


@app.command()
def contrast(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="a folder or Hub id")],
    out: Out,
    nli: Annotated[Path | None, typer.Option(help="JGLUE's folder: what JNLI's sentences entail is drawn near")] = None,
    sts: Annotated[Path | None, typer.Option(help="JGLUE's folder: cosines are ranked as JSTS's similarities")] = None,
    pairs: Annotated[Path | None, typer.Option(help="JSON lines with query, positive, which are drawn near")] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 3,
    learning_rate: Annotated[float, typer.Option(min=0)] = 5e-5,
    batch: Annotated[int, typer.Option(min=2, help="rows; the others of a batch are what a text is told from")] = 64,
    temperature: Annotated[float, typer.Option(min=1e-3, help="what cosines are divided by")] = 0.05,
    max_length: Annotated[int, typer.Option(min=8, help="tokens; longer texts are cut")] = 512,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Train an encoder's sentence embeddings on labelled pairs; all defaults but the batch are supervised SimCSE's.

    Example: anaume contrast my-encoder --nli jglue --sts jglue --out my-sentence-encoder
    """
    from anaume.evals.inputs.contrast_sets import read_sets
    from anaume.finetune.contrast import ContrastSettings, train_embeddings

    settings = ContrastSettings(epochs, learning_rate, batch, temperature, max_length, seed)
    print(train_embeddings(model, read_sets(nli, sts, pairs), out, settings))


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


@app.command()
def plan(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml")],
    gpus: Annotated[int, typer.Option(min=1, help="GPUs in all")],
    device: Annotated[str, typer.Option(help="kind of GPU, such as h100, a100, l40s, rtx4090")] = "h100",
    mfu: Annotated[
        str, typer.Option(help="share of the dense bf16 peak that is reached; one number, or one for each stage")
    ] = "0.3",
    document_tokens: Annotated[float | None, typer.Option(min=1, help="mean tokens of a document (1,000)")] = None,
    padding: Annotated[
        str, typer.Option(help="instead: share of padding with a document a row; one number, or one for each stage")
    ] = "",
    vocab_size: Annotated[
        int, typer.Option(min=0, show_default=False, help="entries of the tokenizer, where they can't be looked up")
    ] = 0,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change a key of the recipe; may be repeated")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """What a recipe costs: arithmetic, memory, days and GPU-hours, without loading weights or data.

    Example: anaume plan recipes/llm-jp-base.toml --gpus 16 --device h100 --mfu 0.19,0.27
    """
    import json

    from anaume.plan import cost as plans
    from anaume.plan.table import show
    from anaume.recipe import load

    if document_tokens and padding:
        raise UserError(f"--padding {padding}: it stands in place of --document-tokens; accepted: one of them")
    loaded = load(recipe, changes or ())
    found = plans.plan(
        loaded,
        vocab_size or plans.vocabulary_size(loaded.tokenizer),
        device,
        gpus,
        _numbers("--mfu", mfu),
        document_tokens or plans.DOCUMENT_TOKENS,
        _numbers("--padding", padding),
    )
    if as_json:
        print(json.dumps(found.to_json(), ensure_ascii=False, indent=2))
    else:
        show(found)


def _numbers(option: str, text: str) -> list[float]:
    """Numbers set apart by commas."""
    try:
        return [float(part) for part in text.split(",") if text]
    except ValueError:
        raise UserError(f"{option} {text}: accepted: a number, or several with commas between them") from None


@app.command()
def bench(
    recipe: Annotated[Path | None, typer.Argument(metavar="RECIPE.toml", help="by default a small model")] = None,
    corpus: Annotated[str, typer.Option(help="a glob of files, in place of the recipe's corpus")] = "",
    tokenizer: Annotated[str, typer.Option(help="a folder or .model file, in place of the recipe's")] = "",
    stage: Annotated[str, typer.Option(help="stage of the recipe; the first one by default")] = "",
    length: Annotated[int, typer.Option(min=0, show_default=False, help="tokens, in place of the stage's")] = 0,
    layers: Annotated[int, typer.Option(min=0, show_default=False, help="in place of the model's")] = 0,
    hidden: Annotated[
        int, typer.Option(min=0, show_default=False, help="in place of the model's, in ModernBERT's proportions")
    ] = 0,
    rows: Annotated[
        int, typer.Option(min=0, show_default=False, help="documents a micro-batch of the padded loop; else our slots")
    ] = 0,
    seconds: Annotated[float, typer.Option(min=0, help="each side, each round")] = 5.0,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change a key of the recipe; may be repeated")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="file for the results, JSON")] = None,
) -> None:
    """This machine: anaume beside a padded Hugging Face loop, on the same documents.

    Example: anaume bench --length 8192 --rows 3
    """
    from anaume.bench.compare import bench
    from anaume.bench.recipe import select_recipe

    bench(
        select_recipe(recipe, changes or (), corpus, tokenizer, stage, length, layers, hidden),
        rows,
        seconds,
        rounds,
        out,
    )


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
