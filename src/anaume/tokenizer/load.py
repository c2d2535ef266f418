"""A tokenizer folder → a Tokenizer, which turns texts into the ids of the token store.

`load_tokenizer` opens a folder that `train` or `adapt` wrote, or any Hugging Face folder that has a tokenizer.json and
a mask, cls, sep and pad token. `Tokenizer.encode` never returns a special id: a text that spells `<s>` or
`<MASK|LLM-jp>` gets the ordinary pieces of these characters. `AutoTokenizer`, by contrast, returns the special token
unless it is called with `split_special_tokens=True`.
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
    """A tokenizer of an encoder. Unpickling it in another process opens the folder again.

    `folder`           folder of its files, which `AutoTokenizer` opens
    `vocab_size`       number of ids; the ids are 0 … vocab_size - 1
    `special_ids`      ids of control tokens and of the unknown token, which `encode` never returns and which random
                       replacements never use; the ids of bytes are ordinary
    `vocabulary_hash`  SHA-256 of the pieces in the order of their ids
    `engine`           library that encodes: "sentencepiece" or "tokenizers"; both give the same ids
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
    engine: str
    _encode: Encode = field(repr=False, compare=False)

    def encode(self, texts: list[str]) -> list[Ids]:
        """Return the ids of each text, without cls and sep, using one core."""
        return self._encode(texts)

    def __reduce__(self) -> tuple[Callable[[Path], "Tokenizer"], tuple[Path]]:
        return load_tokenizer, (self.folder,)


def load_tokenizer(path: Path | str) -> Tokenizer:
    """Open a tokenizer folder, or the tokenizer with the Hub id `path`.

    Raises:
        UserError: The folder does not exist, has no tokenizer.json, or lacks a mask, cls, sep or pad token.
    """
    folder = local_folder(str(path))
    file = folder / folders.TOKENIZER
    if not file.exists():
        raise UserError(f"tokenizer {path}: contains no {folders.TOKENIZER}; expected a folder that contains it")
    fast = folders.read_tokenizer_json(folder)
    names = folders.read_names(folder, fast)
    folders.need_roles(names, f"tokenizer {path}")
    vocabulary = fast.get_vocab(with_added_tokens=True)
    ids = {role: vocabulary[name] for role, name in names.items()}
    added = fast.get_added_tokens_decoder()
    special = {i for i, token in added.items() if token.special} | set(ids.values())
    pieces = _pieces(vocabulary)
    model = folder / folders.SENTENCEPIECE
    if model.exists():
        engine, encode = "sentencepiece", _sentencepiece_encoder(model, pieces)
    else:
        engine, encode = "tokenizers", _tokenizers_encoder(fast, special, len(pieces))
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
        engine=engine,
        _encode=encode,
    )


def _pieces(vocabulary: dict[str, int]) -> list[str]:
    """Return the piece of each id; "" for an id without a piece."""
    pieces = [""] * (max(vocabulary.values()) + 1)
    for piece, index in vocabulary.items():
        pieces[index] = piece
    return pieces


def _sentencepiece_encoder(model: Path, pieces: list[str]) -> Encode:
    """Return a function that encodes through SentencePiece, each text in the cuts that unigram.py describes.

    The first cut of a text gets the dummy prefix, the others do not.
    """
    content = model.read_bytes()
    proto = unigram.read(content, str(model))
    if [piece.piece for piece in proto.pieces] != pieces:
        raise UserError(
            f"{model}: its pieces are not those of {folders.TOKENIZER} in the same folder; "
            f"expected the two files that `anaume tokenizer` wrote together, or {folders.TOKENIZER} alone"
        )
    first = sentencepiece.SentencePieceProcessor(model_proto=content)
    further = sentencepiece.SentencePieceProcessor(model_proto=unigram.without_prefix(proto))
    inner_pairs = unigram.inner_pairs(proto)

    def encode(texts: list[str]) -> list[Ids]:
        # All texts share two calls, because a call's overhead exceeds the time to encode a text of one sentence.
        cuts_of_texts = [unigram.cut(text, inner_pairs) for text in texts]
        first_ids = first.encode_as_numpy([head for head, *_ in cuts_of_texts], num_threads=1)
        further_cuts = [cut for _, *rest in cuts_of_texts for cut in rest]
        further_ids = iter(further.encode_as_numpy(further_cuts, num_threads=1))
        return [
            np.concatenate([head, *islice(further_ids, len(cuts) - 1)]).astype(np.uint32)
            for head, cuts in zip(first_ids, cuts_of_texts, strict=True)
        ]

    return encode


def _tokenizers_encoder(fast: tokenizers.Tokenizer, special: set[int], vocab_size: int) -> Encode:
    """Return a function that encodes through `tokenizers` and leaves out special ids that its model finds in a text."""
    fast.encode_special_tokens = True  # Special tokens that a text spells are read as ordinary characters.
    fast.no_truncation()
    fast.no_padding()
    ordinary = np.ones(vocab_size, dtype=bool)
    ordinary[list(special)] = False

    def encode(text: str) -> Ids:
        ids = np.array(fast.encode(text, add_special_tokens=False).ids, dtype=np.uint32)
        return ids[ordinary[ids]]

    return lambda texts: [encode(text) for text in texts]
