"""Properties of a tokenizer's ids: where sentences end, in scripts with and without spaces."""

from dataclasses import replace

import numpy as np
import pytest

from anaume.tokenizer.load import Tokenizer
from anaume.tokenizer.vocabulary import Vocabulary


@pytest.mark.parametrize(
    ("pieces", "ends"),
    [
        (["▁Das", "▁Ende", ".", "▁Dann", "▁kam", "▁es", "."], [2]),  # the last full stop has nothing behind it
        (["▁Ein", "▁„Ende.“", "▁Dann"], [1]),
        (["▁3", ".", "1", "4", "▁und", "▁z.B", ".", "▁ja"], [6]),
        (["▁Wirklich", "?", "▁Ja", "!", "Gut"], [1, 3]),
        (["猫", "である", "。", "名前", "は", "3", ".", "5", "」"], [2]),
        (["Zeile", ".", "\n", "Zeile", "\n"], [1, 2, 4]),
        (["▁यह", "।", "▁है"], [1]),
        (["▁Ende", ".", ")", "▁Dann"], []),  # a bracket of its own is not looked behind
    ],
)
def test_sentences_end_in_every_script(pieces: list[str], ends: list[int], trained: Tokenizer) -> None:
    spelled = replace(trained, pieces=tuple(pieces), vocab_size=len(pieces), special_ids=())
    assert np.flatnonzero(Vocabulary(spelled).sentence_ends(np.arange(len(pieces), dtype=np.uint32))).tolist() == ends


def test_a_special_id_ends_nothing(trained: Tokenizer) -> None:
    spelled = replace(trained, pieces=("a", ".", "</s>", "。"), vocab_size=4, special_ids=(2, 3))
    assert not Vocabulary(spelled).sentence_ends(np.arange(4, dtype=np.uint32)).any()
