"""The token store: documents come out unchanged, damage is detected, a partial store is never taken for a whole one."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from anaume.errors import UserError
from anaume.files import sha256
from anaume.tokens import store
from anaume.tokens.store import Header, Ids, Store

VOCABULARY = "a" * 64
SIZE = 70_000  # above what 16 bits hold


def random_documents(seed: int, count: int) -> list[Ids]:
    chance = np.random.default_rng(seed)
    return [chance.integers(0, SIZE, size, dtype=np.uint32) for size in chance.integers(1, 50, count).tolist()]


def write(folder: Path, documents: list[Ids]) -> Store:
    return store.write(folder, documents, vocab_size=SIZE, vocabulary_hash=VOCABULARY)


def join(folder: Path, counts: list[int]) -> tuple[Store, list[Ids]]:
    """A store with one shard per number in `counts`, of that many documents, and the list of all documents."""
    shards = [random_documents(seed, count) for seed, count in enumerate(counts)]
    for i, documents in enumerate(shards):
        write(folder / f"part-{i}", documents)
    flat = [ids for documents in shards for ids in documents]
    names = tuple(f"part-{i}" for i in range(len(counts)))
    store.write_header(folder, Header(VOCABULARY, SIZE, len(flat), sum(map(len, flat)), shards=names))
    return store.open(folder, VOCABULARY), flat


@pytest.mark.parametrize("counts", [[40], [1], [7, 0, 20, 1], [0, 3], [3, 0]])
def test_documents_come_out_as_they_went_in(tmp_path: Path, counts: list[int]) -> None:
    joined, documents = join(tmp_path, counts)
    assert len(joined) == len(documents)
    assert joined.tokens == sum(map(len, documents))
    for index, ids in enumerate(documents):
        assert joined.document(index).dtype == np.uint32
        np.testing.assert_array_equal(joined.document(index), ids)
    assert store.verify(tmp_path, VOCABULARY) == []


def test_lengths_of_any_documents_in_any_order(tmp_path: Path) -> None:
    joined, documents = join(tmp_path, [5, 0, 9, 2])
    indices = np.array([15, 0, 5, 4, 4, 13, 14, 0])
    lengths = joined.lengths(indices)
    assert lengths.tolist() == [len(documents[i]) for i in indices]
    assert lengths.dtype == np.int64
    assert joined.lengths(np.array([], dtype=np.int64)).tolist() == []


def test_indices_outside_are_refused(tmp_path: Path) -> None:
    joined, _ = join(tmp_path, [2, 2])
    for index in (-1, 4):
        with pytest.raises(IndexError):
            joined.document(index)
        with pytest.raises(IndexError):
            joined.lengths(np.array([0, index]))


def test_a_document_is_a_view_of_the_file(tmp_path: Path) -> None:
    ids = write(tmp_path / "a", random_documents(0, 3)).document(1)
    assert ids.base is not None
    assert not ids.flags.writeable


def test_layout_on_disk(tmp_path: Path) -> None:
    write(tmp_path / "a", [np.array([1, 69_999], dtype=np.uint32), np.array([5], dtype=np.uint32)])
    assert np.fromfile(tmp_path / "a" / "ids.bin", dtype="<u4").tolist() == [1, 69_999, 5]
    assert np.fromfile(tmp_path / "a" / "ends.bin", dtype="<u8").tolist() == [2, 3]
    header = json.loads((tmp_path / "a" / "header.json").read_text())
    assert (header["format"], header["documents"], header["tokens"]) == (1, 2, 3)
    assert (header["vocab_size"], header["vocabulary_hash"]) == (SIZE, VOCABULARY)


@pytest.mark.parametrize("bad", [[SIZE], []])
def test_documents_that_are_not_taken(tmp_path: Path, bad: list[int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        write(tmp_path / "a", [*random_documents(0, 3), np.array(bad, dtype=np.uint32)])
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_writer_leaves_the_earlier_store(tmp_path: Path) -> None:
    documents = random_documents(0, 3)
    write(tmp_path / "a", documents)

    def interrupted() -> Iterator[Ids]:
        yield documents[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write(tmp_path / "a", interrupted(), vocab_size=SIZE, vocabulary_hash=VOCABULARY)
    assert len(store.open(tmp_path / "a")) == 3
    assert store.verify(tmp_path / "a") == []


def test_a_store_made_anew_in_the_same_place(tmp_path: Path) -> None:
    assert write(tmp_path / "a", random_documents(0, 3)).lengths(np.arange(3)).sum() > 0
    documents = random_documents(1, 9)
    np.testing.assert_array_equal(write(tmp_path / "a", documents).document(8), documents[8])


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no token store, or not a whole one \(no header\.json\)"):
        store.open(tmp_path)
    assert "no token store" in store.verify(tmp_path)[0]


def test_another_vocabulary(tmp_path: Path) -> None:
    join(tmp_path, [2, 3])
    with pytest.raises(UserError, match=r"made with another tokenizer .* expected vocabulary bbbb"):
        store.open(tmp_path, "b" * 64)
    assert len(store.verify(tmp_path, "b" * 64)) == 2
    assert store.verify(tmp_path / "part-0", "b" * 64) == [
        f"{tmp_path / 'part-0'}: vocabulary {'a' * 12}; expected {'b' * 12}"
    ]


@pytest.mark.parametrize("file", ["ids.bin", "ends.bin"])
def test_a_file_cut_off(tmp_path: Path, file: str) -> None:
    join(tmp_path, [2, 3])
    path = tmp_path / "part-1" / file
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"part-1.*bytes; expected .* \(cut off\?\)"):
        store.open(tmp_path)
    assert [problem.startswith(str(path)) for problem in store.verify(tmp_path)] == [True]
    path.unlink()
    with pytest.raises(UserError, match=r"part-1.*: 0 bytes; expected "):
        store.open(tmp_path)


@pytest.mark.parametrize("file", ["ids.bin", "ends.bin"])
def test_a_changed_byte(tmp_path: Path, file: str) -> None:
    join(tmp_path, [2, 3])
    path = tmp_path / "part-0" / file
    content = bytearray(path.read_bytes())
    content[4] ^= 1
    path.write_bytes(content)
    store.open(tmp_path)  # checks sizes only
    assert f"{path}: changed since it was written (checksum)" in store.verify(tmp_path)


def rewrite(folder: Path, file: str, values: list[int]) -> None:
    """Write other values into a file of a store, and its checksum into the header."""
    header = store.read_header(folder)
    kind = np.dtype("<u4" if file == "ids.bin" else "<u8")
    np.array(values, dtype=kind).tofile(folder / file)
    checksums = header.checksums | {file: sha256(folder / file)}
    store.write_header(folder, Header(VOCABULARY, SIZE, header.documents, header.tokens, checksums))


@pytest.mark.parametrize(
    ("file", "values", "problem"),
    [
        ("ids.bin", [1, 2, SIZE], f"ids.bin: id {SIZE}; expected 0 … {SIZE - 1}"),
        ("ends.bin", [3, 2], "ends.bin: the ends of documents are not in increasing order"),
        ("ends.bin", [0, 3], "ends.bin: the ends of documents are not in increasing order"),
        ("ends.bin", [1, 2], "ends.bin: the last document ends at 2; expected 3"),
    ],
)
def test_contents_that_make_no_sense(tmp_path: Path, file: str, values: list[int], problem: str) -> None:
    write(tmp_path / "a", [np.array([1, 2], dtype=np.uint32), np.array([3], dtype=np.uint32)])
    rewrite(tmp_path / "a", file, values)
    assert f"{tmp_path / 'a'}: {problem}" in store.verify(tmp_path / "a")


def test_a_list_of_shards_that_does_not_add_up(tmp_path: Path) -> None:
    join(tmp_path, [2, 3])
    write(tmp_path / "part-1", random_documents(9, 4))
    assert [problem for problem in store.verify(tmp_path) if "its shards hold 6" in problem]


def test_headers_that_are_none(tmp_path: Path) -> None:
    write(tmp_path / "a", random_documents(0, 2))
    header = json.loads((tmp_path / "a" / "header.json").read_text())
    for content, message in (
        ("{", "not a token store's header"),
        ("[]", "not a token store's header"),
        (json.dumps(header | {"color": 1}), "not a token store's header .*color"),
        (json.dumps(header | {"format": 2}), "format 2; expected 1"),
    ):
        (tmp_path / "a" / "header.json").write_text(content)
        with pytest.raises(UserError, match=message):
            store.open(tmp_path / "a")
