"""Sources → the sections of the page, from top to bottom: which charts, figures and tables stand where."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from anaume.report import contents, geometry, jglue, origins, pseudo_perplexity, reading
from anaume.report.charts import Chart, training_charts
from anaume.report.curves import POINTS
from anaume.report.panels import Panel, length_panel, thinned
from anaume.report.sources import Source
from anaume.report.tables import Table

Groups = tuple[tuple[str, tuple[Chart, ...]], ...]  # (heading, charts that share a grid)


@dataclass(frozen=True)
class Section:
    """A part of the page. With nothing in it, it becomes one line, its title and `absent`; without that, nothing."""

    id: str
    title: str
    tables: tuple[Table, ...] = ()
    charts: Groups = ()
    figure: str = ""  # what the names of its files in figures/ begin with
    texts: tuple[tuple[str, str], ...] = ()  # (heading, preformatted text)
    lead: str = ""
    absent: str = ""

    @property
    def empty(self) -> bool:
        return not (self.tables or self.charts or self.texts)


def sections(sources: Sequence[Source]) -> list[Section]:
    """The page after its key figures."""
    retrieval = _present(contents.retrieval(sources))
    page = [
        _training(sources),
        Section("jglue", "JGLUE", jglue.tables(sources)),
        Section("fill-mask", "Fill-mask", _fill_mask(sources), absent="not evaluated"),
        Section("retrieval", "Retrieval", retrieval, absent="not evaluated"),
        Section("dynamics", "Dynamics", _each(sources, contents.dynamics), absent="not evaluated"),
        _pseudo_perplexity(sources),
        *_geometry(sources),
        _validation(sources),
        Section("other", "Other tasks", tuple(contents.other_tasks(sources))),
        *_origins(sources),
    ]
    if not any(source.is_run for source in sources):
        of_runs = {"training", "dynamics", "data", "recipe", "environment"}
        page = [section for section in page if section.id not in of_runs]  # nobody misses them in other people's models
    return [section for section in page if section.absent or not section.empty]


def suffixed(sources: Sequence[Source]) -> list[tuple[Source, str]]:
    """Every source with what the names of its own files end with: nothing where there is only one."""
    several = len(sources) > 1
    return [(source, f"-{number}" if several else "") for number, source in enumerate(sources, start=1)]


def _training(sources: Sequence[Source]) -> Section:
    charts = tuple((source.name, training_charts(source, suffix)) for source, suffix in suffixed(sources))
    charts = tuple((name if len(sources) > 1 else "", group) for name, group in charts if group)
    lead = "One axis over all stages; drag to zoom, double-click to return."
    if any(source.train for source in sources):
        lead += " Faint: every logged step; clear: a centred mean over a fiftieth of the stage."
    if lines := max(thinned(source) for source in sources):
        lead += (
            f" Of {lines:,} logged steps, a curve shows at most {POINTS:,}: the first, the last, and the "
            "lowest and highest of equal spans, so that no spike is lost."
        )
    absent = "no curves recorded"
    return Section("training", "Training", charts=charts, figure="figure-1-", lead=lead, absent=absent)


def _fill_mask(sources: Sequence[Source]) -> tuple[Table, ...]:
    top5 = [table for source, suffix in suffixed(sources) for table in contents.predictions(source, suffix)]
    return _present(contents.fill_mask_scores(sources), *top5, contents.first_guesses(sources))


def _pseudo_perplexity(sources: Sequence[Source]) -> Section:
    charts = _alone(pseudo_perplexity.panel(sources))
    return Section(
        "pseudo-perplexity",
        "Pseudo-perplexity",
        _present(pseudo_perplexity.table(sources)),
        charts,
        "figure-2-",
        lead=pseudo_perplexity.lead(sources) if charts else "",
    )


def _geometry(sources: Sequence[Source]) -> tuple[Section, ...]:
    panels = geometry.histograms(sources)
    small = (("", tuple(Chart(panel.id, panel, "cosines") for panel in panels)),) if panels else ()
    return (
        Section(
            "alignment",
            "Alignment",
            _present(geometry.plane_table(sources)),
            _alone(geometry.plane(sources)),
            "figure-3-",
            lead="Labels are steps; a run's checkpoints are joined in their order.",
        ),
        Section(
            "similarities",
            "Similarities",
            _present(geometry.cosine_table(sources)),
            small,
            "figure-4-",
            lead="Cosines of pairs that belong together and of random ones: the less they overlap, the better.",
        ),
    )


def _validation(sources: Sequence[Source]) -> Section:
    tables = _present(contents.validation(sources), contents.lengths(sources))
    return Section("validation", "Validation", tables, _alone(length_panel(sources)), absent="not evaluated")


def _origins(sources: Sequence[Source]) -> tuple[Section, ...]:
    """What a run was made from."""
    recipes = tuple((source.name, source.recipe_text) for source in sources if source.recipe_text)
    panels = [(source.name, reading.length_panel(source, suffix)) for source, suffix in suffixed(sources)]
    charts = tuple((name if len(sources) > 1 else "", group) for name, p in panels for _, group in _alone(p))
    read = (*_each(sources, reading.sources_read), *_each(sources, reading.lengths_read))
    absent = "not recorded"
    return (
        Section("data", "Data", _each(sources, origins.data), absent=absent),
        Section("documents", "Lengths of documents", _each(sources, reading.lengths), charts, "figure-5-"),
        Section("read", "What training read", read),
        Section("recipe", "Recipe", _each(sources, origins.stages), texts=recipes, absent=absent),
        Section("environment", "Environment", _each(sources, origins.environment), absent=absent),
    )


def _alone(panel: Panel | None) -> Groups:
    """A panel that zooms by itself."""
    return (("", (Chart(panel.id, panel, panel.id),)),) if panel else ()


def _each(sources: Sequence[Source], make: Callable[[Source, str], Table | None]) -> tuple[Table, ...]:
    """The table of every source that has it; the caption says whose it is where there are several."""
    made = [(source, make(source, suffix)) for source, suffix in suffixed(sources)]
    tables = [(source, table) for source, table in made if table is not None]
    if len(sources) == 1:
        return tuple(table for _, table in tables)
    return tuple(replace(table, caption=f"{source.name}. {table.caption}") for source, table in tables)


def _present(*tables: Table | None) -> tuple[Table, ...]:
    return tuple(table for table in tables if table is not None)
