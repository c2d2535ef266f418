"""A corpus → the folder of a Unigram tokenizer with byte fallback, in the layout of the paper's tokenizer.

Ids: 0 <unk>, 1 <s>, 2 </s>, 3 mask, 4 pad, 5 cls, 6 sep, 7 eod, 8–263 the bytes, then the pieces. As in the paper's
tokenizer, text is not normalised, runs of spaces are kept, digits are separate pieces, and a piece has at most 16
characters.
"""

import io
import re
import string
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import sentencepiece
from rich.console import Console

from anaume.corpus.readers import Part, Reading, no_document_error, parts, read
from anaume.corpus.source import Source
from anaume.errors import UserError
from anaume.files.outputs import require_own_folder
from anaume.tokenizer import folder as folders
from anaume.tokenizer import unigram
from anaume.tokenizer.adapt import write_unigram

SPECIAL = [f"<{role}|anaume>" for role in ("MASK", "PAD", "CLS", "SEP", "EOD")]
SMALLEST = 3 + len(SPECIAL) + 256 + len(string.printable)

# A run is a stretch of content words (kanji, katakana and compounds of both, タイ語), of hiragana or of the rest.
# Pieces that span two runs are chance phrases ("の首都は"); a small vocabulary without them holds words, and a small
# model learns far faster (docs/log.md).
_KANJI_KATAKANA, _HIRAGANA = "一-鿿㐀-䶿々〆ヶァ-ヺー", "ぁ-ゖゝゞ"
_RUN = re.compile(rf"[{_KANJI_KATAKANA}]+|[{_HIRAGANA}]+|[^{_KANJI_KATAKANA}{_HIRAGANA}\n]+")
_LONGEST_RUN = 1000  # characters; SentencePiece drops sentences of more than 4,192 bytes
_THREADS = 4  # The sums of expected counts depend on it; a fixed number gives one vocabulary on every machine.


def train_tokenizer(sources: Sequence[Source], vocab_size: int, out: Path, *, max_characters: int = 10_000_000) -> None:
    """Train a tokenizer on `sources` and write its folder to `out`.

    The sources share `max_characters` in proportion to their weights, and the parts of a source share its characters.
    Training is deterministic. If the corpus is too small for `vocab_size` pieces, the vocabulary is smaller and a
    message on standard error gives its size.

    Raises:
        UserError: The corpus cannot be read (see `corpus.readers`), `vocab_size` is too small for its characters, or
            `require_own_folder` refuses `out`.
    """
    require_own_folder(out, folders.COMMAND)
    if vocab_size < SMALLEST:
        raise UserError(f"vocabulary size {vocab_size}: too small; expected at least {SMALLEST}")
    total = sum(source.weight for source in sources)
    shares = [(source, int(max_characters * source.weight / total)) for source in sources]
    model = io.BytesIO()
    with Console(stderr=True).status(f"training a vocabulary of {vocab_size:,} pieces …"):
        try:
            _train((run for share in shares for run in _runs(*share)), vocab_size, model)
        except RuntimeError as error:
            raise _vocabulary_size_error(error, vocab_size) from error
    proto = unigram.read(model.getvalue(), "the trained tokenizer")
    if len(proto.pieces) < vocab_size:
        print(f"anaume: the corpus gives {len(proto.pieces):,} pieces, not {vocab_size:,}", file=sys.stderr)
    # Training ran without the dummy prefix, because it would learn each run's first piece with "▁" before it, but only
    # documents begin with "▁".
    proto.normalizer_spec.add_dummy_prefix = True
    write_unigram(proto, "the trained tokenizer", out)


def _train(runs: Iterator[str], vocab_size: int, model: io.BytesIO) -> None:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=runs,
        model_writer=model,
        model_type="unigram",
        vocab_size=vocab_size,
        control_symbols=SPECIAL,
        byte_fallback=True,
        character_coverage=0.9995,
        required_chars="▁" + string.printable.strip(),  # A text that spells `<0x0A>` is read as six characters.
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        split_by_whitespace=False,
        split_digits=True,
        max_sentencepiece_length=16,
        max_sentence_length=4 * _LONGEST_RUN + 4,
        # Fewer candidates and steps than the defaults take half the time and give 0.2 % fewer tokens on 140 MB.
        seed_sentencepiece_size=max(50_000, 8 * vocab_size),
        num_sub_iterations=1,
        num_threads=_THREADS,
        minloglevel=2,
        hard_vocab_limit=False,
    )


def _runs(source: Source, characters: int) -> Iterator[str]:
    """Yield runs from about `characters` characters of a source, as evenly from its parts as their sizes allow."""
    all_parts = parts(source)
    is_empty = True
    for index, part in enumerate(all_parts):
        budget = characters // (len(all_parts) - index)
        for run in _part_runs(part, budget):
            is_empty = False
            characters -= len(run)
            yield run
    if is_empty:
        raise no_document_error(source)


def _part_runs(part: Part, characters: int) -> Iterator[str]:
    for document in read(part, Reading()):
        for number, run in enumerate(_RUN.findall(document.text)):
            for start in range(0, len(run), _LONGEST_RUN):
                # SentencePiece proposes a piece only if two different characters follow it in the corpus. Every other
                # run gets a comma, because a word that always ends its run would never become a piece.
                yield run[start : start + _LONGEST_RUN] + "、" * (number % 2)
        characters -= len(document.text)
        if characters <= 0:
            return


def _vocabulary_size_error(error: RuntimeError, vocab_size: int) -> UserError | RuntimeError:
    """Return a UserError for SentencePiece's error about a small vocabulary; return any other error unchanged."""
    message = str(error)
    if "smaller than required_chars" in message:
        least = max(map(int, re.findall(r"\d+", message.partition("required_chars")[2])))
        return UserError(f"vocabulary size {vocab_size}: too small; expected more than {least} for this corpus")
    return error
