"""Token ids → word boundaries by MeCab, for whole-word masking (fugashi and unidic-lite, the `words` extra)."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anaume.errors import UserError

# A byte of a character cut at the border of a piece, or NUL, at which MeCab stops reading.
_UNREADABLE = re.compile("[\udc80-\udcff\0]")


@lru_cache(maxsize=4)
def mecab(place: str = "mask_unit = 'word'") -> Any:
    """MeCab with its dictionary. `place` is the option that asks for it.

    Raises:
        UserError: fugashi or its dictionary is not installed.
    """
    try:
        import fugashi
        import unidic_lite  # noqa: F401 - fugashi finds the dictionary by itself
    except ImportError as error:
        raise UserError(f"{place}: {error.name} is not installed; expected pip install 'anaume[words]'") from error
    return fugashi.Tagger()


def word_starts(ids: Sequence[int] | NDArray[Any], surfaces: Sequence[bytes]) -> NDArray[np.bool_]:
    """Whether a word, or the space before it, begins at each id, (ids,). The first id always begins a word.

    `surfaces[i]` is the text of id i in UTF-8.

    Raises:
        UserError: fugashi or its dictionary is not installed.
    """
    of_ids = [surfaces[i] for i in ids]
    text = _UNREADABLE.sub("?", b"".join(of_ids).decode(errors="surrogateescape"))
    begins, offset = {0}, 0
    for node in mecab().parseToNodeList(text):
        begins.add(offset)
        offset += len((node.white_space + node.surface).encode())
    offsets = np.cumsum([0, *map(len, of_ids)])[:-1]
    return np.isin(offsets, list(begins))
