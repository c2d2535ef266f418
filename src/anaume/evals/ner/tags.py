"""Words with tags, as in CoNLL's columns and in Hub data sets → a text with the characters of its entities."""

import unicodedata
from collections.abc import Sequence

from anaume.errors import UserError
from anaume.finetune.examples import Entity

# What the prefixes of tags say: whether the word begins an entity, and whether it ends one (IOB1, IOB2, IOBES, BILOU).
PREFIXES = {"B": (True, False), "I": (False, False), "E": (False, True), "L": (False, True)}
PREFIXES |= {"S": (True, True), "U": (True, True)}


def join_words(words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Return the text of the words and the characters [start, end) of each.

    A space stands between two words unless one of the neighbouring characters is a wide one, as in Japanese.
    """
    text, characters = "", []
    for word in words:
        if text and not (_is_wide(text[-1]) or _is_wide(word[0])):
            text += " "
        characters.append((len(text), len(text) + len(word)))
        text += word
    return text, characters


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def entities_of_tags(tags: Sequence[str], characters: Sequence[tuple[int, int]], place: str) -> tuple[Entity, ...]:
    """Return the entities that the words' tags mark: O, or a prefix of `PREFIXES`, a hyphen and a type.

    A word tagged I that follows no word of its type begins an entity, as in IOB1.

    Raises:
        UserError: a tag of another form; the message begins with `place`.
    """
    entities: list[Entity] = []
    last = ""  # type of the entity that the next word may continue
    for tag, (low, high) in zip(tags, characters, strict=True):
        prefix, hyphen, name = tag.partition("-")
        if tag == "O":
            last = ""
            continue
        if prefix not in PREFIXES or not hyphen or not name.strip():
            raise UserError(f"{place}: tag {tag!r}: unknown; expected O, or {', '.join(PREFIXES)}, a hyphen and a type")
        begins, ends = PREFIXES[prefix]
        start = low if begins or name != last else entities.pop().start
        entities.append(Entity(start, high, name))
        last = "" if ends else name
    return tuple(entities)
