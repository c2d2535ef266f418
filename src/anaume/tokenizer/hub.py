"""The name of a tokenizer → the local folder that holds its files, downloaded from the Hugging Face Hub if needed."""

import re
from pathlib import Path

from anaume.errors import UserError
from anaume.tokenizer.folder import CONFIG, NAMES, TOKENIZER, VOCABULARIES

# config.json names the class of a tokenizer that has no tokenizer.json.
_FILES = [TOKENIZER, CONFIG, NAMES, *VOCABULARIES, "config.json"]


def local_folder(source: str) -> Path:
    """Return `source` if it is a folder; otherwise the cached download of the Hub repository with that id.

    Raises:
        UserError: `source` is neither a folder nor a repository on the Hub, or the Hub cannot be reached.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists() or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source):
        raise UserError(
            f"tokenizer {source}: no such folder; expected a SentencePiece .model file, "
            "a Hugging Face tokenizer folder or the id of one on the Hub"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, allow_patterns=_FILES))
    except (OSError, ValueError) as error:  # No such repository, or the Hub is out of reach and nothing is cached.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"tokenizer {source}: neither a folder nor available on the Hub ({reason}); expected a folder or a Hub id"
        ) from error
