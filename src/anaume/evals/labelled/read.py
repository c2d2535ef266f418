"""Rows with a text or two and a label, as CSV or JSON lines → examples, and the head that they need.

The kind of task is inferred from the labels: lists of names (any number of labels), numbers with a decimal point
(regression), anything else (one of several classes). The rule: every row is used, or the first bad one is named.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anaume.corpus.rows import read_rows, require_unicode, text_of
from anaume.errors import UserError
from anaume.finetune.examples import Example, Head

# Columns that are looked for where the user names none.
TEXTS = (("sentence1", "sentence2"), ("text",), ("sentence",))
LABELS = ("label", "labels", "score")

Rows = list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Labelled:
    """Labelled examples, and the head that a model of them needs."""

    head: Head
    examples: tuple[Example, ...]


def read_labelled(path: Path, texts: Sequence[str] = (), label: str = "") -> Labelled:
    """Read a file. `texts` names one or two columns of text, and `label` that of the label; empty: the usual names.

    Raises:
        UserError: names file and line of a missing column, an empty text, a label of another type than the others, or
            says that all labels are equal.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; expected CSV or JSON lines")
    rows = list(_csv_rows(path) if path.suffix == ".csv" else read_rows(path))
    names = list(rows[0][1])
    columns = tuple(texts) or next((c for c in TEXTS if {*c} <= {*names}), ())
    label = label or next((name for name in LABELS if name in names), "")
    for option, wanted in (("--text", columns), ("--label", (label,) if label else ())):
        if not wanted or (absent := [name for name in wanted if name not in names]):
            value = f" {absent[0]!r}" if wanted else ""
            raise UserError(f"{rows[0][0]}: {option}{value}: no such column; expected one of {', '.join(names)}")
    values = [(place, _value(row, label, place, text=path.suffix == ".csv")) for place, row in rows]
    parts = [tuple(text_of(row, column, place) for column in columns) for place, row in rows]
    head, targets = _head(values, str(path), label)
    return Labelled(head, tuple(Example(t, **target) for t, target in zip(parts, targets, strict=True)))


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read CSV as in RFC 4180, in UTF-8 with or without a byte order mark; the first line names the columns."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            count = 0
            for row in reader:
                place = f"{path}:{reader.line_num}"
                if None in row or None in row.values():
                    raise UserError(f"{place}: another number of columns; expected {len(reader.fieldnames or ())}")
                yield place, row
                count += 1
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not CSV in UTF-8 ({error})") from error
    if not count:
        raise UserError(f"{path}: no rows; expected a line of column names and a row in each further line")


def _value(row: dict[str, Any], label: str, place: str, *, text: bool) -> Any:
    """Return a row's label; what is only text becomes a number if it is written as one with a decimal point."""
    value = row.get(label)
    if isinstance(value, str) and not value.strip():
        value = None
    if value is None:
        raise UserError(f"{place}: {label!r} is empty; expected a label")
    for name in value if isinstance(value, list) else [value]:
        if isinstance(name, str):
            require_unicode(name, f"{place}: {label!r}")
    if text and "." in value:
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _head(values: list[tuple[str, Any]], path: str, label: str) -> tuple[Head, list[dict[str, Any]]]:
    """Infer the head from the labels, and return it with the fields of each example that hold its label."""
    if any(isinstance(value, list) for _, value in values):
        return _several_labels(values, path, label)
    if any(isinstance(value, float) for _, value in values):
        return _regression(values, path, label)
    for place, value in values:
        if not isinstance(value, str | int):
            raise UserError(f"{place}: {label!r} is {value!r:.40}; expected a name, a number or a list of names")
    if len({type(value) for _, value in values} - {bool, int}) and any(isinstance(v, int) for _, v in values):
        place = next(place for place, value in values if isinstance(value, int))
        raise UserError(f"{place}: {label!r} is a number, and elsewhere a name; expected one of the two")
    classes = sorted({value for _, value in values})
    if len(classes) < 2:
        raise UserError(f"{path}: {label!r} is {classes[0]!r:.40} in every row; expected two classes or more")
    names = tuple(str(value) for value in classes)
    numbers = {value: float(i) for i, value in enumerate(classes)}
    return Head(path, "classes", len(names), names), [{"label": numbers[value]} for _, value in values]


def _several_labels(values: list[tuple[str, Any]], path: str, label: str) -> tuple[Head, list[dict[str, Any]]]:
    for place, value in values:
        if not isinstance(value, list) or not all(isinstance(name, str) and name.strip() for name in value):
            raise UserError(f"{place}: {label!r} is {value!r:.40}; expected a list of names, as in other rows")
    names = tuple(sorted({name for _, value in values for name in value}))
    if not names:
        raise UserError(f"{path}: {label!r} is an empty list in every row; expected names")
    numbers = {name: i for i, name in enumerate(names)}
    labels = [{"labels": tuple(sorted({numbers[name] for name in value}))} for _, value in values]
    return Head(path, "labels", len(names), names), labels


def _regression(values: list[tuple[str, Any]], path: str, label: str) -> tuple[Head, list[dict[str, Any]]]:
    numbers = []
    for place, value in values:
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):  # an integer of more than 308 digits
            number = math.nan
        if not math.isfinite(number):
            raise UserError(f"{place}: {label!r} is {value!r:.40}; expected a finite number, as in other rows")
        numbers.append(number)
    if len({*numbers}) < 2:
        raise UserError(f"{path}: {label!r} is {numbers[0]:g} in every row; expected different numbers")
    return Head(path, "similarity", 1, (label,)), [{"label": number} for number in numbers]
