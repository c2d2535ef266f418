"""Hard negatives: by hand, and never a known positive."""

from pathlib import Path

import pytest

from anaume.errors import UserError
from anaume.evals.inputs.contrast_sets import from_pairs
from anaume.evals.inputs.pairs import Pair
from anaume.evals.retrieval.mine import with_mined

from ...support.models import sentences

# 海の塩 has two positives, both of which are closer to it than any other text.
PAIRS = [
    Pair("海の塩", "海の塩と水"),
    Pair("海の塩", "海の塩と黒い砂"),
    Pair("海の魚", "海の魚と貝"),
    Pair("山の木", "山の木と鳥"),
]


def test_bm25_by_hand() -> None:
    mined = with_mined(PAIRS, "bm25", "", 2)
    assert mined[0].negatives == mined[1].negatives == ("海の魚と貝",)  # 山の木と鳥 shares no bigram
    assert mined[2].negatives == ("海の塩と水", "海の塩と黒い砂")
    assert mined[3].negatives == ()


def test_sets_by_the_number_of_negatives() -> None:
    rows = from_pairs(with_mined(PAIRS, "bm25", "", 2), 2)
    assert rows == {
        "pairs with 1 hard negative": {
            "anchor": ["海の塩"] * 2,
            "positive": ["海の塩と水", "海の塩と黒い砂"],
            "negative": ["海の魚と貝"] * 2,
        },
        "pairs with 2 hard negatives": {
            "anchor": ["海の魚"],
            "positive": ["海の魚と貝"],
            "negative": ["海の塩と水"],
            "negative_2": ["海の塩と黒い砂"],
        },
        "pairs": {"anchor": ["山の木"], "positive": ["山の木と鳥"]},
    }
    assert from_pairs(PAIRS, 2) == {
        "pairs": {"anchor": [p.query for p in PAIRS], "positive": [p.positive for p in PAIRS]}
    }


def test_negatives_of_the_file_come_first_and_positives_are_left_out() -> None:
    pairs = [Pair("海の塩", "海の塩と水", negatives=("海の塩と黒い砂", "砂糖", "砂糖")), *PAIRS[1:]]
    rows = from_pairs(with_mined(pairs, "bm25", "", 3), 2)
    assert rows["pairs with 2 hard negatives"]["negative"][0] == "砂糖"
    assert rows["pairs with 2 hard negatives"]["negative_2"][0] == "海の魚と貝"


def test_the_model_mines_what_it_ranks_highest(modernbert_folder: Path) -> None:
    texts = sentences(40, seed=6)
    pairs = [Pair(query, positive) for query, positive in zip(texts[:20], texts[20:], strict=True)]
    pairs += [Pair(texts[0], texts[25])]
    mined = with_mined(pairs, "model", str(modernbert_folder), 25)
    for pair in mined:
        expected = {*texts[20:]} - {other.positive for other in pairs if other.query == pair.query}
        assert set(pair.negatives) == expected
        assert len(pair.negatives) == len(expected)
    assert mined[0].negatives == mined[-1].negatives


def test_nothing_to_mine_from() -> None:
    with pytest.raises(UserError, match="--mine bm25: no pairs to mine from; expected --pairs"):
        with_mined([], "bm25", "", 1)
