"""The error for a mistake of the user, and the one line that tells an error of the operating system."""

import errno


class UserError(Exception):
    """A mistake of the user, as one line of the form "PLACE: VALUE: WHY; expected …".

    The command line prints the line to standard error and exits with status 2. Nothing has been overwritten.
    """


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

    The place is `place` or, by default, the file that the operating system names.
    """
    if isinstance(error, UserError) or not error.errno:  # libraries that download raise OSErrors with a text only
        return " ".join(str(error).split()) or type(error).__name__
    file = error.filename.decode(errors="replace") if isinstance(error.filename, bytes) else error.filename
    expected = _EXPECTED.get(error.errno, "a file system on which this works")
    return f"{place or file or 'a file'}: {error.strerror}; expected {expected}"
