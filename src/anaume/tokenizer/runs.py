"""Text → runs of characters, which no piece of a trained vocabulary leaves, for the two ways of using spaces.

Without spaces between words (Japanese), a run is a stretch of content words (kanji, katakana and compounds of both,
タイ語), of hiragana or of the rest. Pieces that span two runs are chance phrases ("の首都は"); a small vocabulary
without them holds words, and a small model learns far faster (docs/log.md). With spaces between words, the rest is cut
into words, each with the space before it, and stretches of punctuation. Line ends are in no run.
"""

import re
from typing import Literal

from tokenizers import Regex, pre_tokenizers

Words = Literal["auto", "respect", "ignore"]

_KANJI_KATAKANA, _HIRAGANA = "一-鿿㐀-䶿々〆ヶァ-ヺー", "ぁ-ゖゝゞ"
_JAPANESE = rf"[{_KANJI_KATAKANA}]+|[{_HIRAGANA}]+"
_LETTER = rf"(?:(?![{_KANJI_KATAKANA}{_HIRAGANA}])\w)"

# Regular expressions of `re` and of Oniguruma, which `tokenizers` uses. Only Oniguruma's \w has combining marks.
RUN = rf"{_JAPANESE}|[^{_KANJI_KATAKANA}{_HIRAGANA}\n]+"
WORD = rf"{_JAPANESE}| ?{_LETTER}+| ?[^\w\s]+|[^\S\n]+(?!\S)|[^\S\n]+"

_RUN = re.compile(RUN)
_SPLIT_WORDS = pre_tokenizers.Split(Regex(WORD), "removed", invert=True)

_SPACED_SHARE = 0.06  # of the letters; Japanese manuals with code have 0.03, Finnish 0.11, German 0.16, English 0.2
_SPACE_BETWEEN_LETTERS = re.compile(r"(?<=[^\W\d_]) (?=[^\W\d_])")
_ANY_LETTER = re.compile(r"[^\W\d_]")


def find_runs(text: str) -> list[str]:
    """Return the runs of a text without spaces between words."""
    return _RUN.findall(text)


def find_words(text: str) -> list[str]:
    """Return the runs of a text with spaces between words."""
    return [word for word, _ in _SPLIT_WORDS.pre_tokenize_str(text)]


def spans(text: str, respect: bool) -> list[tuple[int, int]]:
    """Return where each run of a text begins and ends; with `respect`, spaces separate its words."""
    if respect:
        return [span for _, span in _SPLIT_WORDS.pre_tokenize_str(text)]
    return [run.span() for run in _RUN.finditer(text)]


def spaced_share(text: str) -> float:
    """Return the number of spaces between two letters, as a share of the letters; 0 for a text without letters."""
    return len(_SPACE_BETWEEN_LETTERS.findall(text)) / max(1, len(_ANY_LETTER.findall(text)))


def separates_words(share: float) -> bool:
    """Return whether a text with this `spaced_share` writes spaces between its words."""
    return share > _SPACED_SHARE
