"""Lines of fields between tabs, such as topics and judgements of retrieval sets: file → fields with their places."""

from collections.abc import Iterator
from pathlib import Path

from anaume.corpus import storage
from anaume.corpus.document import Unreadable
from anaume.corpus.lines import read_lines
from anaume.errors import UserError


def read_fields(path: Path, columns: int) -> Iterator[tuple[str, list[str]]]:
    """Yield ("FILE:LINE", fields) for each line that is not blank.

    Raises:
        UserError: another number of fields, or not UTF-8.
    """
    for line in read_lines(storage.local_file(path)):
        if isinstance(line, Unreadable):
            raise UserError(f"{line.place}: {line.reason}; expected {columns} fields between tabs")
        fields = line.text.rstrip("\r\n").split("\t")
        if len(fields) != columns:
            raise UserError(f"{line.place}: {len(fields)} fields between tabs; expected {columns}")
        yield line.place, fields
