"""The page: its verdicts, its tables beside the paper's, its figures, and that it is written again without change."""

import json
import re
from pathlib import Path

import pytest

from anaume.errors import UserError
from anaume.reproduce.page import write_page

from .conftest import MakeRun


@pytest.fixture
def page(made_up: MakeRun, tmp_path: Path) -> str:
    made_up()
    return write_page([tmp_path / "run"], tmp_path / "run").read_text(encoding="utf-8")


def row(page: str, start: str) -> list[str]:
    """The cells of the first row that begins with `start`."""
    line = next(line for line in page.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_each_finding_has_its_verdict_and_its_numbers(page: str) -> None:
    assert row(page, "Retrieval rises early and falls")[1] == "reproduced"
    assert "Recall@10 0.050 (0 % of stage 1) → 0.800 (10 % of stage 1)" in page
    assert page.count("*Reproduced*: ") == 7


def test_the_papers_numbers_stand_beside_ours(page: str) -> None:
    assert row(page, "steps") == ["steps", "500,000", "1,000", "200,000", "400"]
    assert row(page, "stage1, 8 (0.8 %)")[1:] == ["77.7", "60.0", "68.4", "60.0", "83.9", "60.0", "76.7", "60.0"]
    assert row(page, "stage2, 400")[1:3] == ["91.8", "84.0"]
    assert row(page, "stage1, 0 (0 %)")[1] == "–"
    assert row(page, "Edit distance")[1:3] == ["0.289", "0.300"]
    assert row(page, "富士")[1:] == ["山", "**山**", "**山**", "**山**"]


def test_every_figure_is_there(page: str, tmp_path: Path) -> None:
    figures = re.findall(r"!\[.*?\]\((.*?)\)", page)
    assert len(figures) == 4
    assert all((tmp_path / "run" / figure).is_file() for figure in figures)
    assert "**Figure 5. Lengths of the documents**: not measured" in page


def test_the_page_is_written_again_without_change(page: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert write_page([folder], folder).read_text(encoding="utf-8") == page
    (folder / "paper.md").unlink()
    (folder / "anaume.json").unlink()
    (folder / "paper.md").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=r"paper\.md: exists, and `anaume reproduce` did not write it"):
        write_page([folder], folder)


def test_two_runs_have_verdicts_over_both(made_up: MakeRun, tmp_path: Path) -> None:
    made_up()
    made_up(name="second")
    out = tmp_path / "both"
    page = write_page([tmp_path / "run", tmp_path / "second"], out).read_text(encoding="utf-8")
    assert page.count("2 × reproduced · run 1: ") == 7
    assert "### Table 2. JGLUE, run 2" in page
    assert json.loads((out / "anaume.json").read_text())["files"] == ["paper.md"]


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a run directory nor evaluation records"):
        write_page([tmp_path], tmp_path / "out")
