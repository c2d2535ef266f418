"""Addresses without their secrets; lines that fit on a terminal."""

import pytest

from anaume.errors import UserError, line_of, redact


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("http://alice:PW@host:80/a.jsonl?X-Amz-Signature=abc&b=1", "http://host:80/a.jsonl?…"),
        ("corpus s3://KEY:SE@CRET@bucket/*.jsonl: gone", "corpus s3://bucket/*.jsonl: gone"),
        ('path = "https://host/a?token=1"', 'path = "https://host/a?…"'),
        ("data/a?.jsonl of alice@example", "data/a?.jsonl of alice@example"),
    ],
)
def test_user_information_and_query_are_left_out(text: str, redacted: str) -> None:
    assert redact(text) == redacted


def test_a_long_line_keeps_its_place_and_what_is_expected() -> None:
    """The secret of an address goes first, because a cut address is not known as one."""
    line = line_of(UserError(f"a.csv:7: http://alice:{'PW' * 900}@host: {'値' * 1_000_000}: no label; expected a name"))
    assert line.startswith("a.csv:7: http://host: 値")
    assert line.endswith("値: no label; expected a name")
    assert len(line) < 1010
