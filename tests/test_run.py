"""The paths of a run directory, and what may become one."""

import json
from pathlib import Path
from typing import Any

import pytest

from anaume.errors import UserError
from anaume.recipe import Recipe, to_toml
from anaume.run import CheckpointName, Run, open_run, record_start
from anaume.tokens.shard import identity

# What every manifest holds.
FACTS: dict[str, Any] = {"data": {}, "environment": {}}


def test_an_export_with_the_recipe_of_its_run_is_no_run(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert not run.exists
    run.recipe_file.write_text("name = 'a'")
    assert run.exists
    (tmp_path / "config.json").write_text("{}")
    assert not run.exists


def test_the_paths_of_a_run(tmp_path: Path) -> None:
    run, name = Run(tmp_path), CheckpointName("stage1", 1000)
    paths = (
        *run.main_files,
        *(run.network_file, run.tokens("train"), run.tokens_summary("validation"), run.checkpoint(name)),
        *(run.export(name), run.report_page, run.tasks, run.tensorboard),
    )
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        *("recipe.toml", "manifest.json", "metrics.jsonl", "network.json", "tokens/train"),
        *("tokens/validation/summary.json", "checkpoints/stage1/step-0001000", "export/stage1-step-0001000"),
        *("report/index.html", "tasks", "tensorboard"),
    ]


def test_a_prepared_folder_becomes_a_run_and_another_one_does_not(tiny: Recipe, tmp_path: Path) -> None:
    (tmp_path / "tokens").mkdir()
    (tmp_path / ".lock").touch()
    assert open_run(tmp_path, tiny) == Run(tmp_path)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="neither empty nor a run directory; expected a new folder"):
        open_run(tmp_path, tiny)


def test_a_start_is_recorded_once_and_a_change_with_both_values(tiny: Recipe, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    record_start(run, tiny, FACTS | {"parameters": 7})
    first = run.manifest_file.read_bytes()
    record_start(run, tiny, FACTS | {"parameters": 8})
    assert run.manifest_file.read_bytes() == first
    assert run.recipe_file.read_text(encoding="utf-8") == to_toml(tiny)
    changed = tiny.model_copy(update={"compile": False})
    record_start(run, changed, FACTS)
    manifest = json.loads(run.manifest_file.read_text(encoding="utf-8"))
    assert (manifest["parameters"], manifest["changes"][0]["keys"]) == (7, {"compile": [True, False]})
    assert run.recipe() == changed
    with pytest.raises(UserError, match=r"seed = 8: a run keeps this key; expected 7, or a new folder for --run"):
        open_run(run.folder, tiny.model_copy(update={"seed": 8}))


def test_the_files_of_a_run_hold_no_secret(tiny: Recipe, tmp_path: Path) -> None:
    """A renewed signature is no other corpus."""

    def signed(secret: str) -> Recipe:
        source = tiny.corpus.train[0].model_copy(update={"path": f"http://alice:PW@host/a.jsonl?Signature={secret}"})
        return tiny.model_copy(update={"corpus": tiny.corpus.model_copy(update={"train": [source]})})

    run = Run(tmp_path / "run")
    for secret in ("S3CRET", "R3NEWED"):
        assert open_run(run.folder, signed(secret)) == run
        assert record_start(run, signed(secret), FACTS) == {}
    text = "".join(path.read_text(encoding="utf-8") for path in run.folder.rglob("*") if path.is_file())
    assert "http://host/a.jsonl?…" in text
    assert not any(secret in text for secret in ("alice", "PW", "S3CRET", "R3NEWED"))
    assert "PW" not in json.dumps(identity(signed("S3CRET").corpus.train[0]))
