"""`anaume verify`: whether folders of tokens, run directories and exports are whole, and of which vocabulary.

Checksums that were written with the files are compared with the files' content. Nothing is repaired or changed.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from anaume.checkpoints import WEIGHTS, damage
from anaume.errors import UserError
from anaume.export.selection import COMMAND as EXPORT
from anaume.files.outputs import changed_files, read_mark
from anaume.run import Run
from anaume.tokenizer.load import load_tokenizer
from anaume.tokens import build
from anaume.tokens.job import SOURCES
from anaume.tokens.store import HEADER

# Number of characters of a vocabulary's hash that are printed.
SHOWN = 12


@dataclass(frozen=True)
class Verification:
    """What a folder holds, in a few words, and one line for each problem; no problem means that it is whole."""

    content: str
    problems: tuple[str, ...] = ()


def verify_folder(folder: Path, vocabulary_hash: str | None = None) -> Verification:
    """Check a folder of tokens, a run directory or an export.

    `vocabulary_hash` is the expected vocabulary; None accepts any that agrees with itself. What can't be read, and a
    folder of another kind, give a problem and no error, so that the folders after it are checked too.
    """
    try:
        return _verify(folder, vocabulary_hash)
    except UserError as error:
        return Verification("", (str(error),))
    except OSError as error:
        return Verification("", (f"{error.filename or folder}: can't be read ({error.strerror})",))


def _verify(folder: Path, vocabulary_hash: str | None) -> Verification:
    if (folder / SOURCES).exists() or (folder / HEADER).exists():
        return _verify_tokens(folder, vocabulary_hash)
    if Run(folder).exists:
        return _verify_run(Run(folder), vocabulary_hash)
    mark = read_mark(folder)
    if mark.get("command", EXPORT if mark else "") == EXPORT:
        return _verify_export(folder, vocabulary_hash)
    raise UserError(f"{folder}: no token store, run or export; expected a folder that anaume wrote")


def _verify_tokens(folder: Path, vocabulary_hash: str | None) -> Verification:
    if problems := build.verify(folder, vocabulary_hash):
        return Verification("", tuple(problems))
    documents, tokens = build.counts(folder)
    return Verification(f"{documents:,} documents, {tokens:,} tokens")


def _verify_run(run: Run, vocabulary_hash: str | None) -> Verification:
    """Check the run's tokenizer, its token folders and every checkpoint."""
    own_hash = load_tokenizer(run.tokenizer).vocabulary_hash
    problems = _check_vocabulary(run.tokenizer, own_hash, vocabulary_hash)
    for split in ("train", "validation"):
        if (run.tokens(split) / SOURCES).exists():  # absent if the recipe names a folder of tokens, or keeps none
            problems += build.verify(run.tokens(split), own_hash)
    checkpoints = run.checkpoints()
    problems += [problem for name in checkpoints if (problem := damage(run.checkpoint(name)))]
    last = f", the last one {checkpoints[-1].model}" if checkpoints else ""
    return Verification(f"{len(checkpoints)} checkpoints{last}; vocabulary {own_hash[:SHOWN]}", tuple(problems))


def _verify_export(folder: Path, vocabulary_hash: str | None) -> Verification:
    """Check that an export's weights can be read and that its network and its tokenizer agree on the vocabulary."""
    tokenizer = load_tokenizer(folder)
    problems = _check_vocabulary(folder, tokenizer.vocabulary_hash, vocabulary_hash)
    tensors = 0
    try:
        with safe_open(folder / WEIGHTS, "pt") as weights:
            tensors = len(weights.keys())
        problems += changed_files(folder)
    except (OSError, SafetensorError) as error:
        problems.append(f"{folder / WEIGHTS}: can't be read ({' '.join(str(error).split())})")
    try:
        rows = int(json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / 'config.json'}: not a model's configuration ({error}); expected JSON") from error
    if rows != tokenizer.vocab_size:
        problems.append(f"{folder}: the network has {rows:,} entries, its tokenizer {tokenizer.vocab_size:,}")
    content = f"{tensors} tensors, {rows:,} entries; vocabulary {tokenizer.vocabulary_hash[:SHOWN]}"
    return Verification(content, tuple(problems))


def _check_vocabulary(folder: Path, own: str, expected: str | None) -> list[str]:
    if expected in (None, own):
        return []
    return [f"{folder}: of vocabulary {own[:SHOWN]}; expected {str(expected)[:SHOWN]}"]
