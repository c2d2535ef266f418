"""A SentencePiece Unigram model → a `tokenizers` model that gives the same ids, ties included; and back.

Both libraries look for the segmentation with the highest sum of scores. SentencePiece adds in float32, where the sums
of a text of 100,000 characters have steps of 0.06. For one in ten long documents it chooses other pieces than
`tokenizers`, which adds in float64, and rounding noise decides real ties (`0`+`00` against `00`+`0`). Two measures make
both sums exact, and therefore the ids equal:

- Scores are multiples of 1/512 (`GRID`). Over 7 million tokens of Japanese this changed 7 lines of 404,000.
- SentencePiece gets a text in cuts of about 200 characters (`cut`), and no piece of the vocabulary can span the place
  of a cut. The sums stay below 2^15, up to which float32 holds every multiple of 1/512.

The dummy prefix "▁" is put once before a text. LLM-jp's own folders also put it after a mask; without it
`吾輩は[MASK]である` becomes … は MASK である, as in pretraining. A text keeps all its spaces.
"""

import json
import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import sentencepiece
import sentencepiece.sentencepiece_model_pb2 as generated
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from anaume.errors import UserError

protobuf: Any = generated  # The generated module has no types.
Proto = Any  # SentencePiece's ModelProto

SPACE = "▁"  # SentencePiece's mark for a space and for the dummy prefix
BYTE_LEVEL_SPACE = "Ġ"  # that of byte-level BPE
SPACE_MARKS = (SPACE, BYTE_LEVEL_SPACE)
GRID = 512  # steps of scores per unit
CUT = 192  # characters; the sum stays below 2^15 even if all of them are unknown (-137.5 each)

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6  # SentencePiece's types of pieces


def read(content: bytes, place: str) -> Proto:
    """Parse the content of a SentencePiece .model file; error messages begin with `place`.

    Raises:
        UserError: The content is not a SentencePiece model, or its type is not Unigram.
    """
    proto = protobuf.ModelProto()
    try:
        proto.ParseFromString(content)
    except DecodeError as error:
        raise UserError(f"{place}: not a SentencePiece model; expected a .model file") from error
    kind = protobuf.TrainerSpec.ModelType.Name(proto.trainer_spec.model_type)
    if kind != "UNIGRAM" or not proto.pieces:
        raise UserError(f"{place}: a SentencePiece model of type {kind}; expected UNIGRAM")
    return proto


def is_exact(proto: Proto) -> bool:
    """Return whether SentencePiece gives the same ids for a text in cuts as for the whole text.

    This holds if nothing is normalised across a cut and each unknown character becomes its own bytes.
    """
    normalizer = proto.normalizer_spec
    return (
        not normalizer.precompiled_charsmap
        and not normalizer.remove_extra_whitespaces
        and normalizer.add_dummy_prefix
        and normalizer.escape_whitespaces
        and not proto.trainer_spec.treat_whitespace_as_suffix
        and proto.trainer_spec.byte_fallback
        and all(piece.type != _USER_DEFINED for piece in proto.pieces)
    )


def make_control(proto: Proto, special: Iterable[int]) -> None:
    """Make the ids `special` control pieces, which encoding never returns."""
    for index in special:
        if proto.pieces[index].type != _UNKNOWN:
            proto.pieces[index].type = _CONTROL


def round_scores(proto: Proto) -> None:
    """Round the scores of `proto` to multiples of 1 / `GRID`."""
    for piece in proto.pieces:
        piece.score = round(piece.score * GRID) / GRID


def special_ids(proto: Proto) -> list[int]:
    """Return the ids of a model's control pieces and of its unknown piece."""
    return [i for i, piece in enumerate(proto.pieces) if piece.type in (_CONTROL, _UNKNOWN)]


def add_control(proto: Proto, names: Iterable[str]) -> None:
    """Append control pieces to a model; the ids of its other pieces stay."""
    for name in names:
        proto.pieces.add(piece=name, score=0.0, type=_CONTROL)


