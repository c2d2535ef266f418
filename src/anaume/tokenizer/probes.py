"""Awkward texts on which two engines of one tokenizer are compared: SentencePiece, `tokenizers`, `transformers`.

A conversion is exact for these texts or it is refused. Each text stands for a habit in which the engines differ:
normalisation, spaces at the ends and between words, unknown characters, special tokens that a text spells.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

PROBES = {
    "a sentence": "吾輩は猫である。名前はまだ無い。",
    "words": "The quick brown fox, isn't it? Größe 12.50",
    "no text": "",
    "a leading space": " 東京 a",
    "a leading U+3000": "　東京は",
    "a space at the end": "東京 a ",
    "a run of spaces": "a  b   東京    京",
    "spaces alone": "   ",
    "a no-break space": "\u00a0a\u00a0東京\u00a0",
    "U+3000 inside": "東京　　大阪　",
    "line ends": "\n東京\n\n大阪\n",
    "CR LF": "東京\r\n大阪\r",
    "tabs": "\t東京\t\t大阪\t",
    "decomposed kana": "か\u3099は\u309aウ\u3099",
    "half-width kana": "ﾊﾟﾝｶﾞ ｱ",
    "full-width letters": "ＡＢｃ１２！（～",
    "compatibility characters": "①㍿㌔Ⅳﬁ™",
    "accents": "e\u0301 é n\u0303 ñ A\u030a Å",
    "capitals": "ABC Äß ÉΣ",
    "unknown characters": "\ue000東京\ue000\ue001大阪𒀀a\ue000",
    "rare kanji": "𠮷野家の𩸽",
    "variation selectors": "葛\U000e0100城",
    "emoji": "😀👨\u200d👩\u200d👧🇯🇵 1\ufe0f\u20e3",
    "zero-width characters": "東\u200b京\u200d\ufeffa\u00adb",
    "control characters": "\x00a\x01\x1b\x7f\x85b\u2028c",
    "the space mark": "▁a▁▁東京 ▁",
    "digits": "1945年 0000 3.14",
    "bytes spelled out": "<0x0A><0xE3>",
}

# No Japanese or European text has these clusters, so a conversion that is not exact for them is named, not refused.
RARE = {"an accent on a compatibility character (①́)": "①\u0301 　\u0301！\u0323½\u035c"}


def probes(special: Iterable[str] = ()) -> dict[str, str]:
    """Return name → text, with a text for each special token of `special`."""
    return PROBES | literals(special)


def literals(names: Iterable[str]) -> dict[str, str]:
    """Return name → text for texts that spell a special token."""
    return {f"a literal {name}": f"東京{name}は {name} a" for name in names}


def differences(
    texts: dict[str, str],
    expected: Callable[[str], Sequence[int]],
    actual: Callable[[str], Sequence[int]],
) -> Iterator[str]:
    """Yield the name of each text to which the two functions give different ids."""
    return (name for name, text in texts.items() if list(expected(text)) != list(actual(text)))
