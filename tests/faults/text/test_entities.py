"""Entities of any text: the characters of the file are those that a perfect tagger returns, whatever they are."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.faults.text.strategies import VALUES, is_unicode, result_or_line, texts

from anaume.evals.ner.read import read_entities
from anaume.evals.ner.tags import join_words
from anaume.finetune.borders import split_tokenizer
from anaume.finetune.entities import ceiling, encode_entities
from anaume.finetune.examples import Entity, Example
from anaume.tokenizer.auto import open_auto_tokenizer
from anaume.tokenizer.load import Tokenizer

# What a reader takes for one character, in one to seven of Python's.
CLUSTERS = [
    *(
        "か\u3099",
        "は\u309a",
        "ﾊﾟ",
        "ｶﾞ",
        "ｱ",
        "e\u0301",
        "①\u0301",
        "葛\U000e0100",
        "𠮷",
        "東",
        "京",
        "は",
        "a",
        "Ｚ",
        "1",
    ),
    *(
        "👨\u200d👩\u200d👧",
        "🇯🇵",
        "1\ufe0f\u20e3",
        "👩🏽",
        "\u200b",
        "ー",
        "・",
        "、",
        " ",
        "　",
        "\n",
        "\ufeff",
        "\x00",
        "▁",
    ),
]
MARKED = {"id": "1", "text": "東京都は町", "entities": [{"start": 0, "end": 3, "type": "地名"}]}
TAGGED = {"id": 1, "tokens": ["東京", "都", "は"], "ner_tags": ["B-地名", "I-地名", "O"]}


@st.composite
def examples(draw: st.DrawFn, parts: st.SearchStrategy[str]) -> Example:
    """A text of parts, and entities between borders of its parts."""
    pieces = draw(st.lists(parts, min_size=1, max_size=20))
    borders = [sum(map(len, pieces[:number])) for number in range(len(pieces) + 1)]
    chosen = sorted(draw(st.sets(st.sampled_from(borders), max_size=8)))
    pairs = list(zip(chosen[::2], chosen[1::2], strict=False))
    kinds = draw(st.lists(st.sampled_from(["地名", "人名", "A-B"]), min_size=len(pairs), max_size=len(pairs)))
    entities = tuple(Entity(*pair, kind) for pair, kind in zip(pairs, kinds, strict=True) if pair[0] < pair[1])
    text = "".join(pieces)
    assume(text.strip())
    return Example((text,), entities=entities)


@given(example=examples(st.sampled_from(CLUSTERS)), ascii_only=st.booleans(), order=st.randoms())
def test_marked_characters_are_read_exactly(example: Example, ascii_only: bool, order: Any, tmp_path: Path) -> None:
    marks = [entity._asdict() for entity in example.entities]
    order.shuffle(marks)
    row = {"text": example.texts[0], "entities": marks}
    (tmp_path / "a.jsonl").write_text(json.dumps(row, ensure_ascii=ascii_only), encoding="utf-8")
    pq.write_table(
        pa.Table.from_pylist([row] if marks else [row | {"entities": [MARKED["entities"][0]]}]), tmp_path / "a.parquet"
    )
    assert read_entities(tmp_path / "a.jsonl") == [example]
    if marks:
        assert read_entities(tmp_path / "a.parquet") == [example]


@given(example=examples(st.sampled_from(CLUSTERS)))
def test_a_perfect_tagger_returns_the_marked_characters(example: Example, trained: Tokenizer) -> None:
    """With pieces of single characters, an entity of visible characters can begin and end anywhere.

    Pieces may stand for no character, and a space may belong to the piece behind it, so entities have no white space at
    their ends here.
    """
    text = example.texts[0]
    entities = tuple(e for e in example.entities if text[e.start : e.end] == text[e.start : e.end].strip())
    tokenizer = split_tokenizer(open_auto_tokenizer(trained.folder), "characters")
    types = ("A-B", "人名", "地名")
    for longest in (512, 12):
        encoded = encode_entities(tokenizer, [replace(example, entities=entities)], types, longest)
        assert ceiling(encoded, types)[0] == 1.0


@given(words=st.lists(st.sampled_from(CLUSTERS).filter(str.strip), min_size=1, max_size=12), data=st.data())
def test_words_with_tags_give_the_characters_of_their_words(
    words: list[str], data: st.DataObject, tmp_path: Path
) -> None:
    tags = data.draw(st.lists(st.sampled_from(["O", "B-地名", "B-人名"]), min_size=len(words), max_size=len(words)))
    (tmp_path / "a.jsonl").write_text(json.dumps({"tokens": words, "ner_tags": tags}), encoding="utf-8")
    text, characters = join_words(words)
    expected = [Example((text,), entities=entities_of(tags, characters))]
    assert [text[e.start : e.end] for e in expected[0].entities] == [
        w for w, t in zip(words, tags, strict=True) if t != "O"
    ]
    assert read_entities(tmp_path / "a.jsonl") == expected
    if words[0] != "\ufeff":
        lines = "".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True))
        (tmp_path / "a.conll").write_bytes(lines.encode())
        assert read_entities(tmp_path / "a.conll") == expected


def entities_of(tags: Sequence[str], characters: Sequence[tuple[int, int]]) -> tuple[Entity, ...]:
    """The entities of words tagged B; each word is one."""
    return tuple(Entity(*place, tag[2:]) for tag, place in zip(tags, characters, strict=True) if tag != "O")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values inside a value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


@pytest.mark.parametrize("row", [MARKED, TAGGED], ids=["marked", "tagged"])
@given(data=st.data())
def test_any_value_gives_entities_inside_the_text_or_one_line(
    row: dict[str, Any], data: st.DataObject, tmp_path: Path
) -> None:
    changed = json.loads(json.dumps(row))
    *parents, last = data.draw(st.sampled_from(places(changed)[1:]))
    node = changed
    for key in parents:
        node = node[key]
    node[last] = data.draw(VALUES)
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row) + "\n" + json.dumps(changed) + "\n", encoding="utf-8")
    check(path, f"{path}:2")


TYPES = [pa.string(), pa.binary(), pa.int64(), pa.float64(), pa.list_(pa.string()), pa.list_(pa.int8()), pa.null()]


def metadata(value: object) -> list[bytes]:
    """What may stand in a table's metadata at each depth where `datasets` writes the names of tags."""
    nested = [value]
    for key in ("names", "feature", "ner_tags", "features", "info"):
        nested = [*({key: inner} for inner in nested), value]
    return [json.dumps(inner).encode() for inner in nested]


