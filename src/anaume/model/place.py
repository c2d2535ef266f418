"""The name of somebody's model → a folder or a repository of the Hub, or one line that says that it is neither.

The rule: nothing here imports torch or transformers, so that a missing model is reported at once.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from anaume.corpus import hub
from anaume.errors import UserError
from anaume.files.names import require_unicode

EXPECTED = "expected a model's folder or a Hub id (owner/name)"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def check_place(path_or_id: str) -> None:
    """Check that `path_or_id` is a folder with a config.json, or the id of a repository on the Hub.

    Raises:
        UserError: it is a file, a folder without a config.json, a path at which nothing exists, a Hub id that neither
            the cache nor the Hub has, or not Unicode.
    """
    folder = Path(path_or_id)
    require_unicode(folder)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"{path_or_id}: holds no config.json; {EXPECTED}")
    elif folder.exists():
        raise UserError(f"{path_or_id}: a file; {EXPECTED}")
    elif not _HUB_ID.fullmatch(path_or_id):
        raise UserError(f"{path_or_id}: no such folder; {EXPECTED}")
    elif reason := hub.problem(path_or_id):
        raise UserError(f"{path_or_id}: no such folder, and {reason}; {EXPECTED}")


def check_any_place(paths_or_ids: Iterable[str]) -> None:
    """Check that one of several models is there: the others are named and skipped when they are opened.

    Raises:
        UserError: none is there; the error of the first one.
    """
    errors = []
    for path_or_id in paths_or_ids:
        try:
            return check_place(path_or_id)
        except UserError as error:
            errors.append(error)
    raise errors[0]
