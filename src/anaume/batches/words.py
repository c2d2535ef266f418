"""Where words begin in a run of ids, by MeCab (fugashi with unidic-lite, the `words` extra): for whole-word masking."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anaume.errors import UserError

# Half a character at a piece's border, and the byte at which MeCab would stop reading: each counts as one byte.
_UNREADABLE = re.compile("[\udc80-\udcff\0]")


@lru_cache(maxsize=1)
def _tagger() -> Any:
    try:
        import fugashi
        import unidic_lite  # noqa: F401 - the dictionary that fugashi finds
    except ImportError as error:
        raise UserError(
            f"mask_unit = 'word': {error.name} is not installed; accepted: pip install 'anaume[words]'"
        ) from error
    return fugashi.Tagger()


def word_starts(ids: Sequence[int] | NDArray[Any], surfaces: Sequence[bytes]) -> NDArray[np.bool_]:
    """(ids,) whether a word, or the space before it, begins with each id; the first always does.

    Raises:
        UserError: fugashi or its dictionary is not installed.
    """
    of_ids = [surfaces[i] for i in ids]
    text = _UNREADABLE.sub("?", b"".join(of_ids).decode(errors="surrogateescape"))
    begins, at = {0}, 0
    for node in _tagger().parseToNodeList(text):
        begins.add(at)
        at += len((node.white_space + node.surface).encode())
    offsets = np.cumsum([0, *map(len, of_ids)])[:-1]
    return np.isin(offsets, list(begins))
