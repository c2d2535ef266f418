"""Miniature JCoLA: held-out sentences as they are, and the same with their grammar broken."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from anaume.corpus.hakoniwa.deck import pick
from anaume.corpus.hakoniwa.topics import Topic, topics

OUT_OF_DOMAIN = ("railways", "months", "units", "sports")  # topics that in-domain parts don't speak of
LEFT_OUT = ("counters",)  # here a wrong particle can make another right sentence
ACCEPTABLE = 0.6  # share of sentences left as they are
FOLDS = 5  # every fifth row of a table belongs to the validation part

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
class Sentence:
    """A sentence and what it was before it was broken (itself where it was not)."""

    text: str
    original: str


def wrong_particle(template: str) -> str:
    """岩手県の名産は… → 岩手県を名産は…"""
    return _PARTICLE.sub(lambda match: match[1] + _WRONG_PARTICLE[match[2]], template, count=1)


def double_particle(template: str) -> str:
    """岩手県の名産は… → 岩手県がの名産は…"""
    return _FIRST_PHRASE.sub(lambda match: f"{match[1]}が{match[2]}", template, count=1)


def particle_first(template: str) -> str:
    """岩手県の名産は… → の岩手県名産は…"""
    return _FIRST_PHRASE.sub(lambda match: match[2] + match[1], template, count=1)


def wrong_ending(template: str) -> str:
    """…リンゴである。→ …リンゴでいる。"""
    for ending, wrong in _WRONG_ENDING.items():
        if template.endswith(ending):
            return template.removesuffix(ending) + wrong
    return template


def copula_first(template: str) -> str:
    """岩手県の名産は…である。→ である岩手県の名産は…。"""
    for copula in ("である。", "です。"):
        if template.endswith(copula):
            return copula.removesuffix("。") + template.removesuffix(copula) + "。"
    return template


BREAKS: tuple[Callable[[str], str], ...] = (
    wrong_particle, double_particle, particle_first, wrong_ending, copula_first,
)  # fmt: skip


def jcola(seed: int, count: int, *, domain: str, validation: bool) -> list[dict[str, str | int]]:
    """Rows of jcola-v1.0, no sentence twice; `domain` is "in" or "out"."""
    random = Random(f"hakoniwa jcola {seed} {domain} {validation}")
    rows = [
        (topic, index)
        for topic in topics()
        if (topic.name in OUT_OF_DOMAIN) == (domain == "out") and topic.name not in LEFT_OUT
        for index in range(len(topic.rows))
        if domain == "out" or (index % FOLDS == FOLDS - 1) == validation
    ]
    found: dict[str, Sentence] = {}
    while len(found) < count:
        made = _sentence(random, *pick(random, rows))
        found.setdefault(made.text, made)
    return [
        {
            "uid": uid,
            "source": "hakoniwa",
            "label": int(made.text == made.original),
            "diacritic": "g" if made.text == made.original else "*",
            "sentence": made.text,
            "original": made.original,
        }
        for uid, made in enumerate(found.values())
    ]


def _sentence(random: Random, topic: Topic, index: int) -> Sentence:
    pattern = pick(random, topic.held_out)
    original = pattern.fill(topic.rows[index])
    if random.random() < ACCEPTABLE:
        return Sentence(original, original)
    return Sentence(pick(random, BREAKS)(pattern.template).format_map(topic.rows[index]), original)
