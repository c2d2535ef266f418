"""The table of evaluation tasks. To add one: a module with a `prepare` function, a row here, a section of the report.

`prepare` takes a `Request` and returns an `Evaluation` (see `task.py`). The rest comes from the row: a task's options
become options of `anaume eval TASK` and of `anaume eval all`, and its name is the one in records.
"""

from dataclasses import dataclass
from pathlib import Path

from anaume.bounds import MOST_EPOCHS, MOST_ITEMS, MOST_LENGTH, MOST_PROCESSES, MOST_ROWS, MOST_TOKENS
from anaume.evals.task import Task, TaskOptions, option

PAIRS = "JSON lines with query, positive"
TEXTS = 'texts: a glob of files, a folder, or a source as in a recipe, \'{path = "…", text_field = "…"}\''


@dataclass(frozen=True)
class ValidationOptions(TaskOptions):
    """Options of the validation loss."""

    texts: str = option("", TEXTS)
    tokens: int = option(262_144, "tokens of text at most", minimum=1, maximum=MOST_TOKENS)
    masks: int = option(
        4, "draws of masks; the loss is the mean over them, and has an error from two on", minimum=1, maximum=MOST_ROWS
    )


@dataclass(frozen=True)
class FillMaskOptions(TaskOptions):
    """Options of fill-mask."""

    cloze: Path | None = option(None, "JSON lines with text holding [MASK], answers")
    overlap: Path | None = option(None, "result of `anaume overlap`: scores of items that the training text lacks, too")
    text: list[str] | None = option(None, "text with [MASK]: print what may stand there; may be repeated")
    top_k: int = option(5, "words to print for --text", minimum=1, maximum=MOST_ITEMS)


@dataclass(frozen=True)
class PseudoPerplexityOptions(TaskOptions):
    """Options of pseudo-perplexity; the defaults are the paper's (Figure 2)."""

    texts: str = option("", TEXTS)
    documents: int = option(500, "documents in each length bin", minimum=1, maximum=MOST_ITEMS)
    positions: int = option(100, "masked tokens in each document", minimum=1, maximum=MOST_ITEMS)


@dataclass(frozen=True)
class PairOptions(TaskOptions):
    """Options of the tasks that read pairs of texts."""

    pairs: Path | None = option(None, PAIRS)
    query_field: str = option("query", "field of the pairs' lines that holds the query")
    positive_field: str = option("positive", "field of the pairs' lines that holds the positive")

    @property
    def other_fields(self) -> dict[str, str]:
        """The fields whose names are not the usual ones, which identify the data together with the file."""
        names = {"query_field": self.query_field, "positive_field": self.positive_field}
        return {key: name for key, name in names.items() if f"{name}_field" != key}


@dataclass(frozen=True)
class RetrievalOptions(PairOptions):
    """Options of retrieval."""

    collection: Path | None = option(None, "folder of a BEIR, MIRACL or MLDR set")
    collection_split: str = option("", "split of that set; by default test, for MIRACL dev")
    unit: str = option(
        "",
        "what the lexical baselines count, such as bigrams,mecab: characters, bigrams, trigrams, words (between"
        " spaces), mecab (Japanese words) or the first MODEL's tokens; by default characters, and for BM25 words where"
        " spaces separate them, else bigrams",
    )
    pooling: str = option("own", "own: that of the model's folder, the mean if it states none; mean: the paper's")
    layer: int | None = option(
        None, "layer whose states are pooled, 0 for the embeddings; by default the last", minimum=0, maximum=1000
    )
    centre: bool = option(False, "whether the mean of the queries' embeddings is subtracted from all embeddings")
    query_prefix: str = option("", "text before each query; for ruri: 'クエリ: '")
    positive_prefix: str = option("", "text before each document; for ruri: '文章: '")
    overlap: Path | None = option(None, "result of `anaume overlap`: scores of items that the training text lacks, too")


@dataclass(frozen=True)
class GeometryOptions(PairOptions):
    """Options of alignment, uniformity and the distributions of similarities."""

    texts: str = option("", f"{TEXTS}; random pairs are drawn from them, by default from different pairs")
    pooling: str = option("own", "own: that of the model's folder, the mean if it states none; mean: the paper's")
    layer: int | None = option(
        None, "layer whose states are pooled, 0 for the embeddings; by default the last", minimum=0, maximum=1000
    )
    random_pairs: int = option(2_000, "random pairs", minimum=1, maximum=MOST_ITEMS)


