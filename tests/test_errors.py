"""Addresses without their secrets."""

import pytest

from anaume.errors import redact


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
