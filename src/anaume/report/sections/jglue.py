"""JGLUE by fine-tuning: the paper's Table 2, once for each protocol, and further metrics of the same trainings.

Scores are shares in the records and percent here. A table never mixes protocols, and averages only the tasks that all
its models have.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from anaume.evals.record import Record
from anaume.formats import join_words, number, percent
from anaume.report.comparable import PRECISION, SEED, SHOWN, Aspect, AspectValue, Comparison, caution
from anaume.report.draw.palette import of_series
from anaume.report.draw.panels import Axis, Line, Panel
from anaume.report.draw.steps import checkpoint_lines
from anaume.report.inputs import EvaluatedModel, ReportInput
from anaume.report.models import all_models
from anaume.report.section import Content, DynamicsColumns, Page, Score, Section
from anaume.report.sections.jglue_grid import grids
from anaume.report.tables import Cell, Column, Table, strongest

TEST = "test_"  # prefix of metrics on the test split
PAPER_CELLS = 36  # 6 learning rates × 6 numbers of epochs
PAPER = "best_cell_"  # prefix of metrics under the paper's protocol

SCORES = (
    Score("jsts", "pearson", "JSTS (Pearson)"),
    Score("jnli", "accuracy", "JNLI"),
    Score("jcola", "accuracy", "JCoLA"),
    Score("jsquad", "exact_match", "JSQuAD (EM)"),
    Score("jsquad", "f1", "JSQuAD (F1)"),
    Score("jcommonsenseqa", "accuracy", "JCommonsenseQA"),
    Score("marc-ja", "accuracy", "MARC-ja"),
)
FURTHER = (
    Score("jsts", "spearman", "JSTS (Spearman)"),
    Score("jsts", "test_spearman", "JSTS (Spearman), test"),
    *(Score(score.task, TEST + score.metric, f"{score.title}, test") for score in SCORES),
    Score("jcola", "mcc", "JCoLA (MCC)"),
    Score("jcola", "out_of_domain_accuracy", "JCoLA, out of domain"),
    Score("jcola", "out_of_domain_mcc", "JCoLA, out of domain (MCC)"),
)
# One score for each task, which stands for the task in averages and over the checkpoints.
MAIN = tuple(score for score in SCORES if score.metric != "exact_match")
TASKS = tuple(score.task for score in MAIN)
TITLES = {score.task: score.title.partition(" (")[0] for score in MAIN}


def _files(*, test: bool) -> Callable[[Record], AspectValue | None]:
    """A function that reads the checksums of a task's files from a record, those of the test split only if `test`."""

    def read(record: Record) -> AspectValue | None:
        files = {name.rpartition("/")[2]: str(digest) for name, digest in record.settings.get("files", {}).items()}
        files = {name: digest for name, digest in files.items() if test or not name.startswith("test")}
        words = ", ".join(f"{name} (SHA-256 {digest[:SHOWN]})" for name, digest in files.items())
        return AspectValue(json.dumps(files, sort_keys=True), words) if files else None

    return read


def _grid(record: Record) -> AspectValue | None:
    rates, epochs = (sorted({*record.settings.get(key, ())}) for key in ("learning_rates", "epochs"))
    words = f"learning rate {'/'.join(map(number, rates))}, epochs {'/'.join(map(number, epochs))}"
    return AspectValue(words, words) if rates else None


# The protocol may differ: a record of both protocols has the same scores as a record of one, and no table mixes them.
_TRAINED = Aspect("Grid", _grid), SEED, PRECISION
ASPECTS = (Aspect("Files", _files(test=False)), *_TRAINED)
TEST_ASPECTS = (Aspect("Files", _files(test=True)), *_TRAINED)


def content(page: Page) -> Content:
    """The tables, and under them the grids that the settings were selected from."""
    groups, figures = grids(page.inputs, TITLES)
    return Content(tables(page.inputs), groups, figures=figures, tables_first=True)


