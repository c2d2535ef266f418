"""The table of tasks: tasks by name, tasks in a folder."""

from pathlib import Path

import pytest

from anaume.errors import UserError
from anaume.evals.jglue.read import read_task
from anaume.evals.jglue.tasks import TASKS, public_tasks, tasks_by_name, tasks_in


def test_tasks_in_a_folder(jglue_folder: Path, tmp_path: Path) -> None:
    assert [task.name for task in tasks_in(jglue_folder)] == list(TASKS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"jsts: no such task; expected a folder jsts-v1.3 .--fetch"):
        read_task(TASKS["jsts"], tmp_path / "empty")
    with pytest.raises(UserError, match=r"no task's folder in it; expected one or more of jsts-v1.3, jnli-v1.3"):
        tasks_in(tmp_path / "empty")


def test_tasks_by_name() -> None:
    assert tasks_by_name(["jnli", "jsts", "jnli"]) == [TASKS["jnli"], TASKS["jsts"]]
    assert {*TASKS.values()} - {*public_tasks()} == {TASKS["marc-ja"]}
    with pytest.raises(UserError, match="'jst': unknown; expected some of jsts, jnli, jcola, jsquad, jcommonsenseqa,"):
        tasks_by_name(["jsts", "jst"])
