"""The name of a tokenizer → the local folder that holds its files, downloaded from the Hugging Face Hub if needed."""

import re
from pathlib import Path

from anaume.corpus import hub
from anaume.errors import UserError
from anaume.tokenizer.folder import CONFIG, NAMES, TOKENIZER, VOCABULARIES

# config.json names the class of a tokenizer that has no tokenizer.json.
_FILES = [TOKENIZER, CONFIG, NAMES, *VOCABULARIES, "config.json"]


def local_folder(source: str) -> Path:
    """Return `source` if it is a folder; otherwise the cached download of the Hub repository with that id.

    Raises:
        UserError: see `check_place`; the download breaks off.
    """
    check_place(source)
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, allow_patterns=_FILES))
    except (OSError, ValueError) as error:
        raise _unavailable(source, (str(error).strip().splitlines() or [type(error).__name__])[0]) from error


def check_place(source: str) -> None:
    """Check, without a download, that `source` is a folder or the id of a repository on the Hub.

    Raises:
        UserError: it is neither, or the Hub cannot be reached.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return
    if folder.exists() or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source):
        raise UserError(
            f"tokenizer {source}: no such folder; expected a SentencePiece .model file, "
            "a Hugging Face tokenizer folder or the id of one on the Hub"
        )
    if reason := hub.problem(source):
        raise _unavailable(source, reason)


def _unavailable(source: str, reason: str) -> UserError:
    return UserError(f"tokenizer {source}: no such folder, and {reason}; expected a folder or a Hub id")
