"""Sentence patterns: the notation of `patterns/README.md` → templates for `str.format_map`.

One source line becomes several templates, one for each register and each choice of words, in which `{slots}` are all
that is left of the notation.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

Register = Literal["plain", "polite"]
REGISTERS: tuple[Register, Register] = ("plain", "polite")

_ENDINGS = re.compile(r"\[([^|\]]*)\|([^\]]*)\]")
_CHOICE = re.compile(r"\(([^()]*/[^()]*)\)")
_MASKED = re.compile(r"\{\?([^}]*)\}")
_SLOT = re.compile(r"\{\??([^*}]*)\*?[^}]*\}")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A sentence `template` with `{slots}`, in one register.

    `masked` is the column that a cloze question masks, empty if there is none.
    """

    template: str
    slots: frozenset[str]
    register: Register
    masked: str = ""

    def fill(self, row: Mapping[str, str]) -> str:
        """The sentence about `row`; the row must have a value for every slot."""
        return self.template.format_map(row)


def expand(source: str) -> list[Pattern]:
    """All patterns of one source line (registers × choices), without duplicates."""
    masked = "".join(_MASKED.findall(source))
    patterns: dict[str, Pattern] = {}
    for side, register in enumerate(REGISTERS, start=1):
        text = _ENDINGS.sub(lambda match, side=side: match[side], source)  # type: ignore[misc]
        for choice in _choices(text):
            template = choice.replace("{?", "{")
            patterns.setdefault(template, Pattern(template, frozenset(_SLOT.findall(template)), register, masked))
    return list(patterns.values())


def expand_all(sources: Iterable[str]) -> tuple[Pattern, ...]:
    """All patterns of several source lines, in order."""
    return tuple(pattern for source in sources for pattern in expand(source))


def _choices(text: str) -> list[str]:
    """`a(b/c)d` → `abd`, `acd`; several choices give every combination."""
    parts = _CHOICE.split(text)
    options = [part.split("/") if index % 2 else [part] for index, part in enumerate(parts)]
    return ["".join(combination) for combination in product(*options)]
