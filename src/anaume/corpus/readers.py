"""Source → Document: files (a glob), a Hub data set streamed, or the built-in corpus.

A source is read in *parts*: a part for each file, or for each piece of a large one (all `.txt` files together are
one), so that parts can be tokenised side by side, and each only once. Unreadable lines are skipped, counted and
logged; where they are more than the share `Source.bad_lines` of a part, reading stops with an error.
"""

import hashlib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import Literal, TypeGuard

from anaume.corpus import formats, storage
from anaume.corpus.document import Document
from anaume.corpus.formats import Record, Unreadable
from anaume.corpus.source import Source
from anaume.corpus.storage import File, reason
from anaume.errors import UserError

EXTENSIONS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet", ".txt")
_IN_PIECES = (".jsonl", ".parquet")

BAD_LINES_SHOWN = 5  # unreadable lines of a part; the others are only counted
_JUDGED_AFTER = 1000  # lines: judged sooner, one bad line at the start of a good file would stop the job

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """The unit of reading: `files` of `source` that are read one after the other (none for hub and builtin).

    `name` tells it from the source's other parts, also after the folder was moved or gained files.
    """

    source: Source
    name: str
    files: tuple[File, ...] = ()

    @property
    def bytes(self) -> int:
        """How many there are to read, compressed where the files are."""
        return sum(file.end - file.begin for file in self.files)


@dataclass
class Reading:
    """What reading a part has met so far, for the progress bar and the summary.

    `lines` counts rows and `.txt` files too; `first_bad` names the first unreadable ones; `empty_documents` are
    readable but hold no visible character; `bytes` of the part's files (compressed where they are) lie behind.
    """

    lines: int = 0
    bad_lines: int = 0
    first_bad: list[str] = field(default_factory=list)
    empty_documents: int = 0
    bytes: int = 0


def parse_source(text: str) -> Source:
    """The source that a command line names.

    A path or glob, `hub:NAME[:SUBSET[:SPLIT]]` or `builtin:hakoniwa[:SPLIT]`.

    Raises:
        UserError: none of these.
    """
    kind, *fields = text.split(":")
    match kind, fields:
        case "hub", [name] | [name, _] | [name, _, _] if name:
            subset, split = [*fields[1:], "", ""][:2]
            return Source.model_validate({"hub": name, "subset": subset, "split": split or "train"})
        case "builtin", ["hakoniwa"] | ["hakoniwa", _]:
            return Source.model_validate({"builtin": "hakoniwa", "split": [*fields, "train"][1]})
        case ["hub" | "builtin" | "", _]:
            raise UserError(
                f"corpus {text!r}: accepted are a path or glob of {', '.join(EXTENSIONS)} files, "
                "hub:NAME[:SUBSET[:SPLIT]] and builtin:hakoniwa[:SPLIT]"
            )
    return Source.model_validate({"path": text})


def parts(source: Source) -> list[Part]:
    """The parts of a source in reading order: one where documents are counted through all of them, none of tokens.

    Raises:
        UserError: the glob matches no file, or a file of a kind that is not read.
    """
    if source.tokens:
        return []
    if source.hub:
        return [Part(source, re.sub(r"[^\w.-]+", "--", source.hub))]
    if source.builtin:
        return [Part(source, source.builtin)]
    files = _files(source.path)
    if source.skip_documents or source.max_documents:
        return [Part(source, f"from-{source.skip_documents}-{source.max_documents or 'all'}", tuple(files))]
    texts = tuple(file for file in files if file.base.endswith(".txt"))
    found = [part for file in files if not file.base.endswith(".txt") for part in _parts_of_file(source, file)]
    return [*found, Part(source, "texts", texts)] if texts else found


def _parts_of_file(source: Source, file: File) -> list[Part]:
    """Named by the file's name and a hash of where it lies, so that two of one name are told apart."""
    name = f"{re.sub(r'[][*?]', '-', file.base[:80])}-{hashlib.sha256(file.below.encode()).hexdigest()[:8]}"
    pieces = storage.pieces(file) if file.base.endswith(_IN_PIECES) else [file]
    if len(pieces) == 1:
        return [Part(source, name, (file,))]
    return [Part(source, f"{name}-{number:05}", (piece,)) for number, piece in enumerate(pieces)]


