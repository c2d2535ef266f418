"""The records behind a table → its caution: a sentence on the data, draws or settings that differ between models.

The rule: a table with a caution marks no best value. What belongs to a model itself, such as the prefixes that it was
trained with and its positions, does not count. Each section says which aspects of its task must agree.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from anaume.evals.record import Record
from anaume.formats import join_words, number
from anaume.report.inputs import EvaluatedModel

SHOWN = 8  # digits of a checksum, and models in a list


class AspectValue(NamedTuple):
    """A record's value of an aspect: `identity` must agree, and `words` name it in a caution (empty for a checksum)."""

    identity: str
    words: str = ""


@dataclass(frozen=True)
class Aspect:
    """Something that must agree between records. `read` gives None for a record that doesn't mention it.

    `silence` says how such a record counts: as a value like any other ("differs"), not at all ("passes"), or as a
    value that agrees with no other, not even with another silent record ("fails").
    """

    name: str
    read: Callable[[Record], AspectValue | None]
    silence: Literal["differs", "passes", "fails"] = "differs"


@dataclass(frozen=True)
class Comparison:
    """Records of one task that share columns of a table, each with the label of its model, and what must agree."""

    title: str
    records: tuple[tuple[str, Record], ...]
    aspects: tuple[Aspect, ...]


class Difference(NamedTuple):
    """The name of an aspect, and a phrase that gives each of its values with the models that have it."""

    aspect: str
    values: str


def comparison(models: Iterable[EvaluatedModel], task: str, aspects: Sequence[Aspect]) -> Comparison:
    """The comparison of all the models that have a record of the task."""
    records = tuple((model.label, model.records[task]) for model in models if task in model.records)
    return Comparison(task, records, tuple(aspects))


def caution(comparisons: Sequence[Comparison]) -> str:
    """The caution of a table that shows these comparisons; empty if all records agree."""
    titles_of: dict[Difference, list[str]] = {}
    for compared in comparisons:
        for difference in _differences(compared):
            titles_of.setdefault(difference, []).append(compared.title)
    sentences = [
        f"{aspect}{'' if len(titles) == len(comparisons) else f' of {join_words(titles)}'}: {values}."
        for (aspect, values), titles in titles_of.items()
    ]
    if mixed := _of_several_revisions(comparisons):
        sentences.append(f"Weights: not the same in all columns for {_listed(mixed)}.")
    return " ".join(["Not measured alike, so no value is marked as best.", *sentences]) if sentences else ""


def _differences(compared: Comparison) -> list[Difference]:
    differences = []
    for aspect in compared.aspects:
        groups: dict[AspectValue | None, list[str]] = {}
        first: dict[str, AspectValue] = {}  # equal identities may have different words: the first record's are shown
        for label, record in compared.records:
            value = aspect.read(record)
            if value is not None or aspect.silence != "passes":
                groups.setdefault(value and first.setdefault(value.identity, value), []).append(label)
        silent = aspect.silence == "fails" and None in groups and len(compared.records) > 1
        if len(groups) > 1 or silent:
            differences.append(Difference(aspect.name, _values(groups)))
    return differences


def _values(groups: dict[AspectValue | None, list[str]]) -> str:
    """A phrase with each value and the models that have it; the largest group comes last, as "all others"."""
    if list(groups) == [None]:
        return "not recorded"
    own = [labels[0] for value, labels in groups.items() if value and not value.words and len(labels) == 1]
    shared = {value: labels for value, labels in groups.items() if labels[0] not in own}
    if not shared:
        return "no two models have the same set"
    largest = max(shared.values(), key=len)
    rest = len(largest) > 1
    phrases = [f"own sets for {_listed(own)}"] if own else []
    for value, labels in sorted(shared.items(), key=lambda group: group[1] is largest and rest):
        words = (value.words or "one set") if value else "not recorded"
        phrases.append(f"{words} for {'all others' if labels is largest and rest else _listed(labels)}")
    return "; ".join(phrases)


def _listed(labels: Sequence[str]) -> str:
    more = len(labels) - SHOWN
    return join_words([*labels[:SHOWN], f"{more} more"] if more > 0 else labels)


def _of_several_revisions(comparisons: Iterable[Comparison]) -> list[str]:
    """The models whose records name more than one revision of the weights."""
    revisions: dict[str, set[str]] = {}
    for label, record in (record for compared in comparisons for record in compared.records):
        if revision := record.settings.get("revision"):
            revisions.setdefault(label, set()).add(str(revision))
    return [label for label, names in revisions.items() if len(names) > 1]


def content(name: str, checksum: str) -> Callable[[Record], AspectValue | None]:
    """A function that reads from a record which file it used, by checksum, or by name if the checksum is missing."""

    def read(record: Record) -> AspectValue | None:
        file, digest = (str(record.settings.get(key) or "") for key in (name, checksum))
        if not digest:
            return AspectValue(file, f"{file} (no checksum)") if file else None
        return AspectValue(digest, f"{file} (SHA-256 {digest[:SHOWN]})".strip())

    return read


def setting(key: str) -> Callable[[Record], AspectValue | None]:
    """A function that reads the setting `key` of a record."""

    def read(record: Record) -> AspectValue | None:
        value = record.settings.get(key)
        words = number(value) if isinstance(value, int | float) else str(value)
        return None if value is None else AspectValue(words, words)

    return read


DATA = Aspect("Data", content("data", "sha256"))
TEXTS = Aspect("Texts", content("texts", "texts_sha256"))
SEED = Aspect("Seed", lambda record: AspectValue(str(record.seed), str(record.seed)))
# Lexical baselines have no precision, and records of the first version did not mention it.
PRECISION = Aspect("Precision", setting("precision"), silence="passes")
