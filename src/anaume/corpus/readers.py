"""Source → Documents: from files (a path, folder or glob), a streamed Hub data set or the built-in corpus.

A source is read in *parts* that can be tokenised in parallel: one part per file, or per piece of a large file; the
`.txt` files that are a document each form one part together. Unreadable lines are skipped, counted and logged. Reading
stops with an error if their share in a part exceeds `Source.bad_lines`.
"""

import hashlib
import logging
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, TypeGuard

import pydantic

from anaume.corpus import formats, listing, storage
from anaume.corpus.document import Document, Unreadable
from anaume.corpus.listing import kind_of
from anaume.corpus.source import Source
from anaume.corpus.storage import File, reason
from anaume.errors import UserError
from anaume.files.names import shortened

BAD_LINES_SHOWN = 5  # unreadable lines of a part that are logged; the others are only counted

_EXAMPLE = '{path = "data/*.jsonl", text_field = "content"}'
_NAME_BYTES = 160  # of a file's name in the name of its part; a kanji has three bytes, an emoji four
_MIN_LINES_TO_JUDGE = 1000  # With fewer lines, one bad line at the start of a good file would stop the job.

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """The unit of reading: files of a source that are read in sequence. `files` is empty for hub and builtin.

    `name` identifies the part within its source, and does not change if the folder is moved or gains files.
    """

    source: Source
    name: str
    files: tuple[File, ...] = ()

    @property
    def bytes(self) -> int:
        """Bytes of all files on disk, before decompression."""
        return sum(file.end - file.begin for file in self.files)


@dataclass
class Reading:
    """Counts of a part read so far, for the progress bar and the summary.

    `lines`            lines, rows or `.txt` files, readable or not
    `bad_lines`        unreadable lines; `first_bad` describes the first `BAD_LINES_SHOWN` of them
    `empty_documents`  documents without a visible character; they are left out
    `bytes`            bytes of the part's files read so far, before decompression
    """

    lines: int = 0
    bad_lines: int = 0
    first_bad: list[str] = field(default_factory=list)
    empty_documents: int = 0
    bytes: int = 0


def parse_source(text: str, **options: Any) -> Source:
    """Parse a source of the command line.

    It is a path or glob, `hub:NAME[:SUBSET[:SPLIT]]`, `builtin:hakoniwa[:SPLIT]`, or the table that a recipe would
    hold, as an inline table of TOML: `{path = "data", text_field = "content"}`. `options` are other keys of `Source`.

    Raises:
        UserError: `text` is empty or is not of one of these forms, or a key has a value that is not accepted.
    """
    try:
        return Source.model_validate(options | (_inline_table(text) if text.startswith("{") else _origin(text)))
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        key = "".join(f"{part}: " for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = f"unknown key; expected {', '.join(Source.model_fields)}"
        raise UserError(f"corpus {text}: {key}{message}") from None


def _inline_table(text: str) -> dict[str, Any]:
    try:
        table: dict[str, Any] = tomllib.loads(f"source = {text}")["source"]
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"corpus {text}: not a table of TOML ({error}); expected {_EXAMPLE}") from error
    return table


def _origin(text: str) -> dict[str, str]:
    kind, *fields = text.split(":")
    match kind, fields:
        case "hub", [name] | [name, _] | [name, _, _] if name:
            subset, split = [*fields[1:], "", ""][:2]
            return {"hub": name, "subset": subset, "split": split or "train"}
        case "builtin", ["hakoniwa"] | ["hakoniwa", _]:
            return {"builtin": "hakoniwa", "split": [*fields, "train"][1]}
        case ["hub" | "builtin" | "", _]:
            raise UserError(
                f"corpus {text!r}: not a source; expected {listing.EXPECTED} files, "
                f"hub:NAME[:SUBSET[:SPLIT]], builtin:hakoniwa[:SPLIT] or a table such as {_EXAMPLE}"
            )
    return {"path": text}


def parts(source: Source) -> list[Part]:
    """Return the parts of a source in reading order.

    A source with `skip_documents` or `max_documents` has one part, because documents are counted through all its files.
    A source of tokens has no parts.

    Raises:
        UserError: The glob matches no file, or a file with an unknown extension.
    """
    if source.tokens:
        return []
    if source.hub:
        return [Part(source, re.sub(r"[^\w.-]+", "--", source.hub))]
    if source.builtin:
        return [Part(source, source.builtin)]
    files = listing.list_files(source)
    if source.skip_documents or source.max_documents:
        return [Part(source, f"from-{source.skip_documents}-{source.max_documents or 'all'}", tuple(files))]
    texts = tuple(file for file in files if listing.is_one_document(source, file))
    others = [part for file in files if file not in texts for part in _parts_of_file(source, file)]
    return [*others, Part(source, "texts", texts)] if texts else others


