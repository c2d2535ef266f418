"""A tokenizer and the text of a domain → the same tokenizer with new pieces for the domain's words.

The pieces are those that save most tokens on the text. No piece spans two words. Existing ids stay, new ids follow the
last one, and a text in which no new piece occurs keeps its ids.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anaume.corpus.source import Source
from anaume.errors import UserError
from anaume.files.outputs import output_folder, require_own_folder
from anaume.progress import error_console
from anaume.tokenizer import folder as folders
from anaume.tokenizer import unigram
from anaume.tokenizer.adapt import write_copy
from anaume.tokenizer.extend.models import NewPieces, add_pieces, check_kind, choose, unknown_ids
from anaume.tokenizer.extend.sequences import batched, count_sequences
from anaume.tokenizer.load import Tokenizer, load_tokenizer
from anaume.tokenizer.runs import Words
from anaume.tokenizer.sample import respect_words, sample_texts, shares_of
from anaume.tokenizer.vocabulary import surfaces

# Of the documents of the domain, every tenth takes no part in the choice; the figures are measured on these.
_HELD_OUT = 10


@dataclass(frozen=True)
class TokensPerCharacter:
    """Tokens per character of a text before and after an extension."""

    before: float
    after: float


@dataclass(frozen=True)
class Extension:
    """What an extension has added and what it saves.

    `added`    number of new pieces
    `used`     how many of them occur in the sample of the domain
    `domain`   measured on documents that took no part in the choice, where there are ten or more
    `general`  measured on general text; None if none was given
    """

    added: int
    used: int
    domain: TokensPerCharacter
    general: TokensPerCharacter | None


def extend_tokenizer(
    model: str,
    domain: Sequence[Source],
    add: int,
    out: Path,
    *,
    general: Sequence[Source] = (),
    words: Words = "auto",
    max_characters: int = 10_000_000,
) -> Extension:
    """Write the tokenizer of `model` with at most `add` new pieces for the text of `domain` to `out`.

    `model`: a folder or Hub id of a model or a tokenizer, of the kind Unigram or BPE. The sources of `domain` share
    `max_characters`, and so do those of `general`, on which the figures are measured too. `words`: see
    `train.train_tokenizer`.

    Raises:
        UserError: the tokenizer can't be opened or is of another kind, a source can't be read, or `out` holds something
            else.
    """
    require_own_folder(out, folders.COMMAND)
    tokenizer, place = load_tokenizer(model), f"tokenizer {model}"
    if tokenizer.engine == "transformers":
        raise UserError(f"{place}: Python code of transformers splits its words; expected Unigram or BPE")
    shares, respect = shares_of(domain, max_characters), respect_words(domain, words)
    with output_folder(out, folders.COMMAND) as folder, error_console().status("choosing pieces …") as status:
        write_copy(tokenizer, folder)
        file = folder / folders.TOKENIZER
        spec = json.loads(file.read_text(encoding="utf-8"))
        check_kind(spec, tokenizer.pieces, place)
        chosen_from = (text for number, text in enumerate(sample_texts(shares), 1) if number % _HELD_OUT)
        counts = count_sequences(chosen_from, folders.read_tokenizer_json(folder), unknown_ids(spec), respect)
        new = choose(counts, spec, list(tokenizer.pieces), surfaces(tokenizer), add)
        add_pieces(spec, tokenizer.pieces, new)
        file.write_text(json.dumps(spec, ensure_ascii=False), encoding="utf-8")
        _add_to_sentencepiece(folder / folders.SENTENCEPIECE, new)
        extended = load_tokenizer(folder)
        status.update("measuring …")
        of_domain = _measure(tokenizer, extended, sample_texts(shares))
        of_general = (
            _measure(tokenizer, extended, sample_texts(shares_of(general, max_characters))) if general else None
        )
    return Extension(
        len(new.pieces),
        of_domain.used,
        _per_character(of_domain.rows[_HELD_OUT - 1 :: _HELD_OUT] or of_domain.rows),
        _per_character(of_general.rows) if of_general else None,
    )


def _add_to_sentencepiece(file: Path, new: NewPieces) -> None:
    """Add the pieces of a Unigram to its SentencePiece model, where the folder has one."""
    if file.exists():
        proto = unigram.read(file.read_bytes(), str(file))
        for piece, score in zip(new.pieces, new.scores, strict=True):
            proto.pieces.add(piece=piece, score=score)
        file.write_bytes(proto.SerializeToString())


@dataclass(frozen=True)
class _Measured:
    """`rows`: characters, tokens before and tokens after, of each document; `used`: new pieces that occur."""

    rows: list[tuple[int, int, int]]
    used: int


def _measure(old: Tokenizer, extended: Tokenizer, texts: Iterable[str]) -> _Measured:
    rows: list[tuple[int, int, int]] = []
    occurs = np.zeros(extended.vocab_size, dtype=bool)
    for batch in batched(texts):
        for text, before, after in zip(batch, old.encode(batch), extended.encode(batch), strict=True):
            rows.append((len(text), len(before), len(after)))
            occurs[after] = True
    return _Measured(rows, int(occurs[old.vocab_size :].sum()))


def _per_character(rows: Sequence[tuple[int, int, int]]) -> TokensPerCharacter:
    characters, before, after = (sum(column) for column in zip(*rows, strict=True))
    return TokensPerCharacter(before / characters, after / characters)
