"""Miniature JCoLA: held-out sentences, some of them with their grammar broken."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from anaume.corpus.hakoniwa.deck import pick
from anaume.corpus.hakoniwa.tasks.statements import in_validation
from anaume.corpus.hakoniwa.topics import Topic, topics

OUT_OF_DOMAIN = ("railways", "months", "units", "sports")  # topics of the out-of-domain split only
LEFT_OUT = ("counters",)  # topics in which a sentence with a wrong particle can be right
ACCEPTABLE = 0.6  # share of sentences that are not broken

_WRONG_PARTICLE = {"の": "を", "を": "に", "が": "を", "に": "を", "で": "を"}
_WRONG_ENDING = {
    "である。": "でいる。",
    "です。": "でます。",
    "します。": "すます。",
    "ます。": "まるです。",
    "る。": "りる。",
}
_PARTICLE = re.compile(r"(\}』?)([のがをにで])")
_FIRST_PHRASE = re.compile(r"^(『?\{[^}]*\}』?)([のがをにはで])")


@dataclass(frozen=True, slots=True)
class JudgedSentence:
    """A sentence and its original; a sentence equals its original where it is acceptable."""

    text: str
    original: str


def wrong_particle(template: str) -> str:
    """Replace the first particle after a slot: 岩手県の名産は… → 岩手県を名産は…"""
    return _PARTICLE.sub(lambda match: match[1] + _WRONG_PARTICLE[match[2]], template, count=1)


def double_particle(template: str) -> str:
    """Put が before the first particle: 岩手県の名産は… → 岩手県がの名産は…"""
    return _FIRST_PHRASE.sub(lambda match: f"{match[1]}が{match[2]}", template, count=1)


def particle_first(template: str) -> str:
    """Move the first particle to the front: 岩手県の名産は… → の岩手県名産は…"""
    return _FIRST_PHRASE.sub(lambda match: match[2] + match[1], template, count=1)


def wrong_ending(template: str) -> str:
    """Replace the ending: …リンゴである。→ …リンゴでいる。"""
    for ending, wrong in _WRONG_ENDING.items():
        if template.endswith(ending):
            return template.removesuffix(ending) + wrong
    return template


def copula_first(template: str) -> str:
    """Move the copula to the front: 岩手県の名産は…である。→ である岩手県の名産は…。"""
    for copula in ("である。", "です。"):
        if template.endswith(copula):
            return copula.removesuffix("。") + template.removesuffix(copula) + "。"
    return template


BREAKS: tuple[Callable[[str], str], ...] = (
    wrong_particle, double_particle, particle_first, wrong_ending, copula_first,
)  # fmt: skip


def jcola(seed: int, count: int, *, domain: str, validation: bool) -> list[dict[str, str | int]]:
    """Rows of jcola-v1.0, without duplicate sentences; `domain` is "in" or "out"."""
    random = Random(f"hakoniwa jcola {seed} {domain} {validation}")
    rows = [
        (topic, index)
        for topic in topics()
        if (topic.name in OUT_OF_DOMAIN) == (domain == "out") and topic.name not in LEFT_OUT
        for index in range(len(topic.rows))
        if domain == "out" or in_validation(index) == validation
    ]
    sentences: dict[str, JudgedSentence] = {}
    while len(sentences) < count:
        sentence = _judged_sentence(random, *pick(random, rows))
        sentences.setdefault(sentence.text, sentence)
    return [
        {
            "uid": uid,
            "source": "hakoniwa",
            "label": int(sentence.text == sentence.original),
            "diacritic": "g" if sentence.text == sentence.original else "*",
            "sentence": sentence.text,
            "original": sentence.original,
        }
        for uid, sentence in enumerate(sentences.values())
    ]


def _judged_sentence(random: Random, topic: Topic, index: int) -> JudgedSentence:
    pattern = pick(random, topic.held_out)
    original = pattern.fill(topic.rows[index])
    if random.random() < ACCEPTABLE:
        return JudgedSentence(original, original)
    return JudgedSentence(pick(random, BREAKS)(pattern.template).format_map(topic.rows[index]), original)
