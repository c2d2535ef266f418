"""A labelled data set on the Hub → a file of JSON lines that the readers of labelled data take.

The rule: numbers of classes become their names, so that a model says "positive" and not "1".
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from anaume.corpus.formats import check_hub
from anaume.corpus.readers import parse_source
from anaume.errors import UserError

PREFIX = "hub:"


def check_data(data: str) -> None:
    """Check that there is a file of rows, a file or folder of entities, or a data set of the Hub; nothing is read.

    Raises:
        UserError: there is nothing.
    """
    if data.startswith(PREFIX):
        check_hub(parse_source(data))
    elif not Path(data).exists():
        raise UserError(f"{data}: no such file; expected CSV or JSON lines")


@contextmanager
def local_file(data: str | Path) -> Iterator[Path]:
    """Give the file of `data`; the rows of `hub:NAME[:SUBSET[:SPLIT]]` are in a temporary file within the block.

    `check_data` has asked the Hub whether it has the data set, which is not asked again.

    Raises:
        UserError: the Hub lacks the data set, subset or split, or can't be reached.
    """
    if not str(data).startswith(PREFIX):
        yield Path(data)
        return
    source = parse_source(str(data))
    from datasets import load_dataset

    try:
        rows = load_dataset(source.hub, source.subset or None, split=source.split)
    except Exception as error:  # the network and the Hub's many formats share no class of errors
        raise UserError(f"{data}: {(str(error).splitlines() or [type(error).__name__])[0]}") from error
    names = {column: _names(feature) for column, feature in rows.features.items()}
    with TemporaryDirectory(prefix="anaume-hub-") as folder:
        file = Path(folder, f"{source.hub.replace('/', '--')}.jsonl")
        with file.open("w", encoding="utf-8") as stream:
            for row in rows:
                named = {column: _named(value, names[column]) for column, value in row.items()}
                stream.write(json.dumps(named, default=str) + "\n")
        yield file


def _names(feature: Any) -> list[str] | None:
    """The names of a column of class numbers or of lists of them; None for other columns."""
    names: list[str] | None = getattr(getattr(feature, "feature", feature), "names", None)
    return names


def _named(value: Any, names: list[str] | None) -> Any:
    """The value with names for numbers. A number without a name, such as -1 for an absent label, becomes None."""
    if names is None or value is None:
        return value
    if isinstance(value, list):
        return [_named(number, names) for number in value]
    return names[value] if 0 <= value < len(names) else None
