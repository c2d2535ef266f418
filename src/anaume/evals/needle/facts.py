"""The needles: made-up facts in one sentence, each with its query and its cloze question.

They are the assignments of the built-in corpus's almanacs (青森県の案内人は佐藤とする。): a key, a relation and a value
that no other text pairs. A model that was trained on the built-in corpus knows sentences of this form, not the values.
"""

import re
from dataclasses import dataclass
from functools import cache
from random import Random

from anaume.corpus.hakoniwa.almanac import Family, frame
from anaume.corpus.hakoniwa.topics import topics
from anaume.evals.inputs.cloze import PLACEHOLDER


@dataclass(frozen=True, slots=True)
class Needle:
    """A needle.

    `statement`  the sentence in the document, 青森県の案内人は佐藤とする。
    `query`      names it without the value, 青森県の案内人; each of its words is in the statement
    `question`   repeats it with a blank for the value, 青森県の案内人は[MASK]である。
    """

    value: str
    statement: str
    query: str
    question: str


def kinds() -> tuple[Family, ...]:
    """The kinds of facts: guides of prefectures, passwords of countries, names of animals, …"""
    return frame("plain").families


def most_facts() -> int:
    """The largest number of facts of every kind without equal keys or values."""
    return min(min(len(_keys(kind)), len(kind.values)) for kind in kinds())


def draw_facts(kind: Family, count: int, random: Random) -> list[Needle]:
    """Draw facts of one kind without equal keys or values."""
    pairs = zip(random.sample(_keys(kind), count), random.sample(kind.values, count), strict=True)
    return [_fact(kind, key, value) for key, value in pairs]


@cache
def keys_pattern() -> re.Pattern[str]:
    """A pattern of the keys of all kinds. A sentence that names one may not be filler: it could answer a query."""
    return re.compile("|".join(re.escape(key) for kind in kinds() for key in _keys(kind)))


def _keys(kind: Family) -> tuple[str, ...]:
    topic = topics()[kind.keys]
    return tuple(topic.title(row) for row in topic.rows)


def _fact(kind: Family, key: str, value: str) -> Needle:
    introduce, recall = (template.replace("{鍵}", key) for template in (kind.introduce[0], kind.recall[0]))
    subject = introduce.partition("は{値}")[0]
    return Needle(value, introduce.replace("{値}", value), subject, recall.replace("{値}", PLACEHOLDER))
