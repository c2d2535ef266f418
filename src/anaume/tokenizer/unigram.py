"""A SentencePiece Unigram model and a `tokenizers` one that give the same ids, ties included.

Both engines look for the segmentation with the highest sum of scores. SentencePiece adds in float32, where
a sum over 100,000 characters has steps of 0.06: in every tenth long document it takes other pieces than
`tokenizers`, which adds in float64, and rounding noise decides real ties (`0`+`00` against `00`+`0`). Two
measures make both sums exact, and so the ids equal:

- scores are multiples of 1/512 (`GRID`); over 7 million tokens of Japanese that changed 7 lines of 404,000;
- SentencePiece gets a text in cuts of some 200 characters, made where no piece could span (`cut`), so that
  sums stay within the 2^15 up to which float32 holds every multiple of 1/512.

The dummy prefix "▁" is put before a text once, not again after a mask (as LLM-jp's own folders do), so that
`吾輩は[MASK]である` becomes … は MASK である, which is what pretraining shows. Text keeps all its spaces.
"""

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import sentencepiece
import sentencepiece.sentencepiece_model_pb2 as generated
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from anaume.errors import UserError

protobuf: Any = generated  # it carries no types
Proto = Any  # its ModelProto

SPACE = "▁"  # what SentencePiece writes for a space, and for the one it imagines before a text
GRID = 512
CUT = 192  # characters: even if the vocabulary has none of them (-137.5 each) the sum stays within 2^15

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6  # types of pieces


def read(content: bytes, place: str) -> Proto:
    """The Unigram model that the content of a SentencePiece .model file holds.

    Raises:
        UserError: it holds none, or one of another type.
    """
    proto = protobuf.ModelProto()
    try:
        proto.ParseFromString(content)
    except DecodeError as error:
        raise UserError(f"{place}: not a SentencePiece model; accepted: a .model file") from error
    kind = protobuf.TrainerSpec.ModelType.Name(proto.trainer_spec.model_type)
    if kind != "UNIGRAM" or not proto.pieces:
        raise UserError(f"{place}: a SentencePiece model of type {kind}; accepted: UNIGRAM")
    return proto


def is_exact(proto: Proto) -> bool:
    """Whether cuts leave a model's ids as they are.

    They do where nothing is normalised across a cut and each unknown character becomes bytes of its own.
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


def prepare(proto: Proto, special: Iterable[int]) -> None:
    """Round the scores in `proto` to the grid; keep raw text from ever becoming one of the ids `special`."""
    for piece in proto.pieces:
        piece.score = round(piece.score * GRID) / GRID
    for index in special:
        if proto.pieces[index].type != _UNKNOWN:
            proto.pieces[index].type = _CONTROL


def special_ids(proto: Proto) -> list[int]:
    """Ids of a model's control pieces and of its unknown piece."""
    return [i for i, piece in enumerate(proto.pieces) if piece.type in (_CONTROL, _UNKNOWN)]


def to_tokenizers(proto: Proto) -> Tokenizer:
    """The model in `tokenizers`, control pieces and unknown piece as special tokens, no post-processor."""
    unreachable = _score_of_the_unreachable(proto)
    vocabulary = [
        (piece.piece, piece.score if piece.type in (_NORMAL, _USER_DEFINED) else unreachable) for piece in proto.pieces
    ]
    unknown = next(i for i, piece in enumerate(proto.pieces) if piece.type == _UNKNOWN)
    tokenizer = Tokenizer(models.Unigram(vocabulary, unknown, proto.trainer_spec.byte_fallback))
    _set_spaces(tokenizer, proto.normalizer_spec)
    special = [proto.pieces[i].piece for i in special_ids(proto)]
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in special])
    symbols = [piece.piece for piece in proto.pieces if piece.type == _USER_DEFINED]
    tokenizer.add_tokens([AddedToken(symbol, normalized=False) for symbol in symbols])
    return tokenizer


