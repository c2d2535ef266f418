"""A corpus → a Unigram vocabulary with byte fallback, in the paper's layout.

Ids: 0 <unk>, 1 <s>, 2 </s>, 3 mask, 4 pad, 5 cls, 6 sep, 7 eod, 8–263 the bytes, then the pieces. As in the
paper's tokenizer: no normalisation, runs of spaces kept, digits apart, pieces of 16 characters at most.
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
from anaume.tokenizer import folder as folders
from anaume.tokenizer import unigram
from anaume.tokenizer.adapt import write_unigram

SPECIAL = [f"<{role}|anaume>" for role in ("MASK", "PAD", "CLS", "SEP", "EOD")]
SMALLEST = 3 + len(SPECIAL) + 256 + len(string.printable)

# Content words (kanji, katakana and compounds of both, タイ語), hiragana, and the rest. A piece that spans the border
# of two such runs is a chance phrase ("の首都は"); without them a small vocabulary holds words, and a small model
# learns far faster (docs/log.md).
_KANJI_KATAKANA, _HIRAGANA = "一-鿿㐀-䶿々〆ヶァ-ヺー", "ぁ-ゖゝゞ"
_RUN = re.compile(rf"[{_KANJI_KATAKANA}]+|[{_HIRAGANA}]+|[^{_KANJI_KATAKANA}{_HIRAGANA}\n]+")
_LONGEST_RUN = 1000  # characters; SentencePiece drops what is longer than 4,192 bytes
_THREADS = 4  # the sums of expected counts depend on it: fixed, so that every machine trains the same vocabulary


def train_tokenizer(sources: Sequence[Source], vocab_size: int, out: Path, *, max_characters: int = 10_000_000) -> None:
    """Train a tokenizer on `sources` and write its folder to `out`.

    Of each source, a share of `max_characters` after its weight is read, spread over its files. The same corpus gives
    the same tokenizer. A small corpus may give fewer pieces than asked for; standard error says so.

    Raises:
        UserError: the corpus can't be read (see `corpus.readers`), or has more characters than pieces are asked for.
    """
    folders.check_out(out)
    if vocab_size < SMALLEST:
        raise UserError(f"vocabulary size {vocab_size}: accepted: at least {SMALLEST}")
    total = sum(source.weight for source in sources)
    shares = [(source, int(max_characters * source.weight / total)) for source in sources]
    model = io.BytesIO()
    with Console(stderr=True).status(f"training a vocabulary of {vocab_size:,} pieces …"):
        try:
            _train((run for share in shares for run in _runs(*share)), vocab_size, model)
        except RuntimeError as error:
            raise _explained(error, vocab_size) from error
    proto = unigram.read(model.getvalue(), "the trained tokenizer")
    if len(proto.pieces) < vocab_size:
        print(f"anaume: the corpus gives {len(proto.pieces):,} pieces, not {vocab_size:,}", file=sys.stderr)
    # Trained without the prefix, else each sentence's first piece would be learnt with "▁" before it,
    # and only documents begin with one.
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
        required_chars="▁" + string.printable.strip(),  # so that `<0x0A>` in a text is read as six characters
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        split_by_whitespace=False,
        split_digits=True,
        max_sentencepiece_length=16,
        max_sentence_length=4 * _LONGEST_RUN + 4,
        # Fewer candidates and steps than by default: half the time, and no more tokens (0.2 % fewer on 140 MB).
        seed_sentencepiece_size=max(50_000, 8 * vocab_size),
        num_sub_iterations=1,
        num_threads=_THREADS,
        minloglevel=2,
        hard_vocab_limit=False,
    )


def _runs(source: Source, characters: int) -> Iterator[str]:
    """Runs of one script, from about so many characters of a source, as evenly from its parts as their sizes allow."""
    todo = parts(source)
    found = False
    for index, part in enumerate(todo):
        budget = characters // (len(todo) - index)
        for run in _part_runs(part, budget):
            found = True
            characters -= len(run)
            yield run
    if not found:
        raise no_document_error(source)


def _part_runs(part: Part, characters: int) -> Iterator[str]:
    for document in read(part, Reading()):
        for number, run in enumerate(_RUN.findall(document.text)):
            for start in range(0, len(run), _LONGEST_RUN):
                # SentencePiece proposes what it has seen before two different characters; a word that always ends its
                # run would never become a piece. So every other run gets a comma behind it.
                yield run[start : start + _LONGEST_RUN] + "、" * (number % 2)
        characters -= len(document.text)
        if characters <= 0:
            return


def _explained(error: RuntimeError, vocab_size: int) -> UserError | RuntimeError:
    """SentencePiece's complaint about a small vocabulary in our words; any other error as it is."""
    message = str(error)
    if "smaller than required_chars" in message:
        least = max(map(int, re.findall(r"\d+", message.partition("required_chars")[2])))
        return UserError(f"vocabulary size {vocab_size}: accepted: more than {least} for this corpus")
    return error
