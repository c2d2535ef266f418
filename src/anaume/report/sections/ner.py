"""Entities by fine-tuning: precision, recall and F1 overall, and F1 by type."""

from collections.abc import Sequence

from anaume.evals.record import Record
from anaume.formats import percent
from anaume.report.comparable import Aspect, AspectValue, caution, comparison
from anaume.report.draw.panels import Panel
from anaume.report.draw.steps import checkpoint_lines
from anaume.report.inputs import EvaluatedModel, ReportInput
from anaume.report.models import all_models
from anaume.report.section import Content, Score, Section, present, task_columns
from anaume.report.sections.jglue import ASPECTS as GRID_ASPECTS
from anaume.report.tables import Cell, Column, Table, strongest

TASK = "ner"
SCORES = {
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "macro_f1": "Macro F1",
    "exact_f1": "F1, any type",
    "partial_f1": "F1, partial",
    "type_f1": "F1, type",
    "ceiling": "Ceiling",
    "test_f1": "Test F1",
}
TYPE = "f1 "  # prefix of the metrics by type


def _split(record: Record) -> AspectValue | None:
    """The way in which a single file was divided."""
    values = [record.settings.get(key) for key in ("validation_share", "data_seed")]
    return None if None in values else AspectValue(f"{values}", f"share {values[0]}, seed {values[1]}")


# Files, grid, seed and precision as for JGLUE. The tokenizer's split belongs to a model, as its tokenizer does.
ASPECTS = (*GRID_ASPECTS, Aspect("Validation split", _split))


def overall(inputs: Sequence[ReportInput]) -> Table | None:
    """The scores over all types, with the split of each model's tokenizer."""
    models = _models(inputs)
    caption = (
        "Entities by fine-tuning, in percent, mean ± standard deviation over the seeds. F1, precision and recall count"
        " an entity as right if its characters and type are (seqeval, strict); any type, partial and type are those of"
        " nervaluate. Ceiling: the entities that a perfect tagger could return exactly by the model's tokens, whose"
        " pieces end at the split."
    )
    splits = [Cell(str(model.records[TASK].settings.get("split", ""))) for model in models]
    return _table("ner", caption, models, SCORES, (Column("Split"), splits))


def by_type(inputs: Sequence[ReportInput]) -> Table | None:
    """F1 of each type."""
    models = _models(inputs)
    names = dict.fromkeys(n for m in models for n in m.records[TASK].metrics if n.startswith(TYPE) and n[-4:] != "_std")
    columns = {name: name.removeprefix(TYPE) for name in names}
    return _table("ner-types", "F1 of the entities by type, in percent.", models, columns)


def _models(inputs: Sequence[ReportInput]) -> list[EvaluatedModel]:
    return [model for model in all_models(inputs) if TASK in model.records]


def _table(
    name: str,
    caption: str,
    models: Sequence[EvaluatedModel],
    titles: dict[str, str],
    further: tuple[Column, list[Cell]] | None = None,
) -> Table | None:
    shown = [metric for metric in titles if any(model.metric(TASK, metric) is not None for model in models)]
    if not shown:
        return None
    differences = caution([comparison(models, TASK, ASPECTS)])
    columns = [[Cell(model.label) for model in models]]
    for metric in shown:
        values = [model.metric(TASK, metric) for model in models]
        deviations = [model.metric(TASK, f"{metric}_std") if metric != "ceiling" else None for model in models]
        cells = [Cell(percent(value, deviation)) for value, deviation in zip(values, deviations, strict=True)]
        ranked = not differences and metric != "ceiling"
        columns.append(strongest(cells, values) if ranked else cells)
    heads = [Column("Model"), *(Column(titles[metric], numeric=True) for metric in shown)]
    if further:
        heads.append(further[0])
        columns.append(further[1])
    return Table(name, caption, tuple(heads), tuple(zip(*columns, strict=True)), differences)


def over_steps(run: ReportInput) -> tuple[Panel, ...]:
    """F1 over the checkpoints that were fine-tuned."""
    return (Panel("ner", "Entities (validation, fine-tuned)", checkpoint_lines(run, TASK, ("F1", "f1", "series1"))),)


SECTION = Section(
    "ner",
    "Entities",
    lambda page: Content(present(overall(page.inputs), by_type(page.inputs))),
    tasks=(TASK,),
    rank=7,
    overview=(Score(TASK, "f1", "Entity F1"),),
    dynamics=task_columns(TASK, ASPECTS, {"f1": "Entity F1"}),
    steps=over_steps,
)
