"""A tokenizer folder → a Tokenizer, which turns texts into the ids of the token store.

`load_tokenizer` opens a folder that `train` or `adapt` wrote, or any folder or Hub id of a tokenizer that
`transformers` opens and that has a mask and a pad token and puts one token before and one behind a text.

`Tokenizer.encode` returns no special id except that of the unknown token: a text that spells `<s>` or `<MASK|LLM-jp>`
gets the ordinary pieces of these characters. `AutoTokenizer`, by contrast, returns the special token unless it is
called with `split_special_tokens=True`. For all other texts the ids are those of `AutoTokenizer`.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import tokenizers

from anaume.errors import UserError
from anaume.files.outputs import require_unchanged
from anaume.tokenizer import folder as folders
from anaume.tokenizer import unigram
from anaume.tokenizer.hub import local_folder
from anaume.tokenizer.probes import differences, probes

Ids = np.ndarray[tuple[int], np.dtype[np.uint32]]
Encode = Callable[[list[str]], list[Ids]]

_TEXT = "あ a"  # An encoding of it shows the template.


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer of an encoder. Unpickling it in another process opens the folder again.

    `folder`           folder of its files, which `AutoTokenizer` opens
    `vocab_size`       number of ids; the ids are 0 … vocab_size - 1
    `cls_id`, `sep_id` the ids before and behind a text in the tokenizer's own template, whatever their names
    `special_ids`      ids of control tokens and of the unknown token, which random replacements never use; the ids of
                       bytes are ordinary
    `vocabulary_hash`  SHA-256 of the pieces in the order of their ids
    `engine`           library that encodes: "sentencepiece", "tokenizers" or, for a tokenizer that only Python code of
                       `transformers` can run (MeCab), "transformers"; a tokenizer's engines give the same ids
    `pieces`           spelling of each id; "" for an id without one
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
    pieces: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def encode(self, texts: list[str]) -> list[Ids]:
        """Return the ids of each text, without cls and sep.

        The engine "tokenizers" uses all cores, except after `encode_on_one_core`. The other engines use one.
        """
        return self._encode(texts)

    def count_unknown(self, ids: Ids) -> int:
        """Return how many of `ids` are the unknown token."""
        return 0 if self.unk_id is None else int(np.count_nonzero(ids == self.unk_id))

    def __reduce__(self) -> tuple[Callable[[Path], "Tokenizer"], tuple[Path]]:
        return load_tokenizer, (self.folder,)


def load_tokenizer(path: Path | str) -> Tokenizer:
    """Open a tokenizer folder, or the tokenizer with the Hub id `path`.

    Raises:
        UserError: The folder does not exist or has no tokenizer, the tokenizer lacks a mask or a pad token, it does not
            put one token before and one behind a text, or anaume wrote the folder and a file has changed since.
    """
    folder = local_folder(str(path))
    require_unchanged(folder, folders.FILES)
    if (folder / folders.TOKENIZER).exists():
        fast = folders.read_tokenizer_json(folder)
        return _fast_tokenizer(fast, folders.read_names(folder, fast), folder, f"tokenizer {path}")
    auto = _open_without_json(folder, path)
    names = {role: name for role in folders.ALL_ROLES if (name := getattr(auto, f"{role}_token"))}
    if auto.is_fast:
        fast = tokenizers.Tokenizer.from_str(auto.backend_tokenizer.to_str())
        return _fast_tokenizer(fast, names, folder, f"tokenizer {path}")
    return _slow_tokenizer(auto, names, folder, f"tokenizer {path}")


def encode_on_one_core() -> None:
    """Keep `Tokenizer.encode` to one core in this process, for processes of which each core has one."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _open_without_json(folder: Path, path: Path | str) -> Any:
    """Open a tokenizer that has no tokenizer.json with `transformers`, which is imported for such a one only."""
    if not any(file for pattern in folders.VOCABULARIES for file in folder.glob(pattern)):
        raise UserError(
            f"tokenizer {path}: contains no {folders.TOKENIZER}; expected a folder that contains it, or the vocabulary"
            " of a tokenizer that transformers opens"
        )
    from anaume.tokenizer.auto import open_auto_tokenizer

    try:
        return open_auto_tokenizer(folder)
    except Exception as error:  # Each class of transformers raises what its parsers raise.
        reason = " ".join(str(error).split())
        raise UserError(f"tokenizer {path}: transformers can't open it ({reason}); expected a tokenizer") from error


def _fast_tokenizer(fast: tokenizers.Tokenizer, names: dict[str, str], folder: Path, place: str) -> Tokenizer:
    fast.no_truncation()
    fast.no_padding()
    encoding = fast.encode(_TEXT)
    vocabulary = fast.get_vocab(with_added_tokens=True)
    ids = {role: vocabulary[name] for role, name in names.items()}
    ids = _with_template(ids, encoding.ids, encoding.special_tokens_mask, place)
    added = fast.get_added_tokens_decoder()
    special = {i for i, token in added.items() if token.special} | set(ids.values())
    pieces = _pieces(vocabulary)
    engine, encode = "tokenizers", tokenizers_encoder(fast, special, ids.get("unk"))
    if (model := folder / folders.SENTENCEPIECE).exists():
        faster = _sentencepiece_encoder(model, pieces)
        if faster and not any(differences(probes(), one_text(encode), one_text(faster))):
            engine, encode = "sentencepiece", faster
    digest = hashlib.sha256("\0".join(pieces).encode()).hexdigest()
    return _tokenizer(folder, pieces, ids, special, digest, engine, encode)


