"""Texts and values of JSON as files hold them, and as nobody expects them."""

from collections.abc import Callable
from typing import Literal, TypeVar

from hypothesis import strategies as st

from anaume.errors import UserError, line_of

Result = TypeVar("Result")


# What readers, tokenizers and columns treat in a way of their own.
AWKWARD = (
    *("\0", "\x1b", "\x7f", "\x85", "\ufeff", "\u2028", "\u2029", "\u200b", "\u00a0", "　", "▁", " ", "  "),
    *("\r", "\n", "\r\n", "\t", "\v", "\f", "\x1c", '"', "\\", ",", "<0x0A>", "<s>", "[MASK]", "[UNK]"),
    *(
        "か\u3099",
        "は\u309a",
        "ﾊﾟ",
        "ｶﾞ",
        "e\u0301",
        "①\u0301",
        "Ａ１",
        "㍿",
        "葛\U000e0100",
        "𠮷",
        "\U0010ffff",
        "\ue000",
    ),
    *("👨\u200d👩\u200d👧", "🇯🇵", "1\ufe0f\u20e3", "東京都", "の", "人口は", "1945年", "Tokyo", "New York", "。"),
)


def texts(*, surrogates: bool = False, max_size: int = 12) -> st.SearchStrategy[str]:
    """Any Unicode text, rich in awkward parts; with `surrogates`, also halves of surrogate pairs."""
    excluded: tuple[Literal["Cs"], ...] = () if surrogates else ("Cs",)
    character = st.characters(exclude_categories=excluded)
    part = st.one_of(st.sampled_from(AWKWARD), character)
    repeated = st.builds(lambda text, count: text * count, part, st.integers(1, 300))
    return st.lists(st.one_of(part, part, part, repeated), max_size=max_size).map("".join)


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold the text."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


# Any value that a JSON file of Python's dialect can hold.
SCALARS: st.SearchStrategy[object] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 600),
    st.integers(),
    st.sampled_from([2**63, -(2**64), 10**400, -(10**4000)]),
    st.floats(),
    texts(surrogates=True, max_size=4),
    st.sampled_from(["", " ", "nan", "1e999", "0", "B-PER", "O", "-", "I-", "entailment"]),
)
VALUES: st.SearchStrategy[object] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(texts(surrogates=True, max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
)


def result_or_line(read: Callable[[], Result]) -> Result | str:
    """The result, or the line of the UserError in its place, which is short enough for a terminal."""
    try:
        return read()
    except UserError as error:
        line = line_of(error)
        assert len(line) < 1500, line
        return line