def tables(inputs: Sequence[ReportInput]) -> tuple[Table, ...]:
    """The tables that have a score: fair ones, further metrics of the same trainings, the paper's protocol.

    Every fine-tuned checkpoint has a row, as in the paper's table: somebody fine-tuned it to compare it.
    """
    models = all_models(inputs)
    built = (
        _table("jglue", _fair, models, SCORES, averaged=MAIN),
        _table("jglue-further", _further, models, FURTHER),
        _table("jglue-best-cell", _best_cell, models, _as_in_the_paper(SCORES), averaged=_as_in_the_paper(MAIN)),
    )
    return tuple(table for table in built if table is not None)


def over_checkpoints(run: ReportInput) -> list[Score]:
    """The main score of each task, if a checkpoint has it: the fair one, or else that of the paper's protocol."""
    scores = []
    for fair, best_cell in zip(MAIN, _as_in_the_paper(MAIN), strict=True):
        for score in (fair, replace(best_cell, title=f"{best_cell.title}, best cell")):
            if run.over_checkpoints(score.task, score.metric):
                scores.append(score)
                break
    return scores


def comparisons(models: Sequence[EvaluatedModel], scores: Sequence[Score]) -> list[Comparison]:
    """The records that have one of these scores, a comparison for each task and split."""
    compared = []
    for task, test in dict.fromkeys((score.task, score.metric.startswith(TEST)) for score in scores):
        of_split = [score for score in scores if (score.task, score.metric.startswith(TEST)) == (task, test)]
        records = tuple((model.label, model.records[task]) for model in models if _has_any(model, of_split))
        aspects = TEST_ASPECTS if test else ASPECTS
        compared.append(Comparison(f"{TITLES[task]}, test" if test else TITLES[task], records, aspects))
    return [comparison for comparison in compared if comparison.records]


def _has_any(model: EvaluatedModel, scores: Sequence[Score]) -> bool:
    return any(model.metric(score.task, score.metric) is not None for score in scores)


def _as_in_the_paper(scores: Sequence[Score]) -> tuple[Score, ...]:
    return tuple(replace(score, metric=PAPER + score.metric) for score in scores)


def _table(
    name: str,
    caption_of: Callable[[Sequence[Comparison]], str],
    models: Sequence[EvaluatedModel],
    scores: Sequence[Score],
    *,
    averaged: Sequence[Score] = (),
) -> Table | None:
    """Models × scores, without models and scores that have no value, and the average of `averaged`."""
    models = [model for model in models if _has_any(model, scores)]
    if not models:
        return None
    compared = comparisons(models, scores)
    caption, differences = caption_of(compared), caution(compared)
    columns: list[list[Cell]] = [[Cell(model.label) for model in models]]
    heads = [Column("Model")]
    for score in scores:
        values = [model.metric(score.task, score.metric) for model in models]
        if any(value is not None for value in values):
            deviations = [model.metric(score.task, f"{score.metric}_std") for model in models]
            columns.append(_column(values, deviations, ranked=not differences))
            heads.append(Column(score.title, numeric=True))
    shared = [score for score in averaged if all(m.metric(score.task, score.metric) is not None for m in models)]
    if len(shared) > 1:
        means = [_mean([model.metric(score.task, score.metric) for score in shared]) for model in models]
        columns.append(_column(means, [None] * len(models), ranked=not differences))
        heads.append(Column("Average", numeric=True))
        tasks = join_words([score.title for score in shared])
        caption += f" The average is over the tasks that all models of the table have: {tasks}."
    elif averaged and len(models) > 1:
        caption += " No average: the models have fewer than two tasks in common."
    return Table(name, caption, tuple(heads), tuple(zip(*columns, strict=True)), differences)


def _column(values: Sequence[float | None], deviations: Sequence[float | None], *, ranked: bool) -> list[Cell]:
    cells = [Cell(percent(value, deviation)) for value, deviation in zip(values, deviations, strict=True)]
    return strongest(cells, values) if ranked else cells


