"""Edit distance and Jaccard against plain loops."""

import random
from typing import get_args

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from anaume.errors import UserError
from anaume.evals.lexical import units as lexical
from anaume.evals.lexical.units import Unit, edit_similarities, jaccard_similarities, raw_edit_similarities, units_of
from anaume.evals.record import BASELINE_UNITS


def random_texts(number: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices("あ漢😀", k=draw.randint(1, 9))) for _ in range(number)]


def grams(text: str, unit: str) -> list[str]:
    n = {"characters": 1, "bigrams": 2, "trigrams": 3}[unit]
    return [text[i : i + n] for i in range(len(text) - n + 1)] or [text]


def levenshtein(a: list[str], b: list[str]) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


@pytest.mark.parametrize("unit", ["characters", "bigrams", "trigrams"])
def test_similarities_are_those_of_plain_loops(unit: Unit) -> None:
    queries, corpus = random_texts(13, 1), random_texts(17, 2)
    left, right = [grams(t, unit) for t in queries], [grams(t, unit) for t in corpus]
    edits = [[1 - levenshtein(a, b) / max(len(a), len(b)) for b in right] for a in left]
    overlaps = [[len({*a} & {*b}) / len({*a} | {*b}) for b in right] for a in left]
    units = units_of(queries, unit), units_of(corpus, unit)
    np.testing.assert_allclose(edit_similarities(*units), edits, atol=1e-12)
    np.testing.assert_allclose(jaccard_similarities(*units), overlaps, atol=1e-12)
    distances = [[levenshtein(a, b) for b in right] for a in left]
    np.testing.assert_array_equal(raw_edit_similarities(*units), -np.array(distances))
    assert np.ptp(edits) > 0.3
    assert np.ptp(overlaps) > 0.2


def test_known_by_hand() -> None:
    a, b = units_of(["かたつむり"], "characters"), units_of(["かたむき"], "characters")
    assert edit_similarities(a, b)[0, 0] == pytest.approx(1 - 2 / 5)  # drop つ, り → き
    assert jaccard_similarities(a, b)[0, 0] == pytest.approx(3 / 6)  # か た む of か た つ む り き
    assert jaccard_similarities(units_of([""], "characters"), b)[0, 0] == 0


def test_tokens(wordpiece: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch) -> None:
    units = units_of(["東京は首都", "東京は古都"], "tokens", wordpiece)
    assert [list(row) for row in units] == wordpiece(["東京は首都", "東京は古都"], add_special_tokens=False)[
        "input_ids"
    ]
    assert len(units[0]) == 4  # 東京 ##は ##首 ##都
    monkeypatch.setattr(lexical, "TEXTS_AT_ONCE", 1)
    assert units_of(["東京は首都", "東京は古都"], "tokens", wordpiece) == units
    assert edit_similarities(units[:1], units[1:])[0, 0] == pytest.approx(3 / 4)


def test_what_stands_between_white_space() -> None:
    rows = units_of(["東京は 首都。\n東京は", "首都。　Tokyo"], "spaces")
    assert [list(row) for row in rows] == [[0, 1, 0], [1, 2]]


def test_bad_units() -> None:
    with pytest.raises(UserError, match="unit 'tokens': no tokenizer"):
        units_of(["a"], "tokens")
    with pytest.raises(
        UserError, match="'syllables': unknown; expected characters, bigrams, trigrams, words, spaces, mecab, tokens"
    ):
        units_of(["a"], "syllables")  # type: ignore[arg-type]


def test_words() -> None:
    first, second = units_of(["The sea, the SEA!", "sea of salt"], "words")
    assert (first[0], first[1]) == (first[2], first[3])  # the, sea
    assert len(first) == 4
    assert second[0] == first[1]
    assert len({*first, *second}) == 4


def test_mecab_words() -> None:
    pytest.importorskip("fugashi")
    first, second, third = units_of(["東京都に住む。", "京都に、 住む\0", "。"], "mecab")
    assert len(first) == 4  # 東京 都 に 住む
    assert list(first[2:]) == list(second[1:])
    assert second[0] not in first
    assert not third


def test_the_names_of_baselines_know_every_unit() -> None:
    assert get_args(Unit) == BASELINE_UNITS