@given(
    columns=st.dictionaries(
        st.sampled_from(["text", "entities", "tokens", "ner_tags", "id"]), st.sampled_from(TYPES), max_size=4
    ),
    metadata=st.one_of(st.binary(max_size=3), VALUES.map(metadata).flatmap(st.sampled_from)),
    data=st.data(),
)
def test_any_table_gives_entities_or_one_line(
    columns: dict[str, Any], metadata: bytes, data: st.DataObject, tmp_path: Path
) -> None:
    path = tmp_path / "a.parquet"
    values = {
        name: pa.array(data.draw(st.lists(_value(kind), min_size=2, max_size=2)), kind)
        for name, kind in columns.items()
    }
    pq.write_table(pa.table(values).replace_schema_metadata({"huggingface": metadata}), path)
    check(path, str(path))


def _value(kind: Any) -> st.SearchStrategy[Any]:
    of_kind: dict[str, st.SearchStrategy[Any]] = {
        "string": texts(max_size=3),
        "binary": st.binary(max_size=3),
        "int64": st.integers(-2, 9),
        "double": st.floats(),
        "null": st.none(),
    }
    if pa.types.is_list(kind):
        inner = (
            texts(max_size=2) | st.sampled_from(["O", "B-A"])
            if pa.types.is_string(kind.value_type)
            else st.integers(-1, 3)
        )
        return st.lists(inner, max_size=3) | st.none()
    return of_kind[str(kind)] | st.none()


LINES = st.sampled_from(["東京 B-LOC", "都\tI-LOC", "", "# id", "-DOCSTART- O"]) | texts(max_size=3)


@given(
    lines=st.lists(LINES, max_size=6),
    damage=st.tuples(st.integers(0, 40), st.sampled_from([b"", b"\xff", b"\0", b"\r", b"\xed\xa0\xbd"])),
)
def test_any_columns_give_entities_or_one_line(lines: list[str], damage: tuple[int, bytes], tmp_path: Path) -> None:
    content = "\n".join(lines).encode()
    path = tmp_path / "a.conll"
    path.write_bytes(content[: damage[0]] + damage[1] + content[damage[0] :])
    check(path, str(path))


def check(path: Path, place: str) -> None:
    """Read; entities lie inside their texts, or a line names the place."""
    result = result_or_line(lambda: read_entities(path))
    if isinstance(result, str):
        assert result.startswith(place), result
        return
    for example in result:
        (text,) = example.texts
        assert is_unicode(text + example.group + "".join(entity.type for entity in example.entities))
        ends = [0, *(place for entity in example.entities for place in entity[:2])]
        assert ends == sorted(ends)
        assert ends[-1] <= len(text)
        assert all(entity.start < entity.end for entity in example.entities)
