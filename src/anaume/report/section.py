"""What a section of the page may offer: its own content, and its share in the summaries over all tasks.

A section is a row of a table: data and functions of what the page shows. The summaries (key figures, training charts,
training dynamics, "Other tasks") read the sections and name no task themselves.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from anaume.report.comparable import Aspect, Comparison, comparison
from anaume.report.draw.charts import Chart
from anaume.report.draw.figures import PrintFigure
from anaume.report.draw.panels import Panel
from anaume.report.inputs import ReportInput
from anaume.report.tables import Table

ChartGroups = tuple[tuple[str, tuple[Chart, ...]], ...]  # (heading, charts that share a grid)


@dataclass(frozen=True)
class Content:
    """What a section shows of the inputs.

    `texts` are pairs of a heading and preformatted text. `figures` become files for print, numbered if there are
    several; None keeps the number of an input that has nothing to draw. Tables follow the charts unless `tables_first`.
    """

    tables: tuple[Table, ...] = ()
    charts: ChartGroups = ()
    texts: tuple[tuple[str, str], ...] = ()
    lead: str = ""
    figures: tuple[PrintFigure | None, ...] = ()
    tables_first: bool = False

    @property
    def empty(self) -> bool:
        """Whether the page has nothing to show but the section's title."""
        return not (self.tables or self.charts or self.texts)


@dataclass(frozen=True)
class Score:
    """A column of the training dynamics: a metric of a task, and its title."""

    task: str
    metric: str
    title: str


@dataclass(frozen=True)
class DynamicsColumns:
    """A section's columns in the table of training dynamics of one run, and what must agree between their records.

    `always` shows the columns even if no checkpoint has a value, and puts them before those of other sections.
    """

    scores: tuple[Score, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    always: bool = False


@dataclass(frozen=True)
class KeyFigure:
    """A result at the head of the page: the last of `points`, (step, value) of a run, beside the value at step 0.

    `error` gives the error of the last value with what it is over, such as "± 0.011 over 4 draws of masks", or "".
    """

    title: str
    points: Callable[[ReportInput], list[tuple[int, float]]]
    error: Callable[[ReportInput], str] = lambda _: ""


@dataclass(frozen=True)
class Section:
    """A section of the page. Only `id`, `title` and `content` are required.

    `absent`          text where the content is empty; a section without this text is then left out
    `needs_run`       whether the section is left out where no input is a run
    `figure`          name of the files in figures/, without number and suffix
    `tasks`           tasks that the section shows; tasks of no section appear under "Other tasks"
    `rank`            place of the section's task in the summaries, lowest first
    `overview`        columns in the table of all models at the head of the page
    `key_figures`     results at the head of the page
    `dynamics`        columns in the table of training dynamics
    `steps`           panels over the checkpoints of a run, for the training charts; one without lines is left out
    `steps_in_print`  whether these panels come first, and are also part of the print figure of training
    """

    id: str
    title: str
    content: Callable[["Page"], Content]
    absent: str = ""
    needs_run: bool = False
    figure: str = ""
    tasks: tuple[str, ...] = ()
    rank: int = 100
    overview: tuple[Score, ...] = ()
    key_figures: tuple[KeyFigure, ...] = ()
    dynamics: Callable[[ReportInput], DynamicsColumns] = lambda _: DynamicsColumns()
    steps: Callable[[ReportInput], tuple[Panel, ...]] = lambda _: ()
    steps_in_print: bool = False


@dataclass(frozen=True)
class Page:
    """The inputs of a report and its sections, from top to bottom."""

    inputs: tuple[ReportInput, ...]
    sections: tuple[Section, ...] = ()

    def contents(self) -> list[tuple[Section, Content]]:
        """The sections that the page has, each with its content."""
        has_run = any(entry.is_run for entry in self.inputs)
        sections = [section for section in self.sections if has_run or not section.needs_run]
        filled = [(section, section.content(self)) for section in sections]
        return [(section, content) for section, content in filled if section.absent or not content.empty]


def by_rank(sections: Iterable[Section]) -> list[Section]:
    """The sections in the order of the summaries."""
    return sorted(sections, key=lambda section: section.rank)


def task_columns(
    task: str, aspects: Sequence[Aspect], titles: Mapping[str, str], *, always: bool = False
) -> Callable[[ReportInput], DynamicsColumns]:
    """The `dynamics` of a section with one task: a column for each metric, by its title.

    Without `always` a metric that no checkpoint of the run has gets no column.
    """
    scores = [Score(task, metric, title) for metric, title in titles.items()]

    def columns(run: ReportInput) -> DynamicsColumns:
        shown = [score for score in scores if always or run.over_checkpoints(task, score.metric)]
        return DynamicsColumns(tuple(shown), (comparison(run.checkpoints, task, aspects),), always)

    return columns


def single_chart(panel: Panel | None) -> ChartGroups:
    """A panel as a chart that zooms by itself; nothing for None."""
    return (("", (Chart(panel.id, panel, panel.id),)),) if panel else ()


def suffixed(inputs: Sequence[ReportInput]) -> list[tuple[ReportInput, str]]:
    """Every input with the suffix of its own tables and charts: its number, or nothing where there is only one."""
    several = len(inputs) > 1
    return [(entry, f"-{number}" if several else "") for number, entry in enumerate(inputs, start=1)]


def table_of_each(inputs: Sequence[ReportInput], make: Callable[[ReportInput, str], Table | None]) -> tuple[Table, ...]:
    """The table of every input that has one; with several inputs, each caption begins with the name of its input."""
    tables = [(entry, table) for entry, suffix in suffixed(inputs) if (table := make(entry, suffix)) is not None]
    if len(inputs) == 1:
        return tuple(table for _, table in tables)
    return tuple(replace(table, caption=f"{entry.name}. {table.caption}") for entry, table in tables)


def present(*tables: Table | None) -> tuple[Table, ...]:
    """The tables that are not None."""
    return tuple(table for table in tables if table is not None)