def _slow_tokenizer(slow: Any, names: dict[str, str], folder: Path, place: str) -> Tokenizer:
    ids = {role: int(slow.convert_tokens_to_ids(name)) for role, name in names.items()}
    whole, bare = slow(_TEXT)["input_ids"], slow(_TEXT, add_special_tokens=False)["input_ids"]
    start = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
    is_special = [not start <= i < start + len(bare) for i in range(len(whole))]
    ids = _with_template(ids, whole, is_special, place)
    pieces = [piece or "" for piece in slow.convert_ids_to_tokens(range(len(slow)))]
    special = {*slow.all_special_ids, *ids.values()}
    ordinary = _ordinary(len(pieces), special, ids.get("unk"), lambda i: slow.convert_tokens_to_ids([*pieces[i]]))

    def encode(texts: list[str]) -> list[Ids]:
        rows = (slow.tokenize(text, split_special_tokens=True) for text in texts)
        return [ordinary.keep(slow.convert_tokens_to_ids(row)) for row in rows]

    digest = hashlib.sha256("\0".join(["transformers", *pieces]).encode()).hexdigest()
    return _tokenizer(folder, pieces, ids, special, digest, "transformers", encode)


def _tokenizer(
    folder: Path, pieces: list[str], ids: dict[str, int], special: set[int], digest: str, engine: str, encode: Encode
) -> Tokenizer:
    return Tokenizer(
        folder=folder,
        vocab_size=len(pieces),
        mask_id=ids["mask"],
        pad_id=ids["pad"],
        cls_id=ids["cls"],
        sep_id=ids["sep"],
        unk_id=ids.get("unk"),
        special_ids=tuple(sorted(special)),
        vocabulary_hash=digest,
        engine=engine,
        _encode=encode,
        pieces=tuple(pieces),
    )


def _with_template(
    ids: dict[str, int], example: Sequence[int], is_special: Sequence[int | bool], place: str
) -> dict[str, int]:
    """Return `ids` with cls and sep as the tokens that the template puts around a text.

    `example` are the ids of a text with its template, and `is_special` marks those that the template put.

    Raises:
        UserError: A role is missing, or the template is not one token before and one behind the text.
    """
    around = [i for i, special in zip(example, is_special, strict=True) if special]
    if len(around) == 2 and is_special[0] and is_special[-1]:
        ids = ids | {"cls": around[0], "sep": around[1]}
    folders.need_roles(ids, place)
    if around != [ids["cls"], ids["sep"]]:
        raise UserError(
            f"{place}: puts {len(around)} special tokens around a text; expected one before and one behind it"
            " (`adapt` makes such a tokenizer)"
        )
    return ids


def _pieces(vocabulary: dict[str, int]) -> list[str]:
    """Return the piece of each id; "" for an id without a piece."""
    pieces = [""] * (max(vocabulary.values()) + 1)
    for piece, index in vocabulary.items():
        pieces[index] = piece
    return pieces


@dataclass(frozen=True)
class _Ordinary:
    """Which ids may stand for text. Another one, which a model finds in a text, gives way to those of its characters.

    `allowed`  for each id whether it may
    `unknown`  id of the unknown token, which stands for a run of unknown characters
    `spell`    special id → ids of the characters of its name
    """

    allowed: np.ndarray[tuple[int], np.dtype[np.bool_]]
    unknown: int | None
    spell: Callable[[int], Iterable[int]]

    def keep(self, row: Sequence[int]) -> Ids:
        ids = np.array(row, dtype=np.uint32)
        if self.allowed[ids].all():
            return ids
        spelled: list[int] = []
        after_name = False
        for i in row:
            is_name = not self.allowed[i]
            for part in self.spell(i) if is_name else [i]:
                same_run = part == self.unknown and [part] == spelled[-1:] and (is_name or after_name)
                if self.allowed[part] and not same_run:
                    spelled.append(part)
            after_name = is_name
        return np.array(spelled, dtype=np.uint32)


def _ordinary(
    vocab_size: int, special: set[int], unknown: int | None, spell: Callable[[int], Iterable[int]]
) -> _Ordinary:
    allowed = np.ones(vocab_size, dtype=bool)
    allowed[list(special - {unknown})] = False
    return _Ordinary(allowed, unknown, spell)


def tokenizers_encoder(fast: tokenizers.Tokenizer, special: set[int], unknown: int | None) -> Encode:
    """Return a function that encodes through `tokenizers`, a batch at a time. `fast` is modified.

    `special`: ids that may not stand for text, except `unknown`.
    """
    fast.encode_special_tokens = True  # Special tokens that a text spells are read as ordinary characters.
    vocab_size = max(fast.get_vocab(with_added_tokens=True).values()) + 1

    def spell(index: int) -> Iterator[int]:
        name = fast.id_to_token(index) or ""
        return (token.id for part in (name[:1], name[1:]) if part for token in fast.model.tokenize(part))

    ordinary = _ordinary(vocab_size, special, unknown, spell)

    def encode(texts: list[str]) -> list[Ids]:
        return [ordinary.keep(row.ids) for row in fast.encode_batch_fast(texts, add_special_tokens=False)]

    return encode


def one_text(encode: Encode) -> Callable[[str], list[int]]:
    """Return the function text → ids of an encoder of batches."""
    return lambda text: [int(i) for i in encode([text])[0]]


def _sentencepiece_encoder(model: Path, pieces: list[str]) -> Encode | None:
    """Return a function that encodes through SentencePiece, each text in the cuts that unigram.py describes.

    The first cut of a text gets the dummy prefix, the others do not. None for a model of other pieces, of another type,
    or in which cuts would change the ids.
    """
    content = model.read_bytes()
    try:
        proto = unigram.read(content, str(model))
    except UserError:
        return None
    if [piece.piece for piece in proto.pieces] != pieces or not unigram.is_exact(proto):
        return None
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
