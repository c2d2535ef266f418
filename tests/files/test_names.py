"""Names fit into a file system, and hidden names belong to one path."""

from pathlib import Path

import pytest

from anaume.files.names import served_name, shortened, temporary_sibling, temporary_siblings


@pytest.mark.parametrize("name", ["猫" * 85, "🐈" * 63, "a" * 255], ids=["kanji", "emoji", "ascii"])
def test_a_long_name_is_cut_by_bytes(name: str, tmp_path: Path) -> None:
    cut = shortened(name, 160)
    assert 140 < len(cut.encode()) <= 160
    assert cut[:30] == name[:30]
    assert cut != shortened(name + "!", 160)
    temporary_sibling(tmp_path / name, "new").touch()
    assert len(temporary_siblings(tmp_path / name)) == 1


def test_a_long_name_that_is_not_utf_8_is_its_checksum(tmp_path: Path) -> None:
    name = "\udc82" * 80
    assert 16 <= len(shortened(name, 160)) <= 160
    temporary_sibling(tmp_path / name, "new").touch()
    assert len(temporary_siblings(tmp_path / name)) == 1


def test_a_short_name_stays() -> None:
    assert shortened("猫" * 53, 160) == "猫" * 53


def test_hidden_names_belong_to_one_path(tmp_path: Path) -> None:
    for name in ("*", "a*", "[ab]", "a", "a.anaume.01234567"):
        temporary = temporary_sibling(tmp_path / name, "new")
        temporary.touch()
        assert served_name(temporary.name) == name
        assert temporary_siblings(tmp_path / name) == [temporary]
    for name in (".a.swp", ".a.0123.tmp", ".a.anaume.0123.new", "a.anaume.lock", ".a.anaume.01234567.new.bak"):
        assert not served_name(name)
