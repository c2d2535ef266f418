"""JGLUE's records → the paper's Table 2, once for each protocol, and what the records hold beside it.

Scores are shares in the records and percent here. A table never mixes protocols, and averages only what all its models
have.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from anaume.evals.record import Record
from anaume.formats import join_words, percent
from anaume.report import alike
from anaume.report.sources import Model, Source, all_models
from anaume.report.tables import Cell, Column, Table, strongest


@dataclass(frozen=True)
class Score:
    """A column: the metric of a task. `own` is the one that stands for the task in an average."""

    task: str
    metric: str
    title: str
    own: bool = True


TEST = "test_"  # what the names of metrics on the test split begin with
PAPER = "best_cell_"  # and those of the paper's protocol

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
    *(Score(score.task, TEST + score.metric, f"{score.title}, test") for score in SCORES),
    Score("jcola", "mcc", "JCoLA (MCC)"),
    Score("jcola", "out_of_domain_accuracy", "JCoLA, out of domain"),
    Score("jcola", "out_of_domain_mcc", "JCoLA, out of domain (MCC)"),
)
OWN = tuple(score for score in SCORES if score.own)
TASKS = tuple(score.task for score in OWN)
Say = Callable[[Sequence[alike.Part]], str]
TITLES = {score.task: score.title.partition(" (")[0] for score in OWN}


def tables(sources: Sequence[Source]) -> tuple[Table, ...]:
    """The tables that have something in them: fair scores, other metrics of the same trainings, the paper's protocol.

    Unlike elsewhere every checkpoint that was fine-tuned has its row, not the last of each stage alone: as in the
    paper's table, they are why somebody fine-tuned them.
    """
    models = all_models(sources)
    made = (
        _table("jglue", _fair, models, SCORES, average=True),
        _table("jglue-further", _further, models, FURTHER),
        _table("jglue-best-cell", _best_cell, models, _as_in_the_paper(SCORES), average=True),
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


def parts(models: Sequence[Model], scores: Sequence[Score]) -> list[alike.Part]:
    """The records that these scores are of, a part for each task and split."""
    found = []
    for task, test in dict.fromkeys((score.task, score.metric.startswith(TEST)) for score in scores):
        own = [score for score in scores if (score.task, score.metric.startswith(TEST)) == (task, test)]
        records = tuple((m.label, m.records[task]) for m in models if _has(m, own))
        aspects = alike.FINE_TUNED_TEST if test else alike.FINE_TUNED
        found.append(alike.Part(f"{TITLES[task]}, test" if test else TITLES[task], records, aspects))
    return [part for part in found if part.records]


def _has(model: Model, scores: Sequence[Score]) -> bool:
    """Whether the model has one of the scores."""
    return any(model.metric(score.task, score.metric) is not None for score in scores)


def _as_in_the_paper(scores: Sequence[Score]) -> tuple[Score, ...]:
    return tuple(replace(score, metric=PAPER + score.metric) for score in scores)


def _table(
    name: str, say: Say, models: Sequence[Model], scores: Sequence[Score], *, average: bool = False
) -> Table | None:
    """The models that have one of these scores × the scores that one of them has; `say` makes the caption."""
    models = [model for model in models if _has(model, scores)]
    if not models:
        return None
    shown = parts(models, scores)
    caption, differs = say(shown), alike.note(shown)
    columns: list[list[Cell]] = [[Cell(model.label) for model in models]]
    heads = [Column("Model")]
    for score in scores:
        values = [model.metric(score.task, score.metric) for model in models]
        if any(value is not None for value in values):
            deviations = [model.metric(score.task, f"{score.metric}_std") for model in models]
            columns.append(_column(values, deviations, best=not differs))
            heads.append(Column(score.title, numeric=True))
    shared = [s for s in scores if s.own and all(m.metric(s.task, s.metric) is not None for m in models)]
    if average and len(shared) > 1:
        means = [_mean([model.metric(score.task, score.metric) for score in shared]) for model in models]
        columns.append(_column(means, [None] * len(models), best=not differs))
        heads.append(Column("Average", numeric=True))
        caption += f" The average is over what every model here has: {join_words([s.title for s in shared])}."
    elif average and len(models) > 1:
        caption += " No average: the models have fewer than two tasks in common."
    return Table(name, caption, tuple(heads), tuple(zip(*columns, strict=True)), differs)


def _column(values: Sequence[float | None], deviations: Sequence[float | None], *, best: bool) -> list[Cell]:
    cells = [Cell(percent(value, deviation)) for value, deviation in zip(values, deviations, strict=True)]
    return strongest(cells, values) if best else cells


def _mean(values: Sequence[float | None]) -> float:
    present = [value for value in values if value is not None]
    return sum(present) / len(present)


def _fair(shown: Sequence[alike.Part]) -> str:
    """What the reader must know of the scores, the notes of the records included."""
    seeds = {record.settings.get("seeds", "several") for record in _records(shown)}
    over = f"{seeds.pop() if len(seeds) == 1 else 'several'} seeds"
    said = "of a single training" if over == "1 seeds" else f"mean ± standard deviation over {over}"
    caption = f"JGLUE by fine-tuning, validation scores in percent, {said}."
    return f"{caption} {_chosen(shown)}{_notes(shown)}"


def _chosen(shown: Sequence[alike.Part]) -> str:
    """How learning rate and epochs came about: with a grid of one cell, nothing was held out."""
    given: dict[str, list[str]] = {}
    for part in shown:
        for label, record in part.records:
            if not record.settings.get("held_out"):
                given.setdefault(label, []).append(part.title)
    said = "Learning rate and epochs were chosen on a held-out part of the training split"
    if not given:
        return f"{said}, so no number was picked by the data it is of."
    if not any(record.settings.get("held_out") for record in _records(shown)):
        return "Learning rate and epochs were set beforehand; nothing was held out to choose them by."
    return f"{said}, but set beforehand for {join_words([f'{m} ({join_words(tasks)})' for m, tasks in given.items()])}."


def _further(shown: Sequence[alike.Part]) -> str:
    return f"Other metrics of the same trainings, in percent.{_notes(shown)}"


def _best_cell(shown: Sequence[alike.Part]) -> str:
    sizes = {sum(row.get("protocol") == "paper" for row in record.details) for record in _records(shown)} - {0}
    cells = f" of {sizes.pop()}" if len(sizes) == 1 else ""
    return (
        f"JGLUE as in the paper: of each grid the best cell{cells}, chosen on the validation data that is reported. "
        f"Such scores are higher than fair ones: compare them only with scores that were made the same way. In percent."
        f"{_notes(shown)}"
    )


def _notes(shown: Sequence[alike.Part]) -> str:
    notes = dict.fromkeys(str(note) for record in _records(shown) for note in record.settings.get("notes", ()))
    return f" Notes: {'; '.join(notes)}." if notes else ""


def _records(shown: Sequence[alike.Part]) -> list[Record]:
    return [record for part in shown for _, record in part.records]
