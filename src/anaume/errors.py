"""The error for a mistake of the user, the line of an error of the operating system, addresses without secrets."""

import errno
import re

_ADDRESS = re.compile(
    r"(?P<scheme>\b[a-zA-Z][\w+.-]*://)(?:[^\s/?#\"'<>]*@)?(?P<rest>[^\s?#\"'<>]*)(?P<query>\?[^\s\"'<>]*)?"
)


def redact(text: str) -> str:
    """The text with the user information and the query of every address left out: they may hold a password or a key."""
    return _ADDRESS.sub(lambda found: found["scheme"] + found["rest"] + ("?…" if found["query"] else ""), text)


_LONGEST = 1000  # characters of a line; a value of a file may have millions


class UserError(ValueError):
    """A mistake of the user, as one line of the form "PLACE: VALUE: WHY; expected …".

    The command line prints the line to standard error and exits with status 2. Nothing has been overwritten.
    """


class Incomplete(UserError):
    """Part of the work is done, and the message says what is not. The exit status is 1."""


_EXPECTED = {
    errno.ENOSPC: "free space on its disk",
    errno.EDQUOT: "free space in its quota",
    errno.EFBIG: "a file system for files of this size",
    errno.EIO: "a disk without errors",
    errno.EROFS: "a place that can be written",
    errno.EACCES: "a place that you may read and write",
    errno.EPERM: "a place that you may read and write",
    errno.ENOENT: "a file or folder that exists",
    errno.ENOTDIR: "a folder in place of the file",
    errno.EISDIR: "a file in place of the folder",
    errno.EEXIST: "a new name",
    errno.ENAMETOOLONG: "a shorter name",
    errno.EMFILE: "a higher limit of open files (`ulimit -n`)",
    errno.ENFILE: "a higher limit of open files of this machine",
    errno.ENOMEM: "more memory",
}


def line_of(error: UserError | OSError, place: str = "") -> str:
    """The line of a UserError, or the line "PLACE: WHY; expected …" of an OSError.

    The place is `place` or, by default, the file that the operating system names. Addresses are redacted. A long line
    loses its middle, because the place and what is expected stand at its ends.
    """
    line = redact(_whole_line(error, place))
    half = _LONGEST // 2
    return line if len(line) <= _LONGEST else f"{line[:half]} … {line[-half:]}"


def _whole_line(error: UserError | OSError, place: str) -> str:
    if isinstance(error, UserError) or not error.errno:  # libraries that download raise OSErrors with a text only
        return " ".join(str(error).split()) or type(error).__name__
    file = error.filename.decode(errors="replace") if isinstance(error.filename, bytes) else error.filename
    expected = _EXPECTED.get(error.errno, "a file system on which this works")
    return f"{place or file or 'a file'}: {error.strerror}; expected {expected}"