def documents(source: Source) -> Iterator[Document]:
    """The documents of a source in file order: a sorted glob, `.txt` files (one document each) at the end.

    Raises:
        UserError: see `parts` and `read`; or there is no document at all, or only tokens.
    """
    if source.tokens:
        raise UserError(f"corpus {source}: tokens, and the text is needed here; accepted: path, hub or builtin")
    found = False
    for part in parts(source):
        for document in read(part, Reading()):
            found = True
            yield document
    if not found:
        raise no_document_error(source)


def no_document_error(source: Source) -> UserError:
    """The error for a source in which no text was found."""
    return UserError(f"corpus {source}: no document found; accepted: at least one whose text isn't empty")


def read(part: Part, reading: Reading) -> Iterator[Document]:
    """The documents of a part, with what is met on the way counted in `reading`.

    Raises:
        UserError: a file is cut off or damaged or has no text column, or too many lines are unreadable.
    """
    first, count = part.source.skip_documents, part.source.max_documents
    found = _readable(_records(part, reading), part, reading)
    yield from islice(found, first, first + count if count else None)
    _judge(part, reading)
    if reading.bad_lines > BAD_LINES_SHOWN:
        _log.warning("%s: skipped %d unreadable lines of %d", _place(part), reading.bad_lines, reading.lines)


def _records(part: Part, reading: Reading) -> Iterator[Record]:
    source = part.source
    if source.builtin:
        from anaume.corpus.hakoniwa.stream import documents as hakoniwa

        if not _is_builtin_split(source.split):
            raise UserError(f"corpus {source}: split {source.split!r}; accepted: train, validation")
        yield from hakoniwa(source.split, source.megabytes, source.seed)
    elif source.hub:
        yield from formats.hub(source)
    for file in part.files:
        before = reading.bytes

        def behind(position: int, before: int = before) -> None:
            reading.bytes = before + position

        readers = {".parquet": formats.parquet, ".txt": formats.text}
        try:
            yield from readers.get(PurePosixPath(file.base).suffix, formats.jsonl)(file, behind)
        except FileNotFoundError as error:
            raise UserError(f"{file}: it was there when files were listed, and is gone") from error
        except OSError as error:  # not readable, or out of reach
            raise UserError(f"{file}: {error.strerror or reason(error)}") from error


def _is_builtin_split(split: str) -> TypeGuard[Literal["train", "validation"]]:
    return split in ("train", "validation")


def _readable(records: Iterator[Record], part: Part, reading: Reading) -> Iterator[Document]:
    for record in records:
        reading.lines += 1
        if isinstance(record, Unreadable):
            reading.bad_lines += 1
            if reading.bad_lines <= BAD_LINES_SHOWN:
                reading.first_bad.append(f"{record.place}: {record.reason}")
                _log.warning("%s: skipped: %s", record.place, record.reason)
            if reading.lines >= _JUDGED_AFTER:
                _judge(part, reading)
        elif not record.text or record.text.isspace():
            reading.empty_documents += 1
        else:
            yield record


def _judge(part: Part, reading: Reading) -> None:
    accepted = part.source.bad_lines
    if reading.bad_lines > accepted * reading.lines:
        raise UserError(
            f"{_place(part)}: {reading.bad_lines:,} of {reading.lines:,} lines unreadable, the first "
            f"{reading.first_bad[0]}; accepted: a share of at most {accepted:g} (bad_lines)"
        )


def _place(part: Part) -> str:
    return str(part.files[0]) if len(part.files) == 1 else str(part.source)


def _files(pattern: str) -> list[File]:
    accepted = f"accepted: a path, URL or glob of {', '.join(EXTENSIONS)} files"
    files = storage.files(pattern)
    if not files:
        raise UserError(f"corpus {pattern}: matches no file; {accepted}")
    for file in files:
        if not file.base.endswith(EXTENSIONS):
            raise UserError(f"corpus {pattern}: it matches {file}, which is of another kind; {accepted}")
    return files
