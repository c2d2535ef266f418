"""Adding a task takes a module with `prepare` (here this one) and a row: no other place changes."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from anaume.cli.evaluate import make_app
from anaume.errors import UserError
from anaume.evals.evaluate import evaluate_run
from anaume.evals.record import Record, load_record
from anaume.evals.task import Evaluation, Request, Subject, Task, TaskOptions, option
from anaume.evals.tasks import TASKS
from anaume.run import Run


@dataclass(frozen=True)
class LetterOptions(TaskOptions):
    """Options of the made-up task."""

    letters: str = option("", "letters to count")
    times: int = option(2, "factor of the count", minimum=1, maximum=10)


TASK = Task(
    "count-letters",
    "Tokens of some letters.",
    "anaume eval count-letters my-encoder --letters あいう --out evals",
    LetterOptions,
    needs=("letters",),
    prepare=f"{__name__}:prepare",
    each_checkpoint={"times": 1},
)


def prepare(request: Request[LetterOptions]) -> Evaluation:
    """Count the tokens of the letters."""
    options = request.options

    def measure(subject: Subject) -> Iterator[Record]:
        count = len(subject.encoder.tokenizer(options.letters, add_special_tokens=False)["input_ids"])
        yield Record(subject.encoder.name, TASK.name, {"count": float(count * options.times)}, 1, {}, options.seed)

    return Evaluation(measure, {"letters": options.letters, "times": options.times})


def _invoke(*words: str) -> str:
    result = CliRunner().invoke(make_app(), words, catch_exceptions=False)
    return " ".join(result.stdout.split())


@pytest.fixture
def with_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, TASK.name, TASK)


@pytest.mark.usefixtures("with_task")
def test_the_command_line_has_the_task(modernbert_folder: Path, tmp_path: Path) -> None:
    words = [TASK.name, str(modernbert_folder), "--letters", "東京は", "--out", str(tmp_path)]
    (path,) = _invoke(*words).split()
    record = load_record(Path(path))
    assert (record.task, record.metrics) == (TASK.name, {"count": 4.0})
    assert record.settings["revision"]
    assert "factor of the count" in _invoke(TASK.name, "--help")
    assert "letters to count (count-letters)" in _invoke("all", "--help")
    with pytest.raises(UserError, match="eval retrieval: --letters: not an option here; expected with count-letters"):
        _invoke("retrieval", "model", "--letters", "あ")


@pytest.mark.usefixtures("with_task")
def test_a_runs_checkpoints_get_the_task(straight: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    shutil.copytree(straight.folder, run.folder)
    for name in run.checkpoints()[1:]:
        shutil.rmtree(run.checkpoint(name))
    evaluate_run(run.folder, {"letters": "東京", "tokens": 100, "documents": 1, "positions": 1})
    record = load_record(run.evals / "first-step-0000000" / f"{TASK.name}.json")
    assert record.checkpoint["step"] == 0
    assert record.settings["times"] == 1
