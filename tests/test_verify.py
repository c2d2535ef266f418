"""`anaume verify`: whole folders of each kind, damaged ones, and another vocabulary."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from anaume.export.checkpoint import export
from anaume.run import Run
from anaume.tokenizer.load import Tokenizer
from anaume.verify import verify_folder

from .conftest import Finished

Command = Callable[..., Finished]


@pytest.fixture
def run(straight: Run, tmp_path: Path) -> Run:
    shutil.copytree(straight.folder, tmp_path / "run")
    return Run(tmp_path / "run")


def flip(file: Path) -> None:
    """Change the last byte of a file."""
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_whole_folders(run: Run, command_line: Command) -> None:
    folder = export(run, run.checkpoints()[-1], run.folder.parent / "encoder")
    shutil.copy(run.recipe_file, folder)  # as the command writes it
    finished = command_line("verify", run.folder, folder, run.tokens("train"), "--tokenizer", run.tokenizer)
    assert finished.status == 0
    of_run, of_export, of_tokens = finished.out.splitlines()
    assert "6 checkpoints, the last one second-step-0000004; vocabulary" in of_run
    assert of_export.startswith(f"{folder}: whole: ")
    assert "1,200 entries; vocabulary" in of_export
    assert of_tokens.endswith(" tokens")
    assert command_line("tokens", "verify", run.tokens("train")).out == of_tokens + "\n"


def test_a_damaged_checkpoint_and_damaged_tokens(run: Run, command_line: Command) -> None:
    weights = run.checkpoint(run.checkpoints()[1]) / "model.safetensors"
    flip(weights)
    (ids,) = run.tokens("validation").glob("source-0/*/ids.bin")
    flip(ids)
    finished = command_line("verify", run.folder)
    assert finished.status == 1
    assert f"{weights}: its checksum differs" in finished.out
    assert str(ids) in finished.out


def test_a_folder_of_another_kind_does_not_hide_the_next(run: Run, tmp_path: Path, command_line: Command) -> None:
    finished = command_line("verify", tmp_path / "absent", run.folder)
    assert finished.status == 1
    assert f"{tmp_path / 'absent'}: no token store, run or export; expected" in finished.out
    assert f"{run.folder}: whole: " in finished.out


def test_a_damaged_export(run: Run) -> None:
    folder = export(run, run.checkpoints()[-1], run.folder.parent / "encoder")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    (problem,) = verify_folder(folder).problems
    assert problem.startswith(f"{weights}: can't be read")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("config.json", "{", "not a model's configuration"), ("tokenizer.json", "{", "changed since it was written")],
)
def test_a_damaged_file_of_an_export_is_a_problem(run: Run, name: str, content: str, message: str) -> None:
    folder = export(run, run.checkpoints()[-1], run.folder.parent / "encoder")
    (folder / name).write_text(content, encoding="utf-8")
    (problem,) = verify_folder(folder).problems
    assert problem.startswith(f"{folder / name}: {message}")


def test_another_vocabulary(run: Run, trained: Tokenizer) -> None:
    folder = export(run, run.checkpoints()[-1], run.folder.parent / "encoder")
    for place in (folder, run.folder, run.tokens("train")):
        assert "vocabulary" in verify_folder(place, trained.vocabulary_hash).problems[0]
