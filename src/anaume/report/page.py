"""`anaume report`: one page that opens offline, with the figures and tables for a paper beside it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jinja2
from markupsafe import Markup

from anaume import __version__
from anaume.errors import UserError
from anaume.files import write_atomic
from anaume.report import contents, figures, origins
from anaume.report.charts import Chart, chart_data, plotly, training_charts
from anaume.report.curves import POINTS
from anaume.report.headline import facts, subtitle
from anaume.report.palette import COLOURS
from anaume.report.panels import length_panel, thinned
from anaume.report.sources import Source, read_sources
from anaume.report.tables import Table, html, latex, markdown

TEMPLATE = Path(__file__).parent / "template"


@dataclass(frozen=True)
class Section:
    """A part of the page. With nothing in it, it becomes one line: its title and `absent`."""

    id: str
    title: str
    tables: tuple[Table, ...] = ()
    charts: tuple[tuple[str, tuple[Chart, ...]], ...] = ()  # (heading, charts that share a grid)
    figures: tuple[str, ...] = ()  # stems of files in figures/
    texts: tuple[tuple[str, str], ...] = ()  # (heading, preformatted text)
    lead: str = ""
    absent: str = "not evaluated"

    @property
    def empty(self) -> bool:
        return not (self.tables or self.charts or self.texts)


def write_report(inputs: Sequence[Path], out: Path) -> Path:
    """Write `out/index.html`, `out/figures/` and `out/tables/` for runs and folders of evaluation records.

    Everything is read before anything is written. An interrupted run, or one without evaluations, still
    reports: what is missing is named on the page. Gives the path of `index.html`.

    Raises:
        UserError: an input is neither a run directory nor a folder of records, or is damaged, or `out` is a
            file.
    """
    if out.is_file():
        raise UserError(f"{out}: is a file; accepted: a folder to write the report into")
    sources = read_sources(inputs)
    drawn = {}
    for source, suffix in _suffixed(sources):
        drawn.update(figures.render(source, suffix))
    sections = _sections(sources, tuple(sorted({Path(name).stem for name in drawn})))
    page = _page(sources, sections)
    for name, content in drawn.items():
        write_atomic(out / "figures" / name, content)
    for table in (table for section in sections for table in section.tables):
        write_atomic(out / "tables" / f"{table.name}.md", markdown(table))
        write_atomic(out / "tables" / f"{table.name}.tex", latex(table))
    write_atomic(out / "index.html", page)
    return out / "index.html"


def _suffixed(sources: Sequence[Source]) -> list[tuple[Source, str]]:
    """Every source with what its own files' names end with: nothing where there is only one."""
    several = len(sources) > 1
    return [(source, f"-{number}" if several else "") for number, source in enumerate(sources, start=1)]


def _sections(sources: Sequence[Source], drawn: tuple[str, ...]) -> list[Section]:
    """The page from top to bottom, after the key figures."""
    others = tuple(contents.other_tasks(sources))
    evaluated = [
        Section("fill-mask", "Fill-mask", _fill_mask(sources)),
        Section("retrieval", "Retrieval", _present(contents.retrieval(sources))),
        _lengths(sources),
        *([Section("other", "Other tasks", others)] if others else []),
    ]
    if not any(source.is_run for source in sources):
        return evaluated  # nobody misses the curves of other people's models
    dynamics = Section("dynamics", "Dynamics", _each(sources, contents.dynamics))
    return [_training(sources, drawn), *evaluated[:2], dynamics, *evaluated[2:], *_origins(sources)]


def _training(sources: Sequence[Source], drawn: tuple[str, ...]) -> Section:
    charts = tuple((source.name, training_charts(source, suffix)) for source, suffix in _suffixed(sources))
    charts = tuple((name if len(sources) > 1 else "", group) for name, group in charts if group)
    lead = "One axis over all stages; drag to zoom, double-click to return."
    if any(source.train for source in sources):
        lead += " Faint: every logged step; clear: a centred mean over a fiftieth of the stage."
    if lines := max(thinned(source) for source in sources):
        lead += (
            f" Of {lines:,} logged steps, a curve shows at most {POINTS:,}: the first, the last, and the "
            "lowest and highest of equal spans, so that no spike is lost."
        )
    return Section("training", "Training", charts=charts, figures=drawn, lead=lead, absent="no curves recorded")


def _fill_mask(sources: Sequence[Source]) -> tuple[Table, ...]:
    top5 = [table for source, suffix in _suffixed(sources) for table in contents.predictions(source, suffix)]
    return _present(contents.fill_mask_scores(sources), *top5, contents.first_guesses(sources))


def _lengths(sources: Sequence[Source]) -> Section:
    panel = length_panel(sources)
    tables = _present(*(contents.lengths(sources, metric) for metric in ("loss", "accuracy")))
    charts = (("", (Chart(panel.id, panel, panel.id),)),) if panel else ()
    return Section("length", "Loss by length", tables, charts)


def _origins(sources: Sequence[Source]) -> list[Section]:
    """What a run was made from."""
    recipes = tuple((source.name, source.recipe_text) for source in sources if source.recipe_text)
    absent = "not recorded"
    return [
        Section("data", "Data", _each(sources, origins.data), absent=absent),
        Section("recipe", "Recipe", _each(sources, origins.stages), texts=recipes, absent=absent),
        Section("environment", "Environment", _each(sources, origins.environment), absent=absent),
    ]


def _each(sources: Sequence[Source], make: Callable[[Source, str], Table | None]) -> tuple[Table, ...]:
    """The table of every source that has it; the caption says whose it is where there are several."""
    made = [(source, make(source, suffix)) for source, suffix in _suffixed(sources)]
    tables = [(source, table) for source, table in made if table is not None]
    if len(sources) == 1:
        return tuple(table for _, table in tables)
    return tuple(replace(table, caption=f"{source.name}. {table.caption}") for source, table in tables)


def _present(*tables: Table | None) -> tuple[Table, ...]:
    return tuple(table for table in tables if table is not None)


def _page(sources: Sequence[Source], sections: list[Section]) -> str:
    charts = [chart for section in sections for _, group in section.charts for chart in group]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("index.html").render(
        title=", ".join(source.name for source in sources),
        subtitle=subtitle(sources),
        runs=[(source.name, facts(source)) for source in sources if source.is_run],
        sections=sections,
        colours=COLOURS,
        table_html=lambda table: Markup(html(table)),
        script=Markup((TEMPLATE / "charts.js").read_text(encoding="utf-8")),
        style=Markup((TEMPLATE / "style.css").read_text(encoding="utf-8")),
        charts=Markup(chart_data(charts)),
        plotly=Markup(plotly()) if charts else "",
        version=__version__,
    )
