"""A tokenizer → properties of its ids: ordinary ids, the surface of each id, ends of sentences.

The surface of an id is the UTF-8 bytes of its text, empty for a special id. The surfaces of a document's ids, joined,
are its text, with SentencePiece's dummy prefix as a space before it. WordPiece does not keep spaces: the joined text
has one before each word in Latin, Greek or Cyrillic script.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from tokenizers import pre_tokenizers

from anaume.tokenizer.load import Tokenizer
from anaume.tokenizer.unigram import BYTE_LEVEL_SPACE, SPACE

_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")
_CONTINUES = "##"  # WordPiece's mark of a piece that does not begin a word
_FIRST_EASTERN = "\u2e80"  # Scripts from here on write no spaces, except Hangul.
_SENTENCE_ENDS, _FULL_STOPS = tuple("。．！？!?।॥؟۔።։\n"), tuple(".…")
_CLOSING = '」』）】〉》”’“»«")]'  # brackets and quotes; German ends a quotation with “


@dataclass(frozen=True)
class Vocabulary:
    """Properties of a tokenizer's ids, each computed at its first use."""

    tokenizer: Tokenizer

    @cached_property
    def ordinary_ids(self) -> NDArray[np.int64]:
        """Ids that a random replacement is drawn from: all except the special ones, in ascending order."""
        return np.setdiff1d(np.arange(self.tokenizer.vocab_size), np.array(self.tokenizer.special_ids))

    @cached_property
    def surfaces(self) -> list[bytes]:
        """UTF-8 text of each id; empty for special ids."""
        return surfaces(self.tokenizer)

    def sentence_ends(self, ids: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """(ids,) True for each id that ends a sentence or a line, the preferred places to split a document.

        A full stop ends a sentence before white space only, because it also occurs in numbers and names.
        """
        ends: NDArray[np.bool_] = self._end_marks[ids]
        ends[:-1] |= self._full_stops[ids[:-1]] & self._white_space[ids[1:]]
        return ends

    @cached_property
    def _end_marks(self) -> NDArray[np.bool_]:
        return _ending_with(_SENTENCE_ENDS, self.surfaces)

    @cached_property
    def _full_stops(self) -> NDArray[np.bool_]:
        return _ending_with(_FULL_STOPS, self.surfaces)

    @cached_property
    def _white_space(self) -> NDArray[np.bool_]:
        return np.array([surface[:1].isspace() for surface in self.surfaces])


def surfaces(tokenizer: Tokenizer) -> list[bytes]:
    """Return the surface of each id, from the spelling of its piece."""
    special_ids = set(tokenizer.special_ids)
    surface = _surface(tokenizer.pieces)
    return [b"" if i in special_ids else surface(piece) for i, piece in enumerate(tokenizer.pieces)]


def _surface(pieces: Collection[str]) -> Callable[[str], bytes]:
    """Return the function piece → bytes for the kind of vocabulary."""
    if any(piece.startswith(SPACE) for piece in pieces):
        return _surface_of_piece
    if any(piece.startswith(BYTE_LEVEL_SPACE) for piece in pieces):
        byte_of = _bytes_of_letters()
        return lambda piece: _surface_of_byte_level(piece, byte_of)
    if any(piece.startswith(_CONTINUES) and piece != _CONTINUES for piece in pieces):
        return _surface_of_wordpiece
    return _surface_of_piece


def _surface_of_piece(piece: str) -> bytes:
    byte = _BYTE_PIECE.fullmatch(piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace(SPACE, " ").encode()


def _surface_of_wordpiece(piece: str) -> bytes:
    if piece.startswith(_CONTINUES):
        return piece.removeprefix(_CONTINUES).encode()
    return (" " + piece if piece[:1].isalpha() and piece < _FIRST_EASTERN else piece).encode()


def _surface_of_byte_level(piece: str, byte_of: dict[str, int]) -> bytes:
    if byte_of.keys() >= set(piece):
        return bytes(byte_of[letter] for letter in piece)
    return piece.encode()  # an added token


def _bytes_of_letters() -> dict[str, int]:
    """Return the byte for which each letter of a byte-level vocabulary stands.

    Printable bytes of Latin-1 stand for themselves, the others for the letters from U+0100 on, in order.
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    others = sorted(set(range(256)) - {ord(letter) for letter in letters})
    return {letter: others[ord(letter) - 256] if ord(letter) > 255 else ord(letter) for letter in letters}


def _ending_with(marks: tuple[str, ...], surfaces: Sequence[bytes]) -> NDArray[np.bool_]:
    """(vocabulary,) True for a surface that ends with one of `marks`, closing brackets and quotes ignored."""
    texts = (surface.decode(errors="replace") for surface in surfaces)
    return np.array([text.rstrip(_CLOSING).endswith(marks) for text in texts])
