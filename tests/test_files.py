import os
from pathlib import Path

import pytest

from anaume.files import cached_sha256, folder_atomic, sha256, write_atomic, write_json


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


def test_a_cached_checksum_follows_the_content(tmp_path: Path) -> None:
    file = tmp_path / "a"
    checksums = []
    for time, content in ((1, b"one"), (2, b"two"), (2, b"three")):
        file.write_bytes(content)
        os.utime(file, ns=(time, time))
        checksums.append(cached_sha256(file))
        assert checksums[-1] == sha256(file)
    assert len({*checksums}) == 3
