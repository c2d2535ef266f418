"""The records behind a table → a sentence on what was not measured alike: data, draws, settings that differ.

The rule: where there is such a sentence, it is the table's caution and nothing is marked as best. What belongs to a
model does not count: the prefixes that it was trained with, its positions.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from anaume.evals.record import Record
from anaume.formats import join_words, number
from anaume.report.sources import Model

SHOWN = 8  # digits of a checksum, and models in a list


class Said(NamedTuple):
    """What a record says of an aspect: what has to be equal, and its words in a caption (none for a mere checksum)."""

    identity: str
    words: str = ""


@dataclass(frozen=True)
class Aspect:
    """Something that must be the same for all. `said` gives None for a record that is silent about it.

    `silence` is a value like any other ("differs"), or passed over ("passes"), or never equal to anything ("fails").
    """

    name: str
    said: Callable[[Record], Said | None]
    silence: Literal["differs", "passes", "fails"] = "differs"


@dataclass(frozen=True)
class Part:
    """Columns that come from one task: its title, the records in them with their models' labels, what must agree."""

    title: str
    records: tuple[tuple[str, Record], ...]
    aspects: tuple[Aspect, ...]


class Difference(NamedTuple):
    """An aspect's name, and who has which value of it."""

    aspect: str
    values: str


def part(models: Iterable[Model], task: str) -> Part:
    """The models' records of a task."""
    records = tuple((model.label, model.records[task]) for model in models if task in model.records)
    return Part(task, records, ASPECTS.get(task, (DATA, TEXTS, PRECISION)))


def note(parts: Sequence[Part]) -> str:
    """The caution of a table with these parts; empty if all was measured alike."""
    found: dict[Difference, list[str]] = {}
    for one in parts:
        for difference in _differences(one):
            found.setdefault(difference, []).append(one.title)
    said = [
        f"{aspect}{'' if len(titles) == len(parts) else f' of {join_words(titles)}'}: {values}."
        for (aspect, values), titles in found.items()
    ]
    if mixed := _of_several_revisions(parts):
        said.append(f"Weights: not the same in all columns for {_named(mixed)}.")
    return " ".join(["Not measured alike, so no value is marked as best.", *said]) if said else ""


def _differences(part: Part) -> list[Difference]:
    found = []
    for aspect in part.aspects:
        groups: dict[Said | None, list[str]] = {}
        first: dict[str, Said] = {}
        for label, record in part.records:
            said = aspect.said(record)
            if said is not None or aspect.silence != "passes":
                groups.setdefault(said and first.setdefault(said.identity, said), []).append(label)
        silent = aspect.silence == "fails" and None in groups and len(part.records) > 1
        if len(groups) > 1 or silent:
            found.append(Difference(aspect.name, _values(groups)))
    return found


def _values(groups: dict[Said | None, list[str]]) -> str:
    """Each value with its models, the largest group last, as all others."""
    if list(groups) == [None]:
        return "not recorded"
    own = [labels[0] for said, labels in groups.items() if said and not said.words and len(labels) == 1]
    shared = {said: labels for said, labels in groups.items() if labels[0] not in own}
    if not shared:
        return "no two models have the same set"
    largest = max(shared.values(), key=len)
    rest = len(largest) > 1
    phrases = [f"own sets for {_named(own)}"] if own else []
    for said, labels in sorted(shared.items(), key=lambda group: group[1] is largest and rest):
        words = (said.words or "one set") if said else "not recorded"
        phrases.append(f"{words} for {'all others' if labels is largest and rest else _named(labels)}")
    return "; ".join(phrases)


def _named(labels: Sequence[str]) -> str:
    more = len(labels) - SHOWN
    return join_words([*labels[:SHOWN], f"{more} more"] if more > 0 else labels)


def _of_several_revisions(parts: Iterable[Part]) -> list[str]:
    """The models whose records are not all of the same weights, as far as they say it."""
    revisions: dict[str, set[str]] = {}
    for label, record in (record for part in parts for record in part.records):
        if revision := record.settings.get("revision"):
            revisions.setdefault(label, set()).add(str(revision))
    return [label for label, found in revisions.items() if len(found) > 1]


def _content(name: str, checksum: str) -> Callable[[Record], Said | None]:
    """Files: the same where the checksum is, whatever they are called; by their name where there is none."""

    def said(record: Record) -> Said | None:
        known, digest = (str(record.settings.get(key) or "") for key in (name, checksum))
        if not digest:
            return Said(known, f"{known} (no checksum)") if known else None
        return Said(digest, f"{known} (SHA-256 {digest[:SHOWN]})".strip())

    return said


def _setting(key: str) -> Callable[[Record], Said | None]:
    def said(record: Record) -> Said | None:
        value = record.settings.get(key)
        words = number(value) if isinstance(value, int | float) else str(value)
        return None if value is None else Said(words, words)

    return said


def _seed(record: Record) -> Said:
    return Said(str(record.seed), str(record.seed))


def _drawn(record: Record) -> Said | None:
    digest = record.settings.get("drawn_sha256")
    return Said(str(digest)) if digest else None


def _files(*, test: bool) -> Callable[[Record], Said | None]:
    """The files of a task of JGLUE by their checksums; those of the test split count for its scores alone."""

    def said(record: Record) -> Said | None:
        files = {name.rpartition("/")[2]: str(digest) for name, digest in record.settings.get("files", {}).items()}
        files = {name: digest for name, digest in files.items() if test or not name.startswith("test")}
        words = ", ".join(f"{name} (SHA-256 {digest[:SHOWN]})" for name, digest in files.items())
        return Said(json.dumps(files, sort_keys=True), words) if files else None

    return said


def _grid(record: Record) -> Said | None:
    rates, epochs = (sorted({*record.settings.get(key, ())}) for key in ("learning_rates", "epochs"))
    words = f"learning rate {'/'.join(map(number, rates))}, epochs {'/'.join(map(number, epochs))}"
    return Said(words, words) if rates else None


DATA = Aspect("Data", _content("data", "sha256"))
TEXTS = Aspect("Texts", _content("texts", "texts_sha256"))
SEED = Aspect("Seed", _seed)
# The lexical baselines have none, and the first records did not say it.
PRECISION = Aspect("Precision", _setting("precision"), silence="passes")
ASPECTS = {
    "validation": (TEXTS, Aspect("Tokens read at most", _setting("tokens")), SEED, PRECISION),
    "fill-mask": (DATA, PRECISION),
    "retrieval": (DATA, Aspect("Texts searched", _setting("corpus")), PRECISION),
    "geometry": (DATA, TEXTS, Aspect("Random pairs", _setting("random_pairs")), SEED, PRECISION),
    "pseudo-perplexity": (
        TEXTS,
        Aspect("Documents in a bin at most", _setting("documents")),
        Aspect("Positions in a document", _setting("positions")),
        SEED,
        Aspect("Documents drawn", _drawn, silence="fails"),
        PRECISION,
    ),
}
# Not the protocol: one that ran both has the same scores as one that ran one, and no table mixes them.
_TRAINED = Aspect("Grid", _grid), SEED, PRECISION
FINE_TUNED = (Aspect("Files", _files(test=False)), *_TRAINED)
FINE_TUNED_TEST = (Aspect("Files", _files(test=True)), *_TRAINED)
