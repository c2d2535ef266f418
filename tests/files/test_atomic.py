"""Files and folders appear whole or not at all, and leave nothing behind."""

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from anaume.files import (
    cached_sha256,
    folder_atomic,
    remove_folder,
    remove_leftovers,
    sha256,
    write_atomic,
    write_json,
)
from anaume.files.names import temporary_sibling


def _break(target: Path) -> None:
    with folder_atomic(target) as folder:
        (folder / "file").write_text("half")
        raise RuntimeError("in the middle")


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "folder"
    with pytest.raises(RuntimeError, match="in the middle"):
        _break(target)
    assert not target.exists()
    with folder_atomic(target) as folder:
        (folder / "file").write_text("first")
        assert not target.exists()
    assert (target / "file").read_text() == "first"


def test_an_error_leaves_the_earlier_folder_alone(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    with folder_atomic(target) as folder:
        (folder / "file").write_text("first")
    with pytest.raises(RuntimeError, match="in the middle"):
        _break(target)
    assert (target / "file").read_text() == "first"
    with folder_atomic(target) as folder:
        (folder / "other").write_text("third")
    assert [path.name for path in target.iterdir()] == ["other"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "file", "日本")
    write_atomic(tmp_path / "a" / "file", b"bytes")
    assert (tmp_path / "a" / "file").read_bytes() == b"bytes"
    write_json(tmp_path / "a" / "json", {"県": 1})
    assert (tmp_path / "a" / "json").read_text(encoding="utf-8") == '{\n  "県": 1\n}\n'
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["file", "json"]


def test_half_a_surrogate_pair_is_written_as_an_escape(tmp_path: Path) -> None:
    write_atomic(tmp_path / "page.html", "a file called \udc80")
    assert (tmp_path / "page.html").read_bytes() == rb"a file called \udc80"


def test_a_cached_checksum_follows_the_content(tmp_path: Path) -> None:
    file = tmp_path / "a"
    checksums = []
    for time, content in ((1, b"one"), (2, b"two"), (2, b"three")):
        file.write_bytes(content)
        os.utime(file, ns=(time, time))
        checksums.append(cached_sha256(file))
        assert checksums[-1] == sha256(file)
    assert len({*checksums}) == 3


def _fails_with_a_full_disk(target: Path, error: Exception) -> None:
    with folder_atomic(target) as folder:
        (folder / "file").write_text("half")
        raise error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
    ids=["python", "rust"],
)
def test_a_full_disk_names_the_place_and_leaves_nothing(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(OSError, match=r"No space left on device: .*target") as raised:
        _fails_with_a_full_disk(tmp_path / "target", error)
    assert raised.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_the_umask_decides_who_may_read(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with folder_atomic(tmp_path / "folder") as folder:
            (folder / "file").touch(0o600)  # as safetensors does
            (folder / "tool").touch(0o700)
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "folder").iterdir()}
    assert modes == {"file": "0o640", "tool": "0o740"}


def test_a_kept_file_keeps_its_access_rights(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "secret").touch(0o600)
    with folder_atomic(tmp_path / "folder", keep=lambda _: [Path("secret")]):
        pass
    assert (tmp_path / "folder" / "secret").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["*", "[ab]", "a?", "folder", "猫" * 80])
def test_only_own_leftovers_are_removed(tmp_path: Path, name: str) -> None:
    """Leftovers of a killed process go; files of other programs and of paths with similar names stay."""
    foreign = [tmp_path / other for other in (".a.1234.tmp", ".folder.new.tmp", ".ab.anaume.01234567.new", ".b.tmp")]
    for folder in foreign:
        folder.mkdir()
    stale = [temporary_sibling(tmp_path / name, kind) for kind in ("new", "old", "gone")]
    (tmp_path / name).mkdir()
    for folder in stale:
        folder.mkdir()
    with folder_atomic(tmp_path / name):
        pass
    assert sorted(tmp_path.iterdir()) == sorted([*foreign, tmp_path / name])


def test_a_kill_between_two_renames_loses_nothing(tmp_path: Path) -> None:
    """The earlier folder has lost its name, and the new one has none yet."""
    aside = temporary_sibling(tmp_path / "folder", "old")
    aside.mkdir()
    (aside / "mine").write_text("precious")
    with folder_atomic(tmp_path / "folder", keep=lambda _: [Path("mine")]) as folder:
        (folder / "new").touch()
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["mine", "new"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_failed_rename_puts_the_earlier_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "file").write_text("first")
    rename = Path.rename

    def fail(path: Path, new: Path) -> Path:
        if path.suffix == ".new":
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, new)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="Input/output error"), folder_atomic(target) as folder:
        (folder / "file").write_text("second")
    assert (target / "file").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_leftovers_of_living_processes_stay(tmp_path: Path) -> None:
    def hold(entered: Event, leave: Event) -> None:
        with folder_atomic(tmp_path / "alive"):
            entered.set()
            leave.wait(20)

    entered, leave = Event(), Event()
    gone = temporary_sibling(tmp_path / "pruned", "gone")
    gone.mkdir()
    with ThreadPoolExecutor(1) as thread:
        thread.submit(hold, entered, leave)
        assert entered.wait(20)
        remove_leftovers(tmp_path)
        left = sorted(path.suffix for path in tmp_path.iterdir())
        leave.set()
    assert left == [".lock", ".new"]
    assert [path.name for path in tmp_path.iterdir()] == ["alive"]


def test_a_pruned_folder_does_not_come_back(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    remove_folder(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []
    temporary_sibling(tmp_path / "folder", "gone").mkdir()
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_not_utf_8_survive_in_json(tmp_path: Path) -> None:
    name = os.fsdecode(b"\x94\x4c.jsonl")
    write_json(tmp_path / "a.json", {"file": name, "text": "猫😀\\"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"file": name, "text": "猫😀\\"}
