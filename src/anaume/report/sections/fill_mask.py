"""Fill-mask: how often a masked word is guessed, and the guesses themselves."""

from collections.abc import Sequence
from typing import Any

from anaume.formats import MISSING
from anaume.report.comparable import DATA, PRECISION
from anaume.report.draw.panels import Panel
from anaume.report.draw.steps import checkpoint_lines
from anaume.report.inputs import EvaluatedModel, ReportInput
from anaume.report.models import compared, heading
from anaume.report.models_table import TITLES, metrics_table
from anaume.report.section import Content, KeyFigure, Page, Score, Section, present, suffixed, task_columns
from anaume.report.tables import Cell, Column, Table, file_stem

TASK = "fill-mask"
ASPECTS = (DATA, PRECISION)
ROWS = 100  # questions in a table; a record may hold ten thousand
NAIVE = {"naive_accuracy_at_1": "Naive acc@1", "naive_accuracy_at_5": "Naive acc@5", "naive_mrr": "Naive MRR"}
CLEAN = {f"clean_{name}": f"{title}, not in training" for name, title in (TITLES | NAIVE).items()}
CLOZE = {"accuracy_at_1": "Cloze acc@1", "accuracy_at_5": "Cloze acc@5", "mrr": "Cloze MRR"}


def content(page: Page) -> Content:
    """The scores, five guesses a question, and the first guesses of the models side by side."""
    guesses = [table for entry, suffix in suffixed(page.inputs) for table in predictions(entry, suffix)]
    return Content(present(scores(page.inputs), *guesses, first_guesses(page.inputs)))


def scores(inputs: Sequence[ReportInput]) -> Table | None:
    """Shares of questions answered by the first guess and by one of the first five."""
    caption = "Fill-mask: share of questions answered by the first guess (Acc@1) or by one of the first five."
    best = "accuracy_at_1", "accuracy_at_5", "mrr"
    return metrics_table("fill-mask", caption, compared(inputs), TASK, ASPECTS, titles=NAIVE | CLEAN, highest=best)


def predictions(entry: ReportInput, suffix: str = "") -> list[Table]:
    """Five first guesses for each question: of the last checkpoint, or of all models in a folder of records."""
    models = [model for model in entry.checkpoints if _questions(model)][-1:]
    if not entry.checkpoints:
        models = [model for model in entry.others if _questions(model)]
    several = len(models) > 1
    return [_five_guesses(model, suffix + (f"-{file_stem(model.label)}" if several else "")) for model in models]


def first_guesses(inputs: Sequence[ReportInput]) -> Table | None:
    """First guesses side by side: at step 0, at the end of each stage, and of other models; None for one model."""
    models = [model for model in compared(inputs) if _questions(model)]
    if len(models) < 2:
        return None
    answers = {str(row["text"]): Cell(_answers(row)) for model in models for row in _questions(model)}
    guesses = [{str(row["text"]): _guesses(row, 1)[0] for row in _questions(model)} for model in models]
    rows = [
        (Cell(text), answer, *(guess.get(text, Cell()) for guess in guesses))
        for text, answer in list(answers.items())[:ROWS]
    ]
    return Table(
        "fill-mask-first",
        "The first guess of each model, with its probability; right ones in bold.",
        (Column("Sentence", wide=True), Column("Answer"), *(Column(heading(inputs, m)) for m in models)),
        tuple(rows),
    )


def _five_guesses(model: EvaluatedModel, suffix: str) -> Table:
    questions = _questions(model)
    columns = [Column("Sentence", wide=True), Column("Answer")]
    columns += [Column(f"Guess {place}") for place in range(1, 6)]
    rows = [(Cell(str(row.get("text", MISSING))), Cell(_answers(row)), *_guesses(row)) for row in questions[:ROWS]]
    limit = f" The first {ROWS} of {len(questions):,} questions." if len(questions) > ROWS else ""
    caption = f"Five first guesses of {model.label}, with probabilities; right ones in bold.{limit}"
    return Table(f"fill-mask-top5{suffix}", caption, tuple(columns), tuple(rows))


def _questions(model: EvaluatedModel) -> list[dict[str, Any]]:
    record = model.records.get(TASK)
    return [] if record is None else [row for row in record.details if "text" in row]


def _answers(row: dict[str, Any]) -> str:
    return ", ".join(str(answer) for answer in row.get("answers", [])) or MISSING


def _guesses(row: dict[str, Any], count: int = 5) -> list[Cell]:
    """The first guesses for a question with their probabilities, right ones strong, filled up to `count` cells."""
    answers = {str(answer) for answer in row.get("answers", [])}
    cells = []
    for guess in row.get("predictions", [])[:count]:
        text, probability = str(guess.get("text", MISSING)), guess.get("probability")
        note = f"{probability:.3f}" if isinstance(probability, int | float) else ""
        cells.append(Cell(text if text.strip() else repr(text), note, strong=text in answers))
    return cells + [Cell()] * (count - len(cells))


def over_steps(run: ReportInput) -> tuple[Panel, ...]:
    """Both accuracies over the checkpoints."""
    shown = ("Acc@1", "accuracy_at_1", "cloze"), ("Acc@5", "accuracy_at_5", "cloze5")
    return (Panel("cloze", "Cloze questions", checkpoint_lines(run, TASK, *shown)),)


SECTION = Section(
    "fill-mask",
    "Fill-mask",
    content,
    absent="not evaluated",
    tasks=(TASK,),
    rank=2,
    key_figures=(KeyFigure("Cloze accuracy", lambda run: run.over_checkpoints(TASK, "accuracy_at_1")),),
    overview=(Score(TASK, "accuracy_at_1", "Cloze, first guess"),),
    dynamics=task_columns(TASK, ASPECTS, CLOZE, always=True),
    steps=over_steps,
)
