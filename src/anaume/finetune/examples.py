"""Labelled examples of any task, and the head that a task needs."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

# What is predicted: a number, one of several classes, any number of labels, one of several choices, a span of the
# context, or a class for each token.
Kind = Literal["similarity", "classes", "labels", "choice", "span", "tokens"]
# Kinds whose logits belong to the tokens of a row, not to the row.
PER_TOKEN = ("span", "tokens")


class Answer(NamedTuple):
    """A part of a context: its text, and the character at which it begins."""

    text: str
    start: int


class Entity(NamedTuple):
    """A named part of a text: its characters [start, end), and its type."""

    start: int
    end: int
    type: str


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled example.

    `texts`     one sentence; two sentences; a question and its choices; or a question and its context
    `label`     the similarity, or the number of the class or choice; otherwise 0
    `answers`   for a span, every accepted answer
    `group`     examples of one group must stay together when a part is held out; may be empty
    `entities`  for tokens, the entities of the text, in their order and without overlaps
    `labels`    for labels, the numbers of those that apply
    """

    texts: tuple[str, ...]
    label: float = 0.0
    answers: tuple[Answer, ...] = ()
    group: str = ""
    entities: tuple[Entity, ...] = ()
    labels: tuple[int, ...] = ()


@dataclass(frozen=True)
class Head:
    """The head that a task needs: the kind of prediction, and for "classes", "labels" and "tokens" their number.

    `task` is its name in error messages. `names` are the names of the classes that a saved model gives to its user.
    """

    task: str
    kind: Kind
    classes: int = 0
    names: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """Width of the head's output layer."""
        return {"similarity": 1, "choice": 1, "span": 2}.get(self.kind, self.classes)
