"""Somebody's model → what transformers opens, or one line that says why it can't be opened.

A config, a tokenizer or weights from elsewhere may hold anything, and the libraries that read them answer a damaged or
mistyped value with an error of any class. The rules: everything of a model is opened within `opening`, with
`safe_arguments`, so that no code of the model runs unless it is allowed and nothing is asked on the terminal.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers.utils import logging

from anaume.errors import UserError
from anaume.files.outputs import require_unchanged
from anaume.model.place import EXPECTED, check_place
from anaume.remote_code import remote_code_allowed

# First line of a file that git-lfs has not replaced by its content.
_LFS_POINTER = b"version https://git-lfs"
_WEIGHTS = ("*.safetensors", "*.bin", "tokenizer.json", "*.model")


def safe_arguments() -> dict[str, Any]:
    """Arguments of every `from_pretrained`.

    Without them, transformers asks on the terminal whether to run a model's own code. Pickled weights are read by
    torch's own unpickler, which accepts tensors only.
    """
    return {"trust_remote_code": remote_code_allowed()}


@contextmanager
def opening(place: str) -> Iterator[None]:
    """Turn every error within the block into one line that begins with `place`.

    Raises:
        UserError: anything but a UserError, a full memory or an interruption was raised.
    """
    try:
        yield
    except (UserError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:  # A panic of a Rust library is a BaseException.
        raise UserError(f"{place}: can't be opened: {_reason(error)}; {EXPECTED} of a model that is whole") from error


def _reason(error: BaseException) -> str:
    """The first sentence of an error, with its class where the sentence alone says little."""
    text = " ".join(str(error).split()).split(". ")[0][:300].rstrip(".")
    return text if isinstance(error, OSError | ImportError) and text else f"{type(error).__name__}: {text}"


def check_files(path_or_id: str) -> None:
    """Check a model's folder, or that a Hub id exists, before anything is opened.

    Raises:
        UserError: there is no such model, its config.json is no JSON object, a file is only a pointer of git-lfs, or
            one that anaume wrote has changed since.
    """
    check_place(path_or_id)
    folder = Path(path_or_id)
    if not folder.is_dir():
        return
    for pattern in _WEIGHTS:
        for file in folder.glob(pattern):
            if file.is_file():
                with file.open("rb") as stream:
                    if stream.read(len(_LFS_POINTER)) == _LFS_POINTER:
                        raise UserError(f"{file}: a pointer of git-lfs; expected the file itself (`git lfs pull`)")
    require_unchanged(folder)
    with opening(path_or_id):
        if not isinstance(json.loads((folder / "config.json").read_text(encoding="utf-8")), dict):
            raise UserError(f"{folder / 'config.json'}: not an object; expected a model's config")


@contextmanager
def quiet_transformers(*, bars: bool) -> Iterator[None]:
    """Silence transformers' table of unused and missing weights within the block; the callers check the latter."""
    verbosity, bars_enabled = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if not bars:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars_enabled:
            logging.enable_progress_bar()