def to_tokenizers(proto: Proto, added: Iterable[AddedToken] = ()) -> Tokenizer:
    """Return the `tokenizers` model, with control and unknown pieces as special tokens and without a post-processor.

    A special token of `added` keeps its properties; the others are plain.
    """
    unreachable = _unreachable_score(proto)
    vocabulary = [
        (piece.piece, piece.score if piece.type in (_NORMAL, _USER_DEFINED) else unreachable) for piece in proto.pieces
    ]
    unknown = next(i for i, piece in enumerate(proto.pieces) if piece.type == _UNKNOWN)
    tokenizer = Tokenizer(models.Unigram(vocabulary, unknown, proto.trainer_spec.byte_fallback))
    _set_spaces(tokenizer, proto.normalizer_spec)
    if (split := _split_names(proto)) is not None:
        steps = [split] if tokenizer.pre_tokenizer is None else [split, tokenizer.pre_tokenizer]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    known = {token.content: token for token in added}
    special = [proto.pieces[i].piece for i in special_ids(proto)]
    tokenizer.add_special_tokens(
        [known.get(name, AddedToken(name, normalized=False, special=True)) for name in special]
    )
    symbols = [piece.piece for piece in proto.pieces if piece.type == _USER_DEFINED]
    tokenizer.add_tokens([AddedToken(symbol, normalized=False) for symbol in symbols])
    return tokenizer


def _set_spaces(tokenizer: Tokenizer, spec: Any) -> None:
    """Set normalisation, spaces and the dummy prefix, and their inverse in the decoder, as in SentencePiece's `spec`.

    SentencePiece's extra whitespace is spaces alone: line ends and U+3000 stay, unless its normalisation makes spaces
    of them.
    """
    steps: list[Any] = [normalizers.Replace(" ", SPACE)]
    if spec.remove_extra_whitespaces:
        # Leading spaces become the prefix, because a prefix is not put before a text whose first characters are gone.
        leading = (rf"\A(?: +|(?={SPACE}))", SPACE) if spec.add_dummy_prefix else (r"\A +", "")
        steps = [
            normalizers.Replace(Regex(leading[0]), leading[1]),
            normalizers.Replace(Regex(" {2,}"), " "),
            *steps,
            normalizers.Replace(Regex(rf"{SPACE}+\z"), ""),
        ]
    if spec.precompiled_charsmap:
        # `tokenizers` looks up one character at a time: NFC composes か and U+3099 before, カ and U+3099 of ｶﾞ behind.
        steps = [normalizers.NFC(), normalizers.Precompiled(spec.precompiled_charsmap), normalizers.NFC(), *steps]
    tokenizer.normalizer = normalizers.Sequence(steps)
    decoding: list[Any] = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if spec.add_dummy_prefix:
        tokenizer.pre_tokenizer = _prefix(spec.remove_extra_whitespaces)
        decoding.append(decoders.Strip(" ", 1, 0))
    tokenizer.decoder = decoders.Sequence(decoding)


def _prefix(leading_space_is_prefix: bool) -> Any:
    """Return the step that puts the dummy prefix once before a text, but not after a mask.

    A single Metaspace step would put no prefix before a text that begins with a space. After the normaliser no space is
    left, so the first step always puts a space at the start of the text, and the second turns it into `SPACE`.
    """
    if leading_space_is_prefix:
        return pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="first", split=False)
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement=" ", prepend_scheme="first", split=False),
            pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="never", split=False),
        ]
    )


def _split_names(proto: Proto) -> Any:
    """Return the step that splits a text inside each `<unk>` and `<0x0A>` that it spells; None if none is needed.

    `_unreachable_score` has no effect where the vocabulary lacks a character of these names, because the score of an
    unknown character is always lower. No other piece spans the place of a split.
    """
    unknown = next(piece.piece for piece in proto.pieces if piece.type == _UNKNOWN)
    patterns = {unknown: re.escape(unknown[1:]), "<0x0A>": "0x[0-9A-F]{2}>"}
    if all(piece.type != _BYTE for piece in proto.pieces):
        del patterns["<0x0A>"]
    letters = {piece.piece for piece in proto.pieces if piece.type == _NORMAL}
    pairs = inner_pairs(proto)
    splits = [
        f"{re.escape(name[0])}(?={rest})"
        for name, rest in patterns.items()
        if not letters.issuperset(name) and name[:2] not in pairs
    ]
    return pre_tokenizers.Split(Regex("|".join(splits)), "merged_with_previous") if splits else None


