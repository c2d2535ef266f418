"""The files of JGLUE and JCoLA that a folder lacks, downloaded from their authors' repositories.

The rule: a file whose published checksum is known (`tasks.PUBLISHED`) is written only if its content has that checksum,
and a file that exists stays as it is. After each download, SHA256SUMS beside the tasks' folders lists the checksums of
all files, downloaded or not, for `sha256sum --check`.
"""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from anaume.errors import UserError
from anaume.evals.jglue.tasks import PUBLISHED, JglueTask, find_folder, public_tasks
from anaume.files import sha256, write_atomic
from anaume.progress import say

BASE = "https://raw.githubusercontent.com"
JGLUE = "yahoojapan/JGLUE/6f071c09316baae89c3d083a90985b4b1cb9968c/datasets"
JCOLA = "osekilab/JCoLA/736d9eef3af04bb17e4cf59adf01325973234ff9/data"
TIMEOUT_SECONDS = 60.0
SUMS = "SHA256SUMS"


def fetch(
    tasks: Sequence[JglueTask], data: Path, *, base: str = BASE, published: Mapping[str, str] = PUBLISHED
) -> None:
    """Download the files of `tasks` that `data` lacks from `base`/OWNER/REPOSITORY/COMMIT/…

    Raises:
        UserError: an address that can't be reached, a missing file other than a test split, another checksum than the
            published one, a task that is not public.
    """
    for task in tasks:
        folder = find_folder(task, data)
        if folder is None and task not in public_tasks():
            raise UserError(
                f"{data}: {task.name}: can't be fetched; expected a folder {task.folder}, as JGLUE's scripts build it"
            )
        folder = folder or data / task.folder
        address = f"{base}/{JCOLA if task.name == 'jcola' else JGLUE}/{folder.name}"
        for split, file in task.files(folder.name).items():
            if not (folder / file).exists():
                content = _download(f"{address}/{file}", split, published.get(f"{folder.name}/{file}"))
                if content is not None:
                    write_atomic(folder / file, content)
                    _write_sums(folder.parent)


def _download(address: str, split: str, expected: str | None) -> bytes | None:
    """Return the file's content, or None for a test split that does not exist. `expected` is a checksum."""
    say(f"fetching {address}")
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as answer:
            content: bytes = answer.read()
    except (OSError, ValueError) as error:  # URLError and time-outs are OSErrors; a malformed address, a ValueError
        if split == "test" and isinstance(error, urllib.error.HTTPError) and error.code == 404:
            return None
        raise UserError(f"{address}: can't be fetched ({error})") from error
    checksum = hashlib.sha256(content).hexdigest()
    if expected and checksum != expected:
        raise UserError(f"{address}: SHA-256 {checksum}: not the published file; expected {expected}")
    return content


def _write_sums(folder: Path) -> None:
    """Write the checksums of the tasks' files. A list that exists keeps its lines for other files."""
    sums = {str(path.relative_to(folder)): sha256(path) for path in sorted(folder.glob("*-v*/*.json"))}
    file = folder / SUMS
    lines = file.read_text(encoding="utf-8", errors="surrogateescape").splitlines() if file.exists() else []
    others = [line for line in lines if line[66:] not in sums]  # 64 digits and two spaces stand before the name
    content = "".join(f"{line}\n" for line in (*others, *(f"{digest}  {name}" for name, digest in sums.items())))
    write_atomic(file, content.encode(errors="surrogateescape"))
