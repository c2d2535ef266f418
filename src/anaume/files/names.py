"""Names of files that every file system takes, and the hidden names of what anaume writes beside a path."""

import hashlib
import re
import secrets
from pathlib import Path

from anaume.errors import UserError

# Bytes of a name; most file systems take 255, and a hidden sibling adds up to 22.
MAX_BYTES = 200

_TEMPORARY = re.compile(r"[0-9a-f]{8}\.(?:new|old|gone)")
_HIDDEN = re.compile(rf"\.(.+)\.anaume\.(?:{_TEMPORARY.pattern}|lock|lease)", re.DOTALL)


def shortened(name: str, limit: int = MAX_BYTES) -> str:
    """`name`, cut after a whole character if it has more than `limit` bytes, with a checksum of the whole name."""
    content = name.encode("utf-8", "surrogatepass")
    if len(content) <= limit:
        return name
    checksum = hashlib.sha256(content).hexdigest()[:16]
    return f"{content[: limit - len(checksum) - 1].decode('utf-8', 'ignore')}-{checksum}"


def require_unicode(path: Path, place: str = "") -> None:
    """Check that a path is Unicode text, which the library `tokenizers` needs; names out of an old archive may not be.

    Raises:
        UserError: it is not. The line begins with `place`, such as "--out: ".
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{place}{path}: its name is not UTF-8; expected a name that is") from error


def hidden_sibling(path: Path, kind: str) -> Path:
    """The hidden file beside `path` that serves it as `kind`, such as "lock"."""
    return path.with_name(_prefix(path) + kind)


def temporary_sibling(path: Path, kind: str) -> Path:
    """A new hidden name beside `path`.

    The kind is "new" for what will become `path`, "old" for what it was until then, "gone" for what is removed.
    """
    return hidden_sibling(path, f"{secrets.token_hex(4)}.{kind}")


def temporary_siblings(path: Path) -> list[Path]:
    """What stands beside `path` under names of `temporary_sibling`; the suffix is the kind."""
    prefix = _prefix(path)
    entries = [entry for entry in path.parent.iterdir() if entry.name.startswith(prefix)]
    return [entry for entry in entries if _TEMPORARY.fullmatch(entry.name.removeprefix(prefix))]


def served_name(name: str) -> str:
    """The name, possibly shortened, that a hidden sibling of this name serves; empty for all other names."""
    match = _HIDDEN.fullmatch(name)
    return match[1] if match else ""


def _prefix(path: Path) -> str:
    return f".{shortened(path.name)}.anaume."
