import numpy as np

from anaume.batches.words import word_starts
from anaume.tokenizer.load import Tokenizer
from anaume.tokenizer.vocabulary import surfaces


def _words(pieces: list[bytes]) -> list[str]:
    """The text of each word that `pieces` form."""
    starts = word_starts(list(range(len(pieces))), pieces)
    groups = np.split(np.arange(len(pieces)), np.flatnonzero(starts)[1:])
    return [b"".join(pieces[i] for i in group).decode(errors="replace") for group in groups]


def test_pieces_of_a_word_belong_together() -> None:
    assert _words(["国".encode(), "会".encode(), "で".encode(), "議".encode(), "論".encode()]) == ["国会", "で", "議論"]


def test_the_space_before_a_word_belongs_to_it() -> None:
    assert _words([b" ", b"Py", b"thon", b" is", "楽しい".encode()]) == [" Python", " is", "楽しい"]


def test_bytes_of_a_character_belong_together() -> None:
    kanji = "𠮷".encode()
    pieces = [bytes([byte]) for byte in kanji] + ["は".encode()]
    assert _words(pieces) == ["𠮷", "は"]


def test_partial_characters_and_zero_bytes_are_accepted() -> None:
    halves = ["国".encode()[1:], "は".encode(), b"\0", "会".encode()[:1]]
    starts = word_starts([0, 1, 2, 3], halves)
    assert starts[0]
    assert starts[1]
    assert len(starts) == 4


def test_line_breaks_do_not_shift_words() -> None:
    pieces = ["国会".encode(), b"\n", b"\n", "議".encode(), "論".encode(), b"\t", "で".encode()]
    assert [word.strip() for word in _words(pieces)] == ["国会", "議論", "で"]


def test_surfaces_join_to_the_text(paper: Tokenizer) -> None:
    of_ids = surfaces(paper)
    text = "吾輩は猫である。 名前は\n\nまだ無い。𠮷野家で食う — 100 % だ。"
    ids = paper.encode([text])[0]
    assert b"".join(of_ids[i] for i in ids).decode() == " " + text
    assert of_ids[paper.mask_id] == b""
    assert word_starts(ids, of_ids).sum() < len(ids)
