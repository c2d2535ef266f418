"""Following a run, with a pause that changes its files instead of sleeping."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from anaume.errors import UserError
from anaume.report import watch as watching
from anaume.report.watch import watch
from anaume.run import Run

MakeRun = Callable[..., Path]
RELOAD = "location.reload()"


@pytest.fixture
def run_and_page(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Run, Path]:
    """A run without evaluations that ends when its folder "ended" is there, and the page that is written."""
    monkeypatch.setattr(watching, "_ended", lambda run: (run.folder / "ended").is_dir())
    monkeypatch.setattr(watching, "REST", 0)
    return Run(make_run(evals=False)), tmp_path / "out" / "index.html"


def test_the_page_is_written_when_the_run_goes_on_and_at_its_end(run_and_page: tuple[Run, Path]) -> None:
    run, page = run_and_page
    pages = []

    def course() -> Iterator[None]:
        pages.append(page.read_bytes())
        page.write_bytes(b"untouched")
        yield  # nothing happens
        assert page.read_bytes() == b"untouched"
        with run.metrics_file.open("a") as file:
            file.write(
                '{"kind": "train", "stage": "long", "step": 21, "loss": 1, "tokens": 71234, "tokens_per_second": 1}\n'
            )
        yield
        pages.append(page.read_bytes())
        (run.folder / "ended").mkdir()
        yield

    steps = course()
    assert watch([run.folder], page.parent, pause=lambda _: next(steps)) == page
    assert ["71,234" in text.decode() for text in (*pages, page.read_bytes())] == [False, True, True]
    assert [RELOAD in text.decode() for text in (*pages, page.read_bytes())] == [True, True, False]


def test_the_watch_rests_after_a_writing(run_and_page: tuple[Run, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    run, page = run_and_page
    monkeypatch.setattr(watching, "REST", 1e9)
    paused: list[float] = []

    def pause(seconds: float) -> None:
        assert not paused or page.read_bytes() == b"untouched"
        paused.append(seconds)
        page.write_bytes(b"untouched")
        with run.metrics_file.open("a") as file:
            file.write("\n")
        if len(paused) == 3:
            (run.folder / "ended").mkdir()

    watch([run.folder], page.parent, pause=pause)
    assert paused == [watching.LOOK_SECONDS] * 3


def test_after_ctrl_c_the_page_stays_and_no_longer_reloads(run_and_page: tuple[Run, Path]) -> None:
    run, page = run_and_page

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch([run.folder], page.parent, pause=interrupt)
    assert "60,000" in page.read_text()
    assert RELOAD not in page.read_text()


def test_a_run_that_has_ended_is_written_once(straight: Run, tmp_path: Path) -> None:
    page = watch([straight.folder], tmp_path, pause=lambda _: pytest.fail("the run has ended"))
    assert RELOAD not in page.read_text()


def test_records_alone_cannot_be_watched(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--watch: no run directory among the inputs"):
        watch([make_run() / "evals"], tmp_path / "out")
