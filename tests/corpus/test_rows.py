"""Files of pairs and of cloze questions are read, and a mistake in one names its line."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from anaume.corpus.rows import require_unicode
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


DIGITS = '{"query": "q", "positive": "p", "n": ' + "9" * 5000 + "}"
NESTED = '{"query": "q", "positive": "p", "n": ' + "[" * 5000 + "]" * 5000 + "}"


@pytest.mark.parametrize(
    ("read", "good", "line", "message"),
    [
        (read_pairs, GOOD_PAIR, r'{"query": "\ud83d", "positive": "p"}', ":2: `query` is not Unicode text (half a"),
        (read_pairs, GOOD_PAIR, r'{"query": "q", "positive": "p", "title": "\ude00"}', ":2: `title` is not Unicode"),
        (read_pairs, GOOD_PAIR, DIGITS, ":2: not JSON that Python reads (Exceeds the limit (4300 digits)"),
        (read_pairs, GOOD_PAIR, NESTED, ":2: not JSON that Python reads (nested too deeply); expected a JSON object"),
        (read_cloze, GOOD_CLOZE, r'{"text": "\ud83d[MASK]", "answers": ["a"]}', ":2: `text` is not Unicode text"),
        (read_cloze, GOOD_CLOZE, r'{"text": "[MASK]", "answers": ["\ud83d"]}', ":2: `answers` is not Unicode text"),
        (read_cloze, GOOD_CLOZE, '{"text": "[MASK]", "answers": [3]}', ":2: `answers` is a number, not a string"),
        (read_cloze, GOOD_CLOZE, '{"text": "[MASK]", "answers": [null]}', ":2: `answers` is null, not a string"),
    ],
)
def test_what_python_reads_and_no_text_holds(
    tmp_path: Path, read: Callable[[Path], object], good: str, line: str, message: str
) -> None:
    test_a_bad_line_is_named(tmp_path, read, good, line, message)


def test_a_byte_order_mark_packing_and_null(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl.gz"
    row = '\ufeff{"query": "q", "positive": "p", "title": null, "source": null}\n'
    file.write_bytes(gzip.compress(row.encode()) + gzip.compress(row.encode()))
    assert read_pairs(file) == [Pair("q", "p")] * 2


def test_fields_of_other_names(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"question": "q", "context": "c", "query": 3}', encoding="utf-8")
    assert read_pairs(file, "question", "context") == [Pair("q", "c")]
    with pytest.raises(UserError, match=r":1: no `positive` \(it has question, context, query\); expected a text"):
        read_pairs(file, "question")


@pytest.mark.parametrize("text", ["\ud83d", "a\udc94", "\udc82\udca0"])
def test_words_of_the_command_line_need_not_be_unicode(text: str) -> None:
    assert require_unicode("猫😀", "--text") == "猫😀"
    with pytest.raises(UserError, match=r"^--text: .*: not Unicode text; expected UTF-8$") as error:
        require_unicode(text, "--text")
    str(error.value).encode()
