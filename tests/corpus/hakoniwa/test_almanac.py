"""Almanacs: the opening answers every question of the second half, and nothing else does."""

import itertools
from collections import Counter
from random import Random

import pytest

from anaume.corpus.hakoniwa.almanac import FAMILIES, KEYS, Almanac, Assignment, almanac, frame
from anaume.corpus.hakoniwa.deck import Split, deck
from anaume.corpus.hakoniwa.patterns import REGISTERS
from anaume.corpus.hakoniwa.topics import topics

WINDOW = 400  # characters on either side of a mention in which its value must not occur


def make_almanac(split: Split, number: int) -> Almanac:
    register = REGISTERS[number % 2]
    return almanac(deck(split, register), Random(number), split, register)


@pytest.fixture(scope="module")
def almanacs() -> list[Almanac]:
    return [make_almanac("train", number) for number in range(60)]


def mentions(text: str, assignment: Assignment, templates: tuple[str, ...]) -> list[int]:
    """Positions of the assignment's value where the text states it in one of the templates."""
    positions = set()
    for template in templates:
        sentence, at = assignment.fill(template), -1
        while (at := text.find(sentence, at + 1)) >= 0:
            positions.add(text.index(assignment.value, at))
    return sorted(positions)


def test_the_opening_states_every_assignment_once(almanacs: list[Almanac]) -> None:
    for document in almanacs:
        assert len(document.assignments) == FAMILIES * KEYS
        opening = "".join(document.text.splitlines()[:2])
        for assignment in document.assignments:
            assert len(mentions(opening, assignment, assignment.family.introduce)) == 1
            assert document.text.count(assignment.fill(assignment.family.introduce[0])) <= 1


def test_the_second_half_needs_every_assignment_again_and_again(almanacs: list[Almanac]) -> None:
    for document in almanacs:
        half = len(document.text) // 3
        for assignment in document.assignments:
            assert len(mentions(document.text[half:], assignment, assignment.family.recall)) >= 2


def test_a_value_is_out_of_sight_wherever_it_is_needed(almanacs: list[Almanac]) -> None:
    for document in almanacs:
        second_half = document.text[document.text.index("\n", len(document.text) // 4) :]
        for assignment in document.assignments:
            places = mentions(second_half, assignment, assignment.family.recall)
            assert len(places) == second_half.count(assignment.value), "the value occurs elsewhere too"
            assert all(later - earlier > WINDOW for earlier, later in itertools.pairwise(places))


def test_without_the_opening_a_value_cannot_be_guessed(almanacs: list[Almanac]) -> None:
    """Even the best guess from all other almanacs, the most frequent value of the key, is mostly wrong."""
    values_of_key: dict[str, list[str]] = {}
    for document in almanacs:
        for assignment in document.assignments:
            values_of_key.setdefault(assignment.card.title, []).append(assignment.value)
    hits = total = 0
    for values in values_of_key.values():
        for held_out, value in enumerate(values):
            others = Counter(values[:held_out] + values[held_out + 1 :])
            hits += bool(others) and others.most_common(1)[0][0] == value
            total += 1
    assert total == len(almanacs) * FAMILIES * KEYS
    assert hits / total < 0.1


def test_no_key_and_no_value_is_assigned_twice(almanacs: list[Almanac]) -> None:
    for document in almanacs:
        assert len({assignment.card.title for assignment in document.assignments}) == FAMILIES * KEYS
        assert len({assignment.value for assignment in document.assignments}) == FAMILIES * KEYS


def test_values_are_words_of_their_own() -> None:
    """The test that a value is out of sight needs values that don't occur inside others or inside facts."""
    values = [value for family in frame("plain").families for value in family.values]
    assert len(set(values)) == len(values)
    facts = {value for topic in topics() for row in topic.rows for value in row.values()}
    assert not [(a, b) for a in values for b in [*values, *facts] if a is not b and a in b]


def test_validation_recalls_in_words_that_training_never_uses() -> None:
    held_out = [template for family in frame("plain").families for template in family.held_out]
    endings = [template.split("{値}")[1] for template in held_out]
    assert not any(ending in make_almanac("train", number).text for number in range(0, 20, 2) for ending in endings)
    assert any(ending in make_almanac("validation", 0).text for ending in endings)
