"""A tokenizer's ids → the UTF-8 bytes that each stands for in a text; empty for special ids.

Joined, the surfaces of a document's ids are its text again, with SentencePiece's imagined space before it.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from anaume.tokenizer import folder
from anaume.tokenizer.load import Tokenizer
from anaume.tokenizer.unigram import SPACE

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_SENTENCE_ENDS = tuple(mark.encode() for mark in "。．！？!?\n")
_CLOSING = '」』）】〉》”’")]'.encode()


def surfaces(tokenizer: Tokenizer) -> list[bytes]:
    """The bytes of each id: those of a SentencePiece model from its pieces, others as their decoder has them."""
    engine = folder.read_tokenizer_json(tokenizer.folder)
    special = set(tokenizer.special_ids)
    pieces = [engine.id_to_token(i) or "" for i in range(tokenizer.vocab_size)]
    if any(SPACE in piece for piece in pieces):
        found: Iterable[bytes] = map(_of_piece, pieces)
    else:
        found = (text.encode() for text in engine.decode_batch([[i] for i in range(tokenizer.vocab_size)]))
    return [b"" if i in special else surface for i, surface in enumerate(found)]


def _of_piece(piece: str) -> bytes:
    byte = _BYTE.fullmatch(piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace(SPACE, " ").encode()


def end_sentences(of_ids: Sequence[bytes]) -> NDArray[np.bool_]:
    """(vocabulary,) whether an id's text ends a sentence or a line, closing brackets not counted.

    A full stop of Latin script doesn't count: it also stands in numbers and names.
    """
    return np.array([surface.rstrip(_CLOSING).endswith(_SENTENCE_ENDS) for surface in of_ids])
