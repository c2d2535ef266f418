"""A file or a piece of one → its lines as text, each with its place, for every reader of lines.

Files whose names end in .gz or .zst are unpacked. The rule: memory stays flat for any input. A line longer than
`MAX_BYTES` is not read into memory but reported, and a small file that unpacks to gigabytes is unpacked step by step.
"""

import codecs
import gzip
import io
import math
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from anaume.corpus import storage
from anaume.corpus.document import Unreadable
from anaume.corpus.storage import File
from anaume.errors import UserError

ReportPosition = Callable[[int], None]

MAX_BYTES = 64 << 20  # bytes of a line, and of a file that is one document
UTF_8 = "utf-8"

_BLOCK = 1 << 20  # bytes read at a time
_ZST_CHUNK = 1 << 9  # compressed bytes unpacked at a time: four bytes may give a block of 128 KiB
_ZST_MAX_WINDOW = 1 << 31  # the window of `zstd --long=31`; the library's own limit is 128 MiB
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_JAPANESE = ("euc_jp", "cp932")  # in this order, because cp932 also reads much of what euc_jp wrote


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line that is not blank, without a byte order mark. `place` is that of `Unreadable`."""

    place: str
    text: str


def read_lines(
    file: File, encoding: str = UTF_8, report_position: ReportPosition = lambda _: None
) -> Iterator[TextLine | Unreadable]:
    """Yield the lines of a file, or those that begin in a piece of it. Blank lines are skipped.

    `report_position` is called after each line with the number of bytes of the piece read so far.

    Raises:
        UserError: The compressed file is cut off or damaged.
        OSError: The file cannot be opened or read.
    """
    name, of_line = str(file), UTF_8 if _needs_transcoding(encoding) else encoding
    with unpacked(file, encoding) as (stream, raw):
        for number, (start, line) in enumerate(_bounded_lines(stream, file), 1):
            # The number of lines before a piece is unknown.
            place = f"{name}:{number}" if file.is_whole else f"{name}, byte {start}"
            if line is None:
                yield Unreadable(place, f"a line of more than {MAX_BYTES:,} bytes")
            else:
                content = decode(line, place, of_line)
                if isinstance(content, Unreadable):
                    yield content
                elif content and not content.isspace():
                    yield TextLine(place, content)
            report_position(raw.tell() - file.begin)


@contextmanager
def unpacked(file: File, encoding: str = UTF_8) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Open a file; gives a stream of its unpacked content, and the stream of the file's own bytes.

    The content is in `encoding`, or in UTF-8 if a line end takes more than one byte in `encoding`.

    Raises:
        UserError: The compressed file is cut off or damaged, or a UTF-16 or UTF-32 file is not in its encoding.
        OSError: The file cannot be opened or read.
    """
    with storage.open_file(file, seekable=file.begin > 0) as raw:
        stream: Any = raw
        name = file.base.lower()
        try:
            if name.endswith(".gz"):
                stream = gzip.GzipFile(fileobj=raw)
            elif name.endswith(".zst"):
                stream = io.BufferedReader(_Chunks(_decompressed_zst(raw)), _BLOCK)
            if _needs_transcoding(encoding):
                stream = io.BufferedReader(_Chunks(_transcoded(stream, encoding)), _BLOCK)
            yield stream, raw
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{file}: compressed file cut off or damaged ({error})") from error
        except UnicodeError as error:
            raise UserError(f"{file}: not {encoding} ({error}); expected another `encoding`") from error


def decode(content: bytes, place: str, encoding: str) -> str | Unreadable:
    """Decode text and remove a byte order mark. The reason of an Unreadable names an encoding that fits, if any."""
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        name = "UTF-8" if encoding == UTF_8 else encoding
        problem = f"not {name} ({error.reason} at byte {error.start})"
        fitting = _fitting_encoding(content) if encoding == UTF_8 else ""
        return Unreadable(place, f'{problem}; it may be encoding = "{fitting}"' if fitting else problem)


def _fitting_encoding(content: bytes) -> str:
    """Return the encoding other than UTF-8 that the content seems to have; "" if none is plausible."""
    if content.startswith(_UTF_16_MARKS):
        return "utf-16"
    for encoding in _JAPANESE:
        try:
            # cp932 decodes every byte, some of them as private-use characters.
            if "".join(content.decode(encoding).split()).isprintable():
                return encoding
        except UnicodeDecodeError:
            continue
    return ""


def _bounded_lines(stream: BinaryIO, file: File) -> Iterator[tuple[int, bytes | None]]:
    """Yield (first byte, line) for the lines that begin in a piece; None in place of a line that is too long."""
    start, end = file.begin, math.inf if file.is_whole else file.end
    if start:
        stream.seek(start - 1)
        start += _skip_line(stream, end - start + 1) - 1  # the rest of a line that began in the piece before
    while start < end and (line := stream.readline(MAX_BYTES + 1)):
        size = len(line)
        if size <= MAX_BYTES:
            yield start, line
        else:
            if not line.endswith(b"\n"):
                size += _skip_line(stream, end - start - size)
            yield start, None
        start += size


def _skip_line(stream: BinaryIO, limit: float) -> int:
    """Read to the end of the line, or past `limit` bytes; return the number of bytes read."""
    size = 0
    while size < limit and (block := stream.readline(_BLOCK)):
        size += len(block)
        if block.endswith(b"\n"):
            break
    return size


def _decompressed_zst(raw: BinaryIO) -> Iterator[bytes]:
    """Yield the content of all frames of a .zst file. zstandard's `stream_reader` would accept a cut-off frame."""
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZST_MAX_WINDOW)
    frame = None
    try:
        while chunk := raw.read(_ZST_CHUNK):
            while chunk:
                frame = frame or decompressor.decompressobj()
                yield frame.decompress(chunk)
                chunk = frame.unused_data
                frame = None if frame.eof else frame
    except zstandard.ZstdError as error:
        raise EOFError(str(error)) from error
    if frame is not None:
        raise EOFError("the last frame has no end")


def is_splittable(encoding: str) -> bool:
    """Return whether lines in an encoding can be found from the middle of a file."""
    return not _needs_transcoding(encoding)


def _needs_transcoding(encoding: str) -> bool:
    return "\n".encode(encoding) != b"\n"


def _transcoded(stream: BinaryIO, encoding: str) -> Iterator[bytes]:
    """Yield UTF-8. Half surrogates pass, so that they spoil their line only."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    block = stream.read(_BLOCK)
    if codecs.lookup(encoding).name == "utf-16" and block and not block.startswith(_UTF_16_MARKS):
        # Python would take it for little-endian, and almost any bytes give characters then.
        raise UnicodeError("no byte order mark; utf-16-le and utf-16-be need none")
    while block:
        yield decoder.decode(block).encode(errors="surrogatepass")
        block = stream.read(_BLOCK)
    yield decoder.decode(b"", final=True).encode(errors="surrogatepass")


class _Chunks(io.RawIOBase):
    """An iterator of bytes as a raw stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
