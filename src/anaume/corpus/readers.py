"""Source → Document: files (a glob), a Hub data set streamed, or the built-in corpus.

A source is read in *parts*: a part for each file (all `.txt` files together are one), so that parts can be
tokenised side by side, and each only once. Unreadable lines are skipped, counted and logged; where they are
more than the share `Source.bad_lines` of a part, reading stops with an error.
"""

import glob
import hashlib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, TypeGuard

from anaume.corpus import formats
from anaume.corpus.document import Document
from anaume.corpus.formats import Record, Unreadable
from anaume.corpus.source import Source
from anaume.errors import UserError

EXTENSIONS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet", ".txt")

_LOGGED = 5  # unreadable lines of a part; the others are only counted
_JUDGED_AFTER = 1000  # lines: judged sooner, one bad line at the start of a good file would stop the job

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """The unit of reading: `files` of `source` that are read one after the other (none for hub and builtin).

    `name` tells it from the source's other parts, also after the folder was moved or gained files.
    """

    source: Source
    name: str
    files: tuple[Path, ...] = ()


@dataclass
class Reading:
    """What reading a part has met so far, for the progress bar and the summary.

    `lines` counts rows and `.txt` files too; `empty_documents` are readable but hold no visible character;
    `bytes` of the part's files (compressed where they are) lie behind.
    """

    lines: int = 0
    bad_lines: int = 0
    first_bad: str = ""
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
    """The parts of a source in reading order; one alone where documents are counted through all of them.

    Raises:
        UserError: the glob matches no file, or a file of a kind that is not read.
    """
    if source.hub:
        return [Part(source, re.sub(r"[^\w.-]+", "--", source.hub))]
    if source.builtin:
        return [Part(source, source.builtin)]
    files = _files(source.path)
    if source.skip_documents or source.max_documents:
        return [Part(source, f"from-{source.skip_documents}-{source.max_documents or 'all'}", tuple(files))]
    texts = tuple(file for file in files if file.suffix == ".txt")
    others = [file for file in files if file.suffix != ".txt"]
    found = [Part(source, _part_name(file, source.path), (file,)) for file in others]
    return [*found, Part(source, "texts", texts)] if texts else found


def documents(source: Source) -> Iterator[Document]:
    """The documents of a source in file order: a sorted glob, `.txt` files (one document each) at the end.

    Raises:
        UserError: see `parts` and `read`; or there is no document at all.
    """
    found = False
    for part in parts(source):
        for document in read(part, Reading()):
            found = True
            yield document
    if not found:
        raise empty(source)


def empty(source: Source) -> UserError:
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
    if reading.bad_lines > _LOGGED:
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
        yield from readers.get(file.suffix, formats.jsonl)(file, behind)


def _is_builtin_split(split: str) -> TypeGuard[Literal["train", "validation"]]:
    return split in ("train", "validation")


def _readable(records: Iterator[Record], part: Part, reading: Reading) -> Iterator[Document]:
    for record in records:
        reading.lines += 1
        if isinstance(record, Unreadable):
            reading.bad_lines += 1
            reading.first_bad = reading.first_bad or f"{record.place}: {record.reason}"
            if reading.bad_lines <= _LOGGED:
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
            f"{reading.first_bad}; accepted: a share of at most {accepted:g} (bad_lines)"
        )


def _place(part: Part) -> str:
    return str(part.files[0]) if len(part.files) == 1 else str(part.source)


def _files(pattern: str) -> list[Path]:
    accepted = f"accepted: a path or glob of {', '.join(EXTENSIONS)} files"
    path = Path(pattern).expanduser()
    # Not Path.glob: the pattern may be absolute. A file's own name may hold brackets: then it is no pattern.
    names = [str(path)] if path.is_file() else sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207
    found = [Path(name) for name in names]
    files = [file for file in found if file.is_file()]
    if not files:
        reason = "matches folders only" if found else "matches no file"
        raise UserError(f"corpus {pattern}: {reason}; {accepted}")
    for file in files:
        if not file.name.endswith(EXTENSIONS):
            raise UserError(f"corpus {pattern}: it matches {file}, which is of another kind; {accepted}")
    return files


def _part_name(file: Path, pattern: str) -> str:
    """The file's name, and a hash of where it lies below the pattern's part without wildcards."""
    steps = Path(pattern).expanduser().parent.parts
    fixed = Path(*[step for i, step in enumerate(steps) if not any(map(glob.has_magic, steps[: i + 1]))])
    below = file.relative_to(fixed)
    return f"{file.name[:80]}-{hashlib.sha256(str(below).encode()).hexdigest()[:8]}"