def check_source(source: Source) -> None:
    """Check, before long work, that a local path names files and that the Hub has a data set; nothing is read.

    Raises:
        UserError: see `parts`; the Hub lacks the data set, or can't be reached.
    """
    if source.path and "://" not in source.path:
        listing.list_files(source)
    elif source.hub:
        formats.check_hub(source)


def _parts_of_file(source: Source, file: File) -> list[Part]:
    """Return the file's parts. A hash of its path is in their names, because two folders may hold files of one name."""
    base = shortened(re.sub(r"[][*?]", "-", storage.printable(file.base)[:80]), _NAME_BYTES)
    name = f"{base}-{hashlib.sha256(file.below.encode(errors='surrogateescape')).hexdigest()[:8]}"
    pieces = storage.pieces(file) if listing.is_splittable(source, file) else [file]
    if len(pieces) == 1:
        return [Part(source, name, (file,))]
    return [Part(source, f"{name}-{number:05}", (piece,)) for number, piece in enumerate(pieces)]


def documents(source: Source) -> Iterator[Document]:
    """Yield the documents of a source, by file name. The `.txt` files, one document each, come last.

    Raises:
        UserError: The source holds tokens or no document, or `parts` or `read` refuses it.
    """
    if source.tokens:
        raise UserError(f"corpus {source}: holds tokens, not text; expected path, hub or builtin")
    is_empty = True
    for part in parts(source):
        for document in read(part, Reading()):
            is_empty = False
            yield document
    if is_empty:
        raise no_document_error(source)


def no_document_error(source: Source) -> UserError:
    """Return the error for a source that has no document with text."""
    return UserError(f"corpus {source}: no document found; expected at least one whose text is not empty")


def read(part: Part, reading: Reading) -> Iterator[Document]:
    """Yield the documents of a part and update the counts in `reading`.

    Raises:
        UserError: A file is gone, unreachable, cut off, damaged or without a text column, or the share of unreadable
            lines exceeds `Source.bad_lines`.
    """
    first, count = part.source.skip_documents, part.source.max_documents
    readable = _readable_documents(_rows(part, reading), part, reading)
    for document in islice(readable, first, first + count if count else None):
        if part.source.draws(document.text):
            yield document
    _check_share_of_bad_lines(part, reading)
    if reading.bad_lines > BAD_LINES_SHOWN:
        _log.warning("%s: skipped %d unreadable lines of %d", _place(part), reading.bad_lines, reading.lines)


def _rows(part: Part, reading: Reading) -> Iterator[Document | Unreadable]:
    source = part.source
    if source.builtin:
        from anaume.corpus.hakoniwa.stream import documents as hakoniwa

        if not _is_builtin_split(source.split):
            raise UserError(f"corpus {source}: split {source.split!r}; expected train or validation")
        yield from hakoniwa(source.split, source.megabytes, source.seed)
    elif source.hub:
        yield from formats.read_hub(source)
    for file in part.files:
        bytes_before = reading.bytes

        def report_position(position: int, bytes_before: int = bytes_before) -> None:
            reading.bytes = bytes_before + position

        try:
            yield from _reader(source, file)(file, source, report_position)
        except FileNotFoundError as error:
            raise UserError(f"{file}: the file is gone since files were listed") from error
        except OSError as error:
            raise UserError(f"{file}: {error.strerror or reason(error)}") from error


def _reader(source: Source, file: File) -> formats.Reader:
    if listing.is_one_document(source, file):
        return formats.read_text
    readers = {".parquet": formats.read_parquet, ".arrow": formats.read_arrow, ".txt": formats.read_text_lines}
    return readers.get(kind_of(file), formats.read_jsonl)


def _is_builtin_split(split: str) -> TypeGuard[Literal["train", "validation"]]:
    return split in ("train", "validation")


def _readable_documents(rows: Iterator[Document | Unreadable], part: Part, reading: Reading) -> Iterator[Document]:
    for row in rows:
        reading.lines += 1
        if isinstance(row, Unreadable):
            reading.bad_lines += 1
            if reading.bad_lines <= BAD_LINES_SHOWN:
                reading.first_bad.append(f"{row.place}: {row.reason}")
                _log.warning("%s: skipped: %s", row.place, row.reason)
            if reading.lines >= _MIN_LINES_TO_JUDGE:
                _check_share_of_bad_lines(part, reading)
        elif not row.text or row.text.isspace():
            reading.empty_documents += 1
        else:
            yield row


def _check_share_of_bad_lines(part: Part, reading: Reading) -> None:
    limit = part.source.bad_lines
    if reading.bad_lines > limit * reading.lines:
        raise UserError(
            f"{_place(part)}: {reading.bad_lines:,} of {reading.lines:,} lines unreadable, the first "
            f"{reading.first_bad[0]}; expected a share of at most {limit:g} (bad_lines)"
        )


def _place(part: Part) -> str:
    return str(part.files[0]) if len(part.files) == 1 else str(part.source)
