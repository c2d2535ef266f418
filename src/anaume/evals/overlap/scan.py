"""Evaluation files and a corpus → which items share a run of n characters with a document, with examples.

datatrove's decontamination does not fit: it counts n-grams of words, trusts hashes, and names documents, not items.

The corpus is read once, part by part, in constant memory. With a folder for progress, no part is read twice.
The rule: the result does not depend on interruptions, and every overlap is one of characters, not of hashes.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anaume.corpus import storage
from anaume.corpus.readers import Part, Reading, parts, read
from anaume.corpus.source import Source
from anaume.errors import UserError
from anaume.evals.overlap.grams import (
    NORMALISATION,
    GramIndex,
    Positions,
    index_grams,
    normalised,
    shared_grams,
)
from anaume.evals.overlap.items import EvaluationItem, data_files, read_items
from anaume.files import cached_sha256, file_atomic
from anaume.progress import bar
from anaume.tokens.shard import identity

EXAMPLES = 5  # of each file
NEXT = np.array([0, 0, 1])  # from a place to the next one: part, document, character


@dataclass(frozen=True)
class PartHits:
    """What a part of the corpus shares with the items.

    `grams`      the numbers of the shared grams, rising
    `documents`  for each of them the number of the first document of the part that has it, from 1
    `places`     its first place in that document's normalised text
    `read`       number of documents read
    `sharing`    number of documents that share a gram
    """

    grams: Positions
    documents: Positions
    places: Positions
    read: int
    sharing: int


def find_overlap(
    sources: Sequence[Source], against: list[Path], n: int, progress: Path | None = None
) -> dict[str, Any]:
    """Return the counts, the numbers of the overlapping items and examples of each file, ready for JSON.

    `progress` is a folder that keeps the finished parts, for an interrupted call to go on.

    Raises:
        UserError: the data or the corpus can't be read.
    """
    if tokens := next((source for source in sources if source.tokens), None):
        raise UserError(f"corpus {tokens}: holds tokens, not text; expected path, hub or builtin")
    work = [part for source in sources for part in parts(source)]
    files = data_files(against)
    items = {file: read_items(file) for file in files}
    texts = [(file, item, normalised(text)) for file in files for item in items[file] for text in item.texts]
    index = index_grams([text for _, _, text in texts], n)
    checksum = hashlib.sha256(
        index.codes.tobytes() + str((n, [len(text) for _, _, text in texts])).encode()
    ).hexdigest()
    hits = []
    with bar("overlap", len(work)) as advance:
        for part in work:
            hits.append(_hits(index, part, progress, checksum))
            advance(1)
    first = _first_of_each_gram(index, hits)
    result: dict[str, Any] = {
        "n": n,
        "normalisation": NORMALISATION,
        "corpus": [str(source.published()) for source in sources],
        "documents": sum(part.read for part in hits),
        "overlapping_documents": sum(part.sharing for part in hits),
    }
    runs = _longest_runs(index, [len(text) for _, _, text in texts], first)
    by_file: dict[Path, dict[int, tuple[int, str, str]]] = {file: {} for file in files}
    for (file, item, text), run in zip(texts, runs, strict=True):
        if run and run[1] > by_file[file].get(item.number, (0, "", ""))[0]:
            start, length, number, document = run
            place = f"{_name(work[number])}: document {document}"
            by_file[file][item.number] = (length, text[start : start + length], place)
    result["files"] = [_of_file(file, items[file], by_file[file], n) for file in files]
    return result


def _of_file(
    file: Path, items: Sequence[EvaluationItem], shared: dict[int, tuple[int, str, str]], n: int
) -> dict[str, Any]:
    longest = sorted(shared, key=lambda number: -shared[number][0])[:EXAMPLES]
    return {
        "file": str(file),
        "sha256": cached_sha256(file),
        "items": len(items),
        "too_short": sum(all(len(normalised(text)) < n for text in item.texts) for item in items),
        "overlapping": len(shared),
        "overlapping_items": sorted(shared),
        "examples": [
            {"item": number, "document": shared[number][2], "characters": shared[number][0], "run": shared[number][1]}
            for number in longest
        ],
    }


def _hits(index: GramIndex, part: Part, progress: Path | None, checksum: str) -> PartHits:
    """Read the part, or what an earlier call has kept of it."""
    if progress is None:
        return _read_hits(index, part)
    content = [identity(part.source), part.name, checksum, *(storage.fingerprint(file) for file in part.files)]
    file = progress / f"{hashlib.sha256(json.dumps(content).encode()).hexdigest()}.npz"
    if file.exists():
        with np.load(file) as kept:
            return PartHits(kept["grams"], kept["documents"], kept["places"], int(kept["read"]), int(kept["sharing"]))
    hits = _read_hits(index, part)
    progress.mkdir(parents=True, exist_ok=True)
    with file_atomic(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **vars(hits))
    return hits


def _read_hits(index: GramIndex, part: Part) -> PartHits:
    documents, places = np.zeros(len(index.hashes), np.int64), np.zeros(len(index.hashes), np.int64)
    count = sharing = 0
    for count, document in enumerate(read(part, Reading()), 1):
        shares = False
        for grams, found in shared_grams(index, normalised(document.text)):
            shares = True
            new, earliest = np.unique(grams, return_index=True)
            is_first = documents[new] == 0
            documents[new[is_first]] = count
            places[new[is_first]] = found[earliest[is_first]]
        sharing += shares
    grams = np.flatnonzero(documents)
    return PartHits(grams, documents[grams], places[grams], count, sharing)


def _first_of_each_gram(index: GramIndex, hits: Sequence[PartHits]) -> Positions:
    """(grams, 3): part, document and place where each gram occurs first; the document is 0 where it occurs nowhere."""
    first = np.zeros((len(index.hashes), 3), np.int64)
    for number, part in enumerate(hits):
        new = first[part.grams, 1] == 0
        first[part.grams[new]] = np.stack([np.full(new.sum(), number), part.documents[new], part.places[new]], axis=1)
    return first


def _longest_runs(index: GramIndex, lengths: Sequence[int], first: Positions) -> list[tuple[int, int, int, int] | None]:
    """For each text its longest run that is in one document: (start, characters, part, document); None without one.

    Neighbouring grams whose first places are neighbours in one document are one run there. A longer run may exist in
    another document, never a shorter one.
    """
    runs: list[tuple[int, int, int, int] | None] = []
    seen = 0
    for length in lengths:
        count = max(0, length - index.n + 1)
        rows = first[index.gram_at[seen : seen + count]]
        seen += count
        present = rows[:, 1] > 0
        if not present.any():
            runs.append(None)
            continue
        goes_on = present[1:] & present[:-1] & (rows[1:] == rows[:-1] + NEXT).all(axis=1)
        begins = np.flatnonzero(np.r_[True, ~goes_on])
        ends = np.r_[begins[1:], count]
        widths = np.where(present[begins], ends - begins, 0)
        best = int(widths.argmax())
        start = int(begins[best])
        runs.append((start, int(widths[best]) + index.n - 1, int(rows[start, 0]), int(rows[start, 1])))
    return runs


def _name(part: Part) -> str:
    return storage.printable(str(part.files[0])) if len(part.files) == 1 else f"{part.source} {part.name}"
