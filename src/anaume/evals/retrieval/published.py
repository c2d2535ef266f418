"""Retrieval sets as they are published → collections.

    BEIR    corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv (Thakur and others 2021; also the sets in mteb's repositories)
    MIRACL  miracl-v1.0-LANG/{topics,qrels}, miracl-corpus-v1.0-LANG (Zhang and others, TACL 2023)
    MLDR    SPLIT.jsonl with positive_passages, corpus.jsonl (Chen and others 2024, "M3-Embedding")

JSON lines may be packed (.gz). The rule: a document is its title, a space and its text, as in BEIR and mteb.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from anaume.corpus.rows import optional_text_of, read_rows, text_of
from anaume.errors import UserError
from anaume.evals.inputs import miracl
from anaume.evals.inputs.tsv import read_fields
from anaume.evals.provenance import files_settings
from anaume.evals.retrieval.collection import Collection, Judgement, from_judgements

BEIR_HEADER = ["query-id", "corpus-id", "score"]
EXPECTED = "expected the folder of a BEIR, MIRACL or MLDR set"
TITLES = "title, space, text"


@dataclass(frozen=True)
class _Layout:
    """The files of a set and the names of its fields. `qrels` is the file of the judgements."""

    corpus: Sequence[Path]
    queries: Path
    qrels: Path
    split: str
    document_id: str = "docid"


def read_collection(folder: Path, split: str = "") -> Collection:
    """Read a published set; without `split`, its test split, or for MIRACL dev, because its test set has no judgements.

    Raises:
        UserError: the folder is no such set, or lacks a file; a line that can't be read, an empty query, an id or a
            judgement twice, a grade that is no whole number from 0; see also `from_judgements`.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; {EXPECTED}")
    if topics := sorted(folder.glob("miracl-v1.0-*")):
        return _read_miracl(folder, topics[0].name.rpartition("-")[2], split or "dev")
    split = split or "test"
    corpus = _json_lines(folder, "corpus")
    if (folder / "qrels").is_dir():
        queries, qrels = _json_lines(folder, "queries"), folder / "qrels" / f"{split}.tsv"
        if not qrels.is_file():
            splits = ", ".join(sorted(file.stem for file in qrels.parent.glob("*.tsv"))) or "no split"
            raise UserError(f"{qrels}: no such file; expected a split that the folder has: {splits}")
        layout = _Layout([corpus], queries, qrels, split, "_id")
        return _join(folder, layout, _texts(queries, "_id", "text"), _beir_judgements(qrels))
    rows = _json_lines(folder, split)
    return _join(
        folder, _Layout([corpus], rows, rows, split), _texts(rows, "query_id", "query"), _mldr_judgements(rows)
    )


def _read_miracl(folder: Path, language: str, split: str) -> Collection:
    miracl.check_names(language, split)
    files = miracl.find_files(language, split, folder)
    queries: dict[str, str] = {}
    for place, (name, text) in read_fields(files.topics, 2):
        _add(queries, name, text_of({"query": text}, "query", place), place)
    layout = _Layout(files.corpus, files.topics, files.qrels, split)
    return _join(folder, layout, queries, _trec_judgements(files.qrels))


def _join(folder: Path, layout: _Layout, queries: dict[str, str], judgements: Iterator[Judgement]) -> Collection:
    documents: dict[str, str] = {}
    empty = 0
    for file in track(layout.corpus, f"{folder.name}: documents", console=Console(stderr=True)):
        for place, row in read_rows(file):
            text = _document(row, place)
            empty += not text
            _add(documents, text_of(row, layout.document_id, place), text, place)
    files = dict.fromkeys([layout.queries, layout.qrels, *layout.corpus])
    settings: dict[str, Any] = files_settings(f"{folder.resolve().name}, {layout.split}", list(files))
    settings |= {"document": TITLES, "empty_documents": empty}
    return from_judgements(layout.qrels, queries, documents, judgements, settings)


def _document(row: dict[str, Any], place: str) -> str:
    """The text of a document. Some published ones are empty."""
    if row.get("text") is None:
        text_of(row, "text", place)  # raises
    return " ".join(filter(None, (optional_text_of(row, key, place).strip() for key in ("title", "text"))))


def _json_lines(folder: Path, name: str) -> Path:
    """The file NAME.jsonl or NAME.jsonl.gz of a folder.

    Raises:
        UserError: there is neither.
    """
    files = [folder / f"{name}.jsonl", folder / f"{name}.jsonl.gz"]
    if file := next((file for file in files if file.is_file()), None):
        return file
    raise UserError(f"{files[0]}: no such file, nor {files[1].name}; {EXPECTED}")


def _texts(file: Path, id_field: str, field: str) -> dict[str, str]:
    texts: dict[str, str] = {}
    for place, row in read_rows(file):
        _add(texts, text_of(row, id_field, place), text_of(row, field, place), place)
    return texts


def _add(texts: dict[str, str], name: str, text: str, place: str) -> None:
    if name in texts:
        raise UserError(f"{place}: {name}: an id that another line has; expected each id once")
    texts[name] = text


def _beir_judgements(file: Path) -> Iterator[Judgement]:
    for number, (place, fields) in enumerate(read_fields(file, 3)):
        query, document, grade = fields
        if number or fields != BEIR_HEADER:  # only the first line may be the header
            yield Judgement(place, query, document, _grade(grade, place))


def _trec_judgements(file: Path) -> Iterator[Judgement]:
    for place, (query, _, document, grade) in read_fields(file, 4):
        yield Judgement(place, query, document, _grade(grade, place))


def _mldr_judgements(file: Path) -> Iterator[Judgement]:
    for place, row in read_rows(file):
        passages = row.get("positive_passages")
        if not isinstance(passages, list):
            raise UserError(f"{place}: `positive_passages` is {passages!r:.80}; expected a list of passages")
        for passage in passages:
            yield Judgement(place, text_of(row, "query_id", place), text_of(passage, "docid", place), 1)


def _grade(text: str, place: str) -> int:
    try:
        grade = int(text)
    except ValueError:
        grade = -1
    if grade < 0:
        raise UserError(f"{place}: {text!r:.40}: not a grade; expected a whole number from 0")
    return grade
