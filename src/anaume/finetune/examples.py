"""Labelled examples of any task, and the head that a task needs."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

# What is predicted: a number, one of several classes, one of several choices, or a span of the context.
Kind = Literal["similarity", "classes", "choice", "span"]


class Answer(NamedTuple):
    """A part of a context: its text, and the character at which it begins."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled example.

    `texts`    one sentence; two sentences; a question and its choices; or a question and its context
    `label`    the similarity, or the number of the class or choice; 0 for a span
    `answers`  for a span, every accepted answer
    `group`    examples of one group must stay together when a part is held out; may be empty
    """

    texts: tuple[str, ...]
    label: float = 0.0
    answers: tuple[Answer, ...] = ()
    group: str = ""


@dataclass(frozen=True)
class Head:
    """The head that a task needs: the kind of prediction, and for "classes" the number of classes.

    `task` is its name in error messages.
    """

    task: str
    kind: Kind
    classes: int = 0

    @property
    def outputs(self) -> int:
        """Width of the head's output layer."""
        return {"similarity": 1, "classes": self.classes, "choice": 1, "span": 2}[self.kind]
