"""Almanacs: the opening answers every back reference, and nothing else does."""

import itertools
from collections import Counter
from random import Random

import pytest

from anaume.corpus.hakoniwa.almanac import FAMILIES, KEYS, Almanac, Assignment, almanac, frame
from anaume.corpus.hakoniwa.deck import Split, deck
from anaume.corpus.hakoniwa.patterns import REGISTERS
from anaume.corpus.hakoniwa.topics import topics

WINDOW = 400  # characters on either side that must not give a value away


def made(split: Split, number: int) -> Almanac:
    register = REGISTERS[number % 2]
    return almanac(deck(split, register), Random(number), split, register)


@pytest.fixture(scope="module")
def almanacs() -> list[Almanac]:
    return [made("train", number) for number in range(60)]


def mentions(text: str, assignment: Assignment, templates: tuple[str, ...]) -> list[int]:
    """Where the assignment is said in the words of one of the templates."""
    found = set()
    for template in templates:
        said, at = assignment.say(template), -1
        while (at := text.find(said, at + 1)) >= 0:
            found.add(text.index(assignment.value, at))
    return sorted(found)


def test_the_opening_says_every_assignment_once(almanacs: list[Almanac]) -> None:
    for one in almanacs:
        assert len(one.assignments) == FAMILIES * KEYS
        opening = "".join(one.text.splitlines()[:2])
        for assignment in one.assignments:
            assert len(mentions(opening, assignment, assignment.family.introduce)) == 1
            assert one.text.count(assignment.say(assignment.family.introduce[0])) <= 1


def test_the_second_half_needs_every_assignment_again_and_again(almanacs: list[Almanac]) -> None:
    for one in almanacs:
        half = len(one.text) // 3
        for assignment in one.assignments:
            assert len(mentions(one.text[half:], assignment, assignment.family.recall)) >= 2


def test_a_value_is_out_of_sight_wherever_it_is_needed(almanacs: list[Almanac]) -> None:
    for one in almanacs:
        second_half = one.text[one.text.index("\n", len(one.text) // 4) :]
        for assignment in one.assignments:
            places = mentions(second_half, assignment, assignment.family.recall)
            assert len(places) == second_half.count(assignment.value), "the value is said elsewhere too"
            assert all(later - earlier > WINDOW for earlier, later in itertools.pairwise(places))


def test_without_the_opening_a_value_cannot_be_guessed(almanacs: list[Almanac]) -> None:
    """The best guess from all other almanacs, the value most often given to this key, is as good as any."""
    given: dict[str, list[str]] = {}
    for one in almanacs:
        for assignment in one.assignments:
            given.setdefault(assignment.card.title, []).append(assignment.value)
    hits = total = 0
    for values in given.values():
        for held_out, value in enumerate(values):
            others = Counter(values[:held_out] + values[held_out + 1 :])
            hits += bool(others) and others.most_common(1)[0][0] == value
            total += 1
    assert total == len(almanacs) * FAMILIES * KEYS
    assert hits / total < 0.1


def test_no_key_and_no_value_is_assigned_twice(almanacs: list[Almanac]) -> None:
    for one in almanacs:
        assert len({assignment.card.title for assignment in one.assignments}) == FAMILIES * KEYS
        assert len({assignment.value for assignment in one.assignments}) == FAMILIES * KEYS


def test_values_are_words_of_their_own() -> None:
    """A value inside another one would make `a value is out of sight` untrue."""
    values = [value for family in frame("plain").families for value in family.values]
    assert len(set(values)) == len(values)
    facts = {value for about in topics() for row in about.rows for value in row.values()}
    assert not [(a, b) for a in values for b in [*values, *facts] if a is not b and a in b]


def test_validation_recalls_in_words_that_training_never_uses() -> None:
    held_out = [template for family in frame("plain").families for template in family.held_out]
    marks = [template.split("{値}")[1] for template in held_out]
    assert not any(mark in made("train", number).text for number in range(0, 20, 2) for mark in marks)
    assert any(mark in made("validation", 0).text for mark in marks)
