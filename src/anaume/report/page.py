"""`anaume report`: one page that opens offline, with the figures and tables for a paper beside it."""

from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from anaume import __version__
from anaume.errors import UserError
from anaume.files import write_atomic
from anaume.report.charts import chart_data, plotly
from anaume.report.figures import render
from anaume.report.headline import facts, subtitle
from anaume.report.palette import COLOURS, MARKERS
from anaume.report.sections import Section, sections
from anaume.report.sources import Source, read_sources
from anaume.report.tables import html, latex, markdown

TEMPLATE = Path(__file__).parent / "template"


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
    drawn = render(sources)
    parts = sections(sources)
    page = _page(sources, parts, sorted({Path(name).stem for name in drawn}))
    for name, content in drawn.items():
        write_atomic(out / "figures" / name, content)
    for table in (table for part in parts for table in part.tables):
        write_atomic(out / "tables" / f"{table.name}.md", markdown(table))
        write_atomic(out / "tables" / f"{table.name}.tex", latex(table))
    write_atomic(out / "index.html", page)
    return out / "index.html"


def _page(sources: Sequence[Source], parts: Sequence[Section], figures: Sequence[str]) -> str:
    charts = [chart for part in parts for _, group in part.charts for chart in group]
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
        sections=parts,
        figures=figures,
        colours=COLOURS,
        symbols={name: symbol for name, (_, symbol) in MARKERS.items()},
        table_html=lambda table: Markup(html(table)),
        script=Markup((TEMPLATE / "charts.js").read_text(encoding="utf-8")),
        style=Markup((TEMPLATE / "style.css").read_text(encoding="utf-8")),
        charts=Markup(chart_data(charts)),
        plotly=Markup(plotly()) if charts else "",
        version=__version__,
    )
