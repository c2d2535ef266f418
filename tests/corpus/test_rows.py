"""Files of pairs and of cloze questions are read, and a mistake in one names its line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from anaume.errors import UserError
from anaume.evals.inputs.cloze import Cloze, read_cloze
from anaume.evals.inputs.pairs import Pair, read_pairs

GOOD_PAIR = '{"query": "問", "positive": "答", "title": "題"}'
GOOD_CLOZE = '{"text": "首都は[MASK]。", "answers": ["東京", "とうきょう"]}'


def test_good_files(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(f'{GOOD_PAIR}\n\n{{"query": "q", "positive": "p"}}\n', encoding="utf-8")
    assert read_pairs(file) == [Pair("問", "答", "題"), Pair("q", "p")]
    file.write_text(GOOD_CLOZE, encoding="utf-8")
    assert read_cloze(file) == [Cloze("首都は[MASK]。", ("東京", "とうきょう"))]


@pytest.mark.parametrize(
    ("read", "good", "line", "message"),
    [
        (read_pairs, GOOD_PAIR, "{nonsense", ":2: not JSON"),
        (read_pairs, GOOD_PAIR, "[1]", ":2: a list, not an object; expected a JSON object"),
        (read_pairs, GOOD_PAIR, '{"query": "q"}', ":2: no `positive` (it has query); expected a text under that key"),
        (read_pairs, GOOD_PAIR, '{"query": "q", "positive": " "}', ":2: `positive` is ' '; expected a text"),
        (
            read_pairs,
            GOOD_PAIR,
            '{"query": 1, "positive": "p"}',
            ":2: `query` is a number, not a string; expected a text",
        ),
        (
            read_cloze,
            GOOD_CLOZE,
            '{"text": "空", "answers": ["a"]}',
            ":2: `text` is '空': 0 [MASK] in it; expected one",
        ),
        (read_cloze, GOOD_CLOZE, '{"text": "[MASK][MASK]", "answers": ["a"]}', "2 [MASK] in it; expected one"),
        (read_cloze, GOOD_CLOZE, '{"text": "[MASK]", "answers": []}', ":2: `answers` is []; expected a list"),
        (read_cloze, GOOD_CLOZE, '{"text": "[MASK]", "answers": "東京"}', ":2: `answers` is '東京'; expected a list"),
        (read_cloze, GOOD_CLOZE, '{"text": "[MASK]"}', ":2: `answers` is None; expected a list"),
        (read_cloze, GOOD_CLOZE, '{"text": "[MASK]", "answers": ["a", ""]}', ":2: `answers` is ''; expected a text"),
    ],
)
def test_a_bad_line_is_named(
    tmp_path: Path, read: Callable[[Path], object], good: str, line: str, message: str
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(f"{good}\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError) as error:
        read(file)
    assert message in str(error.value)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def test_empty_missing_and_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    with pytest.raises(UserError, match="no such file"):
        read_pairs(file)
    file.write_text("\n\n")
    with pytest.raises(UserError, match="no rows; expected one JSON object a line"):
        read_pairs(file)
    file.write_bytes(GOOD_PAIR.encode() + b"\n\xff\xfe\n")
    with pytest.raises(UserError, match=":2: not UTF-8"):
        read_pairs(file)