def _mean(values: Sequence[float | None]) -> float:
    present = [value for value in values if value is not None]
    return sum(present) / len(present)


def _fair(compared: Sequence[Comparison]) -> str:
    """The caption of the fair scores: the number of seeds, how the grid was searched, the notes of the records."""
    seeds = {record.settings.get("seeds", "several") for record in _records(compared)}
    count = seeds.pop() if len(seeds) == 1 else "several"
    trainings = "of a single training" if str(count) == "1" else f"mean ± standard deviation over {count} seeds"
    caption = f"JGLUE by fine-tuning, validation scores in percent, {trainings}."
    return f"{caption} {_selection(compared)}{_notes(compared)}"


def _selection(compared: Sequence[Comparison]) -> str:
    """How learning rate and epochs were selected; nothing is held out for a grid of one cell."""
    set_beforehand: dict[str, list[str]] = {}
    for comparison in compared:
        for label, record in comparison.records:
            if not record.settings.get("held_out"):
                set_beforehand.setdefault(label, []).append(comparison.title)
    selected = "Learning rate and epochs were selected on a held-out part of the training split"
    if not set_beforehand:
        return f"{selected}, not on the data of the scores."
    if not any(record.settings.get("held_out") for record in _records(compared)):
        return "Learning rate and epochs were set beforehand; no data was held out to select them."
    models = [f"{label} ({join_words(tasks)})" for label, tasks in set_beforehand.items()]
    return f"{selected}, but set beforehand for {join_words(models)}."


def _further(compared: Sequence[Comparison]) -> str:
    return f"Other metrics of the same trainings, in percent.{_notes(compared)}"


def _best_cell(compared: Sequence[Comparison]) -> str:
    grids = [[row for row in record.details if row.get("protocol") == "paper"] for record in _records(compared)]
    sizes = {len(rows) for rows in grids} - {0}
    cells = f"of {sizes.pop()} cells" if len(sizes) == 1 else "cell"
    # Older records do not have the two settings; their trainings had both.
    plain = all(row.get("warmup") == 0 and row.get("clip") == 0 for rows in grids for row in rows)
    training = "without warm-up and clipping, as in" if plain else "with warm-up and clipping, unlike"
    return (
        f"JGLUE by the paper's protocol: the best {cells} of each grid (the paper's has {PAPER_CELLS}), selected on the"
        f" validation data that is reported, trained {training} the paper. Such scores are higher than fair ones:"
        f" compare them only with scores of the same protocol. In percent.{_notes(compared)}"
    )


def _notes(compared: Sequence[Comparison]) -> str:
    notes = dict.fromkeys(str(note) for record in _records(compared) for note in record.settings.get("notes", ()))
    return f" Notes: {'; '.join(notes)}." if notes else ""


def _records(compared: Sequence[Comparison]) -> list[Record]:
    return [record for comparison in compared for _, record in comparison.records]


def dynamics(run: ReportInput) -> DynamicsColumns:
    """The main scores of the tasks that a checkpoint was fine-tuned on."""
    scores = over_checkpoints(run)
    return DynamicsColumns(tuple(scores), tuple(comparisons(run.checkpoints, scores)))


def over_steps(run: ReportInput) -> tuple[Panel, ...]:
    """The main scores over the checkpoints; a score of a single checkpoint makes no line."""
    lines: list[Line] = []
    for order, score in enumerate(over_checkpoints(run)):
        role, marker = of_series(order)
        score_lines = checkpoint_lines(run, score.task, (score.title, score.metric, role))
        lines += [replace(line, marker=marker) for line in score_lines if len(line.x) > 1]
    return (Panel("jglue", "JGLUE (validation, fine-tuned)", tuple(lines), y=Axis()),)


SECTION = Section(
    "jglue",
    "JGLUE",
    content,
    figure="figure-jglue-grid",
    tasks=TASKS,
    rank=6,
    overview=MAIN,
    dynamics=dynamics,
    steps=over_steps,
)
