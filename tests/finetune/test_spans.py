"""JSQuAD: windows over long contexts, the best span in them, exact match and F1, tokens without offsets."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from transformers import BertJapaneseTokenizer, PreTrainedTokenizerFast

from anaume.finetune import spans
from anaume.finetune.examples import Answer, Example
from anaume.finetune.metrics import answer_scores, exact_match, f1
from anaume.finetune.spans import Window, align, best_answers, windows

CONTEXT = "東京は首都である。京都は古都である。大阪は商店である。奈良は寺院である。札幌は温泉である。"


def example(answer: str, question: str = "古都は", context: str = CONTEXT) -> Example:
    return Example((question, context), answers=(Answer(answer, context.index(answer)),))


def test_one_window_is_the_tokenizers_own_pair(
    wordpiece: PreTrainedTokenizerFast,
    byte_level: PreTrainedTokenizerFast,
    unigram: Callable[[str], PreTrainedTokenizerFast],
) -> None:
    for tokenizer in (wordpiece, byte_level, unigram("always"), unigram("first"), unigram("never")):
        rows, truncated = windows(tokenizer, [example("京都")], 512)
        pair = tokenizer("古都は", CONTEXT)
        assert (rows[0].ids, truncated) == (pair["input_ids"], 0)
        assert rows[0].types == pair.get("token_type_ids", [0] * len(rows[0].ids))


@pytest.mark.parametrize("length", [16, 24, 33])
def test_windows_cover_the_context_and_overlap(length: int, wordpiece: PreTrainedTokenizerFast) -> None:
    ids = wordpiece(CONTEXT, add_special_tokens=False)["input_ids"]
    rows, _ = windows(wordpiece, [example("京都")], length)
    head = wordpiece("古都は")["input_ids"]
    parts = [window.ids[window.first : -1] for window in rows]
    assert all(window.ids[: window.first] == head for window in rows)
    assert all(window.ids[-1] == head[-1] for window in rows)
    assert all(len(window.ids) == length for window in rows[:-1])
    room = length - len(head) - 1
    joined = list(parts[0])
    for part in parts[1:]:
        assert joined[-(room // 2) :] == part[: room // 2]  # half of what fits, for 128 do not
        joined += part[room // 2 :]
    assert joined == ids
    for window, part in zip(rows, parts, strict=True):
        tokens = [token.removeprefix("##") for token in wordpiece.convert_ids_to_tokens(part)]
        assert [CONTEXT[low:high] for low, high in window.characters] == tokens


@pytest.mark.parametrize("answer", ["東京", "大阪は商店", "札幌は温泉である。"])
def test_a_target_cuts_the_answer_out(answer: str, wordpiece: PreTrainedTokenizerFast) -> None:
    question = example(answer)
    rows, _ = windows(wordpiece, [question], 24)
    whole = 0
    for window in rows:
        first, last = window.target(question.answers[0])
        if (first, last) != (0, 0):
            low, high = window.characters[first - window.first][0], window.characters[last - window.first][1]
            assert CONTEXT[low:high] == answer
            whole += 1
        else:
            start = CONTEXT.index(answer)
            assert window.characters[0][0] > start or window.characters[-1][1] < start + len(answer)
    assert whole


def test_a_long_question_keeps_half_of_a_window(wordpiece: PreTrainedTokenizerFast) -> None:
    rows, truncated = windows(wordpiece, [example("京都", question=CONTEXT), example("京都")], 30)
    assert truncated == 1
    assert rows[0].first == 15 + 2  # half of 30, with [CLS] and [SEP]


@pytest.mark.parametrize("seed", range(4))
def test_the_best_span_of_all(seed: int) -> None:
    """Against candidates pair of start and end, in random logits of two windows of one question."""
    random = np.random.default_rng(seed)
    question = example("京都")
    rows, logits, candidates = [], [], []
    for begin in (0, 5):
        characters = [(i, i + 1) for i in range(begin, begin + 40)]
        rows.append(Window(0, [0] * 45, [0] * 45, 4, characters))
        logits.append(random.normal(size=(45, 2)).astype(np.float32))
        logits[-1][:4] = logits[-1][-1] = 99  # outside the context nothing counts
        for first in range(40):
            for last in range(first, min(40, first + spans.MAX_ANSWER)):
                total = float(logits[-1][4 + first, 0]) + float(logits[-1][4 + last, 1])
                candidates.append((total, CONTEXT[begin + first : begin + last + 1]))
    assert best_answers(rows, logits, [question]) == [max(candidates)[1]]


def test_exact_match_and_f1_by_hand() -> None:
    assert exact_match("京都。", "京都") == 1  # a full stop at the end does not count
    assert exact_match("NHK", "nhk") == 1
    assert exact_match("京  都", "京 都") == 1
    assert exact_match("京都府", "京都") == 0
    # 3 of 5 characters are right, 3 of 4 are found
    assert f1("京都府の南", "京都府民") == pytest.approx(2 * (3 / 5) * (3 / 4) / (3 / 5 + 3 / 4))
    assert f1("ああい", "あいい") == pytest.approx(2 / 3)  # each character as often as it is there
    assert f1("京都", "大阪") == f1("", "大阪") == 0
    assert f1("。", "") == 1


def test_the_best_of_several_answers_counts() -> None:
    examples = [
        Example(("q", CONTEXT), answers=(Answer("東京は", 0), Answer("東京", 0))),
        Example(("q", CONTEXT), answers=(Answer("京都は古都", 9),)),
    ]
    assert answer_scores(["東京。", "京都"], examples) == {
        "exact_match": 0.5,
        "f1": pytest.approx((1 + 2 * (2 / 2) * (2 / 5) / (1 + 2 / 5)) / 2),
    }


@pytest.mark.parametrize(
    ("tokens", "text", "said"),
    [
        (["東", "##京", "は", "首都"], "東京は首都", ["東", "京", "は", "首都"]),
        (["東京", "は"], "東京 は", ["東京", "は"]),
        (["a", "##b", "2", "平成"], "ＡB②㍻", ["Ａ", "B", "②", "㍻"]),  # NFKC and lower case
        (["東京", "[UNK]", "首都"], "東京はあの首都", ["東京", "はあの", "首都"]),
        (["[UNK]", "首都", "[UNK]"], "東京の首都だ", ["東京の", "首都", "だ"]),
        (["[UNK]", "[UNK]", "は"], "東京は", ["東京", "東京", "は"]),
    ],
)
def test_align(tokens: list[str], text: str, said: list[str]) -> None:
    assert [text[low:high] for low, high in align(tokens, text)] == said


def test_a_tokenizer_without_offsets(tmp_path: Path, wordpiece: PreTrainedTokenizerFast) -> None:
    """BertJapaneseTokenizer, whose words come from MeCab, gives the answers that a fast one gives."""
    words = sorted(wordpiece.get_vocab(), key=wordpiece.get_vocab().__getitem__)
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    slow = BertJapaneseTokenizer(str(tmp_path / "vocab.txt"), word_tokenizer_type="basic")
    assert not slow.is_fast
    for answer in ("東京", "大阪は商店", "札幌は温泉である。"):
        question = example(answer)
        rows, _ = windows(slow, [question], 64)
        cut = []
        for window in rows:
            first, last = window.target(question.answers[0])
            low, high = window.characters[first - window.first][0], window.characters[last - window.first][1]
            cut.append(CONTEXT[low:high])
        assert cut == [answer]
