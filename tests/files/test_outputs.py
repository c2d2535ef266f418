"""What a command may write over: its own files of an earlier time, and nothing else."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from anaume.errors import UserError
from anaume.files.outputs import (
    MARK,
    changed_files,
    output_folder,
    read_mark,
    replace_files,
    require_folder,
    require_new_file,
    require_own_folder,
    require_unchanged,
)


def write(out: Path, contents: Mapping[str, str], command: str = "export") -> None:
    with output_folder(out, command, {"step": 7}) as folder:
        for name, content in contents.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(content)


def tree(folder: Path) -> dict[str, str]:
    files = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in sorted(files.items()) if name != MARK}


def test_others_files_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, {"a": "1", "sub/b": "1"})
    (out / "README.md").write_text("mine")
    (out / "sub" / "mine").write_text("mine")
    (out / ".git" / "refs").mkdir(parents=True)
    (out / "link").symlink_to("README.md")
    write(out, {"a": "2", "c": "2"})
    assert tree(out) == {"README.md": "mine", "a": "2", "c": "2", "link": "mine", "sub/mine": "mine"}
    assert (out / "link").is_symlink()
    assert (out / ".git" / "refs").is_dir()
    assert read_mark(out) == {**read_mark(out), "command": "export", "step": 7, "files": ["a", "c"]}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_of_the_user_is_not_written_over(tmp_path: Path) -> None:
    write(tmp_path / "out", {"a": "1"})
    (tmp_path / "out" / "b").write_text("mine")
    with pytest.raises(UserError, match=r"out/b: exists, and `anaume export` did not write it; expected another"):
        write(tmp_path / "out", {"a": "2", "b": "2"})
    assert tree(tmp_path / "out") == {"a": "1", "b": "mine"}


def test_folders_of_another_origin_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign" / "thesis").mkdir(parents=True)
    write(tmp_path / "tokenizer", {"a": "1"}, "tokenizer")
    write(tmp_path / "damaged", {"a": "1"})
    (tmp_path / "damaged" / MARK).write_text('{"command": "export", "files": 7}')
    for name, message in (
        ("file", "file: a file; expected a new folder"),
        ("foreign", r"foreign: not empty \(it holds thesis\); expected a new folder, an empty one, or one that"),
        ("tokenizer", r"tokenizer: not empty \(it holds a\); expected"),
        ("damaged", "damaged/anaume.json: damaged"),
        ("file/below", "file is a file; expected a folder"),
    ):
        with pytest.raises(UserError, match=message):
            require_own_folder(tmp_path / name, "export")
    require_own_folder(tmp_path / "empty", "export")
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(UserError, match="a mount point or the current folder, which can't be replaced"):
        require_own_folder(Path(), "export")


def test_a_mark_names_no_file_outside(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "precious").touch()
    names = ["../precious", str(tmp_path / "precious"), "old"]
    (tmp_path / "out" / "old").touch()
    (tmp_path / "out" / MARK).write_text(json.dumps({"command": "report", "files": names}))
    replace_files(tmp_path / "out", "report", {"new": "1"})
    assert (tmp_path / "precious").exists()
    assert tree(tmp_path / "out") == {"new": "1"}


def test_files_are_replaced_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(UserError, match=r"index.html: exists, and `anaume report` did not write it"):
        replace_files(tmp_path, "report", {"figures/1": "1", "index.html": "1"})
    assert tree(tmp_path) == {"index.html": "mine"}
    (tmp_path / "index.html").rename(tmp_path / "mine")
    replace_files(tmp_path, "report", {"figures/1": "1", "index.html": "1"})
    replace_files(tmp_path, "report", {"figures/2": "2", "index.html": "2"})
    assert tree(tmp_path) == {"figures/2": "2", "index.html": "2", "mine": "mine"}
    assert read_mark(tmp_path)["files"] == ["figures/2", "index.html"]


def test_a_single_file_must_be_new(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(UserError, match="dangling: exists; expected the name of a new file"):
        require_new_file(tmp_path / "dangling")
    require_new_file(tmp_path / "new" / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["dangling"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    for name, message in (
        ("猫" * 86, "猫: File name too long; expected a shorter name"),
        ("new/" + "猫" * 86, "猫: name too long; expected at most 255 bytes"),
        ("circle", "links that lead in a circle|Too many levels of symbolic links"),
    ):
        with pytest.raises(UserError, match=message):
            require_folder(tmp_path / name)
    if os.access("/proc", os.F_OK):
        with pytest.raises(UserError, match=r"--run: /proc/anaume/run: .*; expected"):
            require_folder(Path("/proc/anaume/run"), "--run")
    assert [path.name for path in tmp_path.iterdir()] == ["circle"]


def test_a_changed_file_is_told(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, {"config.json": "{}", "tokenizer.json": "{}", "README.md": "card", "report/index.html": "page"})
    (out / "mine.json").write_text("{}")
    for name in ("README.md", "report/index.html", "mine.json"):
        (out / name).write_text("changed")
    assert changed_files(out) == []
    (out / "config.json").write_text("[]")
    assert changed_files(out) == [f"{out / 'config.json'}: changed since it was written (checksum)"]
    require_unchanged(out, ["tokenizer*"])
    with pytest.raises(
        UserError, match=r"config.json: changed since .*; expected the file as it was, or no anaume.json"
    ):
        require_unchanged(out)
    (out / MARK).unlink()
    require_unchanged(out)


def test_a_mark_from_elsewhere_reads_no_file_outside(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "out").mkdir()
    mark = {"command": "export", "files": ["../secret"], "checksums": {"../secret": "00"}}
    (tmp_path / "out" / MARK).write_text(json.dumps(mark))
    assert changed_files(tmp_path / "out") == []
    (tmp_path / "out" / MARK).write_text(json.dumps(mark | {"checksums": ["x"]}))
    with pytest.raises(UserError, match="damaged"):
        read_mark(tmp_path / "out")
