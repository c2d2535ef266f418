"""A tokenizer → the surface of each of its ids: the UTF-8 bytes of its text, empty for a special id.

The surfaces of a document's ids, joined, are its text, with SentencePiece's dummy prefix as a space before it.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from anaume.tokenizer import folder
from anaume.tokenizer.load import Tokenizer
from anaume.tokenizer.unigram import SPACE

_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")
_SENTENCE_ENDS = tuple(mark.encode() for mark in "。．！？!?\n")
_CLOSING_BRACKETS = '」』）】〉》”’")]'.encode()


def surfaces(tokenizer: Tokenizer) -> list[bytes]:
    """Return the surface of each id: from the pieces of a SentencePiece model; by decoding for another model."""
    fast = folder.read_tokenizer_json(tokenizer.folder)
    special_ids = set(tokenizer.special_ids)
    pieces = [fast.id_to_token(i) or "" for i in range(tokenizer.vocab_size)]
    if any(SPACE in piece for piece in pieces):
        all_surfaces: Iterable[bytes] = map(_surface_of_piece, pieces)
    else:
        all_surfaces = (text.encode() for text in fast.decode_batch([[i] for i in range(tokenizer.vocab_size)]))
    return [b"" if i in special_ids else surface for i, surface in enumerate(all_surfaces)]


def _surface_of_piece(piece: str) -> bytes:
    byte = _BYTE_PIECE.fullmatch(piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace(SPACE, " ").encode()


def end_sentences(surfaces: Sequence[bytes]) -> NDArray[np.bool_]:
    """Return a (vocabulary,) array: True for a surface that ends a sentence or a line, ignoring closing brackets.

    The Latin full stop does not count, because it also occurs in numbers and names.
    """
    return np.array([surface.rstrip(_CLOSING_BRACKETS).endswith(_SENTENCE_ENDS) for surface in surfaces])