def _unreachable_score(proto: Proto) -> float:
    """Return a score so low that `tokenizers` reads `<0x0A>` or `<s>` in a text as ordinary pieces.

    SentencePiece never takes a control or byte piece for text, but `tokenizers` does if the piece has the best score.
    The score is no lower than needed, because `tokenizers` derives the score of unknown characters from the lowest one.
    """
    lowest = min(piece.score for piece in proto.pieces if piece.type == _NORMAL)
    processor = sentencepiece.SentencePieceProcessor(model_proto=without_prefix(proto))
    names = [piece.piece for piece in proto.pieces if piece.type not in (_NORMAL, _USER_DEFINED)]
    scores_as_text = [sum(proto.pieces[i].score for i in ids) for ids in processor.encode(names, num_threads=1)]
    return float(min([lowest, *(score - 1 for score in scores_as_text)]))


def without_prefix(proto: Proto) -> bytes:
    """Return the serialized model without the dummy prefix, for every cut of a text but the first."""
    middle = protobuf.ModelProto()
    middle.CopyFrom(proto)
    middle.normalizer_spec.add_dummy_prefix = False
    return bytes(middle.SerializeToString())


def inner_pairs(proto: Proto) -> frozenset[str]:
    """Return all pairs of neighbouring characters inside a piece. A text must not be cut between such a pair."""
    pieces = (piece.piece.replace(SPACE, " ") for piece in proto.pieces if piece.type == _NORMAL)
    return frozenset(left + right for piece in pieces for left, right in pairwise(piece))


def cut(text: str, inner_pairs: frozenset[str]) -> list[str]:
    """Split `text` into cuts of `CUT` characters or slightly more, never between the characters of an inner pair.

    "▁" becomes a space, because SentencePiece makes no difference between them.
    """
    text = text.replace(SPACE, " ")
    cuts = []
    start, end, length = 0, CUT, len(text)
    while end < length:
        if text[end - 1 : end + 1] in inner_pairs:
            end += 1
        else:
            cuts.append(text[start:end])
            start, end = end, end + CUT
    cuts.append(text[start:])
    return cuts


def from_tokenizers(tokenizer: Tokenizer) -> Proto | None:
    """Return the SentencePiece model that a `tokenizers` Unigram comes from, or None for a tokenizer of another kind.

    The tokenizer must turn unknown characters into bytes, and its normaliser must only put the dummy prefix and replace
    spaces, as in LLM-jp's folders on the Hub.
    """
    spec = json.loads(tokenizer.to_str())
    model = spec["model"]
    if model["type"] != "Unigram" or not model.get("byte_fallback") or spec["pre_tokenizer"]:
        return None
    if not _only_puts_prefix_and_spaces(spec["normalizer"]):
        return None
    added = {token["id"]: token for token in spec["added_tokens"]}
    vocabulary = [*model["vocab"]]
    for index in sorted(added):
        if index == len(vocabulary):
            vocabulary.append([added[index]["content"], 0.0])
    if any(index >= len(vocabulary) or not token["special"] for index, token in added.items()):
        return None
    return _proto(vocabulary, model["unk_id"], set(added))


def _only_puts_prefix_and_spaces(normalizer: Any) -> bool:
    steps = (normalizer or {}).get("normalizers", [])
    if len(steps) != 2 or steps[1].get("content") != SPACE:
        return False
    first, second = steps
    start_of_text = {"Regex": r"(?<!\n)^"}  # LLM-jp's form, because ^ alone matches at every line.
    puts_prefix = first == {"type": "Prepend", "prepend": SPACE} or (
        first.get("content") == SPACE and first.get("pattern") == start_of_text
    )
    return puts_prefix and second.get("pattern") in ({"String": " "}, {"Regex": " "})


def _proto(vocabulary: list[Any], unknown: int, special: set[int]) -> Proto:
    proto = protobuf.ModelProto()
    for index, (name, score) in enumerate(vocabulary):
        kind = _NORMAL
        if index == unknown:
            kind = _UNKNOWN
        elif index in special:
            kind = _CONTROL
        elif len(name) == 6 and name.startswith("<0x"):
            kind = _BYTE
        proto.pieces.add(piece=name, score=score, type=kind)
    proto.trainer_spec.model_type = 1
    proto.trainer_spec.byte_fallback = True
    proto.trainer_spec.unk_piece = vocabulary[unknown][0]
    proto.normalizer_spec.name = "identity"
    proto.normalizer_spec.add_dummy_prefix = True
    proto.normalizer_spec.remove_extra_whitespaces = False
    return proto
