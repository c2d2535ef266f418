"""What a folder of JGLUE and JCoLA lacks, from the repositories of their authors.

The rule: nothing is written that differs from the published file, where its checksum is known (`jglue.PUBLISHED`). A
file that is there already stays as it is. After each download the checksums of all files, whoever put them there,
stand in SHA256SUMS beside the tasks' folders, for `sha256sum --check`.
"""

import hashlib
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from anaume.errors import UserError
from anaume.evals.jglue.tasks import PUBLISHED, JglueTask, folder_of, public
from anaume.files import sha256, write_atomic

BASE = "https://raw.githubusercontent.com"
JGLUE = "yahoojapan/JGLUE/6f071c09316baae89c3d083a90985b4b1cb9968c/datasets"
JCOLA = "osekilab/JCoLA/736d9eef3af04bb17e4cf59adf01325973234ff9/data"
SECONDS = 60.0
SUMS = "SHA256SUMS"


def fetch(
    tasks: Sequence[JglueTask], data: Path, *, base: str = BASE, published: Mapping[str, str] = PUBLISHED
) -> None:
    """Download the files of `tasks` that `data` lacks from `base`/OWNER/REPOSITORY/COMMIT/…

    Raises:
        UserError: the address can't be reached, a file other than a test split isn't there, a checksum differs,
            a task that isn't public.
    """
    for task in tasks:
        folder = folder_of(task, data)
        if folder is None and task not in public():
            raise UserError(
                f"{task.name} can't be fetched; accepted: {data}/{task.folder}, as JGLUE's scripts build it"
            )
        folder = folder or data / task.folder
        address = f"{base}/{JCOLA if task.name == 'jcola' else JGLUE}/{folder.name}"
        for split, file in task.files(folder.name).items():
            if not (folder / file).exists():
                content = _download(f"{address}/{file}", split, published.get(f"{folder.name}/{file}"))
                if content is not None:
                    write_atomic(folder / file, content)
                    _write_sums(folder.parent)


def _download(address: str, split: str, wanted: str | None) -> bytes | None:
    """The file's content; None for a test split that isn't there."""
    print(f"fetching {address}", file=sys.stderr)
    try:
        with urllib.request.urlopen(address, timeout=SECONDS) as answer:
            content: bytes = answer.read()
    except (OSError, ValueError) as error:  # URLError and time-outs are OSErrors; ValueError: no address
        if split == "test" and isinstance(error, urllib.error.HTTPError) and error.code == 404:
            return None
        raise UserError(f"{address}: can't be fetched ({error})") from error
    found = hashlib.sha256(content).hexdigest()
    if found != (wanted or found):
        raise UserError(f"{address}: its SHA-256 is {found}, that of the published file is {wanted}")
    return content


def _write_sums(folder: Path) -> None:
    lines = [f"{sha256(path)}  {path.relative_to(folder)}\n" for path in sorted(folder.glob("*-v*/*.json"))]
    write_atomic(folder / SUMS, "".join(lines))
