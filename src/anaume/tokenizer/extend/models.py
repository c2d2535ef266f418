"""The kinds of tokenizer models: the new pieces that each can have, and how they are written into tokenizer.json.

New ids follow the last old one. Every older id, piece, score and merge stays.

Unigram: a new piece gets the probability of its rarest part, times the share of this part's occurrences that the new
piece takes. This is the scale of the other scores, and more than the product of its parts' probabilities, so that the
best segmentation takes the new piece. Intermediate pieces that longer ones have replaced are left out. Characters that
the model does not know, each of which costs up to four bytes, become pieces too, with the lowest score of the model.

BPE: the new merges follow all older ones, so they see what the older merges leave. Intermediate pieces stay, because
the longer ones are made from them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import models

from anaume.errors import UserError
from anaume.tokenizer.extend.merges import LONGEST, Joiner
from anaume.tokenizer.extend.sequences import BYTE_PIECE, Sequence, character_of
from anaume.tokenizer.unigram import GRID

Spec = dict[str, Any]  # the content of tokenizer.json


@dataclass(frozen=True)
class NewPieces:
    """New pieces in the order of their ids; `scores` of a Unigram, one for each piece, and `merges` of a BPE."""

    pieces: tuple[str, ...]
    scores: tuple[float, ...] = ()
    merges: tuple[tuple[str, str], ...] = ()


def check_kind(spec: Spec, pieces: tuple[str, ...], place: str) -> None:
    """Check that new pieces can be added to a model of this kind. `pieces` are the spellings of all ids.

    Raises:
        UserError: it is neither a Unigram nor a BPE, it marks pieces that continue a word, or its ids have gaps.
    """
    kind = spec["model"]["type"]
    if kind not in ("Unigram", "BPE") or spec["model"].get("continuing_subword_prefix"):
        raise UserError(f"{place}: new words for a model of the kind {kind} are not supported; expected Unigram or BPE")
    if "" in pieces:
        raise UserError(f"{place}: no piece has the id {pieces.index('')}; expected ids without gaps")


def unknown_ids(spec: Spec) -> set[int]:
    """Return the ids that stand for characters which a Unigram does not know: its bytes and its unknown token."""
    model = spec["model"]
    if model["type"] != "Unigram":
        return set()
    byte_ids = {index for index, (piece, _) in enumerate(model["vocab"]) if BYTE_PIECE.fullmatch(piece)}
    return byte_ids | ({model["unk_id"]} - {None})


def choose(counts: Mapping[Sequence, int], spec: Spec, pieces: list[str], surfaces: list[bytes], add: int) -> NewPieces:
    """Return at most `add` new pieces, those that save most tokens in the sequences.

    `pieces` and `surfaces`: the spelling and the text of each old id.
    """
    if spec["model"]["type"] == "BPE":
        return _choose_bpe(Joiner(counts, pieces, _within_characters(surfaces)), add)
    return _choose_unigram(Joiner(counts, pieces, _accepted_by(spec)), spec["model"], add)


def add_pieces(spec: Spec, pieces: tuple[str, ...], new: NewPieces) -> None:
    """Write new pieces into the content of tokenizer.json, behind `pieces`, the spellings of all old ids.

    An added token whose id the model lacks goes into the model first, because ids of a model have no gaps.
    """
    model = spec["model"]
    if model["type"] == "Unigram":
        vocabulary = model["vocab"]
        absent = pieces[len(vocabulary) :]
        vocabulary += [[name, score] for name, score in zip(absent, _scores_unreachable(model, absent), strict=True)]
        vocabulary += [[piece, score] for piece, score in zip(new.pieces, new.scores, strict=True)]
        return
    model["vocab"] |= {piece: index for index, piece in enumerate((*pieces, *new.pieces))}
    in_pairs = not model["merges"] or not isinstance(model["merges"][0], str)
    model["merges"] += [[*pair] if in_pairs else " ".join(pair) for pair in new.merges]


def _choose_bpe(joiner: Joiner, add: int) -> NewPieces:
    merges = joiner.merges
    while len(merges.pieces) < add and joiner.step():
        pass
    pairs = ((joiner.spelling(left), joiner.spelling(right)) for left, right in merges.pairs)
    return NewPieces(tuple(merges.pieces), merges=tuple(pairs))


def _choose_unigram(joiner: Joiner, model: Spec, add: int) -> NewPieces:
    merges = joiner.merges
    before = merges.occurrences.copy()
    characters = [index for index in before if index < 0]
    interval = max(1, add // 50)  # The pieces worth an id are counted now and then only.

    def saved(index: int) -> int:
        """Return the number of tokens that a new piece, or an unknown character as a piece, saves."""
        parts = merges.parts.get(index, (index,))
        tokens = (len(character_of(p).encode()) if p < 0 and model.get("byte_fallback") else 1 for p in parts)
        return merges.occurrences[index] * (sum(tokens) - 1)

    def worth(least: int) -> list[int]:
        return [index for index in (*characters, *merges.parts) if saved(index) >= least]

    enough = False
    while not enough and joiner.step():
        if len(merges.parts) + len(characters) >= add and len(merges.parts) % interval == 0:
            enough = len(worth(merges.least_saved)) >= add
    best = sorted(worth(merges.least_saved if enough else 1), key=saved, reverse=True)[:add]
    lowest = min(score for _, score in model["vocab"])
    scores = []
    for index in sorted(best):
        shares = ((part, merges.occurrences[index] / before[part]) for part in merges.parts.get(index, (index,)))
        score = min((lowest if part < 0 else model["vocab"][part][1]) + math.log(share) for part, share in shares)
        scores.append(max(lowest, round(score * GRID) / GRID))
    return NewPieces(tuple(joiner.spelling(index) for index in sorted(best)), tuple(scores))


def _within_characters(surfaces: list[bytes]) -> Callable[[Sequence, str], bool]:
    """Return whether ids spell whole characters, at most `LONGEST`, or bytes of a single character."""

    def accepts(parts: Sequence, _spelling: str) -> bool:
        content = b"".join(surfaces[part] for part in parts)
        if all(0x80 <= byte < 0xC0 for byte in content[1:]):
            return True
        try:
            return len(content.decode()) <= LONGEST
        except UnicodeDecodeError:
            return False

    return accepts


def _accepted_by(spec: Spec) -> Callable[[Sequence, str], bool]:
    """Return whether a Unigram may have a piece.

    A piece that contains the begin of `<unk>` or `<0x0A>` would span a place where our tokenizer.json splits a text
    that spells these names (see unigram.py).
    """
    model = spec["model"]
    begins = {model["vocab"][model["unk_id"]][0][:2]} if model.get("unk_id") is not None else set()
    begins |= {"<0"} if model.get("byte_fallback") else set()
    return lambda _parts, spelling: len(spelling) <= LONGEST and not any(begin in spelling for begin in begins)


def _scores_unreachable(model: Spec, names: tuple[str, ...]) -> list[float]:
    """Return scores so low that a text which spells a name is read as its ordinary pieces.

    They are no lower than needed, because the score of unknown characters follows from the lowest one.
    """
    vocabulary = model["vocab"]
    engine: Any = models.Unigram([(piece, score) for piece, score in vocabulary], model["unk_id"], False)
    lowest = min(score for _, score in vocabulary)
    as_text = (sum(vocabulary[token.id][1] for token in engine.tokenize(name)) for name in names)
    return [min(lowest, score - 1) for score in as_text]
