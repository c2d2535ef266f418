"""Verbs that train a network or write one out."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from anaume import bounds
from anaume.api import verbs
from anaume.cli.arguments import Changes, Out, RecipeFile, RunFolder, check_folder
from anaume.model.place import check_place

# Options of `contrast`.
NegativeField = Annotated[
    str, typer.Option(help="field of the pairs' lines that holds a wrong answer, or a list; lines may lack it")
]
Mine = Annotated[
    Literal["bm25", "model"] | None,
    typer.Option(help="look for further wrong answers among the positives of other queries"),
]
Dimensions = Annotated[
    str, typer.Option(help="such as 64,128: prefixes of the embedding that shall be usable alone (Matryoshka)")
]
MicroBatch = Annotated[
    int,
    typer.Option(
        min=1,
        max=bounds.MOST_ROWS,
        help="rows in memory at once; a larger batch has the same gradient, and takes longer",
    ),
]
Temperature = Annotated[
    float | None, typer.Option(min=1e-3, max=1e3, help="divisor of the similarities; by default 0.05, with --late 1")
]


def pretrain(
    recipe: RecipeFile,
    run: Annotated[Path, typer.Option(help="run directory, new or to be continued", callback=check_folder)],
    changes: Changes = None,
    workers: Annotated[int, typer.Option(min=1, max=bounds.MOST_PROCESSES, help="processes that tokenise")] = 1,
    loaders: Annotated[
        int | None,
        typer.Option(
            min=0, max=bounds.MOST_PROCESSES, help="processes that make batches; by default one on a GPU, none on a CPU"
        ),
    ] = None,
) -> None:
    """Train every stage of a recipe. The same command goes on where it stopped; Ctrl-C ends it with a checkpoint.

    MFU is the arithmetic that the text needs as a share of what the device can do in matrix products.

    Example: anaume pretrain recipes/small.toml --run runs/small --set stage.0.steps=100

    Several GPUs: torchrun --nproc-per-node 8 -m -- anaume pretrain recipes/llm-jp-base.toml --run runs/base
    """
    verbs.pretrain(recipe, run, changes=changes or (), workers=workers, loaders=loaders, progress=True)
    print(run)
    if int(os.environ.get("RANK", "0")) == 0:
        print(f"next: anaume eval all {run}\n      anaume report {run} --out {run / 'report'}", file=sys.stderr)


def batch(
    run: RunFolder,
    stage: Annotated[str, typer.Option(help="stage")],
    step: Annotated[int, typer.Option(max=bounds.MOST_STEPS, help="optimizer step, from 1")],
) -> None:
    """Show which documents an optimizer step read, for example when a loss is not finite.

    Example: anaume batch runs/small --stage stage1 --step 1234
    """
    from anaume.run import Run

    opened_run = Run(run)
    opened_run.recipe()  # a missing run is told before torch is imported
    from anaume.pretrain.look import look

    for line in look(opened_run, stage, step):
        print(line)


def export(
    run: RunFolder,
    out: Out,
    stage: Annotated[str, typer.Option(help="stage; by default the last one")] = "",
    step: Annotated[int, typer.Option(max=bounds.MOST_STEPS, help="step; by default the last one")] = -1,
    average: Annotated[
        int, typer.Option(min=1, max=bounds.MOST_STEPS, help="number of checkpoints to average, this one the last")
    ] = 1,
    license: Annotated[str, typer.Option(help="licence of the weights as the Hub spells it, such as apache-2.0")] = "",
    onnx: Annotated[bool, typer.Option("--onnx", help="also write graphs for ONNX Runtime, in float32")] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="also write a graph with 8-bit products; implies --onnx")
    ] = False,
) -> None:
    """Write a checkpoint as a folder that transformers and sentence-transformers open, with its model card.

    Example: anaume export runs/small --out my-encoder --license apache-2.0
    """
    print(
        verbs.export(
            run,
            out,
            stage=stage,
            step=step,
            average=average,
            license=license,
            onnx=onnx,
            int8=int8,
            progress=True,
        )
    )


def contrast(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="a folder or Hub id")],
    out: Out,
    nli: Annotated[Path | None, typer.Option(help="JGLUE's folder: JNLI's entailed sentences become similar")] = None,
    sts: Annotated[Path | None, typer.Option(help="JGLUE's folder: cosines are ranked by JSTS's similarities")] = None,
    pairs: Annotated[Path | None, typer.Option(help="JSON lines with query, positive, which become similar")] = None,
    query_field: Annotated[str, typer.Option(help="field of the pairs' lines that holds the query")] = "query",
    positive_field: Annotated[str, typer.Option(help="field of the pairs' lines that holds the positive")] = "positive",
    negative_field: NegativeField = "negative",
    mine: Mine = None,
    negatives: Annotated[
        int, typer.Option(min=1, max=bounds.MOST_ITEMS, help="wrong answers of a pair at most, from the file or mined")
    ] = 1,
    late: Annotated[bool, typer.Option("--late", help="a vector for each token, compared by MaxSim (ColBERT)")] = False,
    dimensions: Dimensions = "",
    epochs: Annotated[int, typer.Option(min=1, max=bounds.MOST_EPOCHS)] = 3,
    learning_rate: Annotated[float, typer.Option(min=0, max=bounds.MOST_LEARNING_RATE)] = 5e-5,
    batch: Annotated[
        int, typer.Option(min=2, max=bounds.MOST_ROWS, help="rows; the other rows of a batch serve as negatives")
    ] = 64,
    micro_batch: MicroBatch = 64,
    temperature: Temperature = None,
    max_length: Annotated[int, typer.Option(min=8, max=bounds.MOST_LENGTH, help="tokens; longer texts are cut")] = 512,
    seed: Annotated[int, typer.Option(min=0, max=bounds.MOST_SEED)] = 0,
) -> None:
    """Train an encoder's sentence embeddings on labelled pairs. All defaults but the batch are supervised SimCSE's.

    Example: anaume contrast my-encoder --nli jglue --sts jglue --out my-sentence-encoder

    A search model: anaume contrast my-encoder --pairs pairs.jsonl --mine bm25 --batch 512 --out my-search-encoder
    """
    check_place(model)
    from anaume.evals.inputs.contrast_sets import read_sets
    from anaume.evals.inputs.pairs import read_pairs
    from anaume.files.outputs import require_own_folder
    from anaume.finetune.contrast import COMMAND
    from anaume.finetune.contrast.sets import ContrastSettings, check_learnable, parse_dimensions

    settings = ContrastSettings(
        epochs,
        learning_rate,
        batch,
        temperature if temperature is not None else (1.0 if late else 0.05),
        max_length,
        seed,
        micro_batch,
        parse_dimensions(dimensions),
        late,
    )
    require_own_folder(out, COMMAND)
    texts = read_pairs(pairs, query_field, positive_field, negative_field) if pairs else []
    sets = read_sets(nli, sts, texts, pairs, negatives)
    check_learnable(sets, settings)
    if mine:  # what mining adds teaches no less
        from anaume.evals.retrieval.mine import with_mined

        sets = read_sets(nli, sts, with_mined(texts, mine, model, negatives), pairs, negatives)
    from anaume.finetune.contrast.train import train_embeddings

    print(train_embeddings(model, sets, out, settings))


def finetune(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="a folder or Hub id")],
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="CSV or JSON lines; for entities also CoNLL, Parquet or a folder; hub:NAME[:SUBSET[:SPLIT]]",
        ),
    ],
    out: Out,
    text: Annotated[
        list[str] | None, typer.Option(help="column of the text; give it twice for pairs; by default the usual names")
    ] = None,
    label: Annotated[str, typer.Option(help="column of the label; by default label, labels or score")] = "",
    split: Annotated[
        str, typer.Option(help="for entities, where pieces end: auto, none, scripts, kanji or characters")
    ] = "auto",
    epochs: Annotated[str, typer.Option(help="such as 3 or 3,5: the best on a part of the training examples")] = "3",
    learning_rates: Annotated[str, typer.Option(help="such as 5e-5 or 3e-5,1e-4: the best, in the same way")] = "5e-5",
    seeds: Annotated[int, typer.Option(min=1, max=100, help="trainings to average the scores over")] = 1,
    seed: Annotated[int, typer.Option(min=0, max=bounds.MOST_SEED)] = 0,
) -> None:
    """Fine-tune an encoder on labelled data: classes, labels, pairs, numbers or entities, whichever the data hold.

    Example: anaume finetune my-encoder reviews.csv --out my-classifier --learning-rates 3e-5,1e-4 --epochs 3,5
    """
    folder = verbs.finetune(
        model,
        data,
        out,
        text=text or (),
        label=label,
        split=split,
        epochs=epochs,
        learning_rates=learning_rates,
        seeds=seeds,
        seed=seed,
        progress=True,
    )
    print(folder)
