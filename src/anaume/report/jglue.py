"""JGLUE's records → the paper's Table 2, once for each protocol, and what the records hold beside it.

Scores are shares in the records and percent here. A table never mixes protocols, and averages only what all its models
have.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from anaume.report.formats import percent
from anaume.report.sources import Model, Source, all_models
from anaume.report.tables import Cell, Column, Table, strongest


@dataclass(frozen=True)
class Score:
    """A column: the metric of a task. `own` is the one that stands for the task in an average."""

    task: str
    metric: str
    title: str
    own: bool = True


SCORES = (
    Score("jsts", "pearson", "JSTS (Pearson)"),
    Score("jnli", "accuracy", "JNLI"),
    Score("jcola", "accuracy", "JCoLA"),
    Score("jsquad", "exact_match", "JSQuAD (EM)", own=False),
    Score("jsquad", "f1", "JSQuAD (F1)"),
    Score("jcommonsenseqa", "accuracy", "JCommonsenseQA"),
    Score("marc-ja", "accuracy", "MARC-ja"),
)
FURTHER = (
    Score("jsts", "spearman", "JSTS (Spearman)"),
    Score("jsts", "test_spearman", "JSTS (Spearman), test"),
    *(Score(score.task, f"test_{score.metric}", f"{score.title}, test") for score in SCORES),
    Score("jcola", "mcc", "JCoLA (MCC)"),
    Score("jcola", "out_of_domain_accuracy", "JCoLA, out of domain"),
    Score("jcola", "out_of_domain_mcc", "JCoLA, out of domain (MCC)"),
)
OWN = tuple(score for score in SCORES if score.own)
TASKS = tuple(score.task for score in OWN)
PAPER = "best_cell_"  # what the names of the paper's protocol begin with


def tables(sources: Sequence[Source]) -> tuple[Table, ...]:
    """The tables that have something in them: fair scores, other metrics of the same trainings, the paper's protocol.

    Unlike elsewhere every checkpoint that was fine-tuned has its row, not the last of each stage alone: as in the
    paper's table, they are why somebody fine-tuned them.
    """
    models = all_models(sources)
    made = (
        _table("jglue", _fair(models), models, SCORES, average=True),
        _table("jglue-further", "Other metrics of the same trainings, in percent.", models, FURTHER),
        _table("jglue-best-cell", _best_cell(models), models, _as_in_the_paper(SCORES), average=True),
    )
    return tuple(table for table in made if table is not None)


def over_checkpoints(source: Source) -> list[Score]:
    """Each task's own score that a checkpoint has; the paper's protocol where the fair one wasn't run."""
    found = []
    for fair, best_cell in zip(OWN, _as_in_the_paper(OWN), strict=True):
        for score in (fair, replace(best_cell, title=f"{best_cell.title}, best cell")):
            if any(model.metric(score.task, score.metric) is not None for model in source.checkpoints):
                found.append(score)
                break
    return found


def _as_in_the_paper(scores: Sequence[Score]) -> tuple[Score, ...]:
    return tuple(replace(score, metric=PAPER + score.metric) for score in scores)


def _table(
    name: str, caption: str, models: Sequence[Model], scores: Sequence[Score], *, average: bool = False
) -> Table | None:
    """The models that have one of these scores × the scores that one of them has."""
    models = [m for m in models if any(m.metric(score.task, score.metric) is not None for score in scores)]
    if not models:
        return None
    columns: list[list[Cell]] = [[Cell(model.label) for model in models]]
    heads = [Column("Model")]
    for score in scores:
        values = [model.metric(score.task, score.metric) for model in models]
        if any(value is not None for value in values):
            deviations = [model.metric(score.task, f"{score.metric}_std") for model in models]
            columns.append(_column(values, deviations))
            heads.append(Column(score.title, numeric=True))
    shared = [s for s in scores if s.own and all(m.metric(s.task, s.metric) is not None for m in models)]
    if average and len(shared) > 1:
        means = [_mean([model.metric(score.task, score.metric) for score in shared]) for model in models]
        columns.append(_column(means, [None] * len(models)))
        heads.append(Column("Average", numeric=True))
        caption += f" The average is over what every model here has: {_listed(shared)}."
    elif average and len(models) > 1:
        caption += " No average: the models have fewer than two tasks in common."
    return Table(name, caption, tuple(heads), tuple(zip(*columns, strict=True)))


def _column(values: Sequence[float | None], deviations: Sequence[float | None]) -> list[Cell]:
    cells = [Cell(percent(value, deviation)) for value, deviation in zip(values, deviations, strict=True)]
    return strongest(cells, values)


def _mean(values: Sequence[float | None]) -> float:
    present = [value for value in values if value is not None]
    return sum(present) / len(present)


def _listed(scores: Sequence[Score]) -> str:
    *first, last = [score.title for score in scores]
    return f"{', '.join(first)} and {last}"


def _fair(models: Sequence[Model]) -> str:
    """What the reader must know of the scores, the notes of the records included."""
    records = [model.records[task] for model in models for task in TASKS if task in model.records]
    seeds = {record.settings.get("seeds", "several") for record in records}
    over = f"{seeds.pop() if len(seeds) == 1 else 'several'} seeds"
    said = "of a single training" if over == "1 seeds" else f"mean ± standard deviation over {over}"
    caption = (
        f"JGLUE by fine-tuning, validation scores in percent, {said}. Learning rate and epochs were chosen on a "
        "held-out part of the training split, so no number was picked by the data it is of."
    )
    notes = dict.fromkeys(str(note) for record in records for note in record.settings.get("notes", ()))
    return caption + (f" Notes: {'; '.join(notes)}." if notes else "")


def _best_cell(models: Sequence[Model]) -> str:
    records = [model.records[task] for model in models for task in TASKS if task in model.records]
    sizes = {sum(row.get("protocol") == "paper" for row in record.details) for record in records} - {0}
    cells = f" of {sizes.pop()}" if len(sizes) == 1 else ""
    return (
        f"JGLUE as in the paper: of each grid the best cell{cells}, chosen on the validation data that is reported. "
        "Such scores are higher than fair ones: compare them only with scores that were made the same way. In percent."
    )
