"""Sources → the report's tables. Every function gives None where there is nothing to show."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from anaume.formats import MISSING, number
from anaume.report import alike, jglue
from anaume.report.sources import Model, Source, all_models
from anaume.report.tables import Cell, Column, Table, strongest

KNOWN_TASKS = ("validation", "fill-mask", "retrieval", "pseudo-perplexity", "geometry", *jglue.TASKS)
ROWS = 100  # of the fill-mask list; a page is no place for ten thousand
LENGTH_BIN = re.compile(r"^(\w+) [\[(](\d+), [^\])]+[\])]$")  # loss (2048, 4096], loss (8192, …)
TITLES = {
    "loss": "Loss",
    "accuracy": "Accuracy",
    "long_loss": "Loss past 1,024 tokens",
    "accuracy_at_1": "Acc@1",
    "accuracy_at_5": "Acc@5",
    "mrr": "MRR",
    "naive_accuracy_at_1": "Naive acc@1",
    "naive_accuracy_at_5": "Naive acc@5",
    "naive_mrr": "Naive MRR",
    "recall_at_10": "Recall@10",
    "mrr_at_10": "MRR@10",
}
DYNAMICS = (
    ("validation", "loss", "Loss"),
    ("validation", "accuracy", "Accuracy"),
    ("fill-mask", "accuracy_at_1", "Cloze acc@1"),
    ("fill-mask", "accuracy_at_5", "Cloze acc@5"),
    ("fill-mask", "mrr", "Cloze MRR"),
    ("retrieval", "recall_at_10", "Recall@10"),
    ("retrieval", "mrr_at_10", "MRR@10"),
)
IF_THERE = (
    ("pseudo-perplexity", "pseudo_perplexity", "Pseudo-perplexity"),
    ("geometry", "alignment", "Alignment"),
    ("geometry", "uniformity", "Uniformity"),
)


def compared(sources: Sequence[Source]) -> list[Model]:
    """The models that stand side by side: first checkpoint, last of each stage, then all the others."""
    models = [m for source in sources for m in (*source.milestones, *source.others)]
    return sorted(models, key=lambda m: (m.baseline, not m.stage))


def heading(sources: Sequence[Source], model: Model) -> str:
    """What a model is called over its column: short for the milestones of a single run, else its label."""
    source = sources[0]
    if len(sources) > 1 or not model.stage:
        return model.label
    if model is source.checkpoints[0]:
        return f"Step {model.step:,}"
    return f"End of {model.stage}" if source.train or source.validation else model.label


def numbers(values: Iterable[float | None]) -> list[Cell]:
    """A cell for each value, a dash for a missing one."""
    return [Cell(number(value)) for value in values]


def _scores(values: Sequence[float | None]) -> list[Cell]:
    """A column's values, all with decimals if one has some: a share may have been written as 0 or 1."""
    if any(isinstance(value, float) for value in values):
        values = [None if value is None else float(value) for value in values]
    return numbers(values)


def metrics_table(
    name: str,
    caption: str,
    models: Sequence[Model],
    task: str,
    shown: Mapping[str, str] | None = None,
    *,
    highest: Sequence[str] = (),
    lowest: Sequence[str] = (),
) -> Table | None:
    """Models × metrics of one task, with the number of examples.

    `shown`: metric → title, of those that a model has; all of the records unless given. The `highest` and the `lowest`
    values of some stand out as the best, if the models were measured alike; else the table cautions.
    """
    models = [model for model in models if task in model.records]
    if not models:
        return None
    present = dict.fromkeys(name for model in models for name in model.records[task].metrics)
    titles = {name: TITLES.get(name, name) for name in present} if shown is None else shown
    names = [metric for metric in titles if metric in present]
    columns = []
    differs = alike.note([alike.part(models, task)])
    for metric in names:
        values = [model.records[task].metrics.get(metric) for model in models]
        cells = _scores(values)
        best = not differs and (metric in highest or metric in lowest)
        columns.append(strongest(cells, values, lowest=metric in lowest) if best else cells)
    counts = [Cell(f"{model.records[task].n:,}") for model in models]
    rows = zip([Cell(model.label) for model in models], *columns, counts, strict=True)
    heads = [Column(titles[metric], numeric=True) for metric in names]
    return Table(name, caption, (Column("Model"), *heads, Column("n", numeric=True)), tuple(rows), differs)


def validation(sources: Sequence[Source]) -> Table | None:
    """The masked-LM loss over all pieces. No model is best by it: tokenizers ask different questions."""
    caption = (
        "Masked-LM loss (nats) and accuracy on validation text, n masked tokens. Both depend on the tokenizer, and on "
        "the positions of a model, which documents are cut to."
    )
    shown = {name: TITLES[name] for name in ("loss", "accuracy", "long_loss")}
    return metrics_table("validation", caption, compared(sources), "validation", shown)


def fill_mask_scores(sources: Sequence[Source]) -> Table | None:
    """How often the masked word is the first guess, or among the first five."""
    caption = "Fill-mask: share of questions answered by the first guess (Acc@1) or by one of the first five."
    best = "accuracy_at_1", "accuracy_at_5", "mrr"
    return metrics_table("fill-mask", caption, compared(sources), "fill-mask", highest=best)


def retrieval(sources: Sequence[Source]) -> Table | None:
    """Zero-shot retrieval, the lexical baselines last."""
    caption = "Zero-shot sentence retrieval; edit distance, Jaccard and BM25 compare strings only."
    best = "recall_at_10", "mrr_at_10"
    return metrics_table("retrieval", caption, compared(sources), "retrieval", highest=best)


