"""An evaluation joins the report by its section alone, and one without a section is shown, too."""

import json
from pathlib import Path

from anaume.evals.record import Record, save_record
from anaume.report.comparable import DATA, SEED
from anaume.report.draw.figures import PrintFigure
from anaume.report.draw.panels import Panel
from anaume.report.draw.steps import checkpoint_lines
from anaume.report.headline import facts
from anaume.report.inputs import ReportInput, read_inputs
from anaume.report.models import compared
from anaume.report.models_table import metrics_table
from anaume.report.page import write_report
from anaume.report.section import Content, KeyFigure, Page, Section, present, single_chart, task_columns
from anaume.report.sections import PAGE, other

# All that a file of sections/ has to define for a new task.
ASPECTS = (DATA, SEED)


def over_steps(run: ReportInput) -> tuple[Panel, ...]:
    return (Panel("haiku-steps", "Haiku over the checkpoints", checkpoint_lines(run, "haiku", ("", "rhythm", "mrr"))),)


def content(page: Page) -> Content:
    table = metrics_table("haiku", "Haiku.", compared(page.inputs), "haiku", ASPECTS, titles={"rhythm": "Rhythm"})
    panel = Panel("haiku", "Haiku", over_steps(page.inputs[0])[0].lines)
    return Content(present(table), single_chart(panel), lead="Poems.", figures=(PrintFigure((panel,), (2, 2)),))


HAIKU = Section(
    "haiku",
    "Haiku",
    content,
    figure="figure-9-haiku",
    tasks=("haiku",),
    key_figures=(KeyFigure("Rhythm at the end", lambda run: run.over_checkpoints("haiku", "rhythm")),),
    dynamics=task_columns("haiku", ASPECTS, {"rhythm": "Rhythm of haiku"}),
    steps=over_steps,
)


def evaluate(run: Path) -> None:
    """Records of the task for two checkpoints, drawn with two seeds."""
    for stage, step, seed in (("short", 40, 0), ("long", 20, 1)):
        place = {"stage": stage, "step": step, "tokens": step}
        record = Record(f"{stage}-step-{step:07d}", "haiku", {"rhythm": step / 100}, 17, {}, seed, checkpoint=place)
        save_record(record, run / "evals")


def test_a_section_brings_all_that_the_page_says_of_its_task(run: Path, tmp_path: Path) -> None:
    evaluate(run)
    index = write_report([run], tmp_path / "out", (*PAGE, HAIKU))
    page = index.read_text(encoding="utf-8")
    assert '<section id="haiku">\n<h2>Haiku</h2>\n<p class="lead">Poems.</p>' in page
    assert "Rhythm at the end</dt><dd>0.200" in page
    assert (tmp_path / "out" / "figures" / "figure-9-haiku.svg").is_file()
    assert 'href="figures/figure-9-haiku.png"' in page
    charts = json.loads(page.partition('id="charts">')[2].partition("</script>")[0])
    assert {chart["id"]: chart["lines"][0]["y"] for chart in charts if "haiku" in chart["id"]} == {
        "haiku-steps": [0.4, 0.2], "haiku": [0.4, 0.2]
    }  # fmt: skip
    table = (tmp_path / "out" / "tables" / "haiku.md").read_text(encoding="utf-8")
    assert "| long, step 20 | 0.200 | 17 |" in table
    dynamics = (tmp_path / "out" / "tables" / "dynamics.md").read_text(encoding="utf-8")
    assert "| Rhythm of haiku |" in dynamics
    for text in (table, dynamics):
        assert "Not measured alike, so no value is marked as best. Seed" in text
    assert 'id="other"' not in page


def test_a_task_without_a_section_stands_under_other_tasks(run: Path) -> None:
    evaluate(run)
    page = Page(read_inputs([run]), PAGE)
    (table,) = {section.id: content for section, content in page.contents()}["other"].tables
    assert (table.name, table.caption) == ("haiku", "Task: haiku.")
    assert [column.title for column in table.columns] == ["Model", "rhythm", "n"]
    assert len(facts(page.inputs[0], page.sections)) == len(facts(page.inputs[0], (*page.sections, HAIKU))) - 1


def test_no_task_of_a_section_stands_under_other_tasks(tmp_path: Path) -> None:
    tasks = {task for section in PAGE for task in section.tasks}
    assert tasks > {"validation", "fill-mask", "retrieval", "pseudo-perplexity", "geometry", "jnli"}
    for task in tasks:
        save_record(Record("a", task, {"accuracy": 0.5}, 1, {}, 0), tmp_path)
    assert other.content(Page(read_inputs([tmp_path]), PAGE)).tables == ()
