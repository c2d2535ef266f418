"""A tokenizer's files: in a local folder, or fetched from the Hugging Face Hub."""

import re
from pathlib import Path

from anaume.errors import UserError

_FILES = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "*.model"]


def local_folder(source: str) -> Path:
    """The folder `source`, or that of the Hub's repository `source`, downloaded once.

    Raises:
        UserError: neither, or the Hub can't be reached.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists() or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source):
        raise UserError(
            f"tokenizer {source}: no such folder; accepted: a SentencePiece .model file, "
            "a Hugging Face tokenizer folder or the id of one on the Hub"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, allow_patterns=_FILES))
    except (OSError, ValueError) as error:  # no such repository; no way to reach the Hub; not cached
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"tokenizer {source}: no such folder, and not to be had from the Hub: {reason}") from error
