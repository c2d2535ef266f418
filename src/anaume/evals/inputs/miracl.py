"""MIRACL's own files → pairs of passages, as in the paper's Table 4 (MIRACL: Zhang and others, TACL 2023).

Topics and qrels of miracl/miracl and passages of miracl/miracl-corpus, from the Hub or a folder of the same layout, →
JSON lines for `--pairs`. (`datasets` no longer runs the scripts of either.) The rule: a topic with two or more positive
passages gives one pair, the first of them as the query and the second as its answer, in the order of the qrels; titles
are left out of the texts. The Japanese training split has 3,477 topics and gives 1,746 pairs.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from anaume.corpus import hub
from anaume.corpus.rows import optional_text_of, read_rows, text_of
from anaume.errors import UserError
from anaume.evals.inputs.tsv import read_fields
from anaume.files import write_atomic
from anaume.files.outputs import require_new_file
from anaume.progress import error_console

LANGUAGES = ("ar", "bn", "de", "en", "es", "fa", "fi", "fr", "hi", "id", "ja", "ko", "ru", "sw", "te", "th", "yo", "zh")
SPLITS = ("train", "dev")  # the test sets are published without qrels
TOPICS, CORPUS = "miracl/miracl", "miracl/miracl-corpus"  # data sets on the Hub
# Fraction of the positive passages that the corpus may lack. If it lacks more, a part of the corpus is missing.
MAX_ABSENT = 0.01


@dataclass(frozen=True)
class PairCounts:
    """Number of topics in the split, of pairs written, and of positive passages that the corpus lacks."""

    topics: int
    pairs: int
    absent: int


@dataclass(frozen=True)
class Passage:
    """A paragraph of a Wikipedia page."""

    title: str
    text: str


@dataclass(frozen=True)
class MiraclFiles:
    """Paths of the three inputs."""

    topics: Path
    qrels: Path
    corpus: list[Path]


def write_pairs(out: Path, language: str = "ja", split: str = "train", folder: Path | None = None) -> PairCounts:
    """Write the pairs of a split to `out` as JSON lines, in the order of the topics.

    A pair has `query`, `positive`, `title` (of the positive's page), the ids `topic`, `query_id`, `positive_id`, and
    `source`, which evaluations copy into their records. `folder` holds `miracl-v1.0-ja` and `miracl-corpus-v1.0-ja`;
    without it they are downloaded from the Hub (1.1 GB for Japanese) into its cache.

    Raises:
        UserError: `out` exists; an unknown language or split; a file that is missing or damaged; more than 1 % of the
            positive passages not in the corpus; no topic with two of them.
    """
    check_names(language, split)
    require_new_file(out)
    files = find_files(language, split, folder)
    topics = [topic for _, (topic, _) in read_fields(files.topics, 2)]
    positives = _with_several_positives(topics, files.qrels)
    ids = {document for documents in positives.values() for document in documents}
    passages = read_passages(files.corpus, ids)
    absent = len(ids) - len(passages)
    if absent > MAX_ABSENT * len(ids):
        place = files.corpus[0].parent
        raise UserError(f"{place}: lacks {absent} of {len(ids)} positive passages; expected the whole corpus")
    source = f"MIRACL v1.0 {language}, {split}: first and second positive passage, without titles"
    lines = []
    for topic, documents in positives.items():
        query, positive, *_ = [*(document for document in documents if document in passages), "", ""]
        if positive:
            row = {
                "query": passages[query].text,
                "positive": passages[positive].text,
                "title": passages[positive].title,
                "topic": topic,
                "query_id": query,
                "positive_id": positive,
                "source": source,
            }
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    if not lines:
        raise UserError(f"{files.qrels}: no topic of {files.topics.name} has two positive passages; expected some")
    write_atomic(out, "".join(lines))
    return PairCounts(len(topics), len(lines), absent)


def check_names(language: str, split: str) -> None:
    """Check that MIRACL has the language, and that the split is published with its judgements.

    Raises:
        UserError: an unknown language or split.
    """
    if language not in LANGUAGES:
        raise UserError(f"MIRACL: language {language!r}: unknown; expected one of {', '.join(LANGUAGES)}")
    if split not in SPLITS:
        raise UserError(f"MIRACL: split {split!r}: unknown; expected one of {', '.join(SPLITS)}")


def _with_several_positives(topics: Sequence[str], qrels: Path) -> dict[str, list[str]]:
    """Return topic → ids of its positive passages in the order of the qrels, for topics with two or more of them."""
    positives: dict[str, dict[str, None]] = {topic: {} for topic in topics}
    for _, (topic, _, document, relevance) in read_fields(qrels, 4):
        if relevance == "1" and topic in positives:
            positives[topic][document] = None
    return {topic: list(documents) for topic, documents in positives.items() if len(documents) > 1}


def read_passages(files: Sequence[Path], ids: set[str]) -> dict[str, Passage]:
    """Read the corpus until the passages of all `ids` are found; returns id → passage.

    Raises:
        UserError: a line that is no passage, a file that is cut off.
    """
    passages: dict[str, Passage] = {}
    for file in track(files, "MIRACL's corpus", console=error_console()):
        for place, row in read_rows(file):
            document = text_of(row, "docid", place)
            if document in ids:
                passages[document] = Passage(optional_text_of(row, "title", place), text_of(row, "text", place))
        if len(passages) == len(ids):
            break
    return passages


def find_files(language: str, split: str, folder: Path | None) -> MiraclFiles:
    """Find the inputs in a folder, or download them.

    Raises:
        UserError: one is missing.
    """
    name, corpus = f"miracl-v1.0-{language}", f"miracl-corpus-v1.0-{language}"
    topics = f"{name}/topics/topics.{name}-{split}.tsv"
    qrels = f"{name}/qrels/qrels.{name}-{split}.tsv"
    judgements = folder or _fetch(TOPICS, [topics, qrels])
    passages = (folder or _fetch(CORPUS, [f"{corpus}/*.jsonl.gz"])) / corpus
    parts = [passages / f"docs-{i}.jsonl.gz" for i in range(max(1, len(list(passages.glob("docs-*.jsonl.gz")))))]
    for path in (judgements / topics, judgements / qrels, *parts):
        if not path.is_file():
            raise UserError(f"{path}: no such file; expected the layout of {TOPICS} and {CORPUS} on the Hub")
    return MiraclFiles(judgements / topics, judgements / qrels, parts)


def _fetch(repository: str, patterns: list[str]) -> Path:
    """Return the local folder of a data set on the Hub, after downloading the files that match the patterns.

    Raises:
        UserError: the Hub can't be reached, or the data set's terms must be accepted first.
    """
    if reason := hub.problem(repository, "dataset"):
        raise UserError(f"{repository}: {reason}; expected access, or --data with its files")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError

    try:
        return Path(snapshot_download(repository, repo_type="dataset", allow_patterns=patterns))
    except GatedRepoError as error:
        page = f"https://huggingface.co/datasets/{repository}"
        raise UserError(f"{repository}: gated; accept its terms at {page}, then run: hf auth login") from error
    except (OSError, ValueError) as error:  # no such repository; no way to reach the Hub; not cached
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{repository}: can't be downloaded from the Hub ({reason}); expected access, or --data with its files"
        ) from error
