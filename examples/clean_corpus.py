"""Raw text → text without duplicates and unwanted documents, by datatrove; `anaume tokens` reads the result.

    pip install 'anaume[cluster]'
    python examples/clean_corpus.py raw/ clean/ --workers 8
    anaume tokens 'clean/text/*.jsonl.gz' --tokenizer TOKENIZER --out tokens

`raw/` holds JSON lines with `text` and, if documents have names, `id`. The steps: documents that fail a filter are
left out; of equal texts the first stays; of nearly equal texts (MinHash over runs of characters) one stays. What each
step did is in clean/logs. The same command goes on after the last finished step. On a cluster, put datatrove's
SlurmPipelineExecutor in place of the local one; the steps stay.
"""

import argparse
import unicodedata
from pathlib import Path

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import (
    ExactDedupFilter,
    ExactDedupSignature,
    ExactFindDedups,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.exact_dedup import ExactDedupConfig
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import LambdaFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.hashing import HashConfig
from datatrove.utils.word_tokenizers import WordTokenizer

# A document of fewer characters holds a headline or a menu, no prose.
FEWEST_CHARACTERS = 100
# Share of kana among the letters: Japanese prose has about a half, Chinese none. For another language, put datatrove's
# LanguageFilter here; it downloads a classifier.
LEAST_KANA = 0.1
# Share of lines that another line of the document repeats: navigation bars, tables of contents.
MOST_REPEATED = 0.3
# Two documents count as equal if about 72 % of their runs of 5 characters are the same: (1 / 14) ** (1 / 8).
# SHA-1, because datatrove 0.10 gives xxhash texts, which its version 4 does not take.
MINHASH = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8, hash_config=HashConfig(hash_fc="sha1"))


class Characters(WordTokenizer):
    """Characters in the place of words, so that a language without spaces needs no dictionary."""

    def __init__(self) -> None:
        super().__init__("")

    def word_tokenize(self, text: str) -> list[str]:
        return [character for character in text if not character.isspace()]

    def sent_tokenize(self, text: str) -> list[str]:
        return [text]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(place, place + 1) for place in range(len(text))]


def is_prose(document: Document) -> bool:
    """Whether a document is long enough, Japanese, and does not repeat its own lines."""
    letters = [character for character in document.text if character.isalpha()]
    kana = sum("HIRAGANA" in (name := unicodedata.name(c, "")) or "KATAKANA" in name for c in letters)
    lines = [line for line in document.text.splitlines() if line.strip()]
    repeated = 1 - len(set(lines)) / len(lines) if lines else 1.0
    return len(document.text) >= FEWEST_CHARACTERS and kana >= LEAST_KANA * len(letters) and repeated <= MOST_REPEATED


def content_of(document: Document) -> bytes:
    """What two documents must share to be equal: their text after NFKC, without white space."""
    return "".join(unicodedata.normalize("NFKC", document.text).split()).encode()


EXACT = ExactDedupConfig(content_getter=content_of)


def steps(raw: Path, clean: Path) -> list[tuple[str, bool, list[PipelineStep]]]:
    """The steps in their order: name, whether the files are shared among the workers, and datatrove's blocks."""

    def reader(folder: str = "") -> JsonlReader:
        return JsonlReader(str(clean / folder if folder else raw), glob_pattern="*.jsonl*")

    def folder(name: str) -> str:
        return str(clean / "work" / name)

    def writer(name: str) -> JsonlWriter:
        return JsonlWriter(str(clean / name), "${rank}.jsonl.gz")

    return [
        ("filter", True, [reader(), LambdaFilter(is_prose), writer("work/filtered")]),
        ("exact-1", True, [reader("work/filtered"), ExactDedupSignature(folder("exact"), EXACT)]),
        ("exact-2", False, [ExactFindDedups(folder("exact"), folder("equal"), EXACT)]),
        ("exact-3", True, [reader("work/filtered"), ExactDedupFilter(folder("equal"), EXACT), writer("work/unequal")]),
        ("near-1", True, [reader("work/unequal"), MinhashDedupSignature(folder("near"), MINHASH, Characters())]),
        ("near-2", False, [MinhashDedupBuckets(folder("near"), folder("buckets"), config=MINHASH)]),
        ("near-3", False, [MinhashDedupCluster(folder("buckets"), folder("remove"), config=MINHASH)]),
        ("near-4", True, [reader("work/unequal"), MinhashDedupFilter(folder("remove")), writer("text")]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=Path, help="folder of JSON lines, .jsonl, .jsonl.gz or .jsonl.zst")
    parser.add_argument("clean", type=Path, help="folder to write")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    for name, shared, blocks in steps(options.raw, options.clean):
        tasks = options.workers if shared else MINHASH.num_buckets if name == "near-2" else 1
        logs = str(options.clean / "logs" / name)
        LocalPipelineExecutor(blocks, tasks=tasks, workers=options.workers, logging_dir=logs).run()


if __name__ == "__main__":
    main()