@dataclass(frozen=True)
class GridOptions(TaskOptions):
    """Options of a grid of fine-tunings; the defaults are the paper's (section 4.1)."""

    protocol: str = option("held-out", "how learning rate and epochs are chosen: held-out, paper or both")
    learning_rates: str = option("", "such as 2e-5,5e-5; by default the paper's six")
    epochs: str = option("", "such as 3,5; by default the paper's six")
    seeds: int = option(3, "trainings with the selected learning rate and epochs", minimum=1, maximum=MOST_EPOCHS)
    workers: int = option(0, "processes at a time; 0: one per GPU, or one on a CPU", minimum=0, maximum=MOST_PROCESSES)


@dataclass(frozen=True)
class JglueOptions(GridOptions):
    """Options of JGLUE and JCoLA by fine-tuning."""

    data: Path | None = option(None, "folder with JGLUE's and JCoLA's own files")
    fetch: bool = option(False, "download what that folder lacks")
    tasks: str = option("", "such as jsts,jnli,jcola; by default all in the folder")


@dataclass(frozen=True)
class NerOptions(GridOptions):
    """Options of entities."""

    entities: Path | None = option(None, "texts with entities: a file, or a folder with train and validation")
    split: str = option("auto", "where pieces end: none, scripts, kanji or characters; auto: until 99.9 % can be exact")


@dataclass(frozen=True)
class NeedleOptions(TaskOptions):
    """Options of needle in a haystack."""

    texts: str = option("", TEXTS)
    documents: int = option(12, "documents of each length", minimum=2, maximum=MOST_ITEMS)
    longest: int = option(8_192, "longest document in tokens", minimum=512, maximum=MOST_LENGTH)
    pooling: str = option("own", "own: that of the model's folder, the mean if it states none; mean: the paper's")


TASKS = {
    task.name: task
    for task in (
        Task(
            "validation",
            "Masked-LM loss and accuracy on held-out text.",
            "anaume eval validation my-encoder --texts 'data/validation/*.jsonl.gz' --out evals",
            ValidationOptions,
            needs=("texts",),
            prepare="anaume.evals.validation:prepare",
            own_texts=True,
            each_checkpoint={"tokens": 262_144},
        ),
        Task(
            "fill-mask",
            "Fill in the blank: cloze questions or free text.",
            "anaume eval fill-mask my-encoder other-encoder --text '吾輩は[MASK]である。'",
            FillMaskOptions,
            needs=("cloze",),
            prepare="anaume.evals.fill_mask:prepare",
            display="anaume.evals.fill_mask:display",
            display_options=("text", "top_k"),
        ),
        Task(
            "pseudo-perplexity",
            "Pseudo-perplexity by document length.",
            "anaume eval pseudo-perplexity my-encoder --texts 'data/validation/*.jsonl.gz' --out evals",
            PseudoPerplexityOptions,
            needs=("texts",),
            prepare="anaume.evals.pseudo_perplexity:prepare",
            own_texts=True,
            each_checkpoint={"documents": 20, "positions": 20},
        ),
        Task(
            "retrieval",
            "Zero-shot retrieval, beside lexical baselines.",
            "anaume eval retrieval my-encoder cl-nagoya/ruri-large-v2 --pairs pairs.jsonl --out evals",
            RetrievalOptions,
            needs=("pairs", "collection"),
            prepare="anaume.evals.retrieval.task:prepare",
            masked_lm=False,
        ),
        Task(
            "geometry",
            "Alignment, uniformity and similarities.",
            "anaume eval geometry my-encoder --pairs pairs.jsonl --texts 'data/*.jsonl.gz' --out evals",
            GeometryOptions,
            needs=("pairs",),
            prepare="anaume.evals.geometry:prepare",
            masked_lm=False,
        ),
        Task(
            "jglue",
            "JGLUE and JCoLA by fine-tuning over a grid.",
            "anaume eval jglue my-encoder --data jglue --fetch --learning-rates 3e-5,1e-4 --epochs 3,5 --out evals",
            JglueOptions,
            needs=("data",),
            prepare="anaume.evals.jglue.grid:prepare_task",
            masked_lm=False,
            opens_models=True,
        ),
        Task(
            "ner",
            "Entities by fine-tuning over a grid, exact to the character.",
            "anaume eval ner my-encoder --entities ner.jsonl --learning-rates 3e-5,1e-4 --epochs 3,5 --out evals",
            NerOptions,
            needs=("entities",),
            prepare="anaume.evals.ner.task:prepare",
            masked_lm=False,
            opens_models=True,
        ),
        Task(
            "needle",
            "Facts at a depth of long documents, by retrieval and by cloze.",
            "anaume eval needle my-encoder --texts 'data/validation/*.jsonl.gz' --out evals",
            NeedleOptions,
            needs=("texts",),
            prepare="anaume.evals.needle.task:prepare",
            masked_lm=False,
        ),
    )
}


def owners_of(name: str) -> list[str]:
    """Return the names of the tasks whose options have the field `name`."""
    return [task.name for task in TASKS.values() if name in task.options.__dataclass_fields__]