def _set_spaces(tokenizer: Tokenizer, spec: Any) -> None:
    """Spaces, dummy prefix and their way back, as the SentencePiece normaliser `spec` says.

    One Metaspace step would put no prefix where the text begins with a space itself. But after the normaliser
    no space is left: so the first step always puts one, at the start of the text only; the second respells.
    """
    steps: list[Any] = [normalizers.Replace(" ", SPACE)]
    if spec.remove_extra_whitespaces:
        steps = [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " "), *steps]
    if spec.precompiled_charsmap:
        steps = [normalizers.Precompiled(spec.precompiled_charsmap), *steps]
    tokenizer.normalizer = normalizers.Sequence(steps)
    back: list[Any] = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if spec.add_dummy_prefix:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Metaspace(replacement=" ", prepend_scheme="first", split=False),
                pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="never", split=False),
            ]
        )
        back.append(decoders.Strip(" ", 1, 0))
    tokenizer.decoder = decoders.Sequence(back)


def _score_of_the_unreachable(proto: Proto) -> float:
    """A score so low that `<0x0A>` or `<s>` written in a text is read as ordinary pieces.

    SentencePiece never takes a control or byte piece for text; `tokenizers` does where it scores best. Not
    lower than needed, because `tokenizers` derives the score of unknown characters from the lowest of all.
    """
    lowest = min(piece.score for piece in proto.pieces if piece.type == _NORMAL)
    processor = sentencepiece.SentencePieceProcessor(model_proto=without_prefix(proto))
    names = [piece.piece for piece in proto.pieces if piece.type not in (_NORMAL, _USER_DEFINED)]
    as_text = [sum(proto.pieces[i].score for i in ids) for ids in processor.encode(names, num_threads=1)]
    return float(min([lowest, *(score - 1 for score in as_text)]))


def without_prefix(proto: Proto) -> bytes:
    """The same model, serialized, for the middle of a text: it puts no "▁" before."""
    middle = protobuf.ModelProto()
    middle.CopyFrom(proto)
    middle.normalizer_spec.add_dummy_prefix = False
    return bytes(middle.SerializeToString())


def spans(proto: Proto) -> frozenset[str]:
    """All pairs of neighbouring characters that lie within some piece: between them no text may be cut."""
    pieces = (piece.piece.replace(SPACE, " ") for piece in proto.pieces if piece.type == _NORMAL)
    return frozenset(left + right for piece in pieces for left, right in pairwise(piece))


def cut(text: str, within: frozenset[str]) -> list[str]:
    """`text` in stretches of `CUT` characters or little more, none of which ends within a pair of `within`.

    "▁" becomes a space, which to SentencePiece is the same.
    """
    text = text.replace(SPACE, " ")
    stretches = []
    start, end, length = 0, CUT, len(text)
    while end < length:
        if text[end - 1 : end + 1] in within:
            end += 1
        else:
            stretches.append(text[start:end])
            start, end = end, end + CUT
    stretches.append(text[start:])
    return stretches


def from_tokenizers(tokenizer: Tokenizer) -> Proto | None:
    """The SentencePiece model that a `tokenizers` Unigram was once made from; None if it is of another kind.

    It is that kind if unknown characters become bytes and its normaliser only puts the dummy prefix and
    replaces spaces, as in LLM-jp's folders on the Hub.
    """
    spec = json.loads(tokenizer.to_str())
    model = spec["model"]
    if model["type"] != "Unigram" or not model.get("byte_fallback") or spec["pre_tokenizer"]:
        return None
    if not _puts_prefix_and_spaces(spec["normalizer"]):
        return None
    added = {token["id"]: token for token in spec["added_tokens"]}
    vocabulary = [*model["vocab"]]
    for index in sorted(added):
        if index == len(vocabulary):
            vocabulary.append([added[index]["content"], 0.0])
    if any(index >= len(vocabulary) or not token["special"] for index, token in added.items()):
        return None
    return _proto(vocabulary, model["unk_id"], set(added))


def _puts_prefix_and_spaces(normalizer: Any) -> bool:
    steps = (normalizer or {}).get("normalizers", [])
    if len(steps) != 2 or steps[1].get("content") != SPACE:
        return False
    first, second = steps
    start_of_text = {"Regex": r"(?<!\n)^"}  # LLM-jp's way to say so: alone, ^ stands for the start of each line
    puts = first == {"type": "Prepend", "prepend": SPACE} or (
        first.get("content") == SPACE and first.get("pattern") == start_of_text
    )
    return puts and second.get("pattern") in ({"String": " "}, {"Regex": " "})


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
