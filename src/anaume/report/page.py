"""Run directories and folders of records → one page that opens offline, with figures and tables for a paper beside it.

The rule: everything is read and rendered before the first file is written.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from anaume import __version__
from anaume.errors import UserError
from anaume.files.outputs import replace_files
from anaume.progress import say
from anaume.report.draw.charts import chart_data, plotly
from anaume.report.draw.figures import FORMS, render
from anaume.report.draw.palette import COLOURS, MARKERS, dashes
from anaume.report.headline import facts, subtitle
from anaume.report.inputs import read_inputs
from anaume.report.section import Content, Page, Section
from anaume.report.sections import PAGE
from anaume.report.tables import Table, csv_text, html, latex, markdown

TEMPLATE = Path(__file__).parent / "template"


@dataclass(frozen=True)
class Report:
    """A page with its contents and its print figures: the id of a section → file name → content."""

    page: Page
    contents: list[tuple[Section, Content]]
    figures: dict[str, dict[str, bytes]]

    def write(self, out: Path, reload_seconds: int = 0) -> Path:
        """Write everything into the folder `out`; with `reload_seconds` the page reloads itself so often.

        Raises:
            UserError: `out` holds files of these names that are not a report's.
        """
        tables = [table for _, content in self.contents for table in content.tables]
        written: dict[str, str | bytes] = {}
        for files in self.figures.values():
            written |= {f"figures/{name}": figure for name, figure in files.items()}
        written |= {f"tables/{table.name}.md": markdown(table) for table in tables}
        written |= {f"tables/{table.name}.tex": latex(table) for table in tables}
        written |= {f"tables/{table.name}.csv": _csv(table) for table in tables}
        replace_files(out, "report", written | {"index.html": _html(self, reload_seconds)})
        return out / "index.html"


def write_report(paths: Sequence[Path], out: Path, sections: tuple[Section, ...] = PAGE) -> Path:
    """Write `out/index.html`, `out/figures/` and `out/tables/`, and return the path of `index.html`.

    The page holds every table as CSV, too, so that a page that is sent alone still offers it.

    Raises:
        UserError: the errors of `read_report` and `Report.write`, or `out` is a file.
    """
    if out.is_file():
        raise UserError(f"{out}: is a file; expected a folder to write the report into")
    return read_report(paths, sections).write(out)


def read_report(paths: Sequence[Path], sections: tuple[Section, ...] = PAGE) -> Report:
    """Read everything and draw the print figures.

    An interrupted run, or one without evaluations, has a report, too: the page names what is missing, and the page
    and standard error name each damaged file, which is left out.

    Raises:
        UserError: a path is neither a run directory nor a folder of records.
    """
    page = Page(read_inputs(paths), sections)
    for line in (line for entry in page.inputs for line in entry.left_out):
        say(f"anaume: left out: {line}")
    contents = page.contents()
    figures = {section.id: render(section.figure, content.figures) for section, content in contents}
    return Report(page, contents, figures)


def _csv(table: Table) -> bytes:
    """The table as a file. Its byte order mark makes Excel read it as UTF-8, Japanese included."""
    return csv_text(table).encode("utf-8-sig", errors="backslashreplace")


def _html(report: Report, reload_seconds: int) -> str:
    """The text of index.html."""
    page, contents = report.page, report.contents
    charts = [chart for _, content in contents for _, group in content.charts for chart in group]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("index.html").render(
        title=", ".join(entry.name for entry in page.inputs),
        subtitle=subtitle(page.inputs),
        left_out=[line for entry in page.inputs for line in entry.left_out],
        runs=[(entry.name, facts(entry, page.sections)) for entry in page.inputs if entry.is_run],
        contents=contents,
        figures={id_: sorted({Path(file).stem for file in files}) for id_, files in report.figures.items()},
        forms=FORMS,
        reload_seconds=reload_seconds,
        colours=COLOURS,
        dashes=dashes,
        symbols={name: symbol for name, (_, symbol) in MARKERS.items()},
        table_html=lambda table: Markup(html(table)),
        csv_address=lambda table: f"data:text/csv;base64,{b64encode(_csv(table)).decode()}",
        script=Markup((TEMPLATE / "charts.js").read_text(encoding="utf-8")),
        style=Markup((TEMPLATE / "style.css").read_text(encoding="utf-8")),
        charts=Markup(chart_data(charts)),
        plotly=Markup(plotly()) if charts else "",
        version=__version__,
    )
