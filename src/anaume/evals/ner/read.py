"""Files of texts with entities → the examples of each split, checked.

A file holds rows `{text, entities: [{start, end, type}]}`, where start and end count characters and end is exclusive;
or rows `{tokens, ner_tags}` as in Hub data sets; or CoNLL's columns, a word and its tag in a line and an empty line
after each sentence. Rows are JSON lines or Parquet. The rule: nothing is guessed and nothing is dropped; the first
mistake of a file is one line with its place.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from anaume.corpus.formats import check_unpacked_size
from anaume.corpus.rows import parse_object, read_rows, require_unicode, text_of
from anaume.errors import UserError
from anaume.evals.ner.tags import entities_of_tags, join_words
from anaume.finetune.examples import Entity, Example

JSON_LINES = (".jsonl", ".json")
PARQUET = (".parquet",)
COLUMNS = (".conll", ".txt", ".tsv", ".bio", ".iob", ".iob2")
SUFFIXES = (*JSON_LINES, *PARQUET, *COLUMNS)
# The fields of a row. CoNLL-2003's rows on the Hub have tags of other kinds, too, which are not read.
MARKED = ("id", "text", "entities")
TAGGED = ("id", "tokens", "ner_tags", "pos_tags", "chunk_tags")
DOCUMENT = "-DOCSTART-"


def read_entities(path: Path) -> list[Example]:
    """Read the texts of a file with their entities.

    Raises:
        UserError: names file and line of an empty text, an unknown field, an entity that is out of range or overlaps
            another one, or a tag of an unknown form.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected texts with entities ({', '.join(SUFFIXES)})")
    if path.suffix in COLUMNS:
        examples = list(_sentences(path))
    elif path.suffix in PARQUET:
        rows, names = _parquet_rows(path)
        examples = [_example(row, place, names) for place, row in rows]
    elif path.suffix in JSON_LINES:
        examples = [_example(row, place, ()) for place, row in read_rows(path)]
    else:
        raise UserError(f"{path}: {path.suffix or 'no suffix'}: unknown format; expected {', '.join(SUFFIXES)}")
    if not examples:
        raise UserError(f"{path}: no texts; expected texts with entities")
    return examples


def _example(row: dict[str, Any], place: str, names: Sequence[str]) -> Example:
    """Read a row of either form; `names` are the names of tags that are numbers."""
    fields = TAGGED if "tokens" in row else MARKED
    if unknown := [key for key in row if key not in fields]:
        raise UserError(f"{place}: field {unknown[0]!r}: unknown; expected {', '.join(fields)}")
    group = row.get("id", "")
    if isinstance(group, bool) or not isinstance(group, str | int):
        raise UserError(f"{place}: `id` is {group!r:.40}; expected a string or a whole number")
    require_unicode(str(group), f"{place}: `id`")
    if "tokens" in row:
        words, tags = _tagged_words(row, place, names)
        text, characters = join_words(words)
        entities = entities_of_tags(tags, characters, place)
    else:
        text = text_of(row, "text", place)
        entities = _marked_entities(row, text, place)
    return Example((text,), group=str(group), entities=entities)


def _marked_entities(row: dict[str, Any], text: str, place: str) -> tuple[Entity, ...]:
    values = row.get("entities")
    if not isinstance(values, list):
        raise UserError(f"{place}: `entities` is {values!r:.40}; expected a list of objects with start, end, type")
    entities = sorted(_marked_entity(value, text, f"{place}: entity {i}") for i, value in enumerate(values, 1))
    for first, second in pairwise(entities):
        if second.start < first.end:
            raise UserError(
                f"{place}: entities {_shown(first, text)} and {_shown(second, text)}: overlap; expected entities that"
                " share no character"
            )
    return tuple(entities)


def _marked_entity(value: Any, text: str, place: str) -> Entity:
    fields = Entity._fields
    if not isinstance(value, dict) or set(value) != {*fields}:
        raise UserError(f"{place}: {value!r:.80}: not an entity; expected an object of {', '.join(fields)}")
    start, end, name = (value[field] for field in fields)
    for number in (start, end):
        if isinstance(number, bool) or not isinstance(number, int):
            raise UserError(f"{place}: {number!r:.40}: no position; expected whole numbers of characters")
    if not 0 <= start < end <= len(text):
        raise UserError(f"{place}: characters {start} to {end}: out of range; expected 0 <= start < end <= {len(text)}")
    if not isinstance(name, str) or not name.strip():
        raise UserError(f"{place}: `type` is {name!r:.40}; expected a name")
    return Entity(start, end, require_unicode(name, f"{place}: `type`"))