def other_tasks(sources: Sequence[Source]) -> list[Table]:
    """A table of all models for every task that has no section of its own."""
    models = all_models(sources)
    tasks = dict.fromkeys(task for m in models for task in m.records if task not in KNOWN_TASKS)
    tables = [metrics_table(_stem(task), f"Task: {task}.", models, task) for task in tasks]
    return [table for table in tables if table is not None]


def _stem(text: str) -> str:
    """A file name for any text."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.") or "table"


def predictions(source: Source, suffix: str = "") -> list[Table]:
    """Five first guesses for each question: the final checkpoint's, or all models' in a folder of records."""
    models = [model for model in source.checkpoints if _details(model)][-1:]
    if not source.checkpoints:
        models = [model for model in source.others if _details(model)]
    several = len(models) > 1
    return [_top5(model, suffix + (f"-{_stem(model.label)}" if several else "")) for model in models]


def _top5(model: Model, suffix: str) -> Table:
    details = _details(model)
    columns = [Column("Sentence", wide=True), Column("Answer")]
    columns += [Column(f"Guess {place}") for place in range(1, 6)]
    rows = [(Cell(str(row.get("text", MISSING))), Cell(_answers(row)), *_guesses(row)) for row in details[:ROWS]]
    limit = f" The first {ROWS} of {len(details):,} questions." if len(details) > ROWS else ""
    caption = f"Five first guesses of {model.label}, with probabilities; right ones in bold.{limit}"
    return Table(f"fill-mask-top5{suffix}", caption, tuple(columns), tuple(rows))


def _details(model: Model) -> list[dict[str, Any]]:
    record = model.records.get("fill-mask")
    return [] if record is None else [row for row in record.details if "text" in row]


def _answers(row: dict[str, Any]) -> str:
    return "、".join(str(answer) for answer in row.get("answers", [])) or MISSING


def _guesses(row: dict[str, Any], count: int = 5) -> list[Cell]:
    answers = {str(answer) for answer in row.get("answers", [])}
    cells = []
    for guess in row.get("predictions", [])[:count]:
        text, probability = str(guess.get("text", MISSING)), guess.get("probability")
        note = f"{probability:.3f}" if isinstance(probability, int | float) else ""
        cells.append(Cell(text if text.strip() else repr(text), note, strong=text in answers))
    return cells + [Cell()] * (count - len(cells))


def first_guesses(sources: Sequence[Source]) -> Table | None:
    """First guesses side by side: at step 0, at the end of each stage, and those of other models."""
    models = [model for model in compared(sources) if _details(model)]
    if len(models) < 2:
        return None
    questions = {str(row["text"]): Cell(_answers(row)) for model in models for row in _details(model)}
    guesses = [{str(row["text"]): _guesses(row, 1)[0] for row in _details(model)} for model in models]
    rows = [
        (Cell(text), answer, *(guess.get(text, Cell()) for guess in guesses))
        for text, answer in list(questions.items())[:ROWS]
    ]
    return Table(
        "fill-mask-first",
        "The first guess of each model, with its probability; right ones in bold.",
        (Column("Sentence", wide=True), Column("Answer"), *(Column(heading(sources, m)) for m in models)),
        tuple(rows),
    )


def dynamics(source: Source, suffix: str = "") -> Table | None:
    """Every checkpoint that was evaluated, in the order of the run."""
    if not source.checkpoints:
        return None
    scores = jglue.over_checkpoints(source)
    found = [*IF_THERE, *((score.task, score.metric, score.title) for score in scores)]
    shown = [one for one in found if any(model.metric(*one[:2]) is not None for model in source.checkpoints)]
    columns = [*DYNAMICS, *shown]
    rows = []
    for model in source.checkpoints:
        tokens = next((r.checkpoint["tokens"] for r in model.records.values() if "tokens" in r.checkpoint), None)
        values = [model.metric(task, metric) for task, metric, _ in columns]
        rows.append((Cell(model.stage), *numbers([model.step, tokens, *values])))
    titles = ["Step", "Tokens", *(title for _, _, title in columns)]
    tasks = dict.fromkeys(task for task, _, _ in (*DYNAMICS, *IF_THERE))
    parts = [*(alike.part(source.checkpoints, task) for task in tasks), *jglue.parts(source.checkpoints, scores)]
    return Table(
        f"dynamics{suffix}",
        "Training dynamics: what every kept checkpoint reached. Loss and accuracy are on validation text.",
        (Column("Stage"), *(Column(title, numeric=True) for title in titles)),
        tuple(rows),
        alike.note([part for part in parts if part.records]),
    )


def length_bins(models: Iterable[Model], task: str, metric: str) -> list[str]:
    """The metric's names by length, shortest first: "loss [0, 1024]", "loss (1024, 2048]"."""
    names = {name for model in models if task in model.records for name in model.records[task].metrics}
    found = [match for name in names if (match := LENGTH_BIN.match(name)) and match[1] == metric]
    return [match[0] for match in sorted(found, key=lambda match: int(match[2]))]


def lengths(sources: Sequence[Source]) -> Table | None:
    """Validation loss by the length of the piece."""
    models = [model for model in compared(sources) if "validation" in model.records]
    bins = length_bins(models, "validation", "loss")
    if not bins:
        return None
    rows = []
    for model in models:
        rows.append((Cell(model.label), *numbers(model.metric("validation", name) for name in bins)))
    heads = [Column(name.removeprefix("loss "), numeric=True) for name in bins]
    caption = (
        "Masked-LM loss (nats) on validation text by the length in tokens of the pieces, which are documents cut to a "
        "model's positions."
    )
    differs = alike.note([alike.part(models, "validation")])
    return Table("loss-by-length", caption, (Column("Model"), *heads), tuple(rows), differs)
