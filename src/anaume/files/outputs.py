"""What a command may write over: only what anaume wrote there before. Everything else is kept or refused.

A single file must be new. A folder holds `MARK`, which names the command that wrote the folder and the files that it
wrote, with checksums; the same command replaces these files and no others. The checks can be made before the work
begins. Whoever reads a model or a tokenizer compares it with its checksums.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

from anaume import __version__
from anaume.errors import UserError, line_of
from anaume.files import cached_sha256, folder_atomic, sha256, write_atomic, write_json
from anaume.files.locks import path_lock
from anaume.files.names import require_unicode, served_name

MARK = "anaume.json"
# Bytes that are written to see whether a disk is full; disks give out space in blocks of this size.
_BLOCK = 4096
# What people may complete or change, and no number depends on.
_FOR_PEOPLE = ("README.md", "report/*", ".eval_results/*")


def require_folder(out: Path, option: str = "--out") -> None:
    """Check that the folder `out` can be written or made. The check writes one block and leaves nothing.

    Raises:
        UserError: a file is in the way, a name is too long, the disk is full or read-only, or access is denied.
    """
    try:
        place = path = out.resolve()
        while not place.is_dir():
            if os.path.lexists(place):
                raise UserError(f"{option}: {out}: {place} is a file; expected a folder")
            place = place.parent
        longest = os.pathconf(place, "PC_NAME_MAX")
        if any(len(os.fsencode(name)) > longest for name in path.parts):
            raise UserError(f"{option}: {out}: name too long; expected at most {longest} bytes")
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(bytes(_BLOCK))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise UserError(f"{option}: {line_of(error, str(out))}") from error
    except RuntimeError as error:
        raise UserError(f"{option}: {out}: links that lead in a circle; expected a folder") from error


def require_space(out: Path, size: int) -> None:
    """Check that the disk of the folder `out` has `size` free bytes, before work whose result takes as much.

    Raises:
        UserError: it has not.
    """
    place = next(folder for folder in (out.resolve(), *out.resolve().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    if free < size:
        raise UserError(f"--out: {out}: {free:,} bytes free on its disk; expected {size:,} for the weights")


def require_new_file(out: Path, option: str = "--out") -> None:
    """Check that the file `out` does not exist and can be written.

    Raises:
        UserError: it exists, or `require_folder` refuses its folder.
    """
    if os.path.lexists(out):
        raise UserError(f"{option}: {out}: exists; expected the name of a new file")
    require_folder(out.parent, option)


def require_own_folder(out: Path, command: str) -> None:
    """Check that `output_folder` may write `out`: it is new, empty, or written by the same command before.

    Raises:
        UserError: `out` holds something else, can't be replaced as a whole, can't be written, or has a name that is not
            UTF-8.
    """
    require_unicode(out, "--out: ")
    expected = f"expected a new folder, an empty one, or one that `anaume {command}` wrote, which has {MARK}"
    if not out.is_dir():
        if os.path.lexists(out):
            raise UserError(f"--out: {out}: a file; {expected}")
        require_folder(out)
        return
    foreign = [path.name for path in out.iterdir() if not served_name(path.name)]
    if foreign and not _own_files(out, command):
        raise UserError(f"--out: {out}: not empty (it holds {min(foreign)}); {expected}")
    if os.path.ismount(out) or out.samefile(Path.cwd()):
        raise UserError(f"--out: {out}: a mount point or the current folder, which can't be replaced; expected another")
    require_folder(out.resolve().parent)


@contextmanager
def output_folder(out: Path, command: str, facts: Mapping[str, Any] | None = None) -> Iterator[Path]:
    """Yield a temporary folder to fill; at the end its files replace those that `command` wrote to `out` before.

    All other files of `out` are kept. `facts` are written into `MARK`, too.

    Raises:
        UserError: `require_own_folder` refuses `out`, or a file of another origin has the name of a new one.
    """
    require_own_folder(out, command)
    with folder_atomic(out, keep=partial(_others, out, command)) as temporary:
        yield temporary
        names = _names(temporary)
        checksums = {name: sha256(temporary / name) for name in sorted(names) if (temporary / name).is_file()}
        _write_mark(temporary, command, names, {**(facts or {}), "checksums": checksums})


def replace_files(out: Path, command: str, contents: Mapping[str, str | bytes]) -> None:
    """Write files into the folder `out`, and remove those that `command` wrote there before and are no longer wanted.

    `contents` maps names relative to `out`. All other files are kept. A killed process may leave old and new files.

    Raises:
        UserError: a file of another origin has one of the names. Nothing has been written.
    """
    with path_lock(out / MARK):
        own = _own_files(out, command)
        for name in (*contents, MARK):
            if name not in own and os.path.lexists(out / name):
                raise _taken(out / name, command)
        _write_mark(out, command, own | contents.keys(), {})  # before the files, so that none has no owner
        for name, content in contents.items():
            write_atomic(out / name, content)
        for name in own - contents.keys() - {MARK}:
            (out / name).unlink(missing_ok=True)
        _write_mark(out, command, contents, {})


def read_mark(folder: Path) -> dict[str, Any]:
    """What `MARK` says of a folder, or {} if no command of anaume wrote the folder.

    Raises:
        UserError: the file is damaged.
    """
    file = folder / MARK
    try:
        mark: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        names = [*mark.get("files", []), *mark.get("checksums", {}), *mark.get("checksums", {}).values()]
        if not all(isinstance(name, str) for name in names):
            raise ValueError("not the object that a command writes")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{file}: damaged ({error}); expected the file that anaume wrote, or a new folder") from error
    return mark


def changed_files(folder: Path, patterns: Iterable[str] = ("*",)) -> list[str]:
    """One line for each file of a folder whose content differs from what a command of anaume wrote there.

    `patterns` select the files to read. Absent files and those that people may change, such as the card, are left out.

    Raises:
        UserError: `MARK` is damaged.
    """
    mark = read_mark(folder)
    own = _own_files(folder, mark.get("command", ""))
    return [
        f"{folder / name}: changed since it was written (checksum)"
        for name, checksum in mark.get("checksums", {}).items()
        if name in own
        and any(fnmatch(name, pattern) for pattern in patterns)
        and not any(fnmatch(name, pattern) for pattern in _FOR_PEOPLE)
        and (folder / name).is_file()
        and cached_sha256(folder / name) != checksum
    ]


def require_unchanged(folder: Path, patterns: Iterable[str] = ("*",)) -> None:
    """Check that the files of a folder are as a command of anaume wrote them. A folder without `MARK` passes.

    Raises:
        UserError: see `changed_files`.
    """
    if changed := changed_files(folder, patterns):
        raise UserError(f"{changed[0]}; expected the file as it was, or no {MARK} beside it if you changed it yourself")


def _own_files(out: Path, command: str) -> set[str]:
    """The names of the files that `command` wrote to `out`, `MARK` included."""
    mark = read_mark(out)
    if mark.get("command") != command:
        return set()
    # The folder may come from somebody else: a name must not lead out of it.
    return {name for name in mark["files"] if ".." not in Path(name).parts and not Path(name).is_absolute()} | {MARK}


def _write_mark(folder: Path, command: str, names: Iterable[str], facts: Mapping[str, Any]) -> None:
    files = sorted({*names} - {MARK})
    write_json(folder / MARK, {"command": command, "anaume": __version__, **facts, "files": files})


def _others(out: Path, command: str, temporary: Path) -> list[Path]:
    """The files of `out` that `command` did not write. None of them may have the name of a file in `temporary`."""
    if not out.exists():
        return []
    own = _own_files(out, command)
    others = [name for name in _names(out) if name not in own]
    for name in others:
        if os.path.lexists(temporary / name):
            raise _taken(out / name, command)
    return [Path(name) for name in others]


def _taken(file: Path, command: str) -> UserError:
    return UserError(f"--out: {file}: exists, and `anaume {command}` did not write it; expected another folder")


def _names(folder: Path) -> list[str]:
    """The files, links and empty folders below `folder`, as relative names."""
    paths: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=_raise):
        links = [name for name in folders if Path(place, name).is_symlink()]
        paths += [Path(place, name) for name in (*files, *links)] or ([] if folders else [Path(place)])
    return [str(path.relative_to(folder)) for path in paths if path != folder and not served_name(path.name)]


def _raise(error: OSError) -> None:
    raise error