def _shown(entity: Entity, text: str) -> str:
    return f"{text[entity.start : entity.end]!r} ({entity.start} to {entity.end})"


def _tagged_words(row: dict[str, Any], place: str, names: Sequence[str]) -> tuple[list[str], list[str]]:
    words, tags = row["tokens"], row.get("ner_tags")
    if not isinstance(words, list) or not words:
        raise UserError(f"{place}: `tokens` is {words!r:.40}; expected a list of words")
    if not isinstance(tags, list) or len(tags) != len(words):
        raise UserError(f"{place}: `ner_tags` is {tags!r:.40}; expected a list of {len(words)} tags, one for each word")
    for word in words:
        _check_word(word, place)
    return words, [_tag(tag, place, names) for tag in tags]


def _check_word(word: Any, place: str) -> None:
    if not isinstance(word, str) or not word.strip():
        raise UserError(f"{place}: word {word!r:.40}; expected a text that is not empty")
    require_unicode(word, f"{place}: word")


def _tag(tag: Any, place: str, names: Sequence[str]) -> str:
    if isinstance(tag, str):
        return require_unicode(tag, f"{place}: tag")
    if isinstance(tag, bool) or not isinstance(tag, int) or not 0 <= tag < len(names):
        known = f"0 to {len(names) - 1}" if names else "names such as B-PER, or a Parquet file, which names the numbers"
        raise UserError(f"{place}: tag {tag!r:.40}: has no name; expected {known}")
    return require_unicode(names[tag], f"{place}: tag {tag}")


def _parquet_rows(path: Path) -> tuple[Iterator[tuple[str, dict[str, Any]]], list[str]]:
    """Return the rows of a Parquet file, and the names that `datasets` wrote for its `ner_tags`."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            check_unpacked_size(file.metadata, str(path))
            table = file.read()
        rows = [(f"{path}: row {number}", row) for number, row in enumerate(table.to_pylist(), 1)]
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not Parquet ({' '.join(str(error).split())})") from error
    return iter(rows), _names_of_tags((table.schema.metadata or {}).get(b"huggingface", b"{}"))


def _names_of_tags(metadata: bytes) -> list[str]:
    """Return the names of tags that are numbers; none if the metadata have another form than that of `datasets`."""
    try:
        names: Any = parse_object(metadata.decode())
    except ValueError:
        return []
    for key in ("info", "features", "ner_tags", "feature", "names"):
        names = names.get(key) if isinstance(names, dict) else None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []


def _sentences(path: Path) -> Iterator[Example]:
    """Read CoNLL's columns, separated by tabs or single spaces: the first holds the word and the last its tag.

    A line -DOCSTART- begins a document, whose sentences stay together. A line that begins with "# " where a sentence
    would begin is a comment.
    """
    words: list[str] = []
    tags: list[str] = []
    place, document, columns = "", 0, 0
    for number, line in enumerate([*_lines(path), ""], 1):
        fields = line.split("\t") if "\t" in line else line.split(" ")
        if line.strip() and not (line.startswith("# ") and not words):
            if not words:
                place = f"{path}:{number}"
            columns = columns or len(fields)
            if len(fields) != columns or columns < 2:
                raise UserError(
                    f"{path}:{number}: {len(fields)} columns; expected {max(columns, 2)}, as in lines before"
                )
            _check_word(fields[0], f"{path}:{number}")
            entities_of_tags(fields[-1:], [(0, 1)], f"{path}:{number}")  # checks the tag in its own line
            words.append(fields[0])
            tags.append(fields[-1])
        elif words:
            if words[0] == DOCUMENT:
                document += 1
            else:
                text, characters = join_words(words)
                group = f"document {document}" if document else ""
                yield Example((text,), group=group, entities=entities_of_tags(tags, characters, place))
            words, tags = [], []


def _lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise UserError(f"{path}:{number}: not UTF-8 ({error.reason} at byte {error.start})") from error
