"""Verbs that make or check data: tokenizers, tokens, pairs of texts."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from anaume.bounds import MOST_LENGTH, MOST_PIECES, MOST_PROCESSES, MOST_TOKENS
from anaume.cli.arguments import BadLines, Corpus, Encoding, Out, TextDocuments, TextField, check_new_file
from anaume.errors import UserError


def tokenizer_train(
    corpus: Corpus,
    vocab_size: Annotated[int, typer.Option(max=MOST_PIECES, help="pieces")],
    out: Out,
    kind: Annotated[
        Literal["unigram", "bpe"], typer.Option(help="Unigram with byte fallback, or byte-level BPE")
    ] = "unigram",
    words: Annotated[
        Literal["auto", "respect", "ignore"],
        typer.Option(help="whether pieces stay within words that spaces separate; auto decides by the text"),
    ] = "auto",
    text_field: TextField = "text",
    documents: TextDocuments = "files",
    encoding: Encoding = "utf-8",
    bad_lines: BadLines = 0.01,
) -> None:
    """Train a tokenizer.

    Example: anaume tokenizer train 'data/*.jsonl.gz' --vocab-size 32000 --out tokenizer
    """
    from anaume.corpus.readers import parse_source
    from anaume.tokenizer.train import train_tokenizer

    options = {"text_field": text_field, "documents": documents, "encoding": encoding, "bad_lines": bad_lines}
    sources = [parse_source(text, **options) for text in corpus]
    train_tokenizer(sources, vocab_size, out, kind=kind, words=words)
    print(out)


def tokenizer_adapt(
    source: Annotated[str, typer.Argument(help="a SentencePiece .model, a Hugging Face folder or a Hub id")], out: Out
) -> None:
    """Make an encoder's tokenizer from a decoder's: texts become [CLS] … [SEP] instead of <s> ….

    Example: anaume tokenizer adapt llm-jp-tokenizer-100k.ver3.0b1.model --out tokenizer
    """
    from anaume.tokenizer.adapt import adapt_tokenizer

    adapt_tokenizer(source, out)
    print(out)


def tokenizer_extend(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="a folder or Hub id of a model or a tokenizer")],
    corpus: Corpus,
    add: Annotated[int, typer.Option(min=1, max=MOST_PIECES, help="new pieces at most")],
    out: Out,
    general: Annotated[
        list[str] | None,
        typer.Option(metavar="CORPUS", help="general text to measure on too, may be repeated"),
    ] = None,
    words: Annotated[
        Literal["auto", "respect", "ignore"],
        typer.Option(help="whether pieces stay within words that spaces separate; auto decides by the text"),
    ] = "auto",
    max_characters: Annotated[
        int,
        typer.Option(
            min=1, max=MOST_TOKENS, help="characters to read of CORPUS and of the general text, from all their parts"
        ),
    ] = 10_000_000,
    text_field: TextField = "text",
    documents: TextDocuments = "files",
    encoding: Encoding = "utf-8",
    bad_lines: BadLines = 0.01,
) -> None:
    """Add the words of a domain to a model's tokenizer: the pieces that save most tokens on the text of CORPUS.

    Existing ids stay. A recipe with [model] init = MODEL and [tokenizer] load = DIR trains the new pieces.

    Example: anaume tokenizer extend my-encoder 'law/*.jsonl.gz' --add 2000 --general 'wiki/*.jsonl.gz' --out tokenizer
    """
    from anaume.corpus.readers import parse_source
    from anaume.tokenizer.extend.extension import extend_tokenizer

    options = {"text_field": text_field, "documents": documents, "encoding": encoding, "bad_lines": bad_lines}
    domain, others = ([parse_source(text, **options) for text in texts] for texts in (corpus, general or []))
    extension = extend_tokenizer(model, domain, add, out, general=others, words=words, max_characters=max_characters)
    print(f"{out}: {extension.added:,} new pieces; the text of CORPUS uses {extension.used:,} of them")
    for name, measured in (("domain", extension.domain), ("general", extension.general)):
        if measured:
            change = f"{measured.after / measured.before - 1:+.1%}"
            print(f"{name}: tokens per character {measured.before:.4f} before, {measured.after:.4f} after ({change})")


def tokens(
    corpus: Corpus,
    tokenizer: Annotated[Path, typer.Option(help="a tokenizer folder")],
    out: Out,
    text_field: TextField = "text",
    documents: TextDocuments = "files",
    encoding: Encoding = "utf-8",
    bad_lines: BadLines = 0.01,
    workers: Annotated[
        int, typer.Option(min=1, max=MOST_PROCESSES, help="processes, or a cluster's tasks, at a time")
    ] = 1,
    executor: Annotated[Literal["local", "slurm", "ray"], typer.Option(help="where the tasks run")] = "local",
    slurm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="an option of sbatch's, may be repeated: partition is needed; "
            "time=24:00:00, mem-per-cpu=2G and cpus-per-task=1 unless given",
        ),
    ] = None,
) -> None:
    """Turn a corpus into token ids on disk. The same command again goes on where it stopped.

    Example: anaume tokens 'data/*.jsonl.gz' --tokenizer tokenizer --out tokens --workers 8

    On Slurm: anaume tokens 's3://…/*.jsonl' --tokenizer … --out … --workers 64 --executor slurm --slurm partition=cpu
    """
    if slurm and executor != "slurm":
        raise UserError(f"--slurm {slurm[0]}: given with --executor {executor}; expected --executor slurm")
    from anaume.corpus.readers import check_source, parse_source
    from anaume.tokenizer.load import load_tokenizer
    from anaume.tokens import build, local
    from anaume.tokens.summary import describe

    run: build.Runner = local.run
    if executor != "local":
        from anaume.tokens import cluster

        run = cluster.run_on_ray
    options = {"text_field": text_field, "documents": documents, "encoding": encoding, "bad_lines": bad_lines}
    sources = [parse_source(text, **options) for text in corpus]
    if not out.exists():  # a folder that holds all tokens needs its corpus no longer
        for source in sources:
            check_source(source)
    opened_tokenizer = load_tokenizer(tokenizer)
    if executor == "slurm":
        job = build.begin(sources, opened_tokenizer, out)
        if job.todo:
            last = cluster.submit_to_slurm(job, opened_tokenizer, workers, slurm or ())
            print(f"{out}: {len(job.todo):,} parts are submitted to Slurm; job {last} writes the summary")
            return
    first, *others = describe(build.build(sources, opened_tokenizer, out, workers=workers, run=run))
    print(f"{out}: {first}", *others, sep="\n")


def verify(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER…", help="folders of tokens, runs, exports")],
    tokenizer: Annotated[Path | None, typer.Option(help="tokenizer folder whose vocabulary is expected")] = None,
) -> None:
    """Check that folders of tokens, runs and exports are whole and have one vocabulary; exit status 1 if one does not.

    Example: anaume verify tokens runs/small my-encoder --tokenizer tokenizer
    """
    from rich.console import Console

    from anaume.verify import verify_folder

    expected = None
    if tokenizer:
        from anaume.tokenizer.load import load_tokenizer

        expected = load_tokenizer(tokenizer).vocabulary_hash
    whole = True
    for folder in folders:
        with Console(stderr=True).status(f"reading {folder} …"):
            result = verify_folder(folder, expected)
        whole &= not result.problems
        print(*(result.problems or [f"{folder}: whole: {result.content}"]), sep="\n")
    if not whole:
        raise typer.Exit(1)


def pairs(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="miracl-ja, or MIRACL in another language")],
    out: Annotated[Path, typer.Option(help="new file to write, JSON lines", callback=check_new_file)],
    split: Annotated[str, typer.Option(help="train, dev")] = "train",
    data: Annotated[Path | None, typer.Option(help="folder with MIRACL's files; else they come from the Hub")] = None,
) -> None:
    """Make the pairs of passages that the paper's retrieval and geometry use.

    Example: anaume pairs miracl-ja --out pairs.jsonl
    """
    from anaume.evals.inputs import miracl

    kind, _, language = source.partition("-")
    if kind != "miracl":
        raise UserError(f"pairs {source!r}: unknown; expected miracl-ja, or another of MIRACL's languages")
    written = miracl.write_pairs(out, language, split, data)
    print(f"{out}: {written.pairs:,} pairs of {written.topics:,} topics; {written.absent} passages not in the corpus")


def overlap(
    corpus: Corpus,
    against: Annotated[list[Path], typer.Option(help="file or folder of evaluation data; may be repeated")],
    n: Annotated[int, typer.Option("--n", min=2, max=MOST_LENGTH, help="characters of a shared run")] = 13,
    out: Annotated[Path | None, typer.Option(help="new file for the result, JSON", callback=check_new_file)] = None,
    text_field: TextField = "text",
    documents: TextDocuments = "files",
    encoding: Encoding = "utf-8",
    bad_lines: BadLines = 0.01,
) -> None:
    """Find the evaluation items that share a run of characters with a corpus.

    Example: anaume overlap 'data/train/*.jsonl.gz' --against pairs.jsonl --against jglue --out overlap.json
    """
    import shutil

    from anaume.corpus.readers import parse_source
    from anaume.evals.overlap.scan import find_overlap
    from anaume.files import write_json
    from anaume.files.names import hidden_sibling

    options = {"text_field": text_field, "documents": documents, "encoding": encoding, "bad_lines": bad_lines}
    progress = hidden_sibling(out, "overlap") if out else None
    result = find_overlap([parse_source(text, **options) for text in corpus], against, n, progress)
    for row in result["files"]:
        share = row["overlapping"] / max(1, row["items"])
        print(f"{row['file']}: {row['overlapping']:,} of {row['items']:,} items overlap ({share:.1%})")
    if out and progress:
        write_json(out, result)
        shutil.rmtree(progress, ignore_errors=True)
