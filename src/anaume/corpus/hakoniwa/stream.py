"""The stream of documents; document k of a split is a function of (seed, split, k), so memory use is constant."""

import json
from collections.abc import Iterator
from hashlib import blake2b
from itertools import count
from pathlib import Path
from random import Random

from anaume.corpus.document import Document
from anaume.corpus.hakoniwa.almanac import almanac
from anaume.corpus.hakoniwa.article import article
from anaume.corpus.hakoniwa.deck import Split, deck
from anaume.corpus.hakoniwa.patterns import REGISTERS
from anaume.files import file_atomic
from anaume.files.outputs import require_new_file

ALMANAC_EVERY = 100  # one document in 100 is an almanac; almanacs have about a third of all characters
VALIDATION_SHARE = 0.05  # of the training text
VALIDATION_MEGABYTES = (0.2, 5.0)  # at least, at most


def document(split: Split, seed: int, index: int) -> Document:
    """Document `index` of a split, made without the documents before it."""
    key = blake2b(f"hakoniwa {seed} {split} {index}".encode(), digest_size=8).digest()
    random = Random(int.from_bytes(key, "big"))
    register = REGISTERS[random.random() < 0.5]
    cards = deck(split, register)
    if index % ALMANAC_EVERY == ALMANAC_EVERY // 2:
        long = almanac(cards, random, split, register)
        return Document(long.text, long.title, "almanac")
    short = article(cards, random, register)
    return Document(short.text, short.title, "article")


def documents(split: Split, megabytes: float, seed: int) -> Iterator[Document]:
    """Documents until their texts have `megabytes` × 1,000,000 bytes of UTF-8; the last one may exceed the limit."""
    left = megabytes * 1e6
    for index in count():
        if left <= 0:
            return
        next_document = document(split, seed, index)
        left -= len(next_document.text.encode())
        yield next_document


def write_corpus(directory: Path, megabytes: float, seed: int) -> None:
    """Write train.jsonl and validation.jsonl into `directory`.

    The training split has `megabytes` of text, the validation split a twentieth of it, but 0.2 to 5 megabytes.

    Raises:
        UserError: one of the files exists.
    """
    least, most = VALIDATION_MEGABYTES
    sizes: dict[Split, float] = {
        "train": megabytes,
        "validation": min(max(megabytes * VALIDATION_SHARE, least), most),
    }
    paths = {split: directory / f"{split}.jsonl" for split in sizes}
    for path in paths.values():
        require_new_file(path)
    for split, size in sizes.items():
        with file_atomic(paths[split]) as temporary, temporary.open("w", encoding="utf-8") as file:
            for row in documents(split, size, seed):
                fields = {"text": row.text, "title": row.title, "source": row.source}
                file.write(json.dumps(fields, ensure_ascii=False) + "\n")
