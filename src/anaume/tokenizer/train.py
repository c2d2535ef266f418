"""A corpus → the folder of a trained tokenizer: Unigram with byte fallback, or byte-level BPE.

Ids of a Unigram: 0 <unk>, 1 <s>, 2 </s>, 3 mask, 4 pad, 5 cls, 6 sep, 7 eod, 8–263 the bytes, then the pieces, as in
the paper's tokenizer. Ids of a BPE: 0 mask, 1 pad, 2 cls, 3 sep, 4 eod, 5–260 the bytes, then the pieces. In both, text
is not normalised, runs of spaces are kept, digits are separate pieces, and no piece leaves its run (see runs.py). A
piece of a Unigram has at most 16 characters.

Where words are respected, a piece has a space at its beginning only, and the mask token takes the space before it with
it, so that "is [MASK]." reads as "is Paris." with Paris hidden.
"""

import io
import re
import string
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from anaume.corpus.readers import no_document_error, parts
from anaume.corpus.source import Source
from anaume.errors import UserError
from anaume.files.outputs import require_own_folder
from anaume.progress import error_console, say
from anaume.tokenizer import folder as folders
from anaume.tokenizer import unigram
from anaume.tokenizer.adapt import write_unigram
from anaume.tokenizer.runs import RUN, WORD, Words, find_runs, find_words
from anaume.tokenizer.sample import part_texts, respect_words, sample_texts, shares_of

SPECIAL = [f"<{role}|anaume>" for role in ("MASK", "PAD", "CLS", "SEP", "EOD")]
SMALLEST = 3 + len(SPECIAL) + 256 + len(string.printable)

Kind = Literal["unigram", "bpe"]

_LONGEST_RUN = 1000  # characters; SentencePiece drops sentences of more than 4,192 bytes
_THREADS = 4  # The sums of expected counts depend on it; a fixed number gives one vocabulary on every machine.


def train_tokenizer(
    sources: Sequence[Source],
    vocab_size: int,
    out: Path,
    *,
    kind: Kind = "unigram",
    words: Words = "auto",
    max_characters: int = 10_000_000,
) -> None:
    """Train a tokenizer on `sources` and write its folder to `out`.

    The sources share `max_characters` in proportion to their weights, and the parts of a source share its characters.
    Training is deterministic. If the corpus is too small for `vocab_size` pieces, the vocabulary is smaller and a
    message on standard error gives its size.

    `words`: "respect" keeps pieces within words that spaces separate; "ignore" lets them span spaces, which is right
    for languages without spaces; "auto" decides by the text, and a message on standard error says how.

    Raises:
        UserError: The corpus cannot be read (see `corpus.readers`), `vocab_size` is too small for its characters, or
            `require_own_folder` refuses `out`.
    """
    require_own_folder(out, folders.COMMAND)
    smallest = SMALLEST if kind == "unigram" else len(SPECIAL) + 256
    if vocab_size < smallest:
        raise UserError(f"vocabulary size {vocab_size}: too small; expected at least {smallest}")
    respect = respect_words(sources, words)
    train = _train_unigram if kind == "unigram" else _train_bpe
    with error_console().status(f"training a vocabulary of {vocab_size:,} pieces …"):
        size = train(shares_of(sources, max_characters), vocab_size, respect, out)
    if size < vocab_size:
        say(f"anaume: the corpus gives {size:,} pieces, not {vocab_size:,}")


def _train_unigram(shares: Sequence[tuple[Source, int]], vocab_size: int, respect: bool, out: Path) -> int:
    model = io.BytesIO()
    raised: list[BaseException] = []  # SentencePiece makes a RuntimeError of whatever ends the reading, Ctrl-C too

    def runs() -> Iterator[str]:
        try:
            yield from _runs(shares, respect)
        except (Exception, KeyboardInterrupt) as error:
            raised.append(error)
            raise

    try:
        _train(runs(), vocab_size, respect, model)
    except RuntimeError as error:
        raise raised[0] if raised else _vocabulary_size_error(error, vocab_size) from error
    proto = unigram.read(model.getvalue(), "the trained tokenizer")
    # Training ran without the dummy prefix, because it would learn each run's first piece with "▁" before it, but only
    # documents begin with "▁".
    proto.normalizer_spec.add_dummy_prefix = True
    write_unigram(proto, "the trained tokenizer", out, mask_takes_space=respect)
    return len(proto.pieces)


def _train_bpe(shares: Sequence[tuple[Source, int]], vocab_size: int, respect: bool, out: Path) -> int:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORD if respect else RUN), "isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    names = folders.roles_by_spelling(SPECIAL)
    mask = AddedToken(names["mask"], lstrip=respect, normalized=False, special=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[mask, *SPECIAL[1:]],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample_texts(shares), trainer)
    folders.write(tokenizer, names, None, out)
    return int(tokenizer.get_vocab_size())


def _train(runs: Iterator[str], vocab_size: int, respect: bool, model: io.BytesIO) -> None:
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
        split_by_whitespace=respect,
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


def _runs(shares: Sequence[tuple[Source, int]], respect: bool) -> Iterator[str]:
    """Yield the runs of a text or, with `respect`, its words, for the training of a vocabulary.

    `shares` holds each source with the number of characters to read from it, spread evenly over the source's parts.
    """
    find, comma = (find_words, ",") if respect else (find_runs, "、")
    for source, characters in shares:
        all_parts = parts(source)
        is_empty = True
        for index, part in enumerate(all_parts):
            budget = characters // (len(all_parts) - index)
            for text in part_texts(part, budget):
                for number, run in enumerate(find(text)):
                    for start in range(0, len(run), _LONGEST_RUN):
                        is_empty = False
                        # SentencePiece proposes a piece only if two different characters follow it in the corpus. Every
                        # other run gets a comma, because a word that always ends its run would never become a piece.
                        sentence = run[start : start + _LONGEST_RUN] + comma * (number % 2)
                        characters -= len(sentence)
                        yield sentence
        if is_empty:
            raise no_document_error(source)


def _vocabulary_size_error(error: RuntimeError, vocab_size: int) -> UserError | RuntimeError:
    """Return a UserError for SentencePiece's error about a small vocabulary; return any other error unchanged."""
    message = str(error)
    if "smaller than required_chars" in message:
        least = max(map(int, re.findall(r"\d+", message.partition("required_chars")[2])))
        return UserError(f"vocabulary size {vocab_size}: too small; expected more than {least} for this corpus")
    return error
