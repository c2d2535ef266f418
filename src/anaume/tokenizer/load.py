"""A tokenizer folder → ids for the token store.

`train` and `adapt` write such folders; `load` opens them, or any Hugging Face one that has a tokenizer.json
and a mask, cls, sep and pad token. What `Tokenizer.encode` gives never holds a special id: a text that spells
`<s>` or `<MASK|LLM-jp>` gets the ordinary pieces of these characters, whereas `AutoTokenizer` turns it into the
special token (unless called with `split_special_tokens=True`).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import sentencepiece
import tokenizers

from anaume.errors import UserError
from anaume.tokenizer import folder as folders
from anaume.tokenizer import unigram
from anaume.tokenizer.hub import local_folder

Ids = np.ndarray[tuple[int], np.dtype[np.uint32]]
Encode = Callable[[list[str]], list[Ids]]


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer of an encoder.

    `folder`           where its files are, for `AutoTokenizer`
    `vocab_size`       number of ids; the ids are 0 … vocab_size - 1
    `special_ids`      ids that no text becomes and no random replacement uses: control tokens and unknown.
                       Bytes are ordinary ids
    `vocabulary_hash`  SHA-256 of the pieces in the order of their ids
    """

    folder: Path
    vocab_size: int
    mask_id: int
    pad_id: int
    cls_id: int
    sep_id: int
    unk_id: int | None
    special_ids: tuple[int, ...]
    vocabulary_hash: str
    engine: str  # "sentencepiece" or "tokenizers": what encodes; both give the same ids
    _encode: Encode = field(repr=False, compare=False)

    def encode(self, texts: list[str]) -> list[Ids]:
        """The ids of each text, without cls and sep, on one core."""
        return self._encode(texts)

    def __reduce__(self) -> tuple[Callable[[Path], "Tokenizer"], tuple[Path]]:
        """Another process opens the folder again."""
        return load_tokenizer, (self.folder,)


def load_tokenizer(path: Path | str) -> Tokenizer:
    """Open a tokenizer folder, or the id of one on the Hub.

    Raises:
        UserError: there is none, it has no tokenizer.json, or it lacks a mask, cls, sep or pad token.
    """
    folder = local_folder(str(path))
    file = folder / folders.TOKENIZER
    if not file.exists():
        raise UserError(f"tokenizer {path}: no {folders.TOKENIZER} in it; accepted: a folder with one")
    fast = folders.read_tokenizer_json(folder)
    names = folders.read_names(folder, fast)
    folders.need_roles(names, f"tokenizer {path}")
    vocabulary = fast.get_vocab(with_added_tokens=True)
    ids = {role: vocabulary[name] for role, name in names.items()}
    added = fast.get_added_tokens_decoder()
    special = {i for i, token in added.items() if token.special} | set(ids.values())
    pieces = _pieces(vocabulary)
    model = folder / folders.SENTENCEPIECE
    encode = _sentencepiece(model, pieces) if model.exists() else _tokenizers(fast, special, len(pieces))
    return Tokenizer(
        folder=folder,
        vocab_size=len(pieces),
        mask_id=ids["mask"],
        pad_id=ids["pad"],
        cls_id=ids["cls"],
        sep_id=ids["sep"],
        unk_id=ids.get("unk"),
        special_ids=tuple(sorted(special)),
        vocabulary_hash=hashlib.sha256("\0".join(pieces).encode()).hexdigest(),
        engine="sentencepiece" if model.exists() else "tokenizers",
        _encode=encode,
    )


def _pieces(vocabulary: dict[str, int]) -> list[str]:
    """Piece of each id; "" where an id has none."""
    pieces = [""] * (max(vocabulary.values()) + 1)
    for piece, index in vocabulary.items():
        pieces[index] = piece
    return pieces


def _sentencepiece(model: Path, pieces: list[str]) -> Encode:
    """Encode through SentencePiece: the text's first cut with the dummy prefix, the others without."""
    content = model.read_bytes()
    proto = unigram.read(content, str(model))
    if [piece.piece for piece in proto.pieces] != pieces:
        raise UserError(
            f"{model}: its pieces are not those of {folders.TOKENIZER} beside it; "
            "accepted: the two files that `anaume tokenizer` wrote together, or the latter alone"
        )
    first = sentencepiece.SentencePieceProcessor(model_proto=content)
    further = sentencepiece.SentencePieceProcessor(model_proto=unigram.without_prefix(proto))
    within = unigram.spans(proto)

    def encode(texts: list[str]) -> list[Ids]:
        # All in two calls: with texts of one sentence each, calls would take longer than the work.
        cuts = [unigram.cut(text, within) for text in texts]
        heads = first.encode_as_numpy([head for head, *_ in cuts], num_threads=1)
        rests = iter(further.encode_as_numpy([stretch for _, *rest in cuts for stretch in rest], num_threads=1))
        return [
            np.concatenate([head, *islice(rests, len(stretches) - 1)]).astype(np.uint32)
            for head, stretches in zip(heads, cuts, strict=True)
        ]

    return encode


def _tokenizers(fast: tokenizers.Tokenizer, special: set[int], size: int) -> Encode:
    """Encode through `tokenizers`; a special id that its model finds in raw text is left out."""
    fast.encode_special_tokens = True  # don't look for special tokens in the text
    fast.no_truncation()
    fast.no_padding()
    ordinary = np.ones(size, dtype=bool)
    ordinary[list(special)] = False

    def encode(text: str) -> Ids:
        ids = np.array(fast.encode(text, add_special_tokens=False).ids, dtype=np.uint32)
        return ids[ordinary[ids]]

    return lambda texts: [encode(text) for text in texts]
